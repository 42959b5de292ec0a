"""Find the cells of valid CSV records with Arrow's reader, which takes all that the standard library's does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv

from sftdata.sources.csv_cells import Cells, Places, Ragged
from sftdata.sources.csv_records import Records
from sftdata.sources.csv_windows import Window


def read_cells(window: Window, positions: Sequence[int], places: Places) -> Cells:
    """Parse valid records as `csv_cells.parse_cells` does."""
    text = _join(window, positions)
    names = [str(place) for place in places.values()] or ["0"]
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
    return {name: pl.Series(name, table[str(place)]) for name, place in places.items()}, ragged


def _join(window: Window, positions: Sequence[int]) -> bytes | bytearray:
    """Return the bytes of some records, one after the other."""
    starts, ends = (np.asarray(places)[positions] for places in (window.records.starts, window.records.ends))
    gaps = np.flatnonzero(starts[1:] != ends[:-1])
    firsts, lasts = starts[np.append(0, gaps + 1)].tolist(), ends[np.append(gaps, len(ends) - 1)].tolist()
    if (firsts, lasts) == ([0], [len(window.data)]):
        return window.data
    return b"".join(window.data[first:last] for first, last in zip(firsts, lasts, strict=True))


def _may_hold_breaks(text: bytes | bytearray, records: Records) -> bool:
    """Tell whether Arrow may take a line break in a cell for the end of the last record."""
    return records.breaks > len(records.lines) or not text.endswith((b"\n", b"\r"))
