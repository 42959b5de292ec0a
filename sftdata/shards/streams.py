"""Arrow stream files, memory-mapped: opened without a copy, and refused in one way whatever is wrong with them."""

from pathlib import Path

import pyarrow as pa

from sftdata.manifest import Manifest, ShardRecord
from sftdata.shards.index import INDEX_SCHEMAS
from sftdata.shards.layout import find_schema_fault


class StreamError(Exception):
    """A file that is not the Arrow stream it should be; the message goes behind the file's name."""


def map_stream(path: Path) -> pa.Table:
    """Return a stream file as a table whose columns lie in the file; only the headers of its batches are read.

    What the headers say fits the file's size; what the columns hold is not looked at: `validate` does that.

    Raises:
        StreamError: with what Arrow found.
    """
    try:
        with pa.memory_map(str(path)) as file:  # the mapping outlives the handle: no file stays open
            table = pa.ipc.open_stream(file).read_all()
            list(table.schema.names)  # one that is no UTF-8 comes to light when it is first asked for
            return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as cause:
        raise StreamError(f"is no whole Arrow stream ({cause})") from None


def validate(part: pa.Table | pa.ChunkedArray | pa.RecordBatch) -> None:
    """Look at where the lists and strings of these rows begin and end, so that reading them stays within the file.

    Raises:
        StreamError: with what Arrow found.
    """
    try:
        part.validate(full=True)
    except pa.ArrowException as cause:
        raise StreamError(f"is damaged ({cause})") from None


def open_shard(path: Path, shard: ShardRecord, manifest: Manifest) -> pa.Table:
    """Map a shard that has the columns of the manifest's task and as many rows as the manifest says.

    Raises:
        StreamError: with what it has instead.
    """
    table = map_stream(path)
    fault = find_schema_fault(table.schema, manifest.task, manifest.label_names)
    if fault:
        raise StreamError(fault)
    return _require_rows(table, shard.rows)


def open_index(path: Path, rows: int) -> pa.Table:
    """Map an index of so many rows.

    Raises:
        StreamError: with what it is instead.
    """
    table = map_stream(path)
    if table.schema not in INDEX_SCHEMAS:
        raise StreamError(
            f"has the columns {table.schema.names}, expected tokens, targets, and fold in a run with folds"
        )
    validate(table)
    if any(column.null_count for column in table.columns):
        raise StreamError("has nulls")
    return _require_rows(table, rows)


def _require_rows(table: pa.Table, rows: int) -> pa.Table:
    if table.num_rows != rows:
        raise StreamError(f"has {table.num_rows} rows, expected {rows}")
    return table
