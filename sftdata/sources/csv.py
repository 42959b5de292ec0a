"""Read comma- and tab-separated files in native code, losing no record.

`csv_windows` cuts a file into slices, in which `csv_scan` finds the records and `csv_judge` says which are broken. The
others are valid CSV, whose cells `csv_cells` finds.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.column import Column
from sftdata.sources.csv_cells import parse_cells
from sftdata.sources.csv_windows import Window
from sftdata.sources.csv_windows import read as read
from sftdata.sources.parsing import Fault, MissingColumns, Parsed, cast_text, decodes, drop_faulty, require_columns


def parse(window: Window, columns: Mapping[str, Column], source: str) -> Parsed:
    """Turn records into columns; an empty cell is null.

    Raises:
        MissingColumns: when the header lacks columns that the schema requires, or has one of the schema's twice.
    """
    _require(window.header, columns, source)
    faults = [Fault(position, *broken) for position, broken in window.records.broken.items()]
    faults += _find_bad_bytes(window)
    whole = np.ones(len(window), np.bool_)
    whole[[fault.position for fault in faults]] = False
    positions = np.flatnonzero(whole)
    table, ragged = parse_cells(window, positions, columns)
    if ragged:
        width = len(window.header)
        faults += [
            Fault(int(positions[row]), "csv:field_count", f"found {count} fields, expected {width}")
            for row, count in ragged
        ]
        positions = np.delete(positions, [row for row, _ in ragged])
    frame, misfits = cast_text(table, columns)
    faults += [fault._replace(position=int(positions[fault.position])) for fault in misfits]
    if not faults:
        return Parsed(frame, range(len(window)), [])
    return drop_faulty(frame, positions.tolist(), faults)


def original(window: Window, position: int) -> Any:
    """Return a record as a mapping of column to text.

    As a list where it does not fit the header or the header has a name twice, as its text where that is not CSV.
    """
    if position in window.records.broken:
        return window.text(position)
    record = _split(window, position)
    fits = len(record) == len(set(window.header)) == len(window.header)
    return dict(zip(window.header, record, strict=True)) if fits else record


def line(window: Window, position: int) -> int:
    """Return the line of the file in which a record begins."""
    return window.line + int(window.records.lines[position])


def _require(header: tuple[str, ...], columns: Mapping[str, Column], source: str) -> None:
    try:
        require_columns(list(header), columns, source)
    except MissingColumns as missing:
        hint = f"If the file has no header, give the names of its columns: header: [{', '.join(columns)}]"
        raise MissingColumns(f"{missing} {hint}") from None


def _find_bad_bytes(window: Window) -> list[Fault]:
    """Find valid records that hold a NUL or bytes that do not decode, or begin with a byte order mark."""
    faults = [_describe(window, p, "csv:nul_byte", "a NUL byte", _has_nul) for p in _find_nuls(window)]
    if window.data.isascii():
        return faults
    undecoded, name = f"bytes that are not {window.dialect.encoding}", f"encoding:{window.dialect.encoding}"
    faults += [_describe(window, p, name, undecoded, _has_escapes) for p in _find_undecodable(window)]
    buffer, starts = np.frombuffer(window.data, np.uint8), window.records.starts
    marks = [buffer[np.minimum(starts + place, len(buffer) - 1)] == byte for place, byte in enumerate(_MARK)]
    joined = "a byte order mark stands before the record, as where files were joined; take it out"
    return faults + [Fault(p, "encoding:bom", joined) for p in _sound(window, np.logical_and.reduce(marks))]


def _find_nuls(window: Window) -> list[int]:
    if b"\0" not in window.data:
        return []
    nuls = np.flatnonzero(np.frombuffer(window.data, np.uint8) == 0)
    hit = np.searchsorted(nuls, window.records.ends) > np.searchsorted(nuls, window.records.starts)
    return _sound(window, hit)


def _find_undecodable(window: Window) -> list[int]:
    if _all_decode(window.data):
        return []
    pieces = zip(window.records.starts.tolist(), window.records.ends.tolist(), strict=True)
    return _sound(window, np.array([not decodes(window.data[start:end]) for start, end in pieces]))


def _sound(window: Window, hit: NDArray[np.bool_]) -> list[int]:
    """Return the positions of what is hit and has no other fault."""
    return [position for position in np.flatnonzero(hit).tolist() if position not in window.records.broken]


_MARK = "\ufeff".encode()


def _all_decode(data: bytearray) -> bool:
    """Tell the same of much data: ten times faster, and other threads can work meanwhile."""
    import pyarrow as pa

    offsets = pa.py_buffer(np.array([0, len(data)]))
    whole = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        return len(pl.Series(whole).cast(pl.String)) == 1
    except pl.exceptions.ComputeError:
        return False


def _has_nul(field: str) -> bool:
    return "\0" in field


def _has_escapes(field: str) -> bool:
    return not field.isascii() and any("\udc80" <= sign <= "\udcff" for sign in field)


def _describe(window: Window, position: int, reason: str, what: str, shows: Callable[[str], bool]) -> Fault:
    names = [*window.header]
    record = _split(window, position)
    names += [f"field {number}" for number in range(len(names) + 1, len(record) + 1)]
    where = ", ".join(name for name, field in zip(names, record, strict=False) if shows(field))
    return Fault(position, reason, f"{what} in {where}")


def _split(window: Window, position: int) -> list[str]:
    return next(window.dialect.read([window.text(position)]))
