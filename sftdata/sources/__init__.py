"""Find the files that rows come from, and read them in fixed slices.

A format is three functions (`Format`): read a file in slices, parse a slice into columns, give back one record as it
stood. To read another format, add one entry to `FORMATS`.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.manifest import digest_file
from sftdata.settings.sources import SourceSettings
from sftdata.sources import (
    arrow,
    batches,
    columns,
    compression,
    conll,
    csv,
    frame,
    hub,
    json_array,
    jsonl,
    parquet,
    rejected,
    saved,
    sql,
)
from sftdata.sources.finding import find
from sftdata.sources.parsing import Parsed
from sftdata.sources.source import Slice, Source


@dataclass(frozen=True)
class Chunk:
    """A fixed slice of one source: records as read, not yet parsed.

    Attributes:
        source: the file.
        first_record: number of the first record; data records count from 1.
        content: what the format's `read` gave.
        bytes: how much of the file this slice covers, roughly; for progress.
        found: what was found out about the file, such as its encoding; for people.
    """

    source: Source
    first_record: int
    content: Any
    bytes: int
    found: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.content)

    def parse(self, columns: Mapping[str, Column]) -> Parsed:
        """Turn the slice into typed columns and faults."""
        return FORMATS[self.source.format].parse(self.content, columns, self.source.name)

    def original(self, position: int) -> Any:
        """Return the record at `position` of the slice as it stood in the file, as a JSON value."""
        return FORMATS[self.source.format].original(self.content, position)

    def line(self, position: int) -> int | None:
        """Return the line of the file in which the record at `position` begins, where the format has lines."""
        find = FORMATS[self.source.format].line
        return find(self.content, position) if find else None


class Format(NamedTuple):
    """How one file format is read.

    Attributes:
        suffixes: how names of such files end.
        read: gives the file in slices.
        parse: turns the content of a slice into typed columns and faults.
        original: gives back one record of a content as it stood, as a JSON value.
        line: gives the line, counted from 1, in which a record of a content begins.
        identify: gives the size and the digest of a source that is not one file.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Source], Iterator[Slice]]
    parse: Callable[[Any, Mapping[str, Column], str], Parsed]
    original: Callable[[Any, int], Any]
    line: Callable[[Any, int], int | None] | None = None
    identify: Callable[[Source], tuple[int, str]] | None = None


FORMATS: dict[str, Format] = {
    "csv": Format((".csv",), csv.read, csv.parse, csv.original, csv.line),
    "tsv": Format((".tsv", ".tab"), csv.read, csv.parse, csv.original, csv.line),
    "jsonl": Format((".jsonl", ".ndjson"), jsonl.read, jsonl.parse, jsonl.original, jsonl.line),
    "json": Format((".json",), json_array.read, jsonl.parse, jsonl.original, jsonl.line),
    "rejected": Format((), rejected.read, rejected.parse, rejected.original, rejected.line),
    "conll": Format((".conll", ".bio", ".iob"), conll.read, conll.parse, conll.original, conll.line),
    "parquet": Format((".parquet",), parquet.read, columns.parse, batches.original),
    "arrow": Format((".arrow", ".ipc", ".feather"), arrow.read, columns.parse, batches.original),
    "dataset": Format((), saved.read, columns.parse, batches.original, identify=saved.identify),
    "hub": Format((), hub.read, columns.parse, batches.original, identify=hub.identify),
    "sql": Format((), sql.read, columns.parse, batches.original, identify=sql.identify),
    "frame": Format((), frame.read, columns.parse, batches.original),
}
"""All formats. Names of text files may also end in the suffix of a compression; the last three are no files."""


def find_sources(settings: Iterable[SourceSettings], base: Path = Path()) -> list[Source]:
    """Find everything that `settings` names, in their order; the files of a pattern or directory in order of name.

    Raises:
        SourceError: with everything that is missing, of no known format, or named twice, at once.
    """
    return find(settings, base, {suffix: name for name, known in FORMATS.items() for suffix in known.suffixes})


def size_of(source: Source) -> int:
    """Return how many bytes a source takes; 0 where that is not known before it is read.

    Raises:
        SourceError: when the source cannot be reached.
    """
    identify = FORMATS[source.format].identify
    with _told(source):
        return identify(source)[0] if identify else source.path.stat().st_size


def expected_bytes(source: Source) -> int:
    """Return about how many bytes the chunks of a source will say that they cover; 0 where nobody knows.

    Raises:
        SourceError: when the source cannot be reached.
    """
    if source.frame is not None:
        return int(source.frame.nbytes)
    if FORMATS[source.format].identify:
        return size_of(source)
    with _told(source):
        measure = parquet.unpacked_size if source.format == "parquet" else compression.unpacked_size
        return measure(source.path)


def count_rows(source: Source) -> int | None:
    """Return how many rows a source has, where it says so without being read."""
    return parquet.count_rows(source.path) if source.format == "parquet" else None


def digest_of(source: Source) -> str:
    """Return `sha256:` and the digest of a source: of its bytes, or of what says which rows it holds.

    A hub dataset counts by its commit and files, a database that is no file by its address and query.

    Raises:
        SourceError: when the source cannot be reached.
    """
    identify = FORMATS[source.format].identify
    with _told(source):
        return identify(source)[1] if identify else digest_file(source.path)


def read_chunks(source: Source) -> Iterator[Chunk]:
    """Read a file in fixed slices, in order.

    Raises:
        SourceError: when the file cannot be read at all.
    """
    record = 1
    with _told(source):
        for content, size, found in FORMATS[source.format].read(source):
            yield Chunk(source, record, content, size, found)
            record += len(content)


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """Say what the system says about a file in plain words."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(f"{source.name} cannot be read: {cause}") from None
