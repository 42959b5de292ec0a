"""Judge records one at a time with the standard library's strict reader: slow, and right by definition.

A record that is not CSV is rejected by its first line alone: the lines after it, which a stray quote would have
swallowed, are judged again, each for itself.
"""

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from sftdata.sources import parsing
from sftdata.sources.dialect import Dialect

FEED, RETURN, QUOTE = b'\n\r"'
MOST_PIECES = 1000
"""Carriage returns alone in one line after which the line is taken for part of a file with such line ends."""


class Broken(NamedTuple):
    """Why a record cannot be read."""

    reason: str
    detail: str


class Block(NamedTuple):
    """Bytes of a file that begin at the beginning of a record; `final` where the file ends with them."""

    data: bytearray
    final: bool


class Judged(NamedTuple):
    """The records of one line of a file, or one record that goes over several.

    Attributes:
        records: where each begins and ends, its line break included, and what is wrong with it.
        end: where the next one begins.
        doomed: up to where a quote that was opened before is known to make no record.
    """

    records: list[tuple[int, int, Broken | None]]
    end: int
    doomed: int


class _Piece(NamedTuple):
    end: int
    fits: bool | None  # None where it is no record
    broken: Broken | None
    doomed: int


class _NeedMore(Exception):  # noqa: N818
    pass


def lookahead() -> int:
    """Return how many bytes of a record are looked at for its closing quote."""
    return 2 * parsing.MAX_RECORD


def judge_line(block: Block, start: int, dialect: Dialect, doomed: int = 0) -> Judged | None:
    """Judge the records of the line that begins at `start`; None where more of the file must be known.

    A carriage return alone ends a record as any line break does. Where lines end otherwise and it leaves pieces that
    do not fit the header, it has torn a record, and the line is rejected as one. Nothing fits or not in records of one
    field, so there it always has.
    """
    pieces: list[tuple[int, _Piece]] = []
    at = start
    while True:
        piece = _judge_record(block, at, dialect, doomed)
        if piece is None:
            return None
        pieces.append((at, piece))
        at, doomed = piece.end, piece.doomed
        if (
            dialect.newline == b"\r"
            or block.data[at - 1] != RETURN
            or at == len(block.data)
            or len(pieces) == MOST_PIECES
        ):
            break
    records = [(begin, piece) for begin, piece in pieces if piece.fits is not None]
    if len(records) > 1 and (dialect.width == 1 or not all(piece.fits for _, piece in records)):
        begin = records[0][0]
        return Judged([(begin, at, _weigh(at - begin, _TORN))], at, doomed)
    return Judged([(begin, piece.end, piece.broken) for begin, piece in records], at, doomed)


_TORN = Broken(
    "csv:newline",
    "a carriage return alone stands in the line and tears the record apart, for lines end otherwise in this file; put "
    "the field in quotes or take it out",
)
_UNCLOSED = Broken(
    "csv:quoting",
    "a quote opens a field, and no quote closes it as it must; close it, or double the quotes that are text",
)
_BEHIND = Broken("csv:quoting", "text stands behind a closing quote; double the quotes that are part of the text")


def too_large(size: int) -> Broken:
    """Return what is wrong with a record of more than `MAX_RECORD` bytes."""
    limit = parsing.MAX_RECORD
    return Broken("csv:record_size", f"a record of {size:,} bytes, expected at most {limit:,}; its beginning is kept")


def _weigh(size: int, broken: Broken) -> Broken:
    return too_large(size) if size > parsing.MAX_RECORD else broken


