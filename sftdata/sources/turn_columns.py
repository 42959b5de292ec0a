"""Turn conversations as their sources have them into turns of ours, a column at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.arrays import to_arrow
from sftdata.column import Column
from sftdata.records import LEAST_WEIGHT, MESSAGES, MOST_WEIGHT
from sftdata.sources.turns import TOOL_CALLS, Turn

_PARTS = {"role": pl.String(), "content": pl.String(), "weight": pl.Float64(), "details": pl.String()}


def make_turns(conversations: Sequence[list[Turn] | None]) -> pl.Series:
    """Return conversations as a column, dtype `records.MESSAGES`; polars would look at every turn anew."""
    turns = [turn for turns in conversations for turn in turns or ()]
    parts = {part: pl.Series([turn[part] for turn in turns], dtype=kind).to_arrow() for part, kind in _PARTS.items()}
    offsets = np.cumsum([0, *(len(turns or ()) for turns in conversations)])
    missing = pl.Series([turns is None for turns in conversations], dtype=pl.Boolean)
    return _join_turns(parts, offsets, missing.to_arrow())


def widen_turns(found: pa.Array | pa.ChunkedArray, column: Column) -> tuple[pl.Series, NDArray[np.bool_]]:
    """Bring a column of plain conversations into turns of ours.

    Args:
        found: lists of structs whose fields are texts under the names of `column.keys` and, where there are any,
            numbers in `weight` and booleans in `train`; no other field.
        column: says what the turns call their parts and their roles.

    Returns:
        The conversations, dtype `records.MESSAGES`, and for each whether only `fit_turns` can judge it, shape `[rows]`.
    """
    lists = pa.chunked_array(found.chunks, found.type).combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    turns, offsets = lists.flatten(), list_offsets(lists)
    fields = dict(zip(turns.type.names, turns.flatten(), strict=True))
    weight = fields.get("weight", pa.nulls(len(turns))).cast(pa.float64())
    train = fields.get("train", pa.nulls(len(turns))).cast(pa.bool_())
    role = fields[column.keys.role].cast(pa.large_string())
    odd = [turns.is_null(), pc.and_(weight.is_valid(), train.is_valid()), _is_no_weight(weight)]
    odd += [pc.is_in(role, _as_texts(_call_roles(column)))]
    parts = {
        "role": pl.Series(role).replace(column.roles).to_arrow() if column.roles else role,
        "content": fields[column.keys.content].cast(pa.large_string()),
        "weight": pc.coalesce(weight, train.cast(pa.float64())),
        "details": pa.nulls(len(turns), pa.large_string()),
    }
    strange = np.logical_or.reduce([pl.Series(mask).fill_null(False).to_numpy() for mask in odd])
    return _join_turns(parts, offsets, lists.is_null()), sum_of_lists(strange, offsets) > 0


def _is_no_weight(weight: pa.Array) -> pl.Series:
    numbers = pl.Series(weight, dtype=pl.Float64)
    return ~((numbers == 0) | numbers.is_between(LEAST_WEIGHT, MOST_WEIGHT))


def _join_turns(parts: dict[str, pa.Array], offsets: NDArray[np.int64], is_null: pa.Array) -> pl.Series:
    turns = pa.StructArray.from_arrays(list(parts.values()), list(parts))
    return pl.Series(pa.LargeListArray.from_arrays(to_arrow(offsets), turns, mask=is_null), dtype=MESSAGES)


def _as_texts(texts: list[str]) -> pa.Array:
    return pl.Series(texts, dtype=pl.String).to_arrow()


def list_offsets(lists: pa.Array) -> NDArray[np.int64]:
    """Return where each of `lists` begins among its flattened entries, and where the last ends; shape `[rows + 1]`."""
    lengths = pl.Series(pc.list_value_length(lists)).fill_null(0).to_numpy()
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def sum_of_lists(entries: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add up the entries of each list; `entries` are flattened, and `offsets` as `list_offsets` gives them."""
    total: NDArray[np.int64] = np.concatenate([[0], np.cumsum(entries, dtype=np.int64)])
    sums: NDArray[np.int64] = total[offsets[1:]] - total[offsets[:-1]]
    return sums


def _call_roles(column: Column) -> list[str]:
    return [theirs for theirs, ours in column.roles.items() if ours == TOOL_CALLS]
