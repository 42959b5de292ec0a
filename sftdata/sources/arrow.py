"""Read Arrow IPC files and streams, as pyarrow, polars, `datasets` and others write them."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from sftdata.errors import SourceError
from sftdata.sources import parsing
from sftdata.sources.batches import cut
from sftdata.sources.batches import original as original
from sftdata.sources.columns import parse as parse
from sftdata.sources.source import Slice, Source

FILE_MAGIC = b"ARROW1"
FEATHER_MAGIC = b"FEA1"
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""What a stream ends with; see "IPC Streaming Format" in Arrow's specification of columnar data."""


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file, whatever the size of the batches in it."""
    yield from cut(read_batches(source.path, source.name), source.name)


def read_batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an IPC file or stream, whose buffers lie in the file itself.

    Raises:
        SourceError: when the file is neither, is cut off, is damaged or goes on after its end.
    """
    if not path.stat().st_size:
        raise SourceError(f"{name} cannot be read as Arrow: it is empty")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # freed with the last buffer that lies in it
    try:
        if mapped[: len(FEATHER_MAGIC)] == FEATHER_MAGIC:
            raise SourceError(f"{name}: found Feather version 1, which was given up in 2020; write it again as Arrow")
        in_file = mapped[: len(FILE_MAGIC)] == FILE_MAGIC
        for batch in _read_file(mapped) if in_file else _read_stream(mapped, name):
            for start in range(0, len(batch), parsing.CHUNK_ROWS):
                yield batch.slice(start, parsing.CHUNK_ROWS)
                mapped.madvise(mmap.MADV_DONTNEED)  # pages once read would count as memory until others need it
    except (pa.ArrowException, OSError, ValueError, OverflowError) as cause:
        raise SourceError(f"{name} cannot be read as Arrow: {cause}") from None


def _read_file(mapped: mmap.mmap) -> Iterator[pa.RecordBatch]:
    with pa.ipc.open_file(pa.py_buffer(mapped)) as reader:
        for place in range(reader.num_record_batches):
            yield reader.get_batch(place)


def _read_stream(mapped: mmap.mmap, name: str) -> Iterator[pa.RecordBatch]:
    stream = pa.BufferReader(pa.py_buffer(mapped))
    with pa.ipc.open_stream(stream) as reader:
        yield from reader
        end = stream.tell()
    if mapped[max(0, end - len(END_OF_STREAM)) : end] != END_OF_STREAM:
        raise SourceError(f"{name} is cut off: it lacks the mark that ends an Arrow stream; fetch or write it again")
    if end != len(mapped):
        raise SourceError(
            f"{name}: found {len(mapped) - end:,} bytes after the end of the Arrow stream: two files in one?"
        )
