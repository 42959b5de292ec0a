"""What the tests of JSON readers share: columns to read, records that are hard, and what became of each record."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from strategies import conversations, json_values, numbers, texts

from sftdata.column import Column
from sftdata.sources import jsonl
from sftdata.sources.json_block import Block, make_block
from sftdata.sources.json_native import Refused, find_odd, parse_block
from sftdata.sources.json_records import judge
from sftdata.sources.parsing import Parsed

FLAT = {
    "text": Column(nullable=True),
    "label": Column(nullable=True, coerce=True),
    "n": Column(dtype="int", nullable=True),
    "f": Column(dtype="float", nullable=True),
    "b": Column(dtype="bool", nullable=True),
    "l": Column(dtype="list[str]", nullable=True),
    "s": Column(dtype="list[str]", nullable=True, separator=";"),
    "p": Column(dtype="pairs", nullable=True),
}
STRICT = {**FLAT, "label": Column(nullable=True), "s": Column(dtype="list[str]", nullable=True)}
CHAT = {
    "text": Column(nullable=True),
    "label": Column(nullable=True, coerce=True),
    "n": Column(dtype="int", nullable=True),
    "m": Column(dtype="messages", nullable=True),
    "j": Column(dtype="json", nullable=True),
}
SHAREGPT = {
    "m": Column(
        dtype="messages",
        keys={"role": "from", "content": "value"},
        roles={"human": "user", "gpt": "assistant", "function_call": "tool_calls", "user": "system"},
    )
}
COLUMNS = FLAT | CHAT
SCHEMAS = [FLAT, STRICT, CHAT, SHAREGPT, COLUMNS]


def block_of(lines: Sequence[bytes | str]) -> Block:
    """Return records as a block."""
    return make_block([line if isinstance(line, bytes) else line.encode() for line in lines], range(1, len(lines) + 1))


def outcomes(parsed: Parsed, count: int) -> list[Any]:
    """Return for each record its values or its reasons, and prove that there is exactly one of the two."""
    of_record: dict[int, Any] = dict(zip(parsed.positions, parsed.frame.rows(named=True), strict=True))
    for fault in parsed.faults:
        assert fault.position not in parsed.positions
        of_record.setdefault(fault.position, []).append(fault.reason)
    assert sorted(of_record) == list(range(count))
    return [of_record[position] for position in range(count)]


def parse(*lines: bytes | str, columns: dict[str, Column] = COLUMNS) -> list[Any]:
    """Parse records as a source would."""
    return outcomes(jsonl.parse(block_of(lines), columns, "file"), len(lines))


def natively(lines: Sequence[bytes | str], columns: dict[str, Column]) -> list[Any]:
    """Return what the native parser says of each record: its values, or nothing."""
    block = block_of(lines)
    odd = find_odd(block)
    try:
        frame, doubtful = parse_block(block, columns) if not odd.any() else (None, [True] * len(lines))
    except Refused:
        frame, doubtful = None, [True] * len(lines)
    rows = frame.rows(named=True) if frame is not None else lines
    return [None if here else row for row, here in zip(rows, doubtful, strict=True)]


def one_by_one(lines: Sequence[bytes | str], columns: dict[str, Column]) -> list[Any]:
    """Return what the judge says of each record: its values, or its reasons."""
    verdicts = [judge(block_of([line])[0], columns) for line in lines]
    good = jsonl.make_frame([verdict for verdict in verdicts if isinstance(verdict, dict)], columns)
    rows = good.iter_rows(named=True)
    return [next(rows) if isinstance(verdict, dict) else [reason for reason, _ in verdict] for verdict in verdicts]


def assert_agree(lines: Sequence[bytes | str], columns: dict[str, Column]) -> bool:
    """Assert that the judge says what the native parser says; return whether that had an answer for every record."""
    native, judged = natively(lines, columns), one_by_one(lines, columns)
    assert native == [None if here is None else verdict for here, verdict in zip(native, judged, strict=True)]
    return None not in native


strings = st.none() | st.lists(texts, max_size=3)
pairs = st.none() | st.lists(st.lists(texts, min_size=2, max_size=2), max_size=2)

turns_like = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("role", "from", "value", "content"), st.none() | texts | st.sampled_from(["user", "gpt"])),
            "weight": st.none() | numbers,
            "train": st.none() | st.booleans(),
            "name": texts,
            "tool_calls": json_values,
        },
    )
    | st.none(),
    max_size=3,
)
"""Conversations of which the turns have other keys as well."""

fields = st.fixed_dictionaries(
    {},
    optional={
        "text": texts | json_values,
        "label": st.none() | texts | numbers | st.booleans(),
        "n": st.none() | st.integers(-(2**64), 2**64) | numbers,
        "f": st.none() | numbers,
        "b": st.none() | st.booleans() | json_values,
        "m": st.none() | conversations | turns_like | json_values,
        "l": strings | json_values,
        "s": strings | texts,
        "p": pairs | json_values,
        "j": json_values | st.sampled_from(["{}", "[1.10]", "{", ""]),
        "other": json_values,
    },
)
"""Any record that has keys of the columns."""

fitting = st.fixed_dictionaries(
    {"text": st.none() | texts, "n": st.none() | st.integers(-(2**63), 2**63 - 1)},
    optional={
        "label": texts,
        "f": st.none() | numbers,
        "b": st.booleans(),
        "m": st.none() | conversations,
        "l": strings,
        "s": texts,
        "p": pairs,
        "other": st.none() | texts | st.lists(st.integers(0, 9)),
    },
)
"""Records without a fault."""

records = st.lists(fitting | fields, min_size=1, max_size=4)


def dump(record: Any, ascii_only: bool = True) -> bytes:
    """Write a record as a line."""
    return json.dumps(record, ensure_ascii=ascii_only).encode()
