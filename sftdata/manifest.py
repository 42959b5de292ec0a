"""The manifest: what made a dataset, from what, how many rows, and a digest of each shard. Written last.

A directory without a manifest is an unfinished run, whatever else lies in it.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sftdata.errors import VerificationError
from sftdata.records import Task

FORMAT = 2
"""Version of the on-disk format; a reader refuses every other one."""

MANIFEST_NAME = "manifest.json"
UNFINISHED_NAME = ".sftdata-unfinished"
"""Directory inside the output directory in which a run works until everything is written."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class InputFile(_Record):
    """A file that rows came from. `id` is the part of a row id before the colon."""

    id: str
    path: str
    bytes: int
    digest: str


class RowCounts(_Record):
    """Row accounting: `read + augmented == written + rejected + duplicates`."""

    read: int = 0
    rejected: int = 0
    duplicates: int = 0
    augmented: int = 0
    written: int = 0


class TokenizerRecord(_Record):
    """Which tokenizer made the ids, by which backend, and how large the proof of their equality was."""

    name: str
    digest: str
    backend: str
    vocab_size: int
    proof: dict[str, int | str]


class ShardRecord(_Record):
    """One Arrow stream file; `file` is relative to the dataset."""

    file: str
    rows: int
    bytes: int
    digest: str


class SplitRecord(_Record):
    """The rows, tokens and shards of one split.

    `trained_tokens` counts labels that are not ignored; where a label is of the whole row, it counts the rows.
    """

    rows: int
    tokens: int
    trained_tokens: int
    shards: tuple[ShardRecord, ...]


class Manifest(_Record):
    """What `prepare` says about the dataset that it wrote."""

    format: int = FORMAT
    version: str
    task: Task
    recipe: dict[str, Any]
    inputs: tuple[InputFile, ...]
    rows: RowCounts
    rejected_by_reason: dict[str, int]
    rejected_by_stage: dict[str, int] = Field(default_factory=dict)
    """Rejected rows by the stage that rejected them."""
    label_names: tuple[str, ...] | None
    has_pairs: bool = False
    """Whether a row has two texts."""
    tokenizer: TokenizerRecord
    chat_template_digest: str | None
    splits: dict[str, SplitRecord]
    seed: int
    cleaning: dict[str, Any] | None = None
    """How many rows each step of cleaning changed, and samples of it; null without cleaning."""
    duplicates: dict[str, Any] | None = None
    """How many exact and near duplicates were dropped for how many rows, and samples of the largest clusters."""
    split: dict[str, Any] = Field(default_factory=dict)
    """How near the split came to what was wished, and by the audit how much crosses it: 0 of everything."""
    balance: dict[str, Any] | None = None
    """The shares of the labels of the training part before and after, and the weights of classes."""
    augmentation: dict[str, Any] | None = None
    """Of each step how many copies were made, unchanged or a duplicate; and why others were dropped."""
    statistics: dict[str, Any] = Field(default_factory=dict)
    """Lengths, padding and cuts of each split, characters a token by script, and ids that the training part lacks."""
    files: dict[str, str]
    """Digests of the other files of the dataset, by name."""

    def __repr__(self) -> str:
        rows = self.rows
        added = f" + {rows.augmented:,} augmented" if rows.augmented else ""
        flow = f"{rows.written:,} written + {rows.rejected:,} rejected + {rows.duplicates:,} duplicates"
        splits = [
            f"  {name:<10} {split.rows:>10,} rows  {split.tokens:>12,} tokens  {split.trained_tokens:>12,} trained"
            for name, split in self.splits.items()
        ]
        return "\n".join([f"{self.task}: {rows.read:,} read{added} = {flow}", *splits])

    __str__ = __repr__

    def to_json(self) -> str:
        """Return the document as it stands on disk."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


def digest_file(path: Path) -> str:
    """Return `sha256:` and the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def digest_text(text: str) -> str:
    """Return `sha256:` and the hexadecimal digest of a text in UTF-8."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write a file to, which takes the place of `path` once it is on the disk: whole or not there."""
    aside = path.with_name(path.name + ".tmp")
    yield aside
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def write_aside(path: Path, text: str) -> None:
    """Write a small text file so that at any moment it is whole or not there."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_manifest(directory: str | Path) -> Manifest:
    """Read the manifest of a prepared dataset.

    Raises:
        VerificationError: when the run is unfinished, or the manifest is damaged or of another format.
    """
    directory = Path(directory)
    path = directory / MANIFEST_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VerificationError(_why_no_manifest(directory)) from None
    except (OSError, ValueError) as cause:
        raise VerificationError(f"{path} cannot be read ({cause}). Run `sftdata prepare` again.") from None
    found = data.get("format") if isinstance(data, dict) else None
    if type(found) is not int:
        raise VerificationError(f"{path} is not a manifest of sftdata: it has no number of its format.")
    if found != FORMAT:
        what_to_do = "Update sftdata." if found > FORMAT else "Run `sftdata prepare` again."
        raise VerificationError(f"{path} has format {found}; this sftdata reads format {FORMAT}. {what_to_do}")
    try:
        return Manifest.model_validate(data)
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VerificationError(f"{path} is not a manifest of sftdata: {where}: {first['msg']}.") from None


def _why_no_manifest(directory: Path) -> str:
    if not directory.is_dir():
        return f"{directory} is not a directory. Name the output directory of `sftdata prepare`."
    if (directory / UNFINISHED_NAME).exists():
        return (
            f"{directory} holds an unfinished run: it has no {MANIFEST_NAME}, which is written last. "
            "Run `sftdata prepare` with the same recipe again; it starts over and completes it."
        )
    return f"{directory} is not a prepared dataset: it has no {MANIFEST_NAME}. Run `sftdata prepare` first."
