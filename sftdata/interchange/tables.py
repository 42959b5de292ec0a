"""Write JSON Lines and Parquet, a batch at a time."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa


def write_jsonl(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a JSON object a row, in UTF-8."""
    with path.open("wb") as file:
        for batch in batches:
            pl.DataFrame(batch).write_ndjson(file)


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write Parquet, compressed with zstd, a row group a batch."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
