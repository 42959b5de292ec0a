"""The pieces of many texts in flat arrays, so that words can be changed and all else stays byte for byte.

The pieces of all texts stand in flat arrays: of each piece the text it belongs to and its place in a list of the
distinct pieces. Whatever asks about a piece so asks once a distinct piece, and an edit is arithmetic on indices.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OTHER, SPACE, LATIN, HAN = range(4)
"""Kinds of pieces. Only words are ever changed: LATIN ones, by which all but Chinese are meant, and HAN ones. SPACE is
one plain space."""


@dataclass(frozen=True)
class Pieces:
    """Texts, cut.

    Attributes:
        unit: the text of each piece, ascending, shape `[pieces]`.
        code: the place of each piece in `distinct`, shape `[pieces]`.
        distinct: the distinct pieces, shape `[distinct]`, String.
        kind: OTHER, SPACE, LATIN or HAN, shape `[distinct]`.
        units: how many texts there are; some may have no piece.
        free: whether a piece may be changed, shape `[pieces]`.
        origin: the piece that each was before an edit, shape `[pieces]`; -1 where it was inserted.
        spaced: whether the spaces between words are pieces too; they are not where the pieces are tokens.
    """

    unit: Ints
    code: Ints
    distinct: pl.Series
    kind: NDArray[np.int8]
    units: int
    free: Bools
    origin: Ints
    spaced: bool = True

    def __len__(self) -> int:
        return len(self.unit)

    def texts(self) -> pl.Series:
        """Join the pieces: String, shape `[units]`; a text without pieces is empty."""
        return self.lists().list.join("")

    def lists(self) -> pl.Series:
        """Return the pieces of each text: List(String), shape `[units]`."""
        return self.group(self.distinct.gather(self.code))

    def group(self, values: pl.Series) -> pl.Series:
        """Put one value a piece into one list a text: List, shape `[units]`."""
        offsets = np.searchsorted(self.unit, np.arange(self.units + 1))
        arrow = values.to_arrow(compat_level=pl.CompatLevel.newest())
        return pl.Series(values.name, pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), arrow))

    def take(self, chosen: Bools) -> "Pieces":
        """Keep the texts for which `chosen`, of shape `[units]`, is true."""
        if chosen.all():
            return self
        kept = np.flatnonzero(chosen[self.unit])
        number = np.cumsum(chosen) - 1
        return replace(
            self.pick(kept), unit=number[self.unit[kept]], units=int(chosen.sum()), origin=np.arange(len(kept))
        )

    def pick(self, places: Ints) -> "Pieces":
        """Put the pieces at `places` in this order, in which those of one text still stand together."""
        return replace(
            self, unit=self.unit[places], code=self.code[places], free=self.free[places], origin=self.origin[places]
        )

    def put(self, places: Ints, pieces: pl.Series) -> "Pieces":
        """Replace the pieces at `places`."""
        code = self.code.copy()
        code[places] = len(self.distinct) + np.arange(len(pieces))
        return replace(self._with(pieces), code=code)

    def insert(self, places: Ints, pieces: pl.Series) -> "Pieces":
        """Insert a piece behind each of `places`."""
        at = places + 1
        return replace(
            self._with(pieces),
            unit=np.insert(self.unit, at, self.unit[places]),
            code=np.insert(self.code, at, len(self.distinct) + np.arange(len(pieces))),
            free=np.insert(self.free, at, True),
            origin=np.insert(self.origin, at, -1),
        )

    def _with(self, pieces: pl.Series) -> "Pieces":
        kind = np.concatenate([self.kind, np.full(len(pieces), OTHER, dtype=np.int8)])
        return replace(self, distinct=pl.concat([self.distinct, pieces.alias(self.distinct.name)]), kind=kind)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """Put the ranges that begin at `starts` and are `counts` long one after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)
