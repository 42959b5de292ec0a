"""What the search for duplicates keeps on disk: one file a column, and the shingles of candidates."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.stages.deduplication import Comparison, blocks_of, compared_texts, shingle_texts
from sftdata.stages.forest import Rows
from sftdata.text.shingles import Shingles

BLOCK_SHINGLES = 2**19
"""Shingles that are compared at a time."""


class Chunk(NamedTuple):
    """A slice of the rows: what `sign_rows` said of them, and the rows themselves, in the same order."""

    signed: Callable[[], pl.DataFrame]
    rows: Callable[[], pl.DataFrame]


@dataclass(frozen=True)
class Spill:
    """The columns of all signed chunks, each in a file of its own.

    Attributes:
        folder: where the files lie.
        starts: number of the first row of each chunk, and the number of all rows.
    """

    folder: Path
    starts: Rows

    def read(self, name: str, dtype: Any) -> NDArray[Any]:
        """Read a column into memory."""
        return np.fromfile(self.folder / f"{name}.bin", dtype=dtype)

    def map(self, name: str, dtype: Any, width: int = 1) -> NDArray[Any]:
        """Map a column, shape `[rows, width]`, so that only what is looked at is read."""
        if not self.starts[-1]:
            return np.zeros((0, width), dtype=dtype)
        return np.asarray(np.memmap(self.folder / f"{name}.bin", dtype=dtype, mode="r")).reshape(-1, width)

    def by_chunk(self, rows: Rows) -> Iterator[tuple[int, slice]]:
        """Yield each chunk that has some of `rows`, which are ascending, and where in `rows` they stand."""
        edges = np.searchsorted(rows, self.starts)
        for chunk in np.flatnonzero(np.diff(edges)):
            yield int(chunk), slice(int(edges[chunk]), int(edges[chunk + 1]))


def spill_signed(frames: Iterable[pl.DataFrame], folder: Path) -> Spill:
    """Write the columns of signed chunks to files in `folder`, which is empty."""
    starts = [0]
    for number, signed in enumerate(frames):
        starts.append(starts[-1] + len(signed))
        for name, column in _columns_of(signed):
            with (folder / f"{name}.bin").open("wb" if number == 0 else "ab") as file:
                file.write(np.ascontiguousarray(column).data)  # `tofile` does not say why it fails
    return Spill(folder, np.array(starts, dtype=np.int64))


def group_equal(spill: Spill, name: str, among: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return the rows whose 128-bit hash another row has too, ascending, and the first row of the group of each.

    The rows are sorted by one half of the hash; the other is looked at only where the first is shared.
    """
    halves = spill.read(f"{name}-0", np.uint64)
    rows = np.flatnonzero(among)
    order = np.argsort(halves[rows])
    ordered = halves[rows[order]]
    same = ordered[1:] == ordered[:-1]
    rows = rows[order[np.append(same, False) | np.insert(same, 0, False)]] if len(rows) else rows
    other = spill.map(f"{name}-1", np.uint64)[rows, 0]
    order = np.lexsort((rows, other, halves[rows]))
    rows, first, second = rows[order], halves[rows[order]], other[order]
    new = np.ones(len(rows), dtype=np.bool_)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    firsts = rows[new][np.cumsum(new) - 1]
    alone = np.bincount(np.cumsum(new), minlength=1)[np.cumsum(new)] == 1
    rows, firsts = rows[~alone], firsts[~alone]
    order = np.argsort(rows)
    return rows[order], firsts[order]


def _columns_of(signed: pl.DataFrame) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in signed.columns:
        if name in {"content", "input", "keys"}:
            for place, column in enumerate(signed[name].to_numpy().T):
                yield f"{name}-{place}", column
        elif name != "row_id":
            yield name, signed[name].to_numpy()