def _judge_record(block: Block, start: int, dialect: Dialect, doomed: int) -> _Piece | None:
    if dialect.comment and block.data.startswith(dialect.comment, start):
        return _skip_line(block, start, dialect, doomed)
    ends: list[int] = []
    try:
        fields = next(dialect.read(_feed(block, start, doomed, ends)))
    except _NeedMore:
        return None
    except StopIteration:  # the first line is too long to be looked at
        return _Piece(ends[0], False, too_large(ends[0] - start), doomed) if ends else None
    except csv.Error as problem:
        broken = _BEHIND if len(ends) == 1 and "expected after" in str(problem) else _UNCLOSED
        return _Piece(ends[0], False, _weigh(ends[0] - start, broken), max(doomed, ends[-1]))
    if not fields:
        return _Piece(ends[0], None, None, doomed)
    fits = dialect.width in (None, len(fields))
    if len(ends) > 1 and not fits:
        broken = _weigh(ends[0] - start, _swallowed(fields, dialect))
        hopeless = _find_hopeless(block, ends[0], fields, dialect)
        return _Piece(ends[0], False, broken, max(doomed, hopeless))
    if ends[-1] - start > parsing.MAX_RECORD:
        return _Piece(ends[-1], False, too_large(ends[-1] - start), doomed)
    return _Piece(ends[-1], fits, None, doomed)


def _feed(block: Block, start: int, doomed: int, ends: list[int]) -> Iterator[str]:
    """Give the lines from `start` on, and note where each ends; none in which an open quote is known to be lost.

    After the first, those up to the next one with a quote are given together: the open field goes over all of them.
    """
    data, final = block
    at, limit = start, start + lookahead()
    while not ends or at >= doomed:
        quote = data.find(QUOTE, at, limit) if ends else at
        end = _find_break(data, quote, limit) if quote >= 0 else -1
        if not final and len(data) < limit and (end < 0 or (end == len(data) and data[-1] == RETURN)):
            raise _NeedMore  # of the line, or of its line break
        if quote < 0 or (end < 0 and (not final or len(data) > limit)):
            return
        end = len(data) if end < 0 else end
        ends.append(end)
        if len(ends) == 1 and end - start > parsing.MAX_RECORD:
            return
        yield data[at:end].decode("utf-8", "surrogateescape")
        at = end


def _find_break(data: bytearray, start: int, limit: int) -> int:
    """Find where a line ends, its line break included; -1 where it does not end before `limit`."""
    size = 2**12  # it grows, for a search for one kind of line break must not go far beyond the other
    while start < min(limit, len(data)):
        stop = min(start + size, limit)
        feed = data.find(FEED, start, stop)
        alone = data.find(RETURN, start, feed if feed >= 0 else stop)
        if alone >= 0:
            return alone + 1 + data.startswith(b"\n", alone + 1, limit)
        if feed >= 0:
            return feed + 1
        start, size = stop, 4 * size
    return -1


def _skip_line(block: Block, start: int, dialect: Dialect, doomed: int) -> _Piece | None:
    limit = len(block.data)
    end = block.data.find(b"\n", start) + 1 if dialect.newline == b"\n" else _find_break(block.data, start, limit)
    if not block.final and (end <= 0 or end == limit):
        return None
    return _Piece(end if end > 0 else limit, None, None, doomed)


def _swallowed(fields: list[str], dialect: Dialect) -> Broken:
    lines = 1 + sum(len(_BREAK.findall(field)) for field in fields)
    detail = (
        f"with a quote that opens in this line, {lines} lines would be one record of {len(fields)} fields, expected "
        f"{dialect.width}; close it, or double the quotes that are text"
    )
    return Broken("csv:quoting", detail)


def _find_hopeless(block: Block, start: int, fields: list[str], dialect: Dialect) -> int:
    """Find up to where an open quote makes a record of too many fields, whatever stands before it in its line.

    Without this, a file of lines that each open a quote would take time quadratic in its size.

    Args:
        block: the bytes.
        start: where the second line of the record begins.
        fields: the fields of the record.
        dialect: how the file is written.
    """
    breaks = [len(_BREAK.findall(field)) for field in fields]
    lines = sum(breaks[: max(0, len(fields) - (dialect.width or 0))])
    for _ in range(lines - 1):
        start = _find_break(block.data, start, len(block.data))
    return start + 1 if lines else 0


_BREAK = re.compile(r"\r\n?|\n")
