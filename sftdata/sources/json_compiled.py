"""Parse JSON records with compiled code, which answers for nearly all that are good, and for no other."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.column import Column
from sftdata.sources import native
from sftdata.sources.json_block import Block
from sftdata.sources.turns import TOOL_CALLS

_KINDS = {"str": b"s", "int": b"i", "float": b"f", "bool": b"b", "list[str]": b"l", "messages": b"m"}

_LONGEST = 12
"""Bytes of a name for a role that fits where another stood."""


def parse_compiled(block: Block, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, NDArray[np.bool_]] | None:
    """Parse the records of which compiled code knows for certain what `json_records` would say.

    Returns:
        The schema's columns, a row for each of these records, and which records are left. None where nothing was
        compiled, or it does not know how to fill a column.
    """
    if native.scan is None or block.full_size or not columns:
        return None
    if not all("\0" not in name and _is_known(column) for name, column in columns.items()):
        return None
    odd = np.empty(len(block), dtype=bool)
    kinds = b"".join(
        b"c" if column.dtype == "str" and column.coerce else _KINDS[column.dtype] for column in columns.values()
    )
    turns = [_name_turns(column) if column.dtype == "messages" else None for column in columns.values()]
    found = native.scan.parse_json(block.content, block.starts, block.ends, odd, list(columns), kinds, turns)
    if found is None:
        return None
    series = (pl.Series(native.Exported(capsules)) for capsules in found)
    return pl.DataFrame(dict(zip(columns, series, strict=True))), odd


def _is_known(column: Column) -> bool:
    if column.dtype == "messages":
        reserved = {column.keys.role, column.keys.content, "weight", "train"}
        return len(reserved) == 4 and all(len(ours.encode()) <= _LONGEST for ours in column.roles.values())
    return column.dtype in _KINDS and not column.separator


def _name_turns(column: Column) -> tuple[str | None, ...]:
    """Say what turns call their parts and their roles; one that calls tools is left to `turns`."""
    roles = [name for pair in column.roles.items() for name in pair]
    return (
        column.keys.role,
        column.keys.content,
        *(None if place % 2 and name == TOOL_CALLS else name for place, name in enumerate(roles)),
    )
