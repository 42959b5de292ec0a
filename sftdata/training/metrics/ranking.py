"""What depends only on the order of scores: the area under the ROC curve, and Spearman's correlation.

Both are one line over average ranks, which polars gives; loading scikit-learn or scipy for them would take a second.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.training.metrics.scores import Figure


def roc_auc(positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> Figure:
    """Return the area under the ROC curve: how often a positive row scores above a negative one, ties count half.

    By the rank sum of Mann and Whitney (1947), in O(n log n).

    Args:
        positive: shape `[rows]`.
        scores: shape `[rows]`; higher means more likely positive.

    Returns:
        The area; or why there is none: rows of one kind only, or a score that is NaN.
    """
    rows, positives = len(positive), int(positive.sum())
    if positives in (0, rows):
        return f"of {rows} rows {'none is' if positives == 0 else 'all are'} positive"
    if np.isnan(scores).any():
        return "some scores are not numbers"
    above = rank(scores)[positive].sum() - positives * (positives + 1) / 2
    return float(above / positives / (rows - positives))


def spearman(targets: NDArray[np.floating], found: NDArray[np.floating]) -> Figure:
    """Return Spearman's rank correlation of two columns without NaN, shape `[rows]`; or why there is none."""
    for name, values in (("targets", targets), ("predictions", found)):
        if values.min() == values.max():
            return f"all {name} are equal"
    left, right = rank(targets), rank(found)
    left, right = left - left.mean(), right - right.mean()
    return float(np.clip(left @ right / np.sqrt((left @ left) * (right @ right)), -1.0, 1.0))


def rank(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the place of each value from 1, the mean place for equal ones, shape `[rows]`."""
    places: NDArray[np.float64] = pl.Series(values).rank("average").to_numpy()
    return places
