"""MinHash signatures of shingle sets, by one permutation and optimal densification, and their bands.

One permutation hashing (Li, Owen and Zhang 2012) throws every shingle into one of K bins and keeps the smallest value
of each. An empty bin borrows from another, which it finds by a fixed random order of its own (optimal densification,
Shrivastava 2017). So a shingle costs one step instead of K, and two sets agree in a bin with a probability that is
their Jaccard similarity. Rows that agree in all values of a band are candidates (Indyk and Motwani 1998).
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sftdata.keys import mix
from sftdata.text.shingles import Hashes, Shingles

MOST_BINS = 128
MISSED = 1e-5
"""How seldom a pair that is just as similar as the threshold may share no band."""

EMPTY = np.uint32(0xFFFFFFFF)


class Bands(NamedTuple):
    """`number` bands of `rows` values each."""

    number: int
    rows: int

    @property
    def bins(self) -> int:
        """Values of a signature."""
        return self.number * self.rows


class Signatures(NamedTuple):
    """What is kept of the shingle sets of many texts.

    Attributes:
        keys: one number a band, equal where all values of the band are equal; uint32, shape `[texts, bands]`.
        sketches: the low byte of every value, from which similarity is estimated; uint8, shape `[texts, bins]`.
        filled: whether the text has shingles; the others' keys and sketches mean nothing. bool, shape `[texts]`.
    """

    keys: NDArray[np.uint32]
    sketches: NDArray[np.uint8]
    filled: NDArray[np.bool_]


def choose_bands(threshold: float) -> Bands:
    """Take the longest bands, for fewest candidates, with which hardly a pair at the threshold is missed."""
    for rows in range(MOST_BINS, 0, -1):
        agree = threshold**rows
        number = 1 if agree == 1 else math.ceil(math.log(MISSED) / math.log1p(-agree))
        if number * rows <= MOST_BINS:
            return Bands(number, rows)
    raise ValueError(f"found the threshold {threshold}, expected at least 0.1")


def sign_shingles(shingles: Shingles, bands: Bands, seed: int = 0) -> Signatures:
    """Sign the shingle set of every text; another seed throws the shingles into other bins."""
    hashes = mix(shingles.hashes + np.uint64(seed)) if seed else shingles.hashes
    counts = np.diff(shingles.offsets)
    values = _fill_gaps(_smallest(hashes, counts, bands.bins))
    odd = mix(np.arange(bands.rows, dtype=np.uint64)) | np.uint64(1)
    keys = np.zeros((len(counts), bands.number), dtype=np.uint64)
    for row in range(bands.rows):
        keys += values[:, row :: bands.rows] * odd[row]
    return Signatures((mix(keys) >> np.uint64(32)).astype(np.uint32), values.astype(np.uint8), counts > 0)


def _smallest(hashes: Hashes, counts: NDArray[np.int64], bins: int) -> NDArray[np.uint32]:
    """Return the smallest value in every bin of every text, `EMPTY` where there is none; shape `[texts, bins]`."""
    cells = ((hashes >> np.uint64(32)) * np.uint64(bins) >> np.uint64(32)).astype(np.int64)
    cells += np.repeat(np.arange(len(counts)) * bins, counts)
    smallest = np.full(len(counts) * bins, EMPTY)
    np.minimum.at(smallest, cells, (hashes & np.uint64(0x7FFFFFFF)).astype(np.uint32))
    return smallest.reshape(len(counts), bins)


def _fill_gaps(smallest: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Let every empty bin borrow from the first filled one in its own order."""
    filled = smallest != EMPTY
    some = np.flatnonzero(filled.any(axis=1) & ~filled.all(axis=1))
    if not len(some):
        return smallest
    counts = filled[some].sum(axis=1)
    some, counts = some[np.argsort(-counts, kind="stable")], np.sort(counts)[::-1]
    bins = np.nonzero(filled[some])[1]
    first = np.cumsum(counts) - counts
    orders, ranks = _probes(smallest.shape[1])
    nearest = ranks[bins[first]]  # how early each bin would ask the first that is filled
    for place in range(1, counts[0]):
        more = np.searchsorted(-counts, -place)  # texts with more than `place` filled bins come first
        np.minimum(nearest[:more], ranks[bins[first[:more] + place]], out=nearest[:more])
    lender = orders[np.arange(smallest.shape[1]), nearest]
    smallest[some] = np.take_along_axis(smallest[some], lender, axis=1)
    return smallest


@cache
def _probes(bins: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the order in which a bin asks all bins, itself first; and by the asked bin, how early each asks it."""
    keys = mix(np.arange(bins * bins, dtype=np.uint64)).reshape(bins, bins)
    np.fill_diagonal(keys, 0)
    orders = np.argsort(keys, axis=1, kind="stable")
    return orders, np.ascontiguousarray(np.argsort(orders, axis=1, kind="stable").T.astype(np.uint8))
