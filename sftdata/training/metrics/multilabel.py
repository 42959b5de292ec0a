"""Scores of any number of labels an example, and the thresholds above which a label is given."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sftdata.training.metrics.classification import add_areas
from sftdata.training.metrics.counts import Counts
from sftdata.training.metrics.ranking import roc_auc
from sftdata.training.metrics.scores import Figure, Scores

Truth = NDArray[np.floating] | NDArray[np.bool_]
"""1 where an example has a label, else 0; shape `[rows, labels]`."""

Probabilities = NDArray[np.float32]
"""Of each label from 0 to 1, shape `[rows, labels]`, float32."""

DEFAULT_THRESHOLD = 0.5


def score_labels(
    targets: Truth, found: Probabilities, names: Sequence[str], thresholds: NDArray[np.float32] | None = None
) -> Scores:
    """Score the labels that `choose_labels` gives.

    Args:
        targets: at least one row.
        found: probabilities.
        names: of the labels.
        thresholds: those of `tune_thresholds`, shape `[labels]`; None: 0.5 for all.

    Returns:
        `subset_accuracy` (the share of rows of which all labels are right), `hamming_loss` (the share of single
        decisions that are wrong), precision, recall and F1 as `micro_` and `macro_`, and `roc_auc`, the mean over
        labels that some rows have and others lack. Details: `per_class`, with the `threshold` and `roc_auc` of each.
    """
    truth, chosen = targets > 0, choose_labels(found, thresholds)
    wrong = truth != chosen
    counts = Counts(*(marks.sum(axis=0, dtype=np.int64) for marks in (truth, chosen, truth & chosen)))
    per_class = counts.describe(names)
    for scores, place in zip(per_class.values(), range(len(names)), strict=True):
        scores["threshold"] = DEFAULT_THRESHOLD if thresholds is None else float(thresholds[place])
    figures: dict[str, Figure] = {**counts.micro(), **counts.macro()}
    figures |= {"subset_accuracy": float(1 - wrong.any(axis=1).mean()), "hamming_loss": float(wrong.mean())}
    figures["roc_auc"] = add_areas(per_class, [roc_auc(truth[:, i], found[:, i]) for i in range(len(names))])
    return Scores.make(figures, {"per_class": per_class})


def choose_labels(found: Probabilities, thresholds: NDArray[np.float32] | None = None) -> NDArray[np.bool_]:
    """Give an example each label whose probability reaches its threshold; shape `[rows, labels]`."""
    least = np.float32(DEFAULT_THRESHOLD) if thresholds is None else thresholds
    return np.asarray(found.astype(np.float32, copy=False) >= least)


def tune_thresholds(targets: Truth, found: Probabilities) -> NDArray[np.float32]:
    """Find the threshold of each label with the highest F1 on these rows, which must be the validation split's.

    One sort a label: O(labels * rows log rows). Rows of equal probability are never parted. Of equally good thresholds
    the one nearest to 0.5 is taken, and 0.5 itself where it is among them; else the middle between the two
    probabilities that it parts. A label that no row has, or with a probability that is NaN, keeps 0.5.

    Returns:
        Thresholds from 0 to 1, shape `[labels]`, float32: as exact in float32 as the probabilities that they part.
    """
    found = found.astype(np.float32, copy=False)
    return np.array([_tune(targets[:, i] > 0, found[:, i]) for i in range(found.shape[1])], dtype=np.float32)


def _tune(truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    positives = int(truth.sum())
    if positives == 0 or np.isnan(scores).any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-scores)
    high, low = scores[order], np.append(scores[order][1:], np.float32(0))
    f1 = 2 * np.cumsum(truth[order]) / (np.arange(1, len(order) + 1) + positives)
    can_part = np.append(high[1:] < high[:-1], True)
    best = np.flatnonzero(can_part & (f1 == f1[can_part].max()))
    distance = np.maximum(low[best] - DEFAULT_THRESHOLD, DEFAULT_THRESHOLD - high[best])
    place = best[distance.argmin()]
    return _part(low[place], high[place])


def _part(low: np.float32, high: np.float32) -> float:
    """Return a float32 above `low` and not above `high`, or 0 where both are."""
    if low < DEFAULT_THRESHOLD <= high:
        return DEFAULT_THRESHOLD
    middle = np.float32((float(low) + float(high)) / 2)
    return float(middle if middle > low else high)
