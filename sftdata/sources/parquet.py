"""Read Parquet files, row group by row group."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet

from sftdata.errors import SourceError
from sftdata.sources.batches import cut
from sftdata.sources.source import Slice, Source

BATCH_ROWS = 4096
"""Rows that are decoded at a time: a value that repeats is short in the file and long in memory."""


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file, whatever the size of its row groups.

    Raises:
        SourceError: when the file is not Parquet, or is damaged.
    """
    try:
        with pa.parquet.ParquetFile(source.path, page_checksum_verification=True) as file:
            yield from cut(_read_all(file, source.name), source.name)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as cause:  # the last by the names of columns
        raise SourceError(f"{source.name} cannot be read as Parquet: {cause}") from None


def _read_all(file: pa.parquet.ParquetFile, name: str) -> Iterator[pa.RecordBatch]:
    """Yield batches and count their rows: a damaged page header makes pyarrow end early without a word."""
    rows = 0
    for batch in file.iter_batches(BATCH_ROWS):
        rows += len(batch)
        yield batch
    metadata = file.metadata
    promised = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if not rows == promised == metadata.num_rows:
        raise SourceError(
            f"{name} is damaged: found {rows:,} rows, but it says that it has {metadata.num_rows:,} in "
            f"{metadata.num_row_groups} row groups of together {promised:,}. Fetch or write it again."
        )
