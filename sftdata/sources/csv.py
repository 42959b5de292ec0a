"""Read comma- and tab-separated files in native code, losing no record.

`csv_windows` cuts a file into slices, in which `csv_records` finds the records and `csv_judge` says which are broken.
The others are valid CSV, whose cells `csv_cells` finds.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

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
    positions: Sequence[int] = range(len(window))
    if faults:
        bad = {fault.position for fault in faults}
        positions = [position for position in positions if position not in bad]
    table, ragged = parse_cells(window, positions, columns)
    if ragged:
        width = len(window.header)
        faults += [
            Fault(positions[row], "csv:field_count", f"found {count} fields, expected {width}") for row, count in ragged
        ]
        astray = {row for row, _ in ragged}
        positions = [position for row, position in enumerate(positions) if row not in astray]
    frame, misfits = cast_text(table, columns)
    faults += [fault._replace(position=positions[fault.position]) for fault in misfits]
    if not faults:
        return Parsed(frame, range(len(window)), [])
    return drop_faulty(frame, positions, faults)


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
    if window.records.plain:
        return []
    nuls = _find(b"\0", window)
    faults = [_describe(window, position, "csv:nul_byte", "a NUL byte", _has_nul) for position, _ in nuls]
    if window.data.isascii():
        return faults
    undecoded, name = f"bytes that are not {window.dialect.encoding}", f"encoding:{window.dialect.encoding}"
    faults += [_describe(window, position, name, undecoded, _has_escapes) for position in _find_undecodable(window)]
    marked = [position for position, at in _find(_MARK, window) if at == window.records.starts[position]]
    joined = "a byte order mark stands before the record, as where files were joined; take it out"
    return faults + [Fault(position, "encoding:bom", joined) for position in marked]


_MARK = "\ufeff".encode()


def _find(sign: bytes, window: Window) -> Iterator[tuple[int, int]]:
    """Yield of each valid record that holds some bytes its position, and where in the data they stand first in it.

    It goes on behind the record, whatever that holds: a damaged file may have nothing but NULs for megabytes.
    """
    starts, ends, at = window.records.starts, window.records.ends, window.data.find(sign)
    while at >= 0:
        following = bisect_right(starts, at)
        position = following - 1
        if following and at < ends[position]:
            if position not in window.records.broken:
                yield position, at
            at = window.data.find(sign, ends[position])
        else:  # between two records
            at = window.data.find(sign, starts[following]) if following < len(starts) else -1


def _find_undecodable(window: Window) -> list[int]:
    if decodes(window.data):
        return []
    pieces = enumerate(zip(window.records.starts, window.records.ends, strict=True))
    wrong = (position for position, (start, end) in pieces if not decodes(window.data[start:end]))
    return [position for position in wrong if position not in window.records.broken]


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
