"""Find the units of a split: rows that must stand on one side together."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.stages.forest import find_roots, join

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
    every = np.arange(rows)
    parents = every.copy()
    for key in (group, cluster):
        if key is not None:
            join(parents, every, first_rows(key))
    roots = find_roots(parents, every)
    firsts, units = np.unique(roots, return_inverse=True)  # a root is the first row of its unit, so order is kept
    return units.astype(np.int64) if len(firsts) < rows else roots


def first_rows(key: pl.Series) -> Indexes:
    """Return for each row the first row with the same key; a null is like no other."""
    rows = pl.int_range(len(key), dtype=pl.Int64, eager=True)
    found = pl.DataFrame({"key": key.rename("key"), "row": rows}).select(
        pl.when(pl.col("key").is_null()).then("row").otherwise(pl.col("row").first().over("key"))
    )
    return found.to_series().to_numpy().astype(np.int64)