class ShingleStore:
    """The shingle sets of candidates, each made once, in a file."""

    def __init__(self, spill: Spill, chunks: Sequence[Chunk], comparison: Comparison) -> None:
        """Begin with no set; the texts come from `chunks`."""
        self._spill = spill
        self._chunks = chunks
        self._comparison = comparison
        self._file = spill.folder / "shingles.bin"
        self._file.write_bytes(b"")
        self._size = 0
        self._starts = np.full(spill.starts[-1], -1, dtype=np.int64)
        self._counts = np.zeros(spill.starts[-1], dtype=np.int32)

    def add(self, rows: Rows) -> None:
        """Make the sets of those of `rows` that have none yet."""
        near = self._comparison.near
        rows = distinct(rows[self._starts[rows] < 0])
        if not len(rows) or near is None:
            return
        with self._file.open("ab") as file:
            for chunk, place in self._spill.by_chunk(rows):
                wanted = self._chunks[chunk].rows()[rows[place] - self._spill.starts[chunk]]
                first = place.start
                for block in blocks_of(compared_texts(wanted, self._comparison.fields)):
                    hashes, counts = sort_sets(shingle_texts(block, near))
                    file.write(hashes.data)
                    some = rows[first : first + len(block)]
                    self._starts[some] = self._size + np.cumsum(counts) - counts
                    self._counts[some] = counts
                    self._size += len(hashes)
                    first += len(block)

    def compare(self, left: Rows, right: Rows) -> NDArray[np.float64]:
        """Return the exact Jaccard similarity of pairs of rows, shape `[pairs]`."""
        self.add(np.concatenate([left, right]))
        if not self._size:
            return np.zeros(len(left))
        shingles = np.asarray(np.memmap(self._file, dtype=np.uint64, mode="r"))
        sizes = self._counts[left] + self._counts[right]
        ends = np.cumsum(sizes, dtype=np.int64)
        shared = np.zeros(len(left), dtype=np.int64)
        start = 0
        while start < len(left):
            before = ends[start] - sizes[start]
            end = max(int(np.searchsorted(ends, before + BLOCK_SHINGLES, side="right")), start + 1)
            shared[start:end] = self._count_shared(shingles, left[start:end], right[start:end])
            start = end
        return shared / np.maximum(sizes - shared, 1)

    def _count_shared(self, shingles: NDArray[np.uint64], left: Rows, right: Rows) -> NDArray[np.int64]:
        """Count the shingles that both rows of a pair have: sorted pair by pair, these stand twice.

        The number of the pair takes the place of some bits of each hash: at most 20, so 44 are compared.
        """
        rows = np.concatenate([left, right])
        counts = self._counts[rows]
        bits = np.uint64(len(left).bit_length())
        pairs = np.concatenate([np.arange(len(left), dtype=np.uint64)] * 2) << (np.uint64(64) - bits)
        keys = np.repeat(pairs, counts) | (shingles[_ranges(self._starts[rows], counts)] >> bits)
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> (np.uint64(64) - bits)
        return np.bincount(twice.astype(np.int64), minlength=len(left))


def distinct(numbers: Rows) -> Rows:
    """Return each number once, ascending. `np.unique` does it by hashing, which takes ten times as long."""
    ascending = np.sort(numbers)
    first = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return ascending[first]


def sort_sets(shingles: Shingles) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the distinct shingles of each text, ascending, one text after the other; and how many each has."""
    texts = np.repeat(np.arange(len(shingles.offsets) - 1), np.diff(shingles.offsets))
    order = np.argsort(shingles.hashes)
    order = order[np.argsort(texts[order].astype(np.uint16), kind="stable")]  # a radix sort: blocks have few texts
    hashes, texts = shingles.hashes[order], texts[order]
    new = np.ones(len(hashes), dtype=np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])
    return hashes[new], np.bincount(texts[new], minlength=len(shingles.offsets) - 1)


def _ranges(starts: Rows, counts: NDArray[np.int32]) -> Rows:
    """Return the numbers from each start on, `counts` of them, one range after the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts)
