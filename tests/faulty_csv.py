"""A comma-separated file with planted faults; see faults.py."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults import BOM, HUGE, POOL, WORDS, Fault, Ledger, Line, plan, plan_copies, write_lines

LABELS = ["neg", "neutral", "pos"]

SCHEMA: dict[str, Any] = {
    "name": "planted",
    "task": "text_classification",
    "columns": {
        "id": {"unique": True, "checks": {"str_matches": r"^r\d{8}$"}},
        "text": {"checks": {"str_length": {"min_value": 1, "max_value": 200}, "not_blank": True}},
        "label": {"checks": {"isin": LABELS}},
        "score": {"dtype": "float", "checks": {"in_range": {"min_value": 0, "max_value": 5}}},
        "n": {"dtype": "int"},
        "begins": {"dtype": "int"},
        "ends": {"dtype": "int"},
        "note": {"nullable": True},
    },
    "checks": {"ends_after_begin": "ends >= begins"},
    "parts": {"text": "text", "label": "label"},
}


COLUMNS = list(SCHEMA["columns"])

GOOD_CELLS = [
    '"one, two"',
    '"she said ""yes"" to it"',
    '"first line\nsecond line"',
    '"first line\r\nsecond line"',
    '"old\rbreak"',
    '"quoted for no reason"',
    'a 5" disk',
    "a mark \ufeff in the middle",
    "a line\u2028separator and a\x85next line",
    " spaces around it ",
    "NULL",
    "tab\tinside",
]
"""Cells as they stand in a file that careless readers break or change."""


def _cells(draw: random.Random, number: int, odd: float = 0) -> list[str]:
    """Return the cells of a good record, as they stand in the file; a share of `odd` has one of `GOOD_CELLS`."""
    text = draw.choice(GOOD_CELLS) if draw.random() < odd else " ".join(draw.choices(WORDS, k=draw.randint(3, 9)))
    start, length = draw.randrange(1000), draw.randrange(7)
    note = draw.choice(["", "", "seen", '""'])
    label, score = draw.choice(LABELS), f"{draw.random() * 5:.3f}"
    return [f"r{number:08d}", text, label, score, str(draw.randrange(-9, 9)), str(start), str(start + length), note]


def _line(cells: list[str]) -> bytes:
    return ",".join(cells).encode()


def _put(**cells: str) -> Callable[[list[str]], bytes]:
    """Make a fault of replacing some cells."""
    return lambda row: _line([cells.get(name, cell) for name, cell in zip(COLUMNS, row, strict=True)])


def _put_bytes(column: str, content: bytes) -> Callable[[list[str]], bytes]:
    """Make a fault of replacing one cell by bytes."""
    marked = _put(**{column: "\0MARK\0"})
    return lambda row: marked(row).replace(b"\0MARK\0", content)


FAULTS: dict[str, Fault] = {
    "quote never closed": Fault(_put(text='"it begins and goes on'), ("csv:quoting",)),
    "quote in the last cell never closed": Fault(_put(note='"it begins'), ("csv:quoting",)),
    "text behind a quoted cell": Fault(_put(text='"quoted" and more'), ("csv:quoting",)),
    "too few fields": Fault(lambda row: _line(row[:5]), ("csv:field_count",)),
    "one field": Fault(lambda row: _line(row[:1]), ("csv:field_count",)),
    "too many fields": Fault(lambda row: _line([*row, "more", "fields"]), ("csv:field_count",)),
    "NUL byte": Fault(_put(text="a \0 byte"), ("csv:nul_byte",)),
    "lone CR": Fault(_put(text="torn\rapart"), ("csv:newline",)),
    "invalid UTF-8": Fault(_put_bytes("text", b"caf\xe9 au lait"), ("encoding:utf-8",)),
    "surrogate in UTF-8": Fault(_put_bytes("text", b"half \xed\xa0\x80 a pair"), ("encoding:utf-8",)),
    "cut character": Fault(_put_bytes("note", "中文".encode()[:-1]), ("encoding:utf-8",)),
    "byte order mark": Fault(lambda row: BOM + _line(row), ("encoding:bom",)),
    "header again": Fault(lambda row: _line(COLUMNS), ("score:dtype", "n:dtype", "begins:dtype", "ends:dtype")),
    "text in an integer": Fault(_put(n="many"), ("n:dtype",)),
    "fraction in an integer": Fault(_put(n="1.5"), ("n:dtype",)),
    "integer beyond 64 bits": Fault(_put(n="9223372036854775808"), ("n:dtype",)),
    "text in a float": Fault(_put(score="good"), ("score:dtype",)),
    "two wrong types": Fault(_put(n="x", score="y"), ("n:dtype", "score:dtype")),
    "NaN": Fault(_put(score="NaN"), ("score:not_nullable", "score:in_range")),
    "infinity": Fault(_put(score="inf"), ("score:in_range",)),
    "minus infinity": Fault(_put(score="-inf"), ("score:in_range",)),
    "out of range": Fault(_put(score="5.001"), ("score:in_range",)),
    "negative": Fault(_put(score="-0.5"), ("score:in_range",)),
    "null": Fault(_put(label=""), ("label:not_nullable",)),
    "null number": Fault(_put(n=""), ("n:not_nullable",)),
    "empty text in quotes": Fault(_put(text='""'), ("text:not_nullable",)),
    "blank text": Fault(_put(text=" \t "), ("text:not_blank",)),
    "ideographic blank": Fault(_put(text="\u3000"), ("text:not_blank",)),
    "text too long": Fault(_put(text="word " * 41), ("text:str_length",)),
    "unknown label": Fault(_put(label="positive"), ("label:isin",)),
    "label with a space": Fault(_put(label=" pos"), ("label:isin",)),
    "id of another pattern": Fault(lambda row: _line(["x" + row[0], *row[1:]]), ("id:str_matches",)),
    "end before start": Fault(_put(begins="10", ends="9"), ("row:ends_after_begin",)),
    "three faults": Fault(
        _put(text=" ", label="?", begins="3", ends="-1"), ("text:not_blank", "label:isin", "row:ends_after_begin")
    ),
}

BLOCK = {
    "quote closed late": Fault(_put(text='"it begins'), ("csv:quoting",)),
    "closing quote alone": Fault(lambda row: _put(text='it ends here"')(row) + b",more,fields", ("csv:field_count",)),
}
"""A quote that is closed two lines on: together the three lines are one record of too many fields. The line between
them is good. Were the fields of the right number, they would be a good record with line breaks in a cell."""

COPIED = Fault(_line, ("id:unique",))
COPIED_BLANK = Fault(_put(text="  "), ("id:unique", "text:not_blank"))

TOO_LARGE = {
    "50 MB cell": Fault(lambda row: _put(text="x" * HUGE)(row), ("csv:record_size",)),
    "50 MB quoted cell": Fault(lambda row: _put(text='"' + "x, " * (HUGE // 3) + '"')(row), ("csv:record_size",)),
}

ENDS = {
    "cut in a cell": Fault(lambda row: _line([row[0], "cut in a ce"]), ("csv:field_count",)),
    "cut in quotes": Fault(lambda row: _line([row[0], '"cut in quo']), ("csv:quoting",)),
}


def plan_blocks(draw: random.Random, records: int, taken: dict[int, str]) -> dict[int, str]:
    """Choose groups of three records, of which the first and the last are the two kinds of `BLOCK`."""
    first, last = BLOCK
    blocks: dict[int, str] = {}
    for _ in range(max(5, records // 10_000)):
        start = draw.randrange(1, records - 3)
        if not any(number in taken or number in blocks for number in range(start - 2, start + 5)):
            blocks |= {start: first, start + 2: last}
    return blocks


def write_csv(path: Path, records: int, *, huge: int = 1, end: str = "cut in a cell", seed: int = 7) -> Ledger:
    """Write a CSV file of `records` records, among them `huge` too large ones and an unfinished last one."""
    draw = random.Random(seed)  # noqa: S311  # a sample, no secret
    good = [_line(_cells(draw, 0, odd=0.2)).partition(b",")[2] for _ in range(POOL)]
    chosen = plan(draw, records, FAULTS, TOO_LARGE, huge)
    chosen |= plan_blocks(draw, records, chosen)
    copies = plan_copies(draw, records, chosen)

    def lines() -> Iterator[Line]:
        for number in range(1, records):
            if number in copies:
                row = [f"r{copies[number]:08d}", *_cells(draw, number)[1:]]
                fault = COPIED_BLANK if number % 4 == 0 else COPIED
                yield Line(fault.make(row), "duplicate id", fault.reasons)
            elif kind := chosen.get(number):
                fault = FAULTS.get(kind) or TOO_LARGE.get(kind) or BLOCK[kind]
                yield Line(fault.make(_cells(draw, number)), kind, fault.reasons)
            else:
                yield Line(b"r%08d,%b" % (number, good[number * 31 % POOL]))
        yield Line(ENDS[end].make(_cells(draw, records)), end, ENDS[end].reasons)

    return write_lines(path, _line(COLUMNS), lines())
