"""Find the cells of valid records: in compiled code, or where there is none with Arrow's reader."""

from array import array
from collections.abc import Mapping, Sequence

import polars as pl

from sftdata.column import Column
from sftdata.errors import LedgerError
from sftdata.sources import native
from sftdata.sources.csv_windows import Window

Places = Mapping[str, int]
"""The number of the field that each column is made of."""

Ragged = list[tuple[int, int]]
"""Of records with more or fewer fields than the header: the number among those parsed, and of their fields."""

Cells = tuple[dict[str, pl.Series], Ragged]
"""A column of text for each of the places, null where a cell is empty, and what is not in it."""


def parse_cells(window: Window, positions: Sequence[int], columns: Mapping[str, Column]) -> tuple[pl.DataFrame, Ragged]:
    """Parse the records at `positions`, which are valid and rise.

    Returns:
        A text column for each of `columns`, null where a cell is empty or there is no such column, without those
        records that have more or fewer fields than the header; and what these are.

    Raises:
        LedgerError: when a record is lost.
    """
    places = {name: window.header.index(name) for name in columns if name in window.header}
    if not len(positions):
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String())), []
    cells, ragged = _parse_compiled(window, positions, places) or _read_otherwise(window, positions, places)
    rows = len(positions) - len(ragged)
    if {len(series) for series in cells.values()} - {rows}:
        raise LedgerError(f"{rows} records were found, and {', '.join(str(len(one)) for one in cells.values())} parsed")
    return pl.DataFrame({name: cells[name] if name in cells else _nothing(rows) for name in columns}), ragged


def _nothing(rows: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)


def _parse_compiled(window: Window, positions: Sequence[int], places: Places) -> Cells | None:
    """Parse records; None where there is no compiled code, or it does not take them."""
    if native.scan is None:
        return None
    starts, ends = window.records.starts, window.records.ends
    if len(positions) < len(window):
        starts, ends = (array("q", [place[position] for position in positions]) for place in (starts, ends))
    found = native.scan.parse_cells(
        window.data,
        starts,
        ends,
        ord(window.dialect.delimiter),
        window.dialect.quoting,
        len(window.header),
        list(places.values()),
    )
    if found is None:
        return None
    series = (pl.Series(native.Exported(capsules)) for capsules in found[0])
    return dict(zip(places, series, strict=True)), found[1]


def _read_otherwise(window: Window, positions: Sequence[int], places: Places) -> Cells:
    from sftdata.sources.csv_arrow import read_cells

    return read_cells(window, positions, places)
