"""How the units of a step are shared between ranks, so that all finish at the same time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sftdata.plan.shuffling import Rows

LINEAR_TOKENS = 6144
"""How many tokens of context cost as much as all the rest that a layer does for a token.

A layer's linear maps take about 24 h^2 operations a token (h: hidden size), causal attention 2 h for each token of
context and half of them on average: 24 h^2 / (4 h) = 6 h, with h = 1024 (Kaplan et al. 2020, table 1).
"""


def attention_cost(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return what each example costs, shape `[examples]`: tokens times their context, and the linear part."""
    of_each = lengths.astype(np.int64)
    return of_each * (of_each + LINEAR_TOKENS)


def share(units: Sequence[Rows], lengths: Rows, ranks: int) -> list[list[Rows]]:
    """Share the units of a step between ranks: as many for each, none twice, none left out.

    In every round the ranks take the next costliest units, the one with the least cost so far first; so two ranks
    differ by no more than the costliest unit. Ranks that get none in the last round get a filler, a unit without
    examples. The n-th units of all ranks cost about the same.

    Args:
        units: examples of each unit.
        lengths: tokens of every example of the split, shape `[rows]`.
        ranks: how many share.
    """
    costs = _costs(units, lengths) if units else []
    falling = sorted(range(len(units)), key=lambda unit: -costs[unit])  # stable: the same everywhere
    shares: list[list[Rows]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for start in range(0, len(units), ranks):
        idlest = sorted(range(ranks), key=loads.__getitem__)
        taken = falling[start : start + ranks]
        for rank, unit in zip(idlest, taken, strict=False):
            shares[rank].append(units[unit])
            loads[rank] += costs[unit]
        for rank in idlest[len(taken) :]:
            shares[rank].append(np.zeros(0, dtype=np.int64))
    return shares


def _costs(units: Sequence[Rows], lengths: Rows) -> list[int]:
    """Return what each unit costs; in one go, for a unit may be a single example."""
    running = np.concatenate([[0], np.cumsum(attention_cost(lengths[np.concatenate(units)]))])
    ends = np.cumsum([len(unit) for unit in units])
    costs: list[int] = np.diff(running[ends], prepend=0).tolist()
    return costs
