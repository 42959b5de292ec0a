"""Packing: which examples share a fixed number of tokens."""

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftdata.plan.shuffling import Rows


@dataclass(frozen=True)
class Packs:
    """Examples in groups.

    Attributes:
        offsets: where each pack begins in `rows`, and where the last one ends; shape `[packs + 1]`, int64.
        rows: positions of the examples, pack by pack; shape `[examples]`, int64.
    """

    offsets: NDArray[np.int64]
    rows: Rows

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, pack: int) -> Rows:
        return self.rows[self.offsets[pack] : self.offsets[pack + 1]]


def pack(lengths: NDArray[np.integer], capacity: int) -> Packs:
    """Put all examples into packs of at most `capacity` tokens, by best fit in descending order of length.

    An example goes where it leaves the least space. Examples of one length are interchangeable, so whole groups of
    them are placed at once: O(n) for the examples, and O(capacity log capacity) steps of Python. Best fit decreasing
    needs at most 11/9 of the fewest packs and 6/9 of one more (Johnson 1973; Dosa 2007); the real lengths of texts fill
    it almost wholly. Of equal examples the first in `lengths` is placed first: shuffle them to pack anew.

    Args:
        lengths: tokens of each example, from 1 to `capacity`; shape `[examples]`.
        capacity: most tokens of a pack.

    Raises:
        ValueError: a length is below 1 or above `capacity`.
    """
    _require_fit(lengths, capacity)
    longest_first = _order(lengths, capacity)
    sizes, counts = _histogram(lengths)
    pack_of, packs = _assign(sizes, counts, capacity)
    offsets = np.zeros(packs + 1, dtype=np.int64)
    np.cumsum(np.bincount(pack_of, minlength=packs), out=offsets[1:])
    return Packs(offsets, longest_first[np.argsort(pack_of, kind="stable")])


def count_packs(lengths: NDArray[np.integer], capacity: int) -> int:
    """Return how many packs `pack` makes, in any order of `lengths`; it sorts no examples.

    Raises:
        ValueError: as `pack`.
    """
    _require_fit(lengths, capacity)
    return _assign(*_histogram(lengths), capacity)[1]


def fewest_packs(lengths: NDArray[np.integer], capacity: int) -> int:
    """Return a number of packs below which nobody can get (bound L2 of Martello and Toth 1990).

    Examples longer than half of the capacity need a pack each; for any threshold t, so do those longer than
    `capacity - t`, and what the others from t up leave over must be housed too.
    """
    sizes, counts = _histogram(lengths)
    total = np.concatenate([[0], np.cumsum(sizes * counts)])  # of the longest
    number = np.concatenate([[0], np.cumsum(counts)])
    ascending = sizes[::-1]
    big = len(sizes) - np.searchsorted(ascending, capacity // 2, side="right")  # sizes above the half
    bound = 0
    for threshold in {0, *(int(size) for size in sizes if size <= capacity // 2)}:
        huge = len(sizes) - np.searchsorted(ascending, capacity - threshold, side="right")
        small = len(sizes) - np.searchsorted(ascending, threshold, side="left")
        room = (number[big] - number[huge]) * capacity - (total[big] - total[huge])
        over = max(0, int(total[small] - total[big] - room)) if small > big else 0
        bound = max(bound, int(number[big]) + -(-over // capacity))
    return bound


def _require_fit(lengths: NDArray[np.integer], capacity: int) -> None:
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= capacity:
        raise ValueError(f"lengths from {lengths.min()} to {lengths.max()}, expected 1 to {capacity}")


def _order(lengths: NDArray[np.integer], capacity: int) -> Rows:
    """Sort examples by falling length, equal ones as they come; by radix where 16 bits hold the lengths."""
    kind = np.uint16 if capacity <= np.iinfo(np.uint16).max else np.int64
    return np.argsort((capacity - lengths).astype(kind), kind="stable")


def _histogram(lengths: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lengths that occur, falling, and how often each does."""
    counts = np.bincount(lengths) if len(lengths) else np.zeros(0, dtype=np.int64)
    sizes = np.flatnonzero(counts)[::-1]
    return sizes, counts[sizes]


class _Open:
    """Packs by the space that is left in them."""

    def __init__(self) -> None:
        self._spaces: list[int] = []
        self._packs: dict[int, list[NDArray[np.int32]]] = {}

    def add(self, space: int, packs: NDArray[np.int32]) -> None:
        if not space or not len(packs):
            return
        if space not in self._packs:
            insort(self._spaces, space)
        self._packs.setdefault(space, []).append(packs)

    def take_tightest(self, size: int) -> tuple[int, NDArray[np.int32]] | None:
        """Take out all packs of the least space that holds `size`."""
        place = bisect_left(self._spaces, size)
        if place == len(self._spaces):
            return None
        space = self._spaces.pop(place)
        return space, np.concatenate(self._packs.pop(space))


def _assign(sizes: NDArray[np.int64], counts: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int32], int]:
    """Return the pack of each example, longest first, shape `[examples]`, and the number of packs."""
    pack_of = np.empty(int(counts.sum()), dtype=np.int32)
    still_open, packs, place = _Open(), 0, 0
    for size, left in zip(sizes.tolist(), counts.tolist(), strict=True):
        while left:
            found = still_open.take_tightest(size)
            if found is None:
                new = -(-left // (capacity // size))
                found = capacity, np.arange(packs, packs + new, dtype=np.int32)
                packs += new
            space, here = found
            each = space // size  # a pack that has taken one of them has the least space for the next
            full, rest = divmod(min(left, each * len(here)), each)
            chosen = np.repeat(here[:full], each)
            pack_of[place : place + len(chosen)] = chosen
            place += len(chosen)
            pack_of[place : place + rest] = here[full : full + 1]
            place += rest
            left -= full * each + rest
            still_open.add(space - each * size, here[:full])
            still_open.add(space - rest * size, here[full : full + bool(rest)])
            still_open.add(space, here[full + bool(rest) :])
    return pack_of, packs
