"""Write what `datasets.load_from_disk` opens, with columns that stay out of a trainer's way."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from sftdata.shards.layout import dataset_files, shard_names

FILE_SIZE = 256 * 10**6
"""Most bytes of one file; a single batch may be larger."""


def write_saved(
    folder: Path, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], shown: list[str], fingerprint: str
) -> int:
    """Write one split to `folder / name`, a batch at a time; return the number of rows.

    Args:
        folder: of the dataset.
        name: of the split.
        schema: of the batches, with the features of `datasets` as `layout.example_schema` writes them.
        batches: the rows, in order.
        shown: the columns that a row has for whoever reads it. The others stay with the rows through `filter`,
            `select` and `map`, and `dataset.with_format(None)` shows them.
        fingerprint: by which `datasets` knows the content.
    """
    directory = folder / name
    directory.mkdir()
    parts, rows = _write_parts(directory, schema, batches)
    files = shard_names(len(parts))
    for part, file in zip(parts, files, strict=True):
        part.rename(directory / file)
    for file, text in dataset_files(schema, name, files, fingerprint, shown).items():
        (directory / file).write_text(text, encoding="utf-8")
    return rows


def _write_parts(directory: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[list[Path], int]:
    """Write at least one file, each up to about `FILE_SIZE` bytes; return them and the number of rows."""
    parts: list[Path] = []
    rest, rows = iter(batches), 0
    batch = next(rest, None)
    while batch is not None or not parts:
        parts.append(directory / f"part-{len(parts):05d}")
        with parts[-1].open("wb") as file, pa.ipc.new_stream(file, schema) as stream:
            while batch is not None and file.tell() < FILE_SIZE:
                stream.write_batch(batch)
                rows += batch.num_rows
                batch = next(rest, None)
    return parts, rows
