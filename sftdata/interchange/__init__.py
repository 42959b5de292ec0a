"""Hand a prepared dataset over to other programs, with its tokens and labels as they are.

`datasets`, transformers' `Trainer` and TRL open the shards themselves. What others want beside them stands here: packs,
an attention mask, JSON Lines or Parquet. Everything goes from file to file a few megabytes at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from sftdata.arrays import to_arrow, to_numpy
from sftdata.engine import Watch
from sftdata.errors import UsageError
from sftdata.interchange.folder import EXPORT_NAME, open_export
from sftdata.interchange.packs import PACK_SCHEMA, PACK_SHOWN, pack_split
from sftdata.interchange.saved import write_saved
from sftdata.interchange.tables import write_jsonl, write_parquet
from sftdata.interchange.texts import Decoder
from sftdata.manifest import MANIFEST_NAME, Manifest, digest_file, digest_text, read_manifest
from sftdata.records import Task
from sftdata.shards.layout import WEIGHT, WEIGHTS, dataset_dict_file, example_schema
from sftdata.shards.reader import Split, load_split

Target = Literal["trl", "llamafactory", "axolotl", "jsonl", "parquet"]
Contents = Literal["ids", "text"]

_TABLES = {"jsonl": write_jsonl, "parquet": write_parquet}
_BYTES_AT_ONCE = 16 * 10**6
_MASK = pa.field("attention_mask", pa.list_(pa.int8()))
_SHOWN = ["input_ids", "attention_mask", "labels"]


class Export(BaseModel):
    """What an export holds; stands in it as `export.json`.

    Attributes:
        version: of sftdata.
        to: for whom it was made.
        contents: tokens, or the text of them.
        task: of the dataset.
        capacity: most tokens of a pack; null without packs.
        manifest_digest: of the manifest of the dataset that it was made from.
        label_names: where the task has labels.
        rows: examples of each split.
        packs: packs of each split; empty without packs.
        tokens: tokens of each split.
        files: all files, relative to the export.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    to: Target
    contents: Contents
    task: Task
    capacity: int | None
    manifest_digest: str
    label_names: tuple[str, ...] | None
    rows: dict[str, int]
    packs: dict[str, int]
    tokens: dict[str, int]
    files: tuple[str, ...]


