"""Even out strata after units were dealt: swap units of one size between two parts, so that no size changes."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sftdata.stages.kinds import Kinds

Indexes = NDArray[np.int64]

_SWEEPS = 100
_WORK = 3 * 10**7
"""Most sweeps, and most pairs of kind and stratum looked at: where there are very many, dealing alone does well."""


def even_out(counts: Indexes, kinds: Kinds, open_parts: int) -> Indexes:
    """Swap units as long as the squared deviations of the strata fall, each over the rows of its part.

    In each sweep every two parts make the best swap they can. It is deterministic, and gives up after a fixed amount of
    work. The last unit of a stratum in the open parts stays there.

    Args:
        counts: units of each kind in each part, shape `[kinds, parts]`.
        kinds: what the units look like.
        open_parts: how many of the first parts are open.

    Returns:
        New counts, of the same shape; every part has as many units of each size as before.
    """
    swapper = _Swapper(counts.copy(), kinds, open_parts)
    filled = np.flatnonzero(kinds.sizes @ counts)
    pairs = list(combinations(filled.tolist(), 2))
    for _ in range(min(_SWEEPS, _WORK // max(len(kinds.strata) * len(pairs), 1))):
        if not sum([swapper.swap(left, right) for left, right in pairs]):
            break
    return swapper.counts


class _Swapper:
    """The units of each part, and by how many rows it has too many of each stratum; every swap changes both."""

    def __init__(self, counts: Indexes, kinds: Kinds, open_parts: int) -> None:
        self.counts, self.kinds, self.open = counts, kinds, open_parts
        of_pair = np.repeat(counts, np.diff(kinds.starts), axis=0)
        dealt = np.zeros((int(kinds.strata.max()) + 1, counts.shape[1]))
        np.add.at(dealt, kinds.strata, kinds.amounts[:, None] * of_pair)
        self.rows = (kinds.sizes @ counts).astype(np.float64)
        self.excess = dealt - dealt.sum(axis=1, keepdims=True) * (self.rows / self.rows.sum())
        self.trained = np.bincount(kinds.strata, weights=of_pair[:, :open_parts].sum(axis=1))
        self.squares = np.add.reduceat(kinds.amounts * kinds.amounts, kinds.starts[:-1])
        self.of_size = np.flatnonzero(np.diff(kinds.sizes, prepend=-1))  # kinds are sorted by size

    def swap(self, left: int, right: int) -> bool:
        """Make the best swap of two parts, if there is a good one."""
        kinds = self.kinds
        slope = self.excess[:, left] / self.rows[left] - self.excess[:, right] / self.rows[right]
        pull = 2 * np.add.reduceat(kinds.amounts * slope[kinds.strata], kinds.starts[:-1])
        cost = self.squares * (1 / self.rows[left] + 1 / self.rows[right])
        gives = np.where(self._can_leave(left, right), pull - cost, -np.inf)
        takes = np.where(self._can_leave(right, left), -pull - cost, -np.inf)
        gains = np.maximum.reduceat(gives, self.of_size) + np.maximum.reduceat(takes, self.of_size)
        best = int(np.argmax(gains))
        if gains[best] <= 1e-9:
            return False
        same_size = slice(self.of_size[best], self.of_size[best + 1] if best + 1 < len(self.of_size) else None)
        self._move(self.of_size[best] + int(np.argmax(gives[same_size])), left, right)
        self._move(self.of_size[best] + int(np.argmax(takes[same_size])), right, left)
        return True

    def _can_leave(self, part: int, other: int) -> NDArray[np.bool_]:
        """Tell for each kind if a unit can go from a part to another: if it is there, and not needed in training."""
        there = self.counts[:, part] > 0
        if part < self.open <= other:
            kinds = self.kinds
            there &= np.minimum.reduceat(self.trained[kinds.strata], kinds.starts[:-1]) > 1
            there &= kinds.strata[kinds.starts[1:] - 1] != kinds.pool
        return there

    def _move(self, kind: int, part: int, other: int) -> None:
        pairs = slice(self.kinds.starts[kind], self.kinds.starts[kind + 1])
        strata, amounts = self.kinds.strata[pairs], self.kinds.amounts[pairs]
        self.counts[kind, part] -= 1
        self.counts[kind, other] += 1
        self.excess[strata, part] -= amounts
        self.excess[strata, other] += amounts
        self.trained[strata] += int(other < self.open) - int(part < self.open)
