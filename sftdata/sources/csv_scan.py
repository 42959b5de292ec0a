"""Find the records in a block of bytes: with a few passes of numpy where nothing is wrong, else line by line.

Both ways find what the judge finds, who alone decides on lines that look wrong.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sftdata.sources.csv_judge import FEED, QUOTE, RETURN, Block, Broken, judge_line
from sftdata.sources.csv_records import Records
from sftdata.sources.dialect import Dialect

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

PATIENCE = 10
"""Wrong records with little right between them after which a block is looked at line by line."""


class _Lines(NamedTuple):
    """The whole lines of a block.

    Attributes:
        bytes: the bytes of the lines.
        starts: where each begins, shape `[lines]`, int64.
        ends: where each ends, shape `[lines]`, int64.
        quotes: where quotes stand, shape `[quotes]`, int64.
        odd: where stands what only the judge can tell: a comment, a line break of another kind; shape `[n]`, int64.
    """

    bytes: Bytes
    starts: Offsets
    ends: Offsets
    quotes: Offsets
    odd: Offsets


@dataclass
class _Found:
    """The records found so far, as in `Records`; `at` is where the next one begins."""

    doomed: int
    at: int = 0
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    broken: dict[int, Broken] = field(default_factory=dict)


def find_records(block: Block, limit: int, most: int, dialect: Dialect, doomed: int = 0) -> Records:
    """Find the records of a block that begin before `limit`, at most `most` of them."""
    lines = _find_lines(block, limit, dialect)
    ending, all_right = _find_right(lines, 0, dialect)
    if block.final and limit >= len(block.data):  # nothing can close an open quote any more
        all_right &= len(ending) > 0 and ending[-1] == len(lines.ends) - 1
    if all_right and len(ending) and not doomed:
        starts, ends, numbers, at = _place(lines, 0, ending, most)
        breaks = int(np.searchsorted(lines.ends, at, "right"))
        return Records(starts, ends, numbers, {}, at, breaks)
    found = _Found(doomed)
    _find_with_judge(found, block, limit, most, lines, dialect)
    offsets = np.array([*found.starts, found.at])
    numbers = count_breaks(block.data, offsets, dialect)
    places = offsets[:-1], np.array(found.ends, np.int64), numbers[:-1]
    return Records(*places, found.broken, found.at, int(numbers[-1]), max(0, found.doomed - found.at))


def _find_lines(block: Block, limit: int, dialect: Dialect) -> _Lines:
    buffer = np.frombuffer(block.data, np.uint8)[:limit]
    ends = np.flatnonzero(buffer == ord(dialect.newline)) + 1
    if block.final and len(buffer) == len(block.data) and not block.data.endswith(dialect.newline):
        ends = np.append(ends, len(buffer))
    if dialect.newline == b"\r" and _may_go_on(block, ends):
        ends = ends[:-1]
    odd = _find_odd_breaks(block, buffer, ends, dialect)
    buffer = buffer[: ends[-1] if len(ends) else 0]
    odd = odd[odd < len(buffer)]
    starts = np.append(0, ends[:-1]) if len(ends) else ends
    quotes = ends[:0]
    if dialect.quoting and block.data.find(QUOTE, 0, len(buffer)) >= 0:
        quotes = np.flatnonzero(buffer == QUOTE)
    if dialect.comment:
        odd = np.union1d(odd, starts[buffer[starts] == dialect.comment[0]])
    return _Lines(buffer, starts, ends, quotes, odd)


def _may_go_on(block: Block, ends: Offsets) -> bool:
    """Tell whether a line feed belongs to the last carriage return, or may belong to it."""
    following = block.data[ends[-1] : ends[-1] + 1] if len(ends) else b"-"
    return following == b"\n" or (not following and not block.final)


def _find_odd_breaks(block: Block, buffer: Bytes, ends: Offsets, dialect: Dialect) -> Offsets:
    """Find the line breaks that are not those of the file."""
    other = FEED if dialect.newline == b"\r" else RETURN
    if block.data.find(other, 0, len(buffer)) < 0:
        return ends[:0]
    if other == RETURN:
        feeds = ends[buffer[ends - 1] == FEED] - 1
        if np.count_nonzero(buffer == RETURN) == np.count_nonzero(buffer[np.maximum(feeds - 1, 0)] == RETURN):
            return ends[:0]
    found: Offsets = np.flatnonzero(buffer == other)
    if other == FEED:  # with a carriage return before it, it belongs to the line that ends there
        found -= buffer[np.maximum(found - 1, 0)] == RETURN
        return found
    alone = (found + 1 == len(buffer)) | (buffer[np.minimum(found + 1, len(buffer) - 1)] != FEED)
    return np.asarray(found[alone])


def _place(lines: _Lines, first: int, ending: Offsets, most: int) -> tuple[Offsets, Offsets, Offsets, int]:
    """Return the starts, ends and lines of the records that end with some lines, without empty ones, and their end."""
    ends, numbers = lines.ends[ending], np.append(first, ending[:-1] + 1)
    starts = lines.starts[numbers]
    full = np.arange(len(ends))
    if (ends - starts <= 2).any():  # so short a line may be empty
        begin = lines.bytes[starts]
        full = np.flatnonzero((begin != FEED) & (begin != RETURN))
    if len(full) == len(ends) <= most:
        return starts, ends, numbers, int(ends[-1])
    last = -1 if len(full) <= most else full[most - 1]
    return starts[full[:most]], ends[full[:most]], numbers[full[:most]], int(ends[last])


def _find_right(lines: _Lines, first: int, dialect: Dialect) -> tuple[Offsets, bool]:
    """Find the lines, from the line `first` on, with which records end, up to the first that looks wrong.

    In valid records every other quote opens a field and the one after it closes it; a doubled quote closes and opens
    again. A record that goes over several lines is right if it has the right number of fields.

    Returns:
        The numbers of the lines, int64; and whether no line looked wrong.
    """
    if first >= len(lines.ends):
        return lines.ends[:0], True
    at = lines.starts[first]
    quotes = lines.quotes[np.searchsorted(lines.quotes, at) :]
    opening, closing = quotes[::2], quotes[1::2]
    wrong = _find_wrong_quotes(lines.bytes, opening, closing, ord(dialect.delimiter))
    stop = min([*wrong, *lines.odd[np.searchsorted(lines.odd, at) :][:1], len(lines.bytes)])
    right = bool(stop == len(lines.bytes))
    stop = min([stop, *opening[len(closing) :]])  # a field that goes on in the next block is not wrong
    last = int(np.searchsorted(lines.ends, stop, "right"))
    opening = opening[: len(closing)]
    ending = first + _find_outside(lines, first, last, opening[opening < stop], closing[opening < stop])
    over = np.flatnonzero(np.diff(ending, prepend=first - 1) > 1)
    if len(over):
        starts, ends = lines.starts[np.append(first, ending[:-1] + 1)[over]], lines.ends[ending[over]]
        ragged = over[_count_fields(lines, quotes, starts, ends, dialect) != dialect.width]
        if len(ragged):
            return ending[: ragged[0]], False
    return ending, right


def _find_wrong_quotes(buffer: Bytes, opening: Offsets, closing: Offsets, delimiter: int) -> list[int]:
    """Return the first quote that should open a field and does not, and the first that should close one, if any."""
    before, after = buffer[np.maximum(opening - 1, 0)], buffer[np.minimum(closing + 1, len(buffer) - 1)]
    breaks = (before == FEED) | (before == RETURN), (after == FEED) | (after == RETURN)
    begins = (before == delimiter) | (before == QUOTE) | breaks[0]
    ends = (after == delimiter) | (after == QUOTE) | breaks[1]
    return [*opening[~begins][:1].tolist(), *closing[~ends][:1].tolist()]


def _find_outside(lines: _Lines, first: int, last: int, opening: Offsets, closing: Offsets) -> Offsets:
    """Return which of the lines from `first` to `last` do not end inside of quotes, counted from `first`."""
    begin, end = np.searchsorted(lines.ends, opening, "right"), np.searchsorted(lines.ends, closing, "right")
    over = begin < end
    if not over.any():
        return np.arange(last - first)
    begin, end = begin[over] - first, np.minimum(end[over], last) - first
    size = last - first + 1
    depth = np.cumsum(np.bincount(begin, minlength=size) - np.bincount(end, minlength=size))
    return np.flatnonzero(depth[:-1] == 0)


def _count_fields(lines: _Lines, quotes: Offsets, starts: Offsets, ends: Offsets, dialect: Dialect) -> Offsets:
    """Count the fields of valid records."""
    delimiters = np.flatnonzero(lines.bytes[starts[0] : ends[-1]] == ord(dialect.delimiter)) + starts[0]
    delimiters = delimiters[np.searchsorted(quotes, delimiters) % 2 == 0]
    return np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts) + 1


def _find_with_judge(found: _Found, block: Block, limit: int, most: int, lines: _Lines, dialect: Dialect) -> None:
    """Find what is right and ask the judge about what is wrong, in turn; and where much is wrong, line by line."""
    patience, going = PATIENCE, True
    while going and patience and found.at >= found.doomed and len(found.starts) < most:
        line = int(np.searchsorted(lines.starts, found.at))
        if line < len(lines.starts) and lines.starts[line] == found.at:
            ending, _ = _find_right(lines, line, dialect)
            passed = int(ending[-1]) - line if len(ending) else 0
            patience -= PATIENCE * PATIENCE * passed < len(lines.starts)
            if passed:
                starts, ends, _, found.at = _place(lines, line, ending, most - len(found.starts))
                found.starts += starts.tolist()
                found.ends += ends.tolist()
        going = _ask_judge(found, block, limit, most, dialect)
    if going:
        _find_by_line(found, block, limit, most, lines, dialect)


def _ask_judge(found: _Found, block: Block, limit: int, most: int, dialect: Dialect) -> bool:
    """Add the records of the next line; tell whether to go on."""
    if found.at >= min(limit, len(block.data)) or len(found.starts) >= most:
        return False
    judged = judge_line(block, found.at, dialect, found.doomed)
    if judged is None or (found.starts and len(found.starts) + len(judged.records) > most):
        return False
    for start, end, broken in judged.records:
        if broken:
            found.broken[len(found.starts)] = broken
        found.starts.append(start)
        found.ends.append(end)
    found.at, found.doomed = judged.end, judged.doomed
    return True


def _find_by_line(found: _Found, block: Block, limit: int, most: int, lines: _Lines, dialect: Dialect) -> None:
    """Find records line by line: those that look right in themselves are records, the judge decides on the others."""
    suspects = np.flatnonzero(_look_wrong(lines, dialect)).tolist()
    begins, stops = lines.starts.tolist(), lines.ends.tolist()
    going = True
    while going:
        line = bisect_left(begins, found.at)
        place = bisect_left(suspects, line)
        right = suspects[place] if place < len(suspects) else len(begins)
        right = min(right, line + most - len(found.starts))
        if line < right and begins[line] == found.at:
            found.starts += begins[line:right]
            found.ends += stops[line:right]
            found.at = stops[right - 1]
        going = _ask_judge(found, block, limit, most, dialect)


def _look_wrong(lines: _Lines, dialect: Dialect) -> NDArray[np.bool_]:
    """Tell for each line whether it may be anything but one record that begins and ends with it."""
    begin = lines.bytes[lines.starts]
    wrong: NDArray[np.bool_] = (begin == FEED) | (begin == RETURN)
    wrong[np.searchsorted(lines.ends, lines.odd, "right")] = True
    wrong[_find_odd_quotes(lines, ord(dialect.delimiter))] = True
    return wrong


def _find_odd_quotes(lines: _Lines, delimiter: int) -> Offsets:
    """Return the lines, some more than once, whose quotes do not open and close fields in turn.

    A quote inside a field that is not quoted is text, and as such passed over.
    """
    buffer, quotes = lines.bytes, lines.quotes
    line = np.searchsorted(lines.ends, quotes, "right")
    before, after = buffer[np.maximum(quotes - 1, 0)], buffer[np.minimum(quotes + 1, len(buffer) - 1)]
    at_start = quotes == lines.starts[line]
    begins = at_start | (before == delimiter)
    ends = (after == delimiter) | (after == FEED) | (after == RETURN) | (quotes == lines.ends[line] - 1)
    doubled = ((before == QUOTE) & ~at_start) | ((after == QUOTE) & ~ends)
    inside = ~(begins | ends | doubled)
    signs = np.flatnonzero(~inside)
    of_line = line[signs]
    odd = (np.arange(len(signs)) - np.searchsorted(of_line, of_line)) % 2 == 1
    astray = np.where(odd, ~(ends | (after == QUOTE))[signs], ~(begins | (before == QUOTE))[signs])
    unpaired = np.flatnonzero(np.bincount(of_line, minlength=len(lines.ends)) % 2)
    earlier = np.searchsorted(signs, np.flatnonzero(inside)) - np.searchsorted(of_line, line[inside])
    return np.concatenate([of_line[astray], unpaired, line[inside][earlier % 2 == 1]])


def count_breaks(data: bytes | bytearray, offsets: Offsets, dialect: Dialect) -> Offsets:
    """Count for each offset the line breaks before it; offsets rise."""
    buffer = np.frombuffer(data, np.uint8)[: offsets[-1]]
    breaks = np.flatnonzero(buffer == FEED)
    if dialect.newline == b"\r":
        returns = np.flatnonzero(buffer == RETURN)
        alone = buffer[np.minimum(returns + 1, len(buffer) - 1)] != FEED
        breaks = np.union1d(breaks, returns[alone])
    return np.searchsorted(breaks, offsets)
