"""Read Parquet files, row group by row group."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from sftdata.errors import SourceError
from sftdata.records import MESSAGES
from sftdata.schema import Column
from sftdata.sources.parsing import CHUNK_ROWS, Fault, Parsed, cast_text, drop_faulty, require_columns


def read(path: Path) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yield slices of a file and the size of each in bytes."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=CHUNK_ROWS):
                yield batch, batch.nbytes
    except pa.ArrowException as cause:
        raise SourceError(f"{path} cannot be read as Parquet: {cause}") from None


def parse(batch: pa.RecordBatch, columns: Mapping[str, Column], source: str) -> Parsed:
    """Take the schema's columns and cast them to its dtypes."""
    require_columns(batch.schema.names, columns, source)
    frame = pl.DataFrame({name: _column(name, batch, column) for name, column in columns.items()})
    frame, misfits = cast_text(frame, columns)
    return drop_faulty(frame, list(range(len(batch))), [Fault(*fault) for fault in misfits])


def original(batch: pa.RecordBatch, position: int) -> Any:
    """Return a record as a JSON value; what JSON cannot hold becomes its text."""
    return json.loads(json.dumps(batch.slice(position, 1).to_pylist()[0], default=str))


def _column(name: str, batch: pa.RecordBatch, column: Column) -> pl.Series:
    if name not in batch.schema.names:
        return pl.Series(name, [None] * len(batch), dtype=column.polars_dtype)
    series = pl.Series(name, batch[name])
    if column.dtype == "messages" and isinstance(series.dtype, pl.List) and isinstance(series.dtype.inner, pl.Struct):
        fields = {field.name for field in series.dtype.inner.fields}
        if {"role", "content"} <= fields:
            turn = pl.struct(pl.element().struct.field("role", "content"))
            return series.list.eval(turn).cast(MESSAGES, strict=False)
    return series
