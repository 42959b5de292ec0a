"""The pieces of many texts in flat arrays, so that words can be changed and all else stays byte for byte.

The pieces of all texts stand in flat arrays: of each piece the text it belongs to and its place in a list of the
distinct pieces. Whatever asks about a piece so asks once a distinct piece, and an edit is arithmetic on indices.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.text.shingles import to_buffer

Found = TypeVar("Found")
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OTHER, SPACE, LATIN, HAN = range(4)
"""Kinds of pieces. Only words are ever changed: LATIN ones, by which all but Chinese are meant, and HAN ones. SPACE is
one plain space."""


BYTES = "bytes of the texts"
"""What `Pieces.remember` knows the texts by."""


class Replacement(NamedTuple):
    """Other pieces, shape `[changes]`, and the places at which they are to stand, ascending."""

    places: Ints
    pieces: pl.Series


@dataclass(frozen=True)
class Pieces:
    """Texts, cut.

    Attributes:
        offsets: where the pieces of each text begin, then where the last ones end, shape `[units + 1]`; some texts may
            have no piece.
        code: the place of each piece in `distinct`, shape `[pieces]`.
        distinct: the distinct pieces, shape `[distinct]`, String.
        kind: OTHER, SPACE, LATIN or HAN, shape `[distinct]`.
        free: whether a piece may be changed, shape `[pieces]`.
        origin: the piece that each was before an edit, shape `[pieces]`; -1 where it was inserted. None: all stand
            where they stood.
        spaced: whether the spaces between words are pieces too; they are not where the pieces are tokens.
    """

    offsets: Ints
    code: Ints
    distinct: pl.Series
    kind: NDArray[np.int8]
    free: Bools
    origin: Ints | None = None
    spaced: bool = True
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.code)

    @property
    def units(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1

    @cached_property
    def unit(self) -> Ints:
        """The text of each piece, ascending, shape `[pieces]`."""
        return np.repeat(np.arange(self.units, dtype=np.int64), np.diff(self.offsets))

    def remember(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """Return what `find` returns; whoever makes the next copy of the texts has it without looking again."""
        if key not in self._known:
            self._known[key] = find()
        found: Found = self._known[key]
        return found

    def match(self, pattern: str) -> Bools:
        """Tell of each distinct piece whether the regular expression is found in it."""
        return self.remember(pattern, lambda: self.distinct.str.contains(pattern).to_numpy())

    def texts(self) -> pl.Series:
        """Join the pieces: String, shape `[units]`; a text without pieces is empty."""
        return self.lists().list.join("")

    def lists(self) -> pl.Series:
        """Return the pieces of each text: List(String), shape `[units]`."""
        return self.group(self.distinct.gather(self.code))

    def group(self, values: pl.Series) -> pl.Series:
        """Put one value a piece into one list a text: List, shape `[units]`."""
        arrow = values.to_arrow(compat_level=pl.CompatLevel.newest())
        return pl.Series(values.name, pa.LargeListArray.from_arrays(pa.array(self.offsets, pa.int64()), arrow))

    def take(self, chosen: Bools) -> "Pieces":
        """Keep the texts for which `chosen`, of shape `[units]`, is true."""
        if chosen.all():
            return self
        lengths = np.diff(self.offsets)
        kept = np.repeat(chosen, lengths)
        return replace(self, offsets=sum_up(lengths[chosen]), code=self.code[kept], free=self.free[kept], origin=None)

    def pick(self, places: Ints) -> "Pieces":
        """Put the pieces at `places` in this order, in which those of one text still stand together."""
        return replace(
            self,
            offsets=np.searchsorted(self.unit[places], np.arange(self.units + 1)),
            code=self.code[places],
            free=self.free[places],
            origin=places if self.origin is None else self.origin[places],
        )

    def put(self, changes: Replacement) -> "Pieces":
        """Replace pieces."""
        code = self.code.copy()
        code[changes.places] = len(self.distinct) + np.arange(len(changes.pieces))
        return replace(self._with(changes.pieces), code=code)

    def write(self, changes: Replacement, texts: pl.Series) -> pl.Series:
        """Replace pieces in the texts that were cut: the same as `put(changes).texts()`, in a fraction of its time.

        Args:
            changes: pieces of texts, not tokens.
            texts: the texts that these pieces make up, shape `[units]`; a null becomes an empty text.
        """
        places, new = changes
        count, buffer = len(places), self.remember(BYTES, lambda: to_buffer(texts.fill_null("")))
        bounds = np.empty(2 * count + 2, dtype=np.int64)
        bounds[0], bounds[-1], ends = 0, buffer.offsets[-1], self._ends[places]
        bounds[2:-1:2] = ends
        bounds[1:-1:2] = ends - self._bytes[self.code[places]]
        cuts = pl.Series("piece", strings_at(bounds, buffer.data), dtype=pl.String).gather_every(2)
        whole = (cuts.head(count) + new).str.join("") + cuts.tail(1)
        growth = sum_up(new.str.len_bytes().to_numpy().astype(np.int64) - self._bytes[self.code[places]])
        offsets = buffer.offsets + growth[np.searchsorted(places, self.offsets)]
        return pl.Series(texts.name, strings_at(offsets, to_buffer(whole).data), dtype=pl.String)

    @cached_property
    def _bytes(self) -> Ints:
        """How many bytes each distinct piece has."""
        return self.distinct.str.len_bytes().to_numpy().astype(np.int64)

    @cached_property
    def _ends(self) -> Ints:
        """How many bytes all pieces up to each have."""
        lengths = self._bytes[self.code]
        return np.cumsum(lengths, out=lengths)

    def insert(self, places: Ints, pieces: pl.Series) -> "Pieces":
        """Insert a piece behind each of `places`."""
        at = places + 1
        origin = np.arange(len(self)) if self.origin is None else self.origin
        more = np.bincount(self.unit[places], minlength=self.units)
        return replace(
            self._with(pieces),
            offsets=self.offsets + sum_up(more),
            code=np.insert(self.code, at, len(self.distinct) + np.arange(len(pieces))),
            free=np.insert(self.free, at, True),
            origin=np.insert(origin, at, -1),
        )

    def _with(self, pieces: pl.Series) -> "Pieces":
        kind = np.concatenate([self.kind, np.full(len(pieces), OTHER, dtype=np.int8)])
        return replace(self, distinct=pl.concat([self.distinct, pieces.alias(self.distinct.name)]), kind=kind)


def exchange(values: pl.Series, chosen: Bools, new: pl.Series) -> pl.Series:
    """Put `new` in the place of those `values` that are chosen."""
    places = np.where(chosen, len(values) + np.cumsum(chosen) - 1, np.arange(len(values)))
    return pl.concat([values, new.alias(values.name)]).gather(places)


def sum_up(counts: Ints) -> Ints:
    """Return how much all before each of `counts` are together, then how much all are."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def strings_at(offsets: Ints, data: NDArray[np.uint8]) -> pa.Array:
    """Return the strings that begin at `offsets` in UTF-8, the last of which ends there.

    Small offsets, where they suffice, make it a third faster to find which strings are distinct.
    """
    small = len(data) < 2**31
    kind, places = (pa.StringArray, offsets.astype(np.int32)) if small else (pa.LargeStringArray, offsets)
    return kind.from_buffers(len(offsets) - 1, pa.py_buffer(places), pa.py_buffer(data))


def ranges(starts: Ints, counts: Ints) -> Ints:
    """Put the ranges that begin at `starts` and are `counts` long one after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)
