"""What the task modules hand on: drafts of examples, and the rows of which there will be none."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.records import no_rejections, reject
from sftdata.stages.tokenization.flat import Flags, Ints

STAGE = "tokenize"


@dataclass(frozen=True)
class Drafts:
    """Examples of a chunk; those of rejected rows are among them still.

    Attributes:
        rows: position in the chunk of the row that each example comes from; rising, and repeated where a row was split
            into several examples; shape `[examples]`.
        ids: the `input_ids` of all examples end to end, int32, shape `[tokens]`.
        lengths: how many each example has, shape `[examples]`.
        labels: in the Arrow type of the task, length `examples`.
        truncated: which examples were cut, shape `[examples]`.
        extra: the columns of `Tokenization.extra_fields`, in their order.
    """

    rows: Ints
    ids: NDArray[np.int32]
    lengths: Ints
    labels: pa.Array
    truncated: Flags
    extra: tuple[pa.Array, ...] = ()


class Drop:
    """Collects the rows of a chunk that are rejected, each for the first reason that was found."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows
        self._why: dict[int, tuple[str, str]] = {}

    def add(self, positions: Ints, reason: str, detail: str) -> None:
        """Reject the rows at these positions, where they are not rejected already."""
        for position in positions.tolist():
            self._why.setdefault(position, (reason, detail))

    def kept(self) -> Flags:
        """Tell which rows are not rejected, shape `[rows]`."""
        keep = np.ones(len(self._rows), dtype=np.bool_)
        keep[list(self._why)] = False
        return keep

    def rejected(self) -> pl.DataFrame:
        """Return the rejected rows, as `records.REJECTED`."""
        if not self._why:
            return no_rejections()
        positions = sorted(self._why)
        why = [self._why[position] for position in positions]
        return reject(self._rows[positions], STAGE, [[reason] for reason, _ in why], [detail for _, detail in why])
