"""Read JSON Lines: in native code where every line is good, line by line where one is not."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.json

from sftdata.schema import Column
from sftdata.sources.parsing import CHUNK_BYTES, CHUNK_ROWS, Fault, Parsed, drop_faulty, open_binary

Lines = list[bytes]
"""A slice of a file: its lines without surrounding white space, blank lines left out."""

_UNFIT = object()


def read(path: Path) -> Iterator[tuple[Lines, int]]:
    """Yield slices of a file and the size of each in bytes; a byte order mark is skipped."""
    with open_binary(path) as file:
        if file.peek(3)[:3] == b"\xef\xbb\xbf":  # type: ignore[attr-defined]  # both openers give buffered readers
            file.read(3)
        while block := file.readlines(CHUNK_BYTES):
            lines = [line for raw in block if (line := raw.strip())]
            for start in range(0, len(lines), CHUNK_ROWS):
                part = lines[start : start + CHUNK_ROWS]
                yield part, sum(map(len, part)) + len(part)


def parse(lines: Lines, columns: Mapping[str, Column], source: str) -> Parsed:
    """Turn lines into columns; a key that a line lacks is null."""
    frame = _parse_natively(lines, columns)
    if frame is not None:
        return Parsed(frame, list(range(len(lines))), [])
    return _parse_each(lines, columns)


def original(lines: Lines, position: int) -> Any:
    """Return a record's value, or its line where that is not JSON; bytes that are not UTF-8 become lone surrogates."""
    try:
        return _load(lines[position])
    except (ValueError, RecursionError):
        return lines[position].decode("utf-8", "surrogateescape")


def _parse_natively(lines: Lines, columns: Mapping[str, Column]) -> pl.DataFrame | None:
    """Parse all lines with Arrow's reader, which is strict about types; None where a line needs a closer look.

    A line that is not an object must not get there: pyarrow 26 crashes on the line `null`.
    """
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return None
    block = b"\n".join(lines)
    schema = pa.schema([(name, _arrow_type(column)) for name, column in columns.items()])
    try:
        block.decode()
        table = pa.json.read_json(
            pa.BufferReader(block),
            read_options=pa.json.ReadOptions(block_size=max(2**20, 2 * max(map(len, lines), default=0))),
            parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
    frame = pl.DataFrame(table)
    return frame.select(columns.keys()) if len(frame) == len(lines) else None


def _arrow_type(column: Column) -> pa.DataType:
    return {
        "str": pa.large_string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "messages": pa.list_(pa.struct({"role": pa.large_string(), "content": pa.large_string()})),
    }[column.dtype]


def _parse_each(lines: Lines, columns: Mapping[str, Column]) -> Parsed:
    faults: list[Fault] = []
    rows: list[list[Any]] = []
    positions = []
    for position, line in enumerate(lines):
        found = _parse_line(line, columns)
        if isinstance(found, dict):
            rows.append(list(found.values()))
            positions.append(position)
        else:
            faults += [Fault(position, reason, detail) for reason, detail in found]
    schema = {name: column.polars_dtype for name, column in columns.items()}
    return drop_faulty(pl.DataFrame(rows, schema=schema, orient="row"), positions, faults)


def _parse_line(line: bytes, columns: Mapping[str, Column]) -> dict[str, Any] | list[tuple[str, str]]:
    try:
        record = _load(line)
    except UnicodeDecodeError as problem:
        return [("encoding:utf-8", f"byte {line[problem.start]:#04x} at position {problem.start} is not UTF-8")]
    except json.JSONDecodeError as problem:
        return [("json:syntax", f"{problem.msg} at column {problem.colno}")]
    except (ValueError, RecursionError) as problem:
        return [("json:syntax", str(problem))]
    if not isinstance(record, dict):
        return [("json:not_an_object", f"found {type(record).__name__}, expected an object")]
    values = {name: _fit(record.get(name), column) for name, column in columns.items()}
    return [_misfit(name, record[name], columns[name]) for name, value in values.items() if value is _UNFIT] or values


def _load(line: bytes) -> Any:
    return json.loads(line.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is given twice")
    return record


def _fit(value: Any, column: Column) -> Any:
    """Return `value` as the column takes it, or `_UNFIT`."""
    if value is None:
        return None
    if column.dtype == "str":
        return _fit_text(json.dumps(value) if column.coerce and isinstance(value, int | float) else value)
    if column.dtype == "messages":
        return _fit_messages(value)
    kinds = {"int": int, "float": int | float, "bool": bool}[column.dtype]
    fits = isinstance(value, kinds) and isinstance(value, bool) == (column.dtype == "bool")
    return value if fits and (column.dtype != "int" or -(2**63) <= value < 2**63) else _UNFIT


def _fit_text(value: Any) -> Any:
    return value if isinstance(value, str) and not _LONE_SURROGATE.search(value) else _UNFIT


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _fit_messages(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return _UNFIT
    turns = [{name: turn.get(name) for name in ("role", "content")} for turn in value]
    fit = all(said is None or _fit_text(said) is not _UNFIT for turn in turns for said in turn.values())
    return turns if fit else _UNFIT


def _misfit(name: str, value: Any, column: Column) -> tuple[str, str]:
    shown = json.dumps(value)  # ASCII: a lone surrogate must be seen, and must not break the terminal
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    expected = "a list of turns with text as role and content" if column.dtype == "messages" else column.dtype
    return f"{name}:dtype", f"{name}: found {shown}, expected {expected}"
