"""Find the files that rows come from, and read them in fixed slices.

A format is a module with three functions (`Reader`): read a file in slices, parse a slice into columns, give back one
record as it stood. To read another format, add one entry to `FORMATS`. A module is loaded when a file of its format is
there: all of them together take as long to load as a hundred thousand rows to validate.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import compression
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
        return _reader(self.source).parse(self.content, columns, self.source.name)

    def original(self, position: int) -> Any:
        """Return the record at `position` of the slice as it stood in the file, as a JSON value."""
        return _reader(self.source).original(self.content, position)

    def line(self, position: int) -> int | None:
        """Return the line of the file in which the record at `position` begins, where the format has lines."""
        find = getattr(_reader(self.source), "line", None)
        return find(self.content, position) if find else None


class Reader(Protocol):
    """What the module of a format has.

    It has more where it can tell more: `line(content, position)`, the line, counted from 1, in which a record begins;
    `identify(source)`, size and digest of a source that is not one file; `unpacked_size(path)`, about how many bytes
    the rows of a file take; and `count_rows(path)`, how many there are without reading them.
    """

    def read(self, source: Source) -> Iterator[Slice]:
        """Yield the source in slices."""

    def parse(self, content: Any, columns: Mapping[str, Column], source: str) -> Parsed:
        """Turn the content of a slice into typed columns and faults."""

    def original(self, content: Any, position: int) -> Any:
        """Return one record of a content as it stood, as a JSON value."""


class Format(NamedTuple):
    """How one file format is known and read.

    Attributes:
        suffixes: how names of such files end.
        module: the module of `sftdata.sources` that reads it.
    """

    suffixes: tuple[str, ...]
    module: str


FORMATS: dict[str, Format] = {
    "csv": Format((".csv",), "csv"),
    "tsv": Format((".tsv", ".tab"), "csv"),
    "jsonl": Format((".jsonl", ".ndjson"), "jsonl"),
    "json": Format((".json",), "json_array"),
    "rejected": Format((), "rejected"),
    "conll": Format((".conll", ".bio", ".iob"), "conll"),
    "parquet": Format((".parquet",), "parquet"),
    "arrow": Format((".arrow", ".ipc", ".feather"), "arrow"),
    "dataset": Format((), "saved"),
    "hub": Format((), "hub"),
    "sql": Format((), "sql"),
    "frame": Format((), "frame"),
}
"""All formats. Names of text files may also end in the suffix of a compression; the last three are no files."""


def _reader(source: Source) -> Reader:
    return _load_reader(FORMATS[source.format].module)


@cache
def _load_reader(module: str) -> Reader:
    return cast("Reader", import_module(f"sftdata.sources.{module}"))


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
    identify = getattr(_reader(source), "identify", None)
    with _told(source):
        return identify(source)[0] if identify else source.path.stat().st_size


def expected_bytes(source: Source) -> int:
    """Return about how many bytes the chunks of a source will say that they cover; 0 where nobody knows.

    Raises:
        SourceError: when the source cannot be reached.
    """
    if source.frame is not None:
        return int(source.frame.nbytes)
    if hasattr(_reader(source), "identify"):
        return size_of(source)
    with _told(source):
        return int(getattr(_reader(source), "unpacked_size", compression.unpacked_size)(source.path))


def count_rows(source: Source) -> int | None:
    """Return how many rows a source has, where it says so without being read."""
    count: Callable[[Path], int | None] | None = getattr(_reader(source), "count_rows", None)
    return count(source.path) if count else None


def digest_of(source: Source) -> str:
    """Return `sha256:` and the digest of a source: of its bytes, or of what says which rows it holds.

    A hub dataset counts by its commit and files, a database that is no file by its address and query.

    Raises:
        SourceError: when the source cannot be reached.
    """
    from sftdata.manifest import digest_file  # whose models only those need who write or read a dataset

    identify = getattr(_reader(source), "identify", None)
    with _told(source):
        return identify(source)[1] if identify else digest_file(source.path)


def read_chunks(source: Source) -> Iterator[Chunk]:
    """Read a file in fixed slices, in order.

    Raises:
        SourceError: when the file cannot be read at all.
    """
    record = 1
    with _told(source):
        for content, size, found in _reader(source).read(source):
            yield Chunk(source, record, content, size, found)
            record += len(content)


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """Say what the system says about a file in plain words."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(f"{source.name} cannot be read: {cause}") from None
