"""Columns of a shard, row by row, as numpy views into its memory-mapped buffers."""

from bisect import bisect_right
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ShardColumns:
    """The columns of a shard that training reads.

    Attributes:
        ids: the tokens.
        labels: a list, or one value a row.
        types: which text each token belongs to, for pairs of texts.
        weight: what multiplies the loss of a row, float32, shape `[rows]`; None where all count alike.
        weights: the same of each label; both multiply where there are both.
        sources: the number of the source of each row, shape `[rows]`; None where nobody asks.
    """

    ids: TokenLists
    labels: TokenLists | Values
    types: TokenLists | None = None
    weight: Values | None = None
    weights: TokenLists | None = None
    sources: Values | None = None

    @property
    def is_weighed(self) -> bool:
        """Whether some rows or labels may count more than others."""
        return self.weight is not None or self.weights is not None

    def weigh(self, row: int, labels: int) -> Values:
        """Return what multiplies the loss of each label of a row: float32, shape `[labels]`."""
        weight = np.float32(1) if self.weight is None else self.weight[row]
        return np.broadcast_to(weight, labels) if self.weights is None else self.weights[row] * weight

    def trace(self, row: int, labels: int) -> Values:
        """Return the source of each label of a row, shape `[labels]`."""
        return np.broadcast_to(-1 if self.sources is None else self.sources[row], labels)


def open_columns(table: pa.Table, sources: Values | None = None) -> ShardColumns:
    """Open a shard; `sources` has the number of each row's source."""
    names = table.column_names
    return ShardColumns(
        ids=TokenLists(table["input_ids"]),
        labels=open_column(table["labels"]),
        types=TokenLists(table["token_type_ids"]) if "token_type_ids" in names else None,
        weight=to_numpy(table["weight"]) if "weight" in names else None,
        weights=TokenLists(table["weights"]) if "weights" in names else None,
        sources=sources,
    )
