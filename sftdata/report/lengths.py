"""What lengths come to: histograms, what a cut would cost, and how much padding and packs leave empty."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftdata.plan.packing import count_packs
from sftdata.plan.shuffling import shuffle

Ints = NDArray[np.int64]

BINS = 40
"""About so many bars has a histogram."""

BATCH = 16
"""Rows of the padded batches that packs are compared with."""

BATCH_ROWS = 2**17
"""At most about so many rows are put into batches, spread evenly."""

CAPACITIES = 4
CUTS = 8


@dataclass(frozen=True)
class Axis:
    """The bins of a histogram: bin `i` begins at `start + i * width`; the last one also holds all that is longer."""

    start: float
    width: float
    bins: int
    is_open: bool

    @property
    def end(self) -> float:
        """Where the last bin ends."""
        return self.start + self.width * self.bins

    def edge(self, place: int) -> float:
        """Return where a bin begins."""
        return self.start + self.width * place


def make_axis(counts: Ints) -> Axis:
    """Choose bins for lengths: up to the longest, or where few are much longer than most, not as far.

    Args:
        counts: how many rows have each length, shape `[longest + 1]`.
    """
    longest = len(counts) - 1
    most = int(np.searchsorted(np.cumsum(counts), 0.995 * counts.sum()))
    end = longest if longest <= 2 * most else 2 * most
    width = _round_up(max(1, -(-(end + 1) // BINS)))
    bins = -(-(end + 1) // width)
    return Axis(0, width, bins, longest >= width * bins)


def _round_up(width: int) -> int:
    """Return the next of 1, 2, 5, 10, 20, 25, 50, 100 and so on."""
    step = 1
    while True:
        for factor in (1, 2, 2.5, 5):
            if factor * step >= width and factor * step == int(factor * step):
                return int(factor * step)
        step *= 10


def fill_bins(counts: Ints, axis: Axis) -> Ints:
    """Return how many rows each bin has, shape `[bins]`."""
    places = np.minimum(np.arange(len(counts)) // int(axis.width), axis.bins - 1)
    return np.bincount(places, weights=counts, minlength=axis.bins).astype(np.int64)


def find_cuts(counts: Ints) -> list[dict[str, Any]]:
    """Tell for powers of two below the longest row, and the one above it, what a cut there would take away.

    Args:
        counts: how many rows have each length, shape `[longest + 1]`.
    """
    lengths = np.arange(len(counts))
    rows, tokens = max(1, int(counts.sum())), max(1, int((counts * lengths).sum()))
    last = max(3, (len(counts) - 2).bit_length())
    found = []
    for exponent in range(max(3, last - CUTS + 1), last + 1):
        over = np.maximum(lengths - 2**exponent, 0)
        cut, lost = int(counts[over > 0].sum()), int((counts * over).sum())
        found.append(
            {"length": 2**exponent, "rows": cut, "of_rows": cut / rows, "tokens": lost, "of_tokens": lost / tokens}
        )
    return found


def compare_packing(lengths: Ints, max_length: int) -> list[dict[str, Any]]:
    """Compare padded batches with packs of several capacities: how many positions each computes, and how many in vain.

    Args:
        lengths: tokens of each row, from 1 up; shape `[rows]`, at least one.
        max_length: most tokens of a row.
    """
    tokens, longest = int(lengths.sum()), int(lengths.max())
    padded = _pad_batches(lengths)
    found: list[dict[str, Any]] = [
        {"way": f"each row padded to {max_length:,}", "is_pack": False, "positions": len(lengths) * max_length},
        {"way": f"batches of {BATCH} in random order, padded to the longest", "is_pack": False, "positions": padded},
    ]
    first = max(longest, 16)
    powers = [2 ** ((first - 1).bit_length() + number) for number in range(CAPACITIES)]
    for capacity in sorted({max(max_length, longest), *powers})[:CAPACITIES]:
        packs = count_packs(lengths, capacity)
        way = f"packs of {capacity:,}"
        found.append(
            {"way": way, "is_pack": True, "packs": packs, "rows": len(lengths) / packs, "positions": packs * capacity}
        )
    for told in found:
        told["filled"] = tokens / told["positions"]
        told["saved"] = 1 - told["positions"] / padded
    return found


def _pad_batches(lengths: Ints) -> int:
    """Return the positions of padded batches; of very many rows, by those that are spread evenly over them."""
    some = lengths[:: -(-len(lengths) // BATCH_ROWS)]
    mixed = some[shuffle(len(some), 0)]
    longest = np.maximum.reduceat(mixed, np.arange(0, len(mixed), BATCH))
    sizes = np.minimum(BATCH, len(mixed) - BATCH * np.arange(len(longest)))
    return round(int((longest * sizes).sum()) / int(some.sum()) * int(lengths.sum()))
