"""Check a finished split for leaks, knowing nothing of how it was made."""

from collections.abc import Mapping

import polars as pl


def audit_split(sides: pl.DataFrame, keys: Mapping[str, pl.Series], near: pl.DataFrame | None = None) -> dict[str, int]:
    """Count what stands on two sides of a split.

    Args:
        sides: what tells the sides of the rows apart, shape `[rows]`: the column `part`, and `fold` where there are
            folds.
        keys: what rows of one side may share, by name: groups, keys of exact duplicates, clusters; shape `[rows]`, any
            dtype, nulls share nothing.
        near: pairs of near-duplicates, the positions of two rows each in the columns `left` and `right`.

    Returns:
        By name, how many values of each key have rows on more than one side; and as `near_pairs` how many pairs have.
        All are 0 when nothing leaks.
    """
    side = sides.select(pl.struct(pl.all()).alias("side")).to_series()
    crossing = {name: _count_crossing(side, key) for name, key in keys.items()}
    if near is not None:
        apart = side.gather(near["left"]).struct.unnest() != side.gather(near["right"]).struct.unnest()
        crossing["near_pairs"] = int(apart.select(pl.any_horizontal(pl.all()).sum()).item())
    return crossing


def _count_crossing(side: pl.Series, key: pl.Series) -> int:
    pairs = pl.DataFrame({"key": key, "side": side}).drop_nulls("key").unique()
    return pairs.group_by("key").len().filter(pl.col("len") > 1).height
