"""Cut a file of separated values into slices: pieces of its bytes, and the places of the records in them."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedIOBase
from typing import BinaryIO, cast

from sftdata.errors import SourceError
from sftdata.sources import parsing
from sftdata.sources.csv_judge import Block, Judged, judge_line, lookahead, too_large
from sftdata.sources.csv_records import Records, find_records
from sftdata.sources.dialect import SAMPLE, Dialect, find_dialect
from sftdata.sources.encodings import open_text
from sftdata.sources.source import Slice, Source
from sftdata.sources.spares import Spares

WINDOW = 8 * 2**20
"""Most bytes that are looked at together."""
SMALLEST = 2**16
"""Least bytes that are looked at together, where records are so short that `CHUNK_ROWS` of them need fewer."""


@dataclass(frozen=True)
class Window:
    """A slice of a file.

    Attributes:
        dialect: how the file is written.
        header: the names of the columns.
        line: the line of the file in which `data` begins.
        data: the bytes.
        records: the records in them.
    """

    dialect: Dialect
    header: tuple[str, ...]
    line: int
    data: bytearray
    records: Records

    def __len__(self) -> int:
        return len(self.records.starts)

    def text(self, position: int) -> str:
        """Return a record as it stands, up to the size that a record may have."""
        start, end = int(self.records.starts[position]), int(self.records.ends[position])
        return self.data[start : min(end, start + parsing.MAX_RECORD)].decode("utf-8", "surrogateescape")


class _Ahead:
    """What was read of a file and is not used yet."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = cast("BufferedIOBase", file)  # which fills what it is given, up to the end of the file
        self._spares = Spares()
        self.block = Block(bytearray(), final=False)

    def hold(self, size: int) -> Block:
        """Read on until there are `size` bytes, if the file has them."""
        data, final = self.block
        if not final and len(data) < size:
            longer = self._spares.give(size)
            longer[: len(data)] = data
            filled = len(data) + self._file.readinto(memoryview(longer)[len(data) :])
            del longer[filled:]
            self.block = Block(longer, final=filled < size)
        return self.block

    def take(self, count: int) -> bytearray:
        """Return the next bytes and pass over them; the larger part is not copied."""
        data, final = self.block
        if 2 * count < len(data):
            taken = data[:count]
            del data[:count]
            return taken
        self.block = Block(data[count:], final)
        del data[count:]
        if count <= WINDOW:
            self._spares.remember(data)
        return data


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file.

    Raises:
        SourceError: when the settings do not fit the file, or its header is too large to be one.
    """
    with open_text(source) as text:
        ahead = _Ahead(text.file)
        try:
            dialect, place, found = find_dialect(*ahead.hold(SAMPLE), source.settings, tabs=source.format == "tsv")
        except SourceError as problem:
            raise SourceError(f"{source.name}: {problem}") from None
        ahead.take(place.offset)
        dialect, lines = _read_header(ahead, replace(dialect, encoding=text.encoding), source)
        for window in _read_windows(ahead, dialect, place.line + lines):
            yield Slice(window, len(window.data), {**text.found, **found})


def _read_header(ahead: _Ahead, dialect: Dialect, source: Source) -> tuple[Dialect, int]:
    """Complete the dialect by what the first record tells, and return how many lines that took."""
    judged, lines = _judge_next(ahead, dialect), 0
    while judged and not judged.records:  # an empty line
        ahead.take(judged.end)
        judged, lines = _judge_next(ahead, dialect), lines + 1
    names, data = source.settings.header, bytes(ahead.block.data[: judged.end if judged else 0])
    if judged is None and ahead.block.data and not isinstance(names, tuple):
        raise SourceError(f"{source.name}: its header is a line of more than {lookahead():,} bytes, which is none")
    dialect = replace(dialect, newline=b"\r" if data.endswith(b"\r") else b"\n")
    if not isinstance(names, tuple):
        ahead.take(len(data))
        lines += _count_breaks(data, dialect)
        text = data.decode("utf-8", "surrogateescape")
        broken = judged is not None and judged.records[0][2] is not None
        names = (text[:200],) if broken else tuple(next(dialect.read([text]), ()))
    return replace(dialect, header=names), lines


def _count_breaks(data: bytes, dialect: Dialect) -> int:
    returns = data.count(b"\r") - data.count(b"\r\n") if dialect.newline == b"\r" else 0
    return data.count(b"\n") + returns


def _judge_next(ahead: _Ahead, dialect: Dialect) -> Judged | None:
    """Judge the next record; None at the end of the file, or where it is too large."""
    each_line = replace(dialect, newline=b"\r")  # any line break may end the first record; what does ends the others
    block = ahead.hold(SAMPLE)
    while block.data and (judged := judge_line(block, 0, each_line)) is None:
        if block.final or len(block.data) >= lookahead():
            return None
        block = ahead.hold(2 * len(block.data))
    return judged if block.data else None


def _read_windows(ahead: _Ahead, dialect: Dialect, line: int) -> Iterator[Window]:
    header, reach, doomed = dialect.header or (), WINDOW, 0
    while (block := ahead.hold(reach)).data:
        found = find_records(block, min(reach, parsing.MAX_RECORD), parsing.CHUNK_ROWS, dialect, doomed)
        if found.end == 0 and not block.final and len(block.data) < lookahead():
            ahead.hold(2 * len(block.data))
            continue
        data, found = (ahead.take(found.end), found) if found.end else _skip_line(ahead, dialect)
        if len(found.starts):
            yield Window(dialect, header, line, data, found)
        line, doomed = line + found.breaks, found.doomed
        reach = min(WINDOW, max(SMALLEST, found.end * parsing.CHUNK_ROWS // max(1, len(found.starts))))


def _skip_line(ahead: _Ahead, dialect: Dialect) -> tuple[bytearray, Records]:
    """Pass over a line that is too large to be held; return its beginning and what is to be said of it."""
    kept, size, block = ahead.block.data[: parsing.MAX_RECORD], 0, ahead.block
    while (end := block.data.find(dialect.newline) + 1) == 0 and block.data:
        size += len(ahead.take(len(block.data)))
        block = ahead.hold(WINDOW)
    size += len(ahead.take(end))
    start, stop = array("q", [0]), array("q", [len(kept)])
    return kept, Records(start, stop, start, {0: too_large(size)}, len(kept), 1)
