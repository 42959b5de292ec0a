"""Read JSON Lines: in native code where every line is good, line by line where one is not."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.json

from sftdata.records import MESSAGES
from sftdata.schema import Column
from sftdata.sources.parsing import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    Fault,
    Parsed,
    drop_faulty,
    misfit,
    null_turns,
    open_binary,
)

Lines = list[bytes]
"""A slice of a file: its lines without surrounding white space, blank lines left out."""

DEPTH = 100
"""How deep an original may be nested to be kept as a value."""

DEEPEST = 500
"""How deep a record is parsed line by line. Python's own limit is near a thousand, and another in each version."""

_UNFIT = object()


class _Number(str):
    """A number as it is written, so that `1.10` stays what it is and no size is too large."""

    __slots__ = ()
    __repr__ = str.__str__


class _Twice:
    """Stands for the value of a key that is given twice; a fault only where the value is needed."""

    def __repr__(self) -> str:
        return "a key that is given twice"


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
    """Return a record's value, or its line where that is not JSON or a value would lose some of it.

    Bytes that are not UTF-8 become lone surrogates.
    """
    line = lines[position]
    try:
        value = json.loads(
            line.decode(), parse_constant=_refuse, parse_float=_exact_float, object_pairs_hook=_unique_keys
        )
    except (ValueError, RecursionError):
        return line.decode("utf-8", "surrogateescape")
    return value if _depth(value) <= DEPTH else line.decode()


def _parse_natively(lines: Lines, columns: Mapping[str, Column]) -> pl.DataFrame | None:
    """Parse all lines with Arrow's reader, which is strict about types; None where a line needs a closer look.

    A line that is not an object must not get there: pyarrow 26 crashes on the line `null`. It takes NaN, Inf and
    Infinity for numbers, which JSON does not.
    """
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return None
    block = b"\n".join(lines)
    if (b"NaN" in block or b"Inf" in block) and _NO_NUMBER.search(block):
        return None
    schema = pa.schema([(name, _arrow_type(column)) for name, column in columns.items()])
    try:
        block.decode()
        table = pa.json.read_json(
            pa.BufferReader(block),
            read_options=pa.json.ReadOptions(
                block_size=min(2**31 - 1, max(2**20, 2 * max(map(len, lines), default=0)))
            ),
            parse_options=pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return None
    frame = pl.DataFrame(table)
    return frame.select(columns.keys()) if len(frame) == len(lines) and _is_sound(frame) else None


_NO_NUMBER = re.compile(rb"(?:NaN|Inf|Infinity)\s*[,\]}]")


def _is_sound(frame: pl.DataFrame) -> bool:
    """Tell whether there is no float too large to be one, and no null among the turns of a conversation."""
    return all(
        series.is_finite().all() if series.dtype == pl.Float64 else not null_turns(series).any()
        for series in frame
        if series.dtype in (pl.Float64, MESSAGES)
    )


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
        record = json.loads(
            line.decode(), parse_constant=_refuse, parse_int=_Number, parse_float=_Number, object_pairs_hook=_mark_twice
        )
        if line.count(b"[") + line.count(b"{") > DEEPEST and _depth(record) > DEEPEST:
            raise RecursionError
        return _take(record, columns)
    except UnicodeDecodeError as problem:
        return [("encoding:utf-8", f"byte {line[problem.start]:#04x} at position {problem.start} is not UTF-8")]
    except json.JSONDecodeError as problem:
        return [("json:syntax", f"{problem.msg} at column {problem.colno}")]
    except ValueError as problem:
        return [("json:syntax", str(problem))]
    except RecursionError:  # the native reader has no limit of depth
        frame = _parse_natively([line], columns)
        return [("json:syntax", "nested too deeply")] if frame is None else frame.row(0, named=True)


def _take(record: Any, columns: Mapping[str, Column]) -> dict[str, Any] | list[tuple[str, str]]:
    if not isinstance(record, dict):
        return [("json:not_an_object", f"found {_kind(record)}, expected an object")]
    values = {name: _fit(record.get(name), column) for name, column in columns.items()}
    unfit = [name for name, value in values.items() if value is _UNFIT]
    return [misfit(0, name, record[name], columns[name])[1:] for name in unfit] or values


def _kind(value: Any) -> str:
    names = {list: "an array", str: "text", bool: "a boolean", _Number: "a number"}
    return names.get(type(value), "null")


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


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


def _mark_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        count = Counter(name for name, _ in pairs)
        record |= {name: _Twice() for name in record if count[name] > 1}
    return record


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        level = [inner for outer in level for inner in _inside(outer)]
        depth += 1
    return depth


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _fit(value: Any, column: Column) -> Any:
    """Return `value` as the column takes it, or `_UNFIT`."""
    if value is None:
        return None
    if column.dtype == "str":
        return _fit_text(_as_written(value) if column.coerce else value)
    if column.dtype == "messages":
        return _fit_messages(value)
    if column.dtype == "bool":
        return value if isinstance(value, bool) else _UNFIT
    return _fit_number(value, column.dtype) if isinstance(value, _Number) else _UNFIT


def _as_written(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, _Number) else value


def _fit_number(text: str, dtype: str) -> Any:
    if dtype == "float":
        number = float(text)
        return number if math.isfinite(number) else _UNFIT
    if len(text) > 20 or not text.removeprefix("-").isdigit():
        return _UNFIT
    return int(text) if -(2**63) <= int(text) < 2**63 else _UNFIT


def _fit_text(value: Any) -> Any:
    return value if type(value) is str and not _LONE_SURROGATE.search(value) else _UNFIT


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _fit_messages(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return _UNFIT
    turns = [{name: turn.get(name) for name in ("role", "content")} for turn in value]
    fit = all(said is None or _fit_text(said) is not _UNFIT for turn in turns for said in turn.values())
    return turns if fit else _UNFIT
