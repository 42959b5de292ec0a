"""Give rows sides that no later row can change: a hash decides, not the other rows."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import random_keys

Indexes = NDArray[np.int64]


def place_stably(
    slim: pl.DataFrame, units: Indexes, shares: list[float], seed: int, folds: int | None
) -> tuple[Indexes, Indexes | None]:
    """Give each unit the part, and the fold, into which the hash of its speaker falls.

    The speaker of a unit is its first row in the order of `slim`. Its hash is that of its group, or of its row id where
    it has none. So:

    - A row without a cluster never moves, whatever is added or taken away, and wherever: the hash of its id, or of its
      group, is all that counts.
    - A row in a cluster never moves when rows are added behind the old ones.
    - A row added behind that ties two old units together (a near-duplicate of both, or of one and in the group of the
      other) brings all to the side of the older one, since one unit cannot be on two sides. The rows of the younger
      unit move if they were elsewhere. The same holds for a row that is added before a cluster and becomes its speaker.

    Args:
        slim: `row_id` and, where there is one, `group`, shape `[rows]`.
        units: unit of each row, from 0 on in the order of their first rows.
        shares: weight of each part, the training part first.
        seed: changes the draw.
        folds: how many folds there are.

    Returns:
        Part of each row, and fold of each row where there are folds; dtype int64. A part whose share is raised at the
        cost of training keeps the rows that it has, if it is the last one.
    """
    name = slim["row_id"]
    if "group" in slim.columns:
        name = slim.select(pl.coalesce(pl.col("group").cast(pl.String), "row_id")).to_series()
    speakers = np.unique(units, return_index=True)[1]
    keys = random_keys(name[speakers], seed)
    later = np.cumsum(np.array(shares[:0:-1])) / sum(shares)  # the last part lies lowest, training on top
    draws = (keys >> np.uint64(11)) * 2.0**-53
    parts = len(later) - np.searchsorted(later, draws, side="right")
    if folds is None:
        return parts[units], None
    of_fold = (keys % np.uint64(folds)).astype(np.int64)  # the low bits; the high ones have decided on the part
    return parts[units], of_fold[units]
