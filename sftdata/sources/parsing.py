"""What parsing a slice of a source gives, and how text becomes the dtype that a column wants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.sources import native
from sftdata.sources.turns import Misfit, show
from sftdata.sources.values import IN_JSON, WANTED, make_series, parse_cell, split_column

CHUNK_ROWS = 50_000
"""Most records of one slice."""
CHUNK_BYTES = 32 * 2**20
"""Bytes after which a slice ends, so that long rows do not make large slices."""
MAX_RECORD = 32 * 2**20
"""Most bytes of one record: a quote or a line that never ends must not take in the whole file."""


class Fault(NamedTuple):
    """Why the record at `position` of a slice cannot be used."""

    position: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Parsed:
    """The columns of a slice.

    Attributes:
        frame: one column for each of the schema's, for the records without faults, in order.
        positions: for each row of `frame` its position in the slice.
        faults: the other records; a record may have several.
    """

    frame: pl.DataFrame
    positions: Sequence[int]
    faults: list[Fault]


def decodes(content: bytes | bytearray) -> bool:
    """Tell whether bytes are UTF-8."""
    if native.scan is not None:  # which lets other threads work meanwhile
        return bool(native.scan.is_utf8(content))
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def require_columns(found: list[str], columns: Mapping[str, Column], source: str) -> None:
    """Refuse a file whose header lacks columns that the schema requires, or has one of the schema's twice.

    Raises:
        SourceError: naming all that are missing, and those that are there.
    """
    twice = [name for name in columns if found.count(name) > 1]
    if twice:
        raise MissingColumns(
            f"{source}: more than one column is called {', '.join(map(repr, twice))}; found "
            f"{_list(found)}. Leave one, or give it another name."
        )
    missing = [name for name, column in columns.items() if column.required and name not in found]
    if missing:
        raise MissingColumns(
            f"{source}: missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}; "
            f"found {_list(found)}. Rename the columns, or name yours in a schema of your own."
        )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - 30:,} more" if len(names) > 30 else ""
    return ", ".join(repr(name[:80]) for name in names[:30]) + more


class MissingColumns(SourceError):  # noqa: N818
    """A file lacks columns that its schema requires, or has them twice: the data was refused."""

    exit_code = 1


def cast_text(frame: pl.DataFrame, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, list[Fault]]:
    """Cast columns to the dtypes that the schema gives; report each value that does not fit, by row of `frame`.

    Faulty rows stay in the frame, with null in the place of the value.
    """
    faults: list[Fault] = []
    series = {before.name: before for before in frame}
    for name, column in columns.items():
        before = series[name]
        if before.dtype == column.polars_dtype and column.dtype != "json":
            continue
        series[name] = after = cast_column(before, column)
        if after.null_count() > before.null_count():
            lost = (before.is_not_null() & after.is_null()).arg_true()
            faults += [misfit(row, name, before[row], column) for row in lost]
    return pl.DataFrame(list(series.values())), faults


def misfit(row: int, name: str, value: Any, column: Column) -> Fault:
    """Say that the value in `row` is not what the column takes."""
    value = value.to_list() if isinstance(value, pl.Series) else value
    detail = f"found {show(value)}, expected {WANTED[column.dtype]}"
    if isinstance(value, str) and column.dtype in IN_JSON:
        try:
            parse_cell(value, column)
        except Misfit as problem:
            detail = str(problem)
    return Fault(row, f"{name}:dtype", f"{name}: {detail}")


def cast_column(series: pl.Series, column: Column) -> pl.Series:
    """Cast one column; null where a value does not fit."""
    dtype = column.polars_dtype
    if column.dtype in IN_JSON and series.dtype == pl.String:
        return _parse_cells(series, column)
    if dtype == pl.Boolean and series.dtype == pl.String:
        words = {"true": True, "false": False, "1": True, "0": False}
        return series.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean).alias(series.name)
    if not _can_cast(series.dtype, column):
        return pl.Series(series.name, [None] * len(series), dtype=dtype)
    after = series.cast(dtype, strict=False)
    if dtype == pl.Float64 and series.dtype.is_integer():  # a float does not hold every large integer
        return after.set(after.cast(series.dtype, strict=False) != series, None)
    return after


def _parse_cells(series: pl.Series, column: Column) -> pl.Series:
    if column.separator:
        return split_column(series, column.separator)
    return make_series([_parse_cell(text, column) for text in series], column).alias(series.name)


def _parse_cell(text: str | None, column: Column) -> Any:
    try:
        return None if text is None else parse_cell(text, column)
    except Misfit:
        return None


def _can_cast(found: pl.DataType, column: Column) -> bool:
    """Tell whether values of the dtype `found` mean the same in the column's dtype."""
    if found in (pl.String, pl.Null):
        return column.dtype != "messages" or found == pl.Null
    if column.dtype == "str":
        return found in (pl.Categorical, pl.Enum) or (column.coerce and (found.is_numeric() or found == pl.Boolean))
    return (column.dtype == "int" and found.is_integer()) or (column.dtype == "float" and found.is_numeric())


def drop_faulty(frame: pl.DataFrame, positions: Sequence[int], faults: list[Fault]) -> Parsed:
    """Leave out of `frame` the records that have a fault; faults go by position in the slice."""
    bad = {fault.position for fault in faults}
    if not bad:
        return Parsed(frame, positions, faults)
    keep = [row for row, position in enumerate(positions) if position not in bad]
    return Parsed(frame[keep], [positions[row] for row in keep], faults)
