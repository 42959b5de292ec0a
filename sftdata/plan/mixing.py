"""How many examples of each of several datasets make an epoch, and which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sftdata.plan.shuffling import Rows, shuffle


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Datasets whose examples stand one behind the other, and how much of an epoch each makes.

    Attributes:
        sizes: examples of each dataset, at least one.
        weights: their shares, positive; they need not add up to 1.
        by: shares of the examples, or of the tokens.
        repeat: with it an epoch is so long that every example is in it, those of the smaller datasets several times;
            without it so short that none is in it twice, and the next epoch goes on with those that were left out.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    by: Literal["rows", "tokens"] = "rows"
    repeat: bool = False


def mix_counts(mixture: Mixture, lengths: Rows) -> tuple[int, ...]:
    """Return how many examples of each dataset an epoch has: at least one; one dataset has exactly all of its own.

    Args:
        mixture: the datasets.
        lengths: tokens of each example, shape `[sum of sizes]`.
    """
    sizes = np.array(mixture.sizes, dtype=np.float64)
    shares = np.array(mixture.weights, dtype=np.float64)
    if mixture.by == "tokens":
        starts = np.concatenate([[0], np.cumsum(mixture.sizes)[:-1]])
        shares = shares / (np.add.reduceat(lengths.astype(np.float64), starts) / sizes)
    epochs = sizes / shares
    wanted = np.rint(shares * (epochs.max() if mixture.repeat else epochs.min()))
    counts = np.maximum(wanted, sizes) if mixture.repeat else np.clip(wanted, 1, sizes)
    return tuple(int(count) for count in counts)


def draw(sizes: Sequence[int], counts: Sequence[int], seed: int, epoch: int) -> Rows:
    """Return the examples of one epoch in order, shape `[sum of counts]`, int64.

    Each dataset is an endless row of shuffled passes, of which every epoch takes the next `counts`: over many epochs no
    example is seen more than once more often than another of its dataset.
    """
    drawn, start = [], 0
    for dataset, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        drawn.append(start + _go_on(size, epoch * count, count, seed, dataset))
        start += size
    if len(drawn) == 1:
        return drawn[0]
    together = np.concatenate(drawn)
    return together[shuffle(len(together), seed, epoch, 0, 1)]


def _go_on(size: int, first: int, count: int, seed: int, dataset: int) -> Rows:
    """Return the examples `first` to `first + count` of a dataset's endless row."""
    number = range(first // size, -(-(first + count) // size))
    passes = [shuffle(size, seed, *((one, dataset) if dataset else (one,))) for one in number]
    start = first % size
    return np.concatenate(passes)[start : start + count] if passes else np.zeros(0, dtype=np.int64)
