"""Divide rows into splits: seeded by row id, so that order and chunking do not matter; stratified when told."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.records import random_keys


def split_rows(
    row_ids: pl.Series, shares: Mapping[str, float], seed: int, strata: pl.Series | None = None
) -> NDArray[np.int8]:
    """Assign each row to a split.

    Inside a stratum, rows are ordered by a key drawn from `(seed, row id)` and dealt out by largest remainder: each
    split gets its share, rounded up or down. What strata round away decides how the next one is rounded, so that the
    whole is near the shares too. A stratum always has a row in the first split, which is the training part.

    Args:
        row_ids: distinct strings, shape `[rows]`.
        shares: weight of each split, in order; the first is the training part and is above zero.
        seed: changes the draw.
        strata: the stratum of each row, shape `[rows]`; one stratum when it is not given.

    Returns:
        Positions in `shares`, shape `[rows]`, dtype int8.
    """
    weights = np.array(list(shares.values()), dtype=np.float64)
    weights /= weights.sum()
    order = pl.DataFrame(
        {"row_id": row_ids, "key": random_keys(row_ids, seed), "stratum": strata if strata is not None else ""}
    )
    ordered = order.with_row_index().sort("stratum", "key", "row_id")
    sizes = ordered.group_by("stratum", maintain_order=True).len()["len"].to_list()
    counts = apportion(sizes, weights)
    assignment = np.empty(len(row_ids), dtype=np.int8)
    assignment[ordered["index"].to_numpy()] = np.repeat(np.tile(np.arange(len(weights)), len(sizes)), counts.ravel())
    return assignment


def apportion(sizes: list[int], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Divide each of `sizes` in whole numbers as `weights`, which add up to one, ask.

    Returns:
        Counts of shape `[strata, splits]` whose rows add up to `sizes`; each is its quota rounded up or down, but for
        the one row that the first split is always given.
    """
    counts = np.zeros((len(sizes), len(weights)), dtype=np.int64)
    owed = np.zeros(len(weights))
    for stratum, size in enumerate(sizes):
        quota = size * weights
        counts[stratum] = _round_to(size, quota, owed)
        if counts[stratum, 0] == 0 and size:
            counts[stratum, np.argmax(counts[stratum])] -= 1
            counts[stratum, 0] = 1
        owed += quota - counts[stratum]
    return counts


def _round_to(total: int, quota: NDArray[np.float64], owed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round down, then give the rows that are left to the splits with a fraction, those that are owed most first."""
    whole = np.floor(quota + 1e-9).astype(np.int64)  # 1e-9: 0.1 * 30 must be 3, not 2
    fraction = quota - whole
    claims = np.where(fraction > 1e-9, fraction + owed, -np.inf)
    whole[np.argsort(-claims, kind="stable")[: total - int(whole.sum())]] += 1
    return whole
