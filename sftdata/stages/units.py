"""Find the units of a split: rows that must stand on one side together."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Indexes = NDArray[np.int64]


def find_units(group: pl.Series | None, cluster: pl.Series | None, rows: int) -> Indexes:
    """Number the units: rows that share a group or a cluster, or are tied through a chain of such rows.

    Args:
        group: what rows share that belong together, any dtype, shape `[rows]`; a null shares nothing.
        cluster: the same for near-duplicates; they tie groups together.
        rows: the number of rows.

    Returns:
        Unit of each row, from 0 on without gaps in the order of their first rows; shape `[rows]`, dtype int64.
    """
    parent = np.arange(rows)
    for key in (group, cluster):
        if key is not None:
            parent = _tie(parent, first_rows(key))
    firsts, units = np.unique(parent, return_inverse=True)  # a parent is the first row of its unit, so order is kept
    return units.astype(np.int64) if len(firsts) < rows else parent


def first_rows(key: pl.Series) -> Indexes:
    """Return for each row the first row with the same key; a null is like no other."""
    rows = pl.int_range(len(key), dtype=pl.Int64, eager=True)
    found = pl.DataFrame({"key": key.rename("key"), "row": rows}).select(
        pl.when(pl.col("key").is_null()).then("row").otherwise(pl.col("row").first().over("key"))
    )
    return found.to_series().to_numpy().astype(np.int64)


def _tie(parent: Indexes, firsts: Indexes) -> Indexes:
    """Merge the trees of `parent` that hold a row and the row that `firsts` ties it to.

    Each tree is named by its smallest row. Every round hooks trees onto the smallest tree that touches them, all at
    once, and flattens them (Shiloach and Vishkin 1982); few rounds do, each of linear cost.
    """
    parent = parent.copy()
    left, right = np.arange(len(parent)), firsts
    while len(left):
        low, high = np.minimum(parent[left], parent[right]), np.maximum(parent[left], parent[right])
        apart = low < high
        left, right = low[apart], high[apart]
        np.minimum.at(parent, right, left)
        while (parent[parent] != parent).any():
            parent = parent[parent]
    return parent
