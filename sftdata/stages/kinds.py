"""Find the kinds of units: units that look the same to a split, so that it can deal them together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftdata.keys import mix
from sftdata.stages.strata import Strata

Indexes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kinds:
    """Units that look the same, in the order in which they are dealt.

    Attributes:
        of_unit: kind of each unit, shape `[units]`.
        sizes: rows of one unit of each kind, shape `[kinds]`, falling.
        units: units of each kind, shape `[kinds]`.
        starts: where the strata of each kind start in `strata`, shape `[kinds + 1]`.
        strata: strata of the kinds, one after the other, shape `[pairs]`.
        amounts: rows of one unit in each of `strata`, the same shape.
        pool: the number in `strata` of all strata that have one unit only; it stands last in a kind.
    """

    of_unit: Indexes
    sizes: Indexes
    units: Indexes
    starts: Indexes
    strata: Indexes
    amounts: Indexes
    pool: int

    def count_rows(self) -> Floats:
        """Count the rows of each stratum; a row in several counts a part in each."""
        kind = np.repeat(np.arange(len(self.sizes)), np.diff(self.starts))
        rows = (self.units * self.sizes / np.bincount(kind, weights=self.amounts))[kind] * self.amounts
        return np.bincount(self.strata, weights=rows).astype(np.float64)

    def rows_of_pool(self) -> int:
        """Count the rows of units that have a stratum of their own."""
        of_pool = self.strata[self.starts[1:] - 1] == self.pool
        return int((self.sizes * self.units)[of_pool].sum())


def sort_kinds(units: Indexes, unit_keys: NDArray[np.uint64], strata: Strata) -> Kinds:
    """Put units that look the same together: the largest first, among those the ones with the rarest stratum."""
    sizes, pool = np.bincount(units), len(strata.names)
    of_unit, of_stratum, amounts = _count_pairs(units[strata.rows], strata.codes)
    alone = np.bincount(of_stratum, minlength=pool) == 1
    if alone.any():
        of_unit, of_stratum, amounts = _count_pairs(of_unit, np.where(alone[of_stratum], pool, of_stratum), amounts)
    firsts = np.flatnonzero(np.diff(of_unit, prepend=-1))
    looks = mix(of_stratum.astype(np.uint64) + mix(amounts.astype(np.uint64)))
    look = np.add.reduceat(looks, firsts) + mix(sizes.astype(np.uint64))
    _, example, kind, counts = np.unique(look, return_index=True, return_inverse=True, return_counts=True)
    rarest = np.minimum.reduceat(np.bincount(of_stratum, weights=amounts)[of_stratum], firsts)
    first_key = np.full(len(example), np.iinfo(np.uint64).max)
    np.minimum.at(first_key, kind, unit_keys)
    order = np.lexsort((first_key, rarest[example], -sizes[example]))
    example = example[order]
    lengths = np.diff(firsts, append=len(of_unit))[example]
    starts = np.append(0, np.cumsum(lengths))
    pairs = np.repeat(firsts[example] - starts[:-1], lengths) + np.arange(starts[-1])
    rank = np.argsort(order)
    return Kinds(rank[kind], sizes[example], counts[order], starts, of_stratum[pairs], amounts[pairs], pool)


def _count_pairs(units: Indexes, strata: Indexes, weights: Indexes | None = None) -> tuple[Indexes, Indexes, Indexes]:
    """Sum up equal pairs of unit and stratum; sorted by unit."""
    width = int(strata.max()) + 1
    pairs, place, counts = np.unique(units * width + strata, return_inverse=True, return_counts=True)
    if weights is not None:
        counts = np.bincount(place, weights=weights).astype(np.int64)
    return pairs // width, pairs % width, counts
