"""Read Parquet files, row group by row group."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from sftdata.errors import SourceError
from sftdata.records import MESSAGES
from sftdata.schema import Column
from sftdata.sources.parsing import CHUNK_BYTES, CHUNK_ROWS, Parsed, cast_text, drop_faulty, require_columns


def read(path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yield slices of a file and the size of each in bytes."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_rows_of_a_slice(file.metadata)):
                yield batch, batch.nbytes
    except pa.ArrowException as cause:
        raise SourceError(f"{path} cannot be read as Parquet: {cause}") from None


def parse(batch: pa.RecordBatch, columns: Mapping[str, Column], source: str) -> Parsed:
    """Take the schema's columns and cast them to its dtypes."""
    require_columns(batch.schema.names, columns, source)
    frame = pl.DataFrame({name: _column(name, batch, column) for name, column in columns.items()})
    frame, faults = cast_text(frame, columns)
    return drop_faulty(frame, list(range(len(batch))), faults)


def original(batch: pa.RecordBatch, position: int) -> Any:
    """Return a record as a JSON value; what JSON cannot hold becomes its text."""
    return {name: _as_json(_value(batch[place][position])) for place, name in enumerate(batch.schema.names)}


def _rows_of_a_slice(metadata: pa.parquet.FileMetaData) -> int:
    size: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES * rows // max(size, 1)))


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except ValueError:  # nanoseconds, which Python's own types do not hold
        return scalar.cast(pa.string()).as_py()


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    holds = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if holds else str(value)


def _column(name: str, batch: pa.RecordBatch, column: Column) -> pl.Series:
    if name not in batch.schema.names:
        return pl.Series(name, [None] * len(batch), dtype=column.polars_dtype)
    series = pl.Series(name, batch[name])
    if column.dtype != "messages" or not _is_conversation(series.dtype):
        return series
    turn = pl.struct(pl.element().struct.field("role", "content"))
    return series.list.eval(turn).cast(MESSAGES)


def _is_conversation(dtype: pl.DataType) -> bool:
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return False
    fields = {field.name: field.dtype for field in dtype.inner.fields}
    return all(fields.get(name) in (pl.String, pl.Categorical, pl.Enum, pl.Null) for name in ("role", "content"))
