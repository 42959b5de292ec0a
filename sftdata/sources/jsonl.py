"""Read JSON Lines, and parse JSON records: compiled or natively where they are good, one by one where they are not."""

import codecs
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import polars as pl

from sftdata.column import Column
from sftdata.sources import native, parsing
from sftdata.sources.encodings import open_text
from sftdata.sources.json_block import Block, Content, Places, cut_block
from sftdata.sources.json_compiled import parse_compiled
from sftdata.sources.json_records import judge
from sftdata.sources.json_text import refuse_constant
from sftdata.sources.parsing import MAX_RECORD, Fault, Parsed
from sftdata.sources.source import Slice, Source
from sftdata.sources.values import make_series

WINDOW = 8 * 2**20
"""Bytes that are read at a time; the whole lines in them make a slice, or several where they are short."""

FEW, FEW_BYTES = 100, 2**18
"""So few records that compiled code left over are judged one by one: loading Arrow's reader would take longer."""

PARTS = 16
"""How large a part of the records is judged one by one when the native parser refuses them together, but none alone."""

DEPTH = 100
"""How deep an original may be nested to be kept as a value."""


class Piece(NamedTuple):
    """The columns of some records, and where in the block each stands."""

    frame: pl.DataFrame
    positions: Places


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file: its lines that are not blank."""
    with open_text(source) as text:
        for block in _read_blocks(text.file, text.encoding):
            for start in range(0, len(block), parsing.CHUNK_ROWS):
                part = block.take(np.arange(start, min(start + parsing.CHUNK_ROWS, len(block))))
                yield Slice(part, part.full_size or len(part.content), text.found)


def parse(block: Block, columns: Mapping[str, Column], source: str) -> Parsed:
    """Turn records into columns; a key that a record lacks is null."""
    pieces, rest = _parse_compiled(block, columns)
    if not pieces or not _are_few(block, rest):
        natively, rest = _parse_natively(block, rest, columns)
        pieces += natively
    judged, faults = _judge_each(block, rest, columns)
    return merge([*pieces, judged], faults)


def original(block: Block, position: int) -> Any:
    """Return a record's value, or its text where that is not JSON or a value would lose some of it.

    Bytes that are not UTF-8 become lone surrogates.
    """
    content = block[position]
    try:
        return load_original(content, DEPTH)
    except (ValueError, RecursionError):
        return codecs.utf_8_decode(content, "surrogateescape", not block.full_size)[0]


def load_original(content: bytes, depth: int) -> Any:
    """Return a record's value in Python's own types.

    Raises:
        ValueError: when it is not JSON, a value would lose some of it, or it is nested deeper than `depth`.
    """
    value = json.loads(
        content.decode(), parse_constant=refuse_constant, parse_float=_exact_float, object_pairs_hook=_unique_keys
    )
    if _depth(value) > depth:
        raise ValueError(f"nested deeper than {depth} levels")
    return value


def line(block: Block, position: int) -> int:
    """Return the line of the file in which a record begins."""
    return int(block.lines[position])


def merge(pieces: Sequence[Piece], faults: list[Fault]) -> Parsed:
    """Put the records of all pieces in order."""
    pieces = [piece for piece in pieces if len(piece.positions)] or pieces[:1]
    if len(pieces) == 1:
        frame, places = pieces[0]
        return Parsed(frame, places.tolist() if faults else range(len(places)), _in_order(faults))
    positions = np.concatenate([piece.positions for piece in pieces])
    order = np.argsort(positions)
    frame = pl.concat([piece.frame for piece in pieces], rechunk=True)[order]
    return Parsed(frame, positions[order].tolist(), _in_order(faults))


def _in_order(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: fault.position)


def make_frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Column]) -> pl.DataFrame:
    """Return the columns of records that were judged good."""
    rows = list(rows)
    return pl.DataFrame({name: make_series([row[name] for row in rows], column) for name, column in columns.items()})


def _parse_compiled(block: Block, columns: Mapping[str, Column]) -> tuple[list[Piece], Places]:
    """Parse what compiled code can, and return which records are left."""
    found = parse_compiled(block, columns)
    if found is None:
        return [], np.arange(len(block))
    frame, odd = found
    return [Piece(frame, np.flatnonzero(~odd))], np.flatnonzero(odd)


def _are_few(block: Block, positions: Places) -> bool:
    return len(positions) <= FEW and int((block.ends[positions] - block.starts[positions]).sum()) <= FEW_BYTES


def _parse_natively(block: Block, positions: Places, columns: Mapping[str, Column]) -> tuple[list[Piece], Places]:
    """Parse what Arrow's reader can of some records, and return which of them are left."""
    from sftdata.sources.json_native import Refused, find_odd, parse_block  # which load pyarrow
    from sftdata.sources.json_sifting import find_refused

    odd = find_odd(block.take(positions)) if not block.full_size else np.ones(1, dtype=bool)
    pending, rest, pieces = [positions[~odd]], [positions[odd]], []
    while pending:
        positions = pending.pop()
        if not len(positions):
            continue
        try:
            frame, doubtful = parse_block(block.take(positions), columns)
            pieces.append(Piece(frame.filter(~doubtful) if doubtful.any() else frame, positions[~doubtful]))
            rest.append(positions[doubtful])
        except Refused:
            refused = find_refused(block.take(positions), columns)
            if not refused.any():  # what it says of them all it does not say of a few: by what they have in common
                refused[: len(positions) // PARTS + 1] = True
            pending.append(positions[~refused])
            rest.append(positions[refused])
    return pieces, np.sort(np.concatenate(rest))


def _judge_each(block: Block, positions: Places, columns: Mapping[str, Column]) -> tuple[Piece, list[Fault]]:
    rows, places, faults = [], [], []
    for position in positions.tolist():
        found = judge(block[position], columns, block.encoding) if not block.full_size else _refuse_size(block)
        if isinstance(found, dict):
            rows.append(found)
            places.append(position)
        else:
            faults += [Fault(position, reason, detail) for reason, detail in found]
    return Piece(make_frame(rows, columns), np.array(places, dtype=np.int64)), faults


def _refuse_size(block: Block) -> list[tuple[str, str]]:
    found = f"a record of {block.full_size:,} bytes, expected at most {MAX_RECORD:,}; its beginning is kept"
    return [("json:record_size", found)]


class _Lines(NamedTuple):
    """The lines that are not blank, without the white space around them, and the line feeds that end them.

    Attributes:
        starts: where each line begins.
        ends: where each ends.
        numbers: the number of each in the file.
        breaks: how many line feeds there are.
        first: where the first of them stands.
        last: where the last of them stands.
    """

    starts: Places
    ends: Places
    numbers: Places
    breaks: int
    first: int
    last: int


def _read_blocks(file: BinaryIO, encoding: str) -> Iterator[Block]:
    """Yield the records of a window; one that is too large stands alone."""
    held, dropped, line = np.empty(0, np.uint8), 0, 1  # the line that is not at its end yet, and bytes not kept of it
    while len(content := _read_on(file, held)) > len(held):
        lines = _find_lines(content, line)
        if lines.breaks and dropped + lines.first > MAX_RECORD:
            yield cut_block(content[: min(lines.first, MAX_RECORD)], dropped + lines.first, line, encoding)
            line, dropped, content = line + 1, 0, content[lines.first + 1 :]
            lines = _find_lines(content, line)
        if lines.breaks:
            yield Block(content[: lines.last + 1], lines.starts, lines.ends, lines.numbers, encoding)
            line, content = line + lines.breaks, content[lines.last + 1 :]
        held = content[:MAX_RECORD]
        dropped += len(content) - len(held)
    if dropped:
        yield cut_block(held, dropped + len(held), line, encoding)
    elif len(held):
        lines = _find_lines(np.append(held, np.uint8(_BREAK)), line)
        yield Block(held, lines.starts, lines.ends, lines.numbers, encoding)


_BREAK, _RETURN, _SPACE = b"\n\r "


def _read_on(file: BinaryIO, held: Content) -> Content:
    content = np.empty(len(held) + WINDOW, dtype=np.uint8)
    content[: len(held)] = held
    count = cast("io.BufferedReader", file).readinto(content[len(held) :].data)
    return content[: len(held) + count]


def _find_lines(content: Content, line: int) -> _Lines:
    """Find the lines that end with a line feed and are not blank; the first line has the number `line`."""
    if native.scan is None:
        return _find_without_compiler(content, line)
    for most in (len(content) // 32, len(content)):  # nearly all lines are longer than 32 bytes
        starts, ends, numbers = np.empty((3, most), dtype=np.int64)
        found = native.scan.find_lines(content, line, starts, ends, numbers)
        if found is not None:
            count, breaks, first, last = found
            break
    return _Lines(starts[:count], ends[:count], numbers[:count], breaks, first, last)


def _find_without_compiler(content: Content, line: int) -> _Lines:
    breaks = np.flatnonzero(content == _BREAK)
    if not len(breaks):
        return _Lines(breaks, breaks, breaks, 0, 0, 0)
    where = len(breaks), int(breaks[0]), int(breaks[-1])
    starts, ends = np.append(0, breaks[:-1] + 1), breaks
    returns = (ends > starts) & (content[ends - 1] == _RETURN)
    if returns.any():
        ends -= returns
    numbers = np.flatnonzero(ends > starts)
    if len(numbers) < len(starts):
        starts, ends = starts[numbers], ends[numbers]
    spaced = np.flatnonzero((content[starts] <= _SPACE) | (content[ends - 1] <= _SPACE))
    for place in spaced.tolist():
        text = content[starts[place] : ends[place]].tobytes()
        bare = text.strip()
        starts[place] += text.find(bare)
        ends[place] = starts[place] + len(bare)
    if not len(spaced):
        return _Lines(starts, ends, numbers + line, *where)
    full = ends > starts
    return _Lines(starts[full], ends[full], numbers[full] + line, *where)


def _exact_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is given twice")
    return record


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        level = [inner for outer in level for inner in _inside(outer)]
        depth += 1
    return depth


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
