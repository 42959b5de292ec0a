"""Read a bounded part of a source: enough to propose from, and the same part every time."""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sftdata.errors import NothingToWrite, SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import Chunk, find_sources, read_chunks
from sftdata.sources.compression import COMPRESSIONS
from sftdata.sources.encodings import open_text
from sftdata.sources.source import Source

ROWS = 100_000
"""So many records are all looked at."""
BYTES = 64 * 2**20
"""Bytes after which not every record is looked at."""
STRIDE = 50
"""Of the records after those, one in so many is looked at: files are often sorted by label."""
REACH = 2**29
"""Bytes after which nothing is read."""


@dataclass(frozen=True)
class Sample:
    """What was looked at.

    Attributes:
        settings: what to say about the source, so that it is read as it was here.
        format: how the file, or the first of several, is written.
        found: what was found out about it, such as its encoding; for people.
        records: the records that have the source's columns, as they stood.
        chunks: the slices of which every record was looked at.
        looked: how many records were looked at, those that could not be read among them.
        whole: whether these are all.
    """

    settings: SourceSettings
    format: str
    found: dict[str, str]
    records: list[dict[str, Any]]
    chunks: list[Chunk]
    looked: int
    whole: bool

    @property
    def extent(self) -> str:
        """Say how much was looked at."""
        if self.whole:
            return f"all {self.looked:,} rows" if self.looked > 1 else "the only row"
        first = sum(map(len, self.chunks))
        rest = self.looked - first
        return f"the first {first:,} rows" + (f" and {rest:,} of those that follow" if rest else "")


def read_sample(settings: SourceSettings) -> Sample:
    """Look at the first records, and at some of those that follow.

    Raises:
        SourceError: when the source is missing or cannot be read, or no record has its columns.
        NothingToWrite: when it holds no record.
    """
    sources, settings = _find(settings)
    records, chunks, looked, whole = _look(sources)
    if not looked:
        raise NothingToWrite(f"no record in {sources[0].name}: the file is empty or holds a header only")
    rows = [record for record in records if isinstance(record, dict)]
    if not rows:
        raise SourceError(
            f"{sources[0].name}: none of {looked:,} records can be read; the first: {str(records[0])[:200]!r}"
        )
    return Sample(settings, sources[0].format, dict(chunks[0].found), rows, chunks, looked, whole)


def _look(sources: list[Source]) -> tuple[list[Any], list[Chunk], int, bool]:
    records: list[Any] = []
    chunks: list[Chunk] = []
    size = 0
    for chunk in chain.from_iterable(map(read_chunks, sources)):
        if size >= REACH:
            return records, chunks, len(records), False
        full = size < BYTES and len(records) < ROWS
        records += [chunk.original(position) for position in range(0, len(chunk), 1 if full else STRIDE)]
        chunks += [chunk] * full
        size += chunk.bytes
    return records, chunks, len(records), len(records) == sum(map(len, chunks))


def _find(settings: SourceSettings) -> tuple[list[Source], SourceSettings]:
    """Find the sources; tell the format of a text file from its content where its name does not tell it."""
    try:
        return find_sources([settings]), settings
    except SourceError as problem:
        path = Path(str(settings.path))
        if settings.format or _bare_suffix(path) not in _UNTELLING or not path.is_file():
            raise
        found = _guess_format(path)
        if found is None:
            raise SourceError(
                f"{path}: neither its name nor its content tells what it is; expected CSV, JSON Lines, or `token TAG` "
                "lines with a blank line between sentences. Text without columns needs a column more: its label, or "
                "its response"
            ) from problem
        settings = settings.model_copy(update={"format": found})
        return find_sources([settings]), settings


_UNTELLING = ("", ".txt", ".text", ".dat", ".data", ".log")
"""How names of text files end that say nothing about what is in them."""


def _bare_suffix(path: Path) -> str:
    """Return how the name of a file ends, without the suffix of a compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSIONS), "")


def _guess_format(path: Path) -> str | None:
    with open_text(Source(path, path.name, "", "csv")) as text:
        sample = text.file.read(2**16).decode("utf-8", "replace")
    lines = re.split(r"\r\n?|\n", sample)[:-1] or [sample]
    said = [line for line in lines if line.strip()]
    if not said:
        return None
    if said[0].lstrip().startswith(("{", "[")):
        return "jsonl" if said[0].rstrip().endswith("}") else "json"
    widths = {sign: Counter(line.count(sign) for line in said) for sign in "\t,"}
    even = {sign: count and found / len(said) >= 0.9 for sign, c in widths.items() for count, found in c.most_common(1)}
    fields = Counter(len(line.split()) for line in said).most_common(1)[0]
    if len(said) < len(lines) and fields[0] in range(2, 15) and fields[1] / len(said) >= 0.9:
        return "conll"
    return "tsv" if even["\t"] else "csv" if even[","] else None