def export(
    directory: str | Path,
    out: str | Path,
    *,
    to: Target,
    splits: Sequence[str] | None = None,
    contents: Contents = "ids",
    capacity: int | None = None,
    watch: Watch = lambda stage, done, total: None,
) -> Export:
    """Write a prepared dataset the way another program wants it. Every shard is checked against its digest.

    Args:
        directory: what `prepare` wrote.
        out: a new or empty directory, or an earlier export, which is replaced.
        to: `trl`: packs of whole examples, with their `seq_lengths`; `llamafactory`: a `tokenized_path`; `axolotl`: a
            dataset that it takes for tokenised; `jsonl`, `parquet`: tables, a file a shard.
        splits: which; all by default.
        contents: for tables, `ids`: the columns of the shards; `text`: the text of the tokens.
        capacity: for trl, most tokens of a pack; the recipe's `tokenize.max_length` by default.
        watch: told about progress, in rows.

    Raises:
        UsageError: the target does not take this task, weights or these arguments, or an example is longer than
            `capacity`.
        OutputError: `out` holds something that is no export, or cannot be written.
        VerificationError: the dataset is unfinished or damaged, or has no such split.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    _refuse_misuse(manifest, to, contents, capacity)
    if to == "trl" and capacity is None:
        capacity = int(manifest.recipe["tokenize"]["max_length"])
    chosen = [load_split(directory, name) for name in dict.fromkeys(splits or manifest.splits)]
    if to not in _TABLES:
        _refuse_weights(chosen[0], to)
    digest = digest_file(directory / MANIFEST_NAME)
    steps = _Rows(sum(map(len, chosen)), watch)
    with open_export(Path(out)) as folder:
        packs = {}
        if to in _TABLES:
            decoder = Decoder(directory, manifest) if contents == "text" else None
            for split in chosen:
                _write_tables(folder, split, to, decoder, steps)
        else:
            written = {split.name: _write_dataset(folder, split, to, capacity, digest, steps) for split in chosen}
            (folder / "dataset_dict.json").write_text(dataset_dict_file(list(written)), encoding="utf-8")
            packs = written if to == "trl" else {}
        record = Export(
            version=manifest.version,
            to=to,
            contents=contents,
            task=manifest.task,
            capacity=capacity,
            manifest_digest=digest,
            label_names=manifest.label_names,
            rows={split.name: len(split) for split in chosen},
            packs=packs,
            tokens={split.name: manifest.splits[split.name].tokens for split in chosen},
            files=tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())),
        )
        (folder / EXPORT_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return record


def _refuse_misuse(manifest: Manifest, to: Target, contents: Contents, capacity: int | None) -> None:
    if to not in get_args(Target):
        raise UsageError(f"found --to {to}, expected one of {', '.join(get_args(Target))}")
    if to not in _TABLES and manifest.task != Task.CAUSAL_LM:
        raise UsageError(
            f"--to {to} takes datasets of the task causal_lm; this one is of the task {manifest.task}. "
            "transformers' Trainer takes its shards as they are (datasets.load_from_disk); or export --to parquet."
        )
    if contents == "text" and to not in _TABLES:
        raise UsageError(f"--with text goes with --to jsonl or parquet; --to {to} is made of tokens. Leave it out.")
    if capacity is not None and to != "trl":
        raise UsageError(f"--capacity is for the packs of --to trl; --to {to} makes none. Leave it out.")


def _refuse_weights(split: Split, to: Target) -> None:
    weighed = [field.name for field in (WEIGHTS, WEIGHT) if field.name in split.shard(0).column_names]
    if weighed:
        raise UsageError(
            f"this dataset has weights (the column {weighed[0]}), and --to {to} is for a trainer that knows none: all "
            "would count alike. Prepare it without weights, or export --to jsonl or parquet."
        )


class _Rows:
    """Tells how many rows are written."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._done, self._total, self._watch = 0, total, watch
        watch("export", 0, total)

    def count(self, batches: Iterable[pa.RecordBatch], ids: str = "row_id") -> Iterator[pa.RecordBatch]:
        """Yield batches of rows, or of packs that hold the ids of theirs; the next is asked for when one is written."""
        for batch in batches:
            yield batch
            self._done += batch.num_rows if ids == "row_id" else len(batch[ids].flatten())
            self._watch("export", self._done, self._total)


def _write_dataset(folder: Path, split: Split, to: Target, capacity: int | None, digest: str, steps: _Rows) -> int:
    """Write one split for `datasets.load_from_disk`; return how many rows it has there."""
    fingerprint = digest_text(f"{digest} {split.name} {to} {capacity}")[-16:]
    if capacity is not None:
        packs = steps.count(pack_split(split, capacity), "row_ids")
        return write_saved(folder, split.name, PACK_SCHEMA, packs, PACK_SHOWN, fingerprint)
    extra = [field for field in split.shard(0).schema if field.name not in ("row_id", "input_ids", "labels")]
    schema = example_schema(Task.CAUSAL_LM, extra=[*extra, _MASK])
    batches = (_masked(batch, schema) for number in range(len(split.shards)) for batch in _batches(split, number))
    return write_saved(folder, split.name, schema, steps.count(batches), _SHOWN, fingerprint)


def _write_tables(folder: Path, split: Split, to: Target, decoder: Decoder | None, steps: _Rows) -> None:
    """Write one split as tables, a file a shard."""
    for number in range(len(split.shards)):
        path = folder / f"{split.name}-{number:05d}-of-{len(split.shards):05d}.{to}"
        schema, batches = split.shard(number).schema, _batches(split, number)
        if decoder:
            schema, batches = decoder.schema(schema), map(decoder.decode, batches)
        _TABLES[to](path, schema, steps.count(batches))


def _batches(split: Split, number: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shard, once it has been checked, a few megabytes at a time."""
    split.check_shard(number)
    for batch in split.shard(number).to_batches():
        step = max(1, batch.num_rows * _BYTES_AT_ONCE // max(1, batch.nbytes))
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def _masked(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Put a mask of ones beside the tokens."""
    offsets = batch["input_ids"].offsets
    offsets = to_arrow(to_numpy(offsets) - offsets[0].as_py())
    ones = to_arrow(np.ones(offsets[-1].as_py(), dtype=np.int8))
    return pa.RecordBatch.from_arrays([*batch.columns, pa.ListArray.from_arrays(offsets, ones)], schema=schema)
