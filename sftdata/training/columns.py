"""Columns of a shard, row by row, as numpy views into its memory-mapped buffers."""

from bisect import bisect_right
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_numpy

Values = NDArray[Any]


class TokenLists:
    """A list column, each row a view: no copy and no Python object a token.

    Right for sliced and chunked columns: `values` ignores a slice, and `offsets` are positions in it.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._chunks = [(to_numpy(chunk.offsets), to_numpy(chunk.values)) for chunk in column.chunks]
        self._ends = np.cumsum([len(chunk) for chunk in column.chunks], dtype=np.int64).tolist()

    def __getitem__(self, row: int) -> Values:
        chunk = bisect_right(self._ends, row)
        offsets, values = self._chunks[chunk]
        place = row - (self._ends[chunk - 1] if chunk else 0)
        view: Values = values[offsets[place] : offsets[place + 1]]
        return view


def open_column(column: pa.ChunkedArray) -> TokenLists | Values:
    """Return a list column row by row, or the values of another, shape `[rows]`."""
    if pa.types.is_list(column.type):
        return TokenLists(column)
    return to_numpy(column)
