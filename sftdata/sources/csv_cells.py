"""Find the cells of valid records.

polars' reader is the fastest, and where records are plain it finds what the standard library's does. Arrow's reader
takes all that is valid as that does, and counts the fields of each record.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.column import Column
from sftdata.errors import LedgerError
from sftdata.sources.csv_scan import Records
from sftdata.sources.csv_windows import Window

Ragged = list[tuple[int, int]]
"""Of records with more or fewer fields than the header: the number among those parsed, and of their fields."""


def parse_cells(
    window: Window, positions: NDArray[np.int64], columns: Mapping[str, Column]
) -> tuple[pl.DataFrame, Ragged]:
    """Parse the records at `positions`, which are valid.

    Returns:
        A text column for each of `columns`, null where a cell is empty or there is no such column, without those
        records that have more or fewer fields than the header; and what these are.

    Raises:
        LedgerError: when a record is lost.
    """
    places = {name: window.header.index(name) for name in columns if name in window.header}
    text = _join(window, positions)
    if not text:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String())), []
    wanted = sorted(places.values())
    plain = _read_plain(text, window, positions, wanted)
    frame, ragged = _read(text, window, wanted) if plain is None else (plain, [])
    if len(frame) + len(ragged) != len(positions):
        raise LedgerError(f"{len(positions)} records were found, and {len(frame)} + {len(ragged)} were parsed")
    cells = {name: frame[str(places[name])] if name in places else _nothing(len(frame)) for name in columns}
    return pl.DataFrame(cells), ragged


def _nothing(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)


def _join(window: Window, positions: NDArray[np.int64]) -> bytes | bytearray:
    """Return the bytes of some records, one after the other."""
    if not len(positions):
        return b""
    starts, ends = window.records.starts[positions], window.records.ends[positions]
    gaps = np.flatnonzero(starts[1:] != ends[:-1])
    firsts, lasts = starts[np.append(0, gaps + 1)].tolist(), ends[np.append(gaps, len(ends) - 1)].tolist()
    if (firsts, lasts) == ([0], [len(window.data)]):
        return window.data
    return b"".join(window.data[first:last] for first, last in zip(firsts, lasts, strict=True))


def _read_plain(
    text: bytes | bytearray, window: Window, positions: NDArray[np.int64], places: list[int]
) -> pl.DataFrame | None:
    """Read records whose quotes are all where they belong, one a line, and none of which ends with an empty field.

    polars says where a record has too many fields. Where one has too few it fills up with nulls, so the last field is
    read too, which must not be null. Anything else that it takes otherwise gives another number of records.

    Returns:
        None where records are not so, or one of them has more or fewer fields than the header.
    """
    last = len(window.header) - 1
    if not last or not _are_plain(text, window, positions):
        return None
    try:
        frame = pl.read_csv(
            bytes(text),
            columns=sorted({*places, last}),
            has_header=False,
            schema={str(place): pl.String() for place in range(len(window.header))},
            separator=window.dialect.delimiter,
            quote_char='"' if window.dialect.quoting else None,
        )
    except pl.exceptions.PolarsError:
        return None
    if len(frame) != len(positions) or frame[str(last)].null_count():
        return None
    empty = [name for name in frame.columns if (frame[name] == "").any()]  # in quotes, which makes no difference
    return frame.with_columns(pl.when(pl.col(empty) != "").then(pl.col(empty))) if empty else frame


def _are_plain(text: bytes | bytearray, window: Window, positions: NDArray[np.int64]) -> bool:
    """Tell whether polars reads the records as they are meant; it passes over carriage returns."""
    records = window.records
    if not records.regular or len(records.lines) < records.breaks or b"\r" in text or not text.endswith(b"\n"):
        return False
    before = np.frombuffer(window.data, np.uint8)[records.ends[positions] - 2]
    return not (before == ord(window.dialect.delimiter)).any()


def _may_hold_breaks(text: bytes | bytearray, records: Records) -> bool:
    """Tell whether Arrow may take a line break in a cell for the end of the last record."""
    return records.breaks > len(records.lines) or not text.endswith((b"\n", b"\r"))


def _read(text: bytes | bytearray, window: Window, places: list[int]) -> tuple[pl.DataFrame, Ragged]:
    import pyarrow as pa
    import pyarrow.csv

    names = [str(place) for place in places or [0]]
    ragged: Ragged = []

    def leave_out(row: Any) -> str:
        ragged.append((row.number - 1, row.actual_columns))
        return "skip"

    table = pa.csv.read_csv(
        pa.BufferReader(text),
        pa.csv.ReadOptions(
            use_threads=False,
            block_size=len(text) + 1,
            column_names=[str(place) for place in range(len(window.header))],
        ),
        pa.csv.ParseOptions(
            delimiter=window.dialect.delimiter,
            quote_char='"' if window.dialect.quoting else False,
            newlines_in_values=_may_hold_breaks(text, window.records),  # which makes Arrow look at all bytes twice
            invalid_row_handler=leave_out,
        ),
        pa.csv.ConvertOptions(
            check_utf8=False,  # checked before, all at once
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    return pl.DataFrame(table), ragged
