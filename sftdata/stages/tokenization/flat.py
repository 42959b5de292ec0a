"""Arithmetic on rows of tokens laid end to end: `values` of shape `[tokens]` and `lengths` of shape `[rows]`."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_arrow
from sftdata.tokenizers.backends import Encoded

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def positions_in_rows(lengths: Ints) -> Ints:
    """Return the position of each token in its row, shape `[tokens]`."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def count_in_rows(flags: Flags, lengths: Ints) -> Ints:
    """Count the flagged tokens of each row, shape `[rows]`."""
    counts = np.zeros(len(lengths), dtype=np.int64)
    filled = np.flatnonzero(lengths)
    if len(filled):
        starts = (np.cumsum(lengths) - lengths)[filled]
        counts[filled] = np.add.reduceat(flags, starts, dtype=np.int64)
    return counts


def wrap(ids: NDArray[np.int32], lengths: Ints, before: list[int], after: list[int]) -> Encoded:
    """Put the same ids before and after each row."""
    wrapped = lengths + len(before) + len(after)
    out = np.empty(int(wrapped.sum()), dtype=np.int32)
    place = positions_in_rows(wrapped)
    from_end = np.repeat(wrapped, wrapped) - place
    inner = (place >= len(before)) & (from_end > len(after))
    out[inner] = ids
    for position, special in enumerate(before):
        out[place == position] = special
    for position, special in enumerate(reversed(after), start=1):
        out[from_end == position] = special
    return out, wrapped


def take_rows(values: NDArray[Any], lengths: Ints, rows: Ints) -> tuple[NDArray[Any], Ints]:
    """Return the rows at these positions, which may come again."""
    starts, taken = (np.cumsum(lengths) - lengths)[rows], lengths[rows]
    return values[np.repeat(starts, taken) + positions_in_rows(taken)], taken


def as_lists(values: NDArray[Any], lengths: Ints) -> pa.ListArray:
    """Return rows as an Arrow list array of the dtype of `values`."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(to_arrow(offsets, pa.int32()), to_arrow(values))
