"""Near-duplicates among all rows: candidates from the bands, thinned out by sketches, proved by their shingles."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sftdata.duplicates.spill import ShingleStore, Spill, distinct
from sftdata.stages.forest import Rows
from sftdata.text.minhash import Bands

SMALL = 17
"""Most rows of a bucket in which every pair is looked at."""

WINDOW = 8
"""In a larger bucket a row is compared with so many that follow it."""

BLOCK_PAIRS = 2**16
"""Pairs whose sketches are compared at a time."""

FEWEST_PAIRS, MOST_PAIRS = 2**14, 2**20
"""Pairs whose shingles are compared at a time: few at first, for what they join need not be compared any more."""

Item = TypeVar("Item")
Pairs = tuple[Rows, Rows, NDArray[np.float64]]
Wanted = Callable[[Rows, Rows], NDArray[np.bool_]]


class Steps:
    """Counts what is done of a search: each chunk whose signatures are read, then each band.

    Args:
        chunks: how many there are.
        bands: how rows were signed; None where near-duplicates are not looked for.
        watch: told how much is done, and how much there is, in bands.
        effort: how many bands a chunk stands for.
    """

    def __init__(self, chunks: int, bands: Bands | None, watch: Callable[[int, int], None], effort: int = 1) -> None:
        self._done, self._all, self._watch = 0, chunks * effort + (bands.number if bands else 0), watch
        self._effort = effort
        watch(0, self._all)

    def read(self, chunks: Iterable[Item]) -> Iterator[Item]:
        """Yield chunks; the next one is asked for when one is done."""
        return self._count(chunks, self._effort)

    def search(self, bands: Iterable[int]) -> Iterator[int]:
        """Yield bands in the same way."""
        return self._count(bands, 1)

    def _count(self, items: Iterable[Item], effort: int) -> Iterator[Item]:
        for item in items:
            yield item
            self._done += effort
            self._watch(self._done, self._all)


def find_pairs(
    spill: Spill,
    rows: Rows,
    bands: Bands,
    threshold: float,
    store: ShingleStore,
    wanted: Wanted,
    steps: Steps | None = None,
) -> Iterator[Pairs]:
    """Yield pairs of rows that are similar enough, the earlier row first, and how similar.

    Rows that agree in a band share a bucket. In a bucket of up to `SMALL` rows every pair is looked at. A larger one is
    ordered by the next bands, so that the most similar rows are neighbours (LSH forest, Bawa et al. 2005), and a row is
    compared with the `WINDOW` rows that follow: the work stays linear when many rows are of one template. Where these
    are no duplicates of each other, a pair among them that hardly reaches the threshold may be missed.

    Args:
        spill: the columns `key-N` and `sketch` of all rows.
        rows: the rows among which to look, ascending.
        bands: how they were signed.
        threshold: least similarity.
        store: proves the pairs.
        wanted: asked before a pair is compared; may change with what was yielded.
        steps: counts the bands.
    """
    if not len(rows):
        return
    sketches = spill.map("sketch", np.uint8, bands.bins)
    proof = _Proof(len(sketches), threshold, store, wanted)
    numbers = range(bands.number)
    for band in steps.search(numbers) if steps else numbers:
        for order, buckets, window, errors in _fill_buckets(spill, rows, band, bands.number):
            least = threshold - errors * math.sqrt(threshold * (1 - threshold) / bands.bins)
            for left, right in _neighbours(order, buckets, window):
                some = wanted(left, right)
                left, right = left[some], right[some]
                alike = _estimate(sketches, left, right) >= least
                proof.add(left[alike], right[alike])
                if proof.is_full:
                    yield proof.take()
    yield proof.take()


class _Proof:
    """Compares the shingles of pairs, many at a time, and each pair once however many bands find it."""

    def __init__(self, rows: int, threshold: float, store: ShingleStore, wanted: Wanted) -> None:
        self._rows, self._threshold, self._store, self._wanted = rows, threshold, store, wanted
        self._waiting: list[Rows] = []
        self._compared = np.zeros(0, dtype=np.int64)
        self._room = FEWEST_PAIRS

    @property
    def is_full(self) -> bool:
        return sum(map(len, self._waiting)) >= self._room

    def add(self, left: Rows, right: Rows) -> None:
        self._waiting.append(left * self._rows + right)

    def take(self) -> Pairs:
        """Return those of the waiting pairs that are similar enough."""
        pairs = distinct(np.concatenate([np.zeros(0, dtype=np.int64), *self._waiting]))
        pairs = pairs[~_is_in(pairs, self._compared)]
        left, right = np.divmod(pairs, max(self._rows, 1))
        some = self._wanted(left, right)
        pairs, left, right = pairs[some], left[some], right[some]
        similarity = self._store.compare(left, right)
        proved = similarity >= self._threshold
        self._compared = distinct(np.concatenate([self._compared[-MOST_PAIRS:], pairs]))
        self._waiting, self._room = [], min(2 * self._room, MOST_PAIRS)
        return left[proved], right[proved], similarity[proved]


def _is_in(numbers: Rows, ascending: Rows) -> NDArray[np.bool_]:
    places = np.searchsorted(ascending, numbers)
    found: NDArray[np.bool_] = np.append(ascending, -1)[places] == numbers
    return found


def _fill_buckets(spill: Spill, rows: Rows, band: int, count: int) -> Iterator[tuple[Rows, Rows, int, float]]:
    """Yield the small buckets and the large ones.

    Returns:
        The rows, bucket by bucket; the number of each one's bucket; how far apart two rows may stand that are compared;
        and how many standard errors the estimate of a pair may lie below the threshold.
    """
    keys = spill.read(f"keys-{band}", np.uint32)[rows]
    packed = keys.astype(np.uint64) << np.uint64(32) | np.arange(len(rows), dtype=np.uint64)
    packed.sort()  # twice as fast as argsort
    keys, order = packed >> np.uint64(32), rows[(packed & np.uint64(0xFFFFFFFF)).astype(np.int64)]
    same = keys[1:] == keys[:-1]
    shared = np.append(same, False) | np.insert(same, 0, False)
    order, buckets = order[shared], np.cumsum(np.insert(~same, 0, True))[shared]
    large = np.bincount(buckets)[buckets] > SMALL
    yield order[~large], buckets[~large], SMALL - 1, 4.5
    if not large.any():
        return
    members = order[large]
    after = [spill.map(f"keys-{(band + step) % count}", np.uint32)[members, 0] for step in (2, 1)]
    yield members[np.lexsort((members, *after, buckets[large]))], buckets[large], WINDOW, 3.0


def _neighbours(order: Rows, buckets: Rows, window: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the pairs that stand in one bucket, at most `window` apart, the nearest first."""
    for distance in range(1, window + 1):
        places = np.flatnonzero(buckets[distance:] == buckets[:-distance])
        if not len(places):
            break
        one, other = order[places], order[places + distance]
        yield np.minimum(one, other), np.maximum(one, other)


def _estimate(sketches: NDArray[np.uint8], left: Rows, right: Rows) -> NDArray[np.float64]:
    """Return the share of values in which the signatures of each pair agree."""
    agree = [np.zeros(0)]
    for start in range(0, len(left), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        agree.append((sketches[left[block]] == sketches[right[block]]).mean(axis=1))
    return np.concatenate(agree)
