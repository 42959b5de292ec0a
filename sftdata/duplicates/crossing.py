"""The audit after the split: do rows that say the same stand in different parts?

It shares no result with the search that came before. Equal texts are found through Python's own Unicode tables and
BLAKE2, near-duplicates through signatures of another seed.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.duplicates.near import Steps, find_pairs
from sftdata.duplicates.spill import Chunk, ShingleStore, Spill, spill_signed
from sftdata.stages.deduplication import Comparison, join_texts, sign_rows
from sftdata.stages.forest import Rows, find_roots, join

_EFFORT = 10
"""Signing the rows of a chunk again takes as long as about so many bands."""

AUDIT_SEED = 0x5F7DA7A
"""Throws shingles into other bins than the search did."""


@dataclass(frozen=True)
class Crossing:
    """Rows that say the same and stand in different parts.

    Attributes:
        exact: pairs of equal rows, each row with the first of its like in another part.
        near: pairs of near-duplicates that are not equal.
        left: the earlier row of each of all these pairs; int64, shape `[pairs]`.
        right: the later row.
    """

    exact: int
    near: int
    left: Rows
    right: Rows

    def merge(self, cluster: Rows) -> Rows:
        """Return the clusters, shape `[rows]`, with those put together that the pairs connect."""
        _, first, number = np.unique(cluster, return_index=True, return_inverse=True)
        parents = first[number]
        join(parents, self.left, self.right)
        return find_roots(parents, np.arange(len(parents)))


def audit_rows(rows: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
    """Return what the audit has to know of each row: `digest`, uint64, and what `sign_rows` says with another seed.

    Pure, and apart from `find_crossing` so that worker processes can do it.
    """
    signed = sign_rows(rows, replace(comparison, seed=AUDIT_SEED))
    return signed.with_columns(pl.Series("digest", digest_rows(rows, comparison)))


def find_crossing(
    chunks: Sequence[Chunk],
    parts: NDArray[np.int8],
    comparison: Comparison,
    folder: Path,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Crossing:
    """Look for pairs of rows that are duplicates of each other and stand in different parts.

    A pair that is just as similar as the threshold escapes the search before the split once in 100,000 times, so the
    audit may find one in very large data: put its clusters together (`Crossing.merge`) and split again.

    Args:
        chunks: all rows that were split, in order; their `signed` returns what `audit_rows` made of their `rows`.
        parts: the part of each row, int8, shape `[rows]`; the fold is a part too.
        comparison: as in the search.
        folder: an empty directory for files, which the caller removes.
        watch: told how many chunks and bands are done, and how many there are.
    """
    if not len(parts):
        return Crossing(0, 0, np.arange(0), np.arange(0))
    steps = Steps(len(chunks), comparison.bands, watch, _EFFORT)
    spill = spill_signed(steps.read(chunk.signed() for chunk in chunks), folder)
    digests = spill.read("digest", np.uint64)
    one, other = _pair_equal(digests, parts)
    near_one, near_other = _pair_similar(spill, chunks, digests, parts, comparison, steps)
    return Crossing(len(one), len(near_one), np.concatenate([one, near_one]), np.concatenate([other, near_other]))


def digest_rows(rows: pl.DataFrame, comparison: Comparison) -> NDArray[np.uint64]:
    """Hash the compared text of each row, brought to one form by Python; shape `[rows]`."""
    digests = [
        blake2b(" ".join(_fold(text).split()).encode(), digest_size=8).digest()
        for text in join_texts(rows, comparison.fields)
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def _pair_equal(digests: NDArray[np.uint64], parts: NDArray[np.int8]) -> tuple[Rows, Rows]:
    """Pair each row with the first row of the same digest, where that stands in another part."""
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    other = np.flatnonzero(parts != parts[first[group]])
    return first[group][other], other


def _pair_similar(
    spill: Spill,
    chunks: Sequence[Chunk],
    digests: NDArray[np.uint64],
    parts: NDArray[np.int8],
    comparison: Comparison,
    steps: Steps,
) -> tuple[Rows, Rows]:
    if comparison.near is None or comparison.bands is None:
        return np.arange(0), np.arange(0)
    store, threshold = ShingleStore(spill, chunks, comparison), comparison.near.threshold

    def cross(left: Rows, right: Rows) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = (parts[left] != parts[right]) & (digests[left] != digests[right])
        return different

    shingled = np.flatnonzero(spill.read("shingled", np.bool_))
    found = [
        left * len(parts) + right
        for left, right, _ in find_pairs(spill, shingled, comparison.bands, threshold, store, cross, steps)
    ]
    left, right = np.divmod(np.unique(np.concatenate([np.zeros(0, np.int64), *found])), len(parts))
    return left, right
