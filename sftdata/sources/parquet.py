"""Read Parquet files, row group by row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from sftdata.errors import SourceError
from sftdata.sources import parsing
from sftdata.sources.batches import cut
from sftdata.sources.batches import original as original
from sftdata.sources.columns import parse as parse
from sftdata.sources.source import Slice, Source

BATCH_ROWS = 4096
"""Most rows that are decoded at a time: a value that repeats is short in the file and long in memory."""
FEW_BYTES = 64
"""Rows that take fewer bytes in the file may repeat long values: their text is read as dictionaries."""
BUFFER = 2**20
"""Bytes that are read of a column at a time; else all of it that is in a row group is."""


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file, whatever the size of its row groups.

    Raises:
        SourceError: when the file is not Parquet, or is damaged.
    """
    try:
        options: dict[str, Any] = {"buffer_size": BUFFER, "pre_buffer": False, "page_checksum_verification": True}
        metadata = pa.parquet.read_metadata(source.path)
        options |= {"metadata": metadata, "read_dictionary": _find_repeated(metadata)}
        with pa.parquet.ParquetFile(source.path, **options) as file:
            yield from cut(_read_all(file, source.name), source.name)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as cause:  # UnicodeDecodeError by a column's name
        raise SourceError(f"{source.name} cannot be read as Parquet: {cause}") from None


def count_rows(path: Path) -> int | None:
    """Return how many rows a file says that it has; None where it is none or damaged."""
    try:
        return int(pa.parquet.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError):  # told when the file is read
        return None


def unpacked_size(path: Path) -> int:
    """Return about how many bytes the rows of a file take in memory; its own size where it is none or damaged."""
    try:
        metadata = pa.parquet.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError):  # told when the file is read
        return path.stat().st_size
    return sum(int(metadata.row_group(place).total_byte_size) for place in range(metadata.num_row_groups))


def _read_all(file: pa.parquet.ParquetFile, name: str) -> Iterator[pa.RecordBatch]:
    """Yield batches and count their rows: a damaged page header makes pyarrow end early without a word."""
    rows = promised = 0
    metadata = file.metadata
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        promised += group.num_rows
        for batch in file.iter_batches(_batch_rows(group), row_groups=[place]):
            rows += len(batch)
            yield batch
    if not rows == promised == metadata.num_rows:
        raise SourceError(
            f"{name} is damaged: found {rows:,} rows, but it says that it has {metadata.num_rows:,} in "
            f"{metadata.num_row_groups} row groups of together {promised:,}. Fetch or write it again."
        )


def _find_repeated(metadata: pa.parquet.FileMetaData) -> list[str]:
    """Return the columns of text, where rows are so short in the file that these may be written once and repeated.

    What the file says of a single column would tell better, but pyarrow 26 aborts where that is damaged.
    """
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    if not all(int(group.total_byte_size) < FEW_BYTES * int(group.num_rows) for group in groups):
        return []
    return [
        column.path for column in columns if (column.max_repetition_level, column.physical_type) == (0, "BYTE_ARRAY")
    ]


def _batch_rows(group: pa.parquet.RowGroupMetaData) -> int:
    """Return how many rows of a row group make a batch of about `CHUNK_BYTES`."""
    row_bytes = int(group.total_byte_size) // max(1, int(group.num_rows))
    return max(1, min(BATCH_ROWS, parsing.CHUNK_BYTES // max(1, row_bytes)))
