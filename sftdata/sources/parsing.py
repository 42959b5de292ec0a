"""What parsing a slice of a source gives, and how text becomes the dtype that a column wants."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import polars as pl

from sftdata.errors import SourceError
from sftdata.records import MESSAGES
from sftdata.schema import Column

CHUNK_ROWS = 50_000
"""Most records of one slice."""
CHUNK_BYTES = 32 * 2**20
"""Bytes after which a slice ends, so that long rows do not make large slices."""


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
    positions: list[int]
    faults: list[Fault]


def open_binary(path: Path) -> BinaryIO:
    """Open a file for reading, unpacking gzip by its name."""
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def require_columns(found: list[str], columns: Mapping[str, Column], source: str) -> None:
    """Refuse a file whose header lacks columns that the schema requires.

    Raises:
        SourceError: naming all that are missing, and those that are there.
    """
    missing = [name for name, column in columns.items() if column.required and name not in found]
    if missing:
        raise MissingColumns(
            f"{source}: missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}; "
            f"found {', '.join(map(repr, found))}. Rename the columns, or name yours in a schema of your own."
        )


class MissingColumns(SourceError):  # noqa: N818
    """A file lacks columns that its schema requires: the data was refused."""

    exit_code = 1


def cast_text(frame: pl.DataFrame, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, list[Fault]]:
    """Cast columns to the dtypes that the schema gives; report each value that does not fit, by row of `frame`.

    Faulty rows stay in the frame, with null in the place of the value.
    """
    faults: list[Fault] = []
    for name, dtype in {name: column.polars_dtype for name, column in columns.items()}.items():
        before = frame[name]
        if before.dtype == dtype:
            continue
        after = cast_column(before, dtype)
        lost = (before.is_not_null() & after.is_null()).arg_true()
        faults += [
            Fault(row, f"{name}:dtype", f"{name}: found {before[row]!r}, expected {columns[name].dtype}")
            for row in lost
        ]
        frame = frame.with_columns(after)
    return frame, faults


def cast_column(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Cast one column; null where a value does not fit."""
    if dtype == pl.Boolean and series.dtype == pl.String:
        words = {"true": True, "false": False, "1": True, "0": False}
        return series.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean).alias(series.name)
    if dtype == MESSAGES and series.dtype != MESSAGES:
        return pl.Series(series.name, [None] * len(series), dtype=MESSAGES)
    return series.cast(dtype, strict=False)


def drop_faulty(frame: pl.DataFrame, positions: list[int], faults: list[Fault]) -> Parsed:
    """Leave out of `frame` the records that have a fault; faults go by position in the slice."""
    bad = {fault.position for fault in faults}
    if not bad:
        return Parsed(frame, positions, faults)
    keep = [row for row, position in enumerate(positions) if position not in bad]
    return Parsed(frame[keep], [positions[row] for row in keep], faults)
