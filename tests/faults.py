"""Files with planted faults, and the ledger of what was planted: for tests of exact accounting.

Everything that is not in the ledger is a good record. What a fault is worth is decided here, by these rules:

- A quote that is never closed costs its own line and no other: the lines that it would swallow are read again.
- Lines are counted as they end in a line feed; a lone carriage return in quotes is text.
- Lines that end in CR LF among others, empty lines, a stray quote in the middle of a cell that is not quoted, a byte
  order mark in the middle of text, and a key given twice that no column needs are no faults: good records have them.
- Every record of those that share an id is rejected, the first one too.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

HUGE = 50_000_000
"""Bytes of a cell or line that is too large to be a record."""

BOM = b"\xef\xbb\xbf"

WORDS = ["a", "small", "wild", "cat", "walks", "slowly", "中文", "文本", "without", "any", "über", "straße", "海", "🙂"]


class Planted(NamedTuple):
    """One faulty record: its number and first line, both from 1, and what a reader must say about it."""

    record: int
    line: int
    kind: str
    reasons: frozenset[str]


class Ledger(NamedTuple):
    """What a file holds: its records, good and faulty, and the faulty ones."""

    records: int
    planted: list[Planted]


class Fault(NamedTuple):
    """A kind of fault: how a good record becomes a faulty one, and what a reader must say about it."""

    make: Callable[[Any], bytes]
    reasons: tuple[str, ...]


class Line(NamedTuple):
    """One record as it stands in a file, without its line break."""

    content: bytes
    kind: str = ""
    reasons: tuple[str, ...] = ()


POOL = 4096
"""Good records, of which a file has as many as it needs, each with an id of its own."""


def plan(
    draw: random.Random, records: int, faults: dict[str, Fault], too_large: dict[str, Fault], huge: int
) -> dict[int, str]:
    """Choose the records that get a fault, some of every kind, and one of each of the first `huge` large kinds."""
    kinds = list(faults) * max(5, records // 10_000) + list(too_large)[:huge]
    return dict(zip(draw.sample(range(1, records), len(kinds)), kinds, strict=True))


def plan_copies(draw: random.Random, records: int, taken: dict[int, str]) -> dict[int, int]:
    """Choose groups of two or three records anywhere in the file, and whose id each has: the first one's."""
    free = [number for number in range(1, records) if number not in taken]
    chosen = draw.sample(free, 3 * max(4, records // 5000))
    groups = [chosen[start : start + draw.choice([2, 3])] for start in range(0, len(chosen), 3)]
    return {number: group[0] for group in groups for number in group}


def write_lines(path: Path, header: bytes, lines: Iterator[Line]) -> Ledger:
    """Write the lines, one in ten with CR LF, an empty line here and there, and no line break after the last."""
    planted, record, place = [], 0, 1
    ending = b""
    with path.open("wb") as file:
        if header:
            file.write(header)
            ending = b"\n"
        for record, (content, kind, reasons) in enumerate(lines, start=1):
            file.write(ending)
            place += ending.count(b"\n")
            if kind:
                planted.append(Planted(record, place, kind, frozenset(reasons)))
            file.write(content)
            place += content.count(b"\n")
            ending = b"\r\n" if record % 10 == 0 else b"\n\n" if record % 501 == 0 else b"\n"
    return Ledger(record, planted)
