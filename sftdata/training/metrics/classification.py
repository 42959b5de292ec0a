"""Scores of one class an example."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftdata.training.metrics.counts import Counts
from sftdata.training.metrics.ranking import roc_auc
from sftdata.training.metrics.scores import Figure, Scores

Classes = NDArray[np.integer]
"""A class index an example, shape `[examples]`, any integer dtype."""

MOST_CLASSES = 100
"""Up to so many classes the confusion matrix stands in the details; it grows with their square."""


def score_classes(
    targets: Classes, found: Classes, names: Sequence[str], probabilities: NDArray[np.floating] | None = None
) -> Scores:
    """Score one class an example.

    Args:
        targets: shape `[rows]`, at least one row.
        found: predicted classes, shape `[rows]`.
        names: of the classes.
        probabilities: of each class, shape `[rows, classes]`; without them there is no ROC-AUC.

    Returns:
        `accuracy`, `micro_f1` (the same number), `macro_f1`, `macro_precision`, `macro_recall`, and `roc_auc`: with two
        classes that of the second one, else the mean of each class against the rest, where both occur. Details:
        `per_class`, and `confusion_matrix` (a line a target, a column a prediction).
    """
    per_class = describe_classes(targets, found, names)
    figures: dict[str, Figure] = {**classification_scores(targets, found, len(names))}
    figures["roc_auc"] = "it needs the probabilities of all classes"
    if probabilities is not None:
        areas = [roc_auc(targets == place, probabilities[:, place]) for place in range(len(names))]
        mean = add_areas(per_class, areas)
        figures["roc_auc"] = areas[1] if len(areas) == 2 else mean
    return Scores.make(figures, {"per_class": per_class}) | show_confusions(targets, found, len(names))


def classification_scores(targets: Classes, predictions: Classes, classes: int) -> dict[str, float]:
    """Return `accuracy`, `micro_f1`, `macro_f1`, `macro_precision` and `macro_recall`, from integers alone."""
    counts = count_classes(targets, predictions, classes)
    accuracy = float(counts.hits.sum() / len(targets))
    return {"accuracy": accuracy, "micro_f1": accuracy, **counts.macro()}


def count_classes(targets: Classes, predictions: Classes, classes: int) -> Counts:
    """Count targets, predictions and hits of each class, O(rows), a few bytes a row beside the arguments."""
    hits = targets[targets == predictions]
    return Counts(*(np.bincount(values, minlength=classes) for values in (targets, predictions, hits)))


def describe_classes(targets: Classes, predictions: Classes, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return `precision`, `recall`, `f1` and `rows` by label name."""
    return count_classes(targets, predictions, len(names)).describe(names)


def confusion_matrix(targets: Classes, predictions: Classes, classes: int) -> NDArray[np.int64]:
    """Return how often each target got each prediction, shape `[classes, classes]`, int64; targets are the lines."""
    cells = np.bincount(targets.astype(np.int64) * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes)


def show_confusions(targets: Classes, predictions: Classes, classes: int) -> Scores:
    """Return the detail `confusion_matrix`, or that there are more classes than a report can show."""
    if classes > MOST_CLASSES:
        return Scores(
            {}, undefined={"confusion_matrix": f"there are {classes} classes, it is shown for {MOST_CLASSES}"}
        )
    return Scores({}, {"confusion_matrix": confusion_matrix(targets, predictions, classes).tolist()})


def add_areas(per_class: dict[str, dict[str, Any]], areas: Sequence[Figure]) -> Figure:
    """Write the area of each class that has one beside its other scores, and return their mean."""
    for scores, area in zip(per_class.values(), areas, strict=True):
        if not isinstance(area, str):
            scores["roc_auc"] = area
    known = [area for area in areas if not isinstance(area, str)]
    return sum(known) / len(known) if known else f"no class has an area; of the first, {areas[0]}"


def majority_class(targets: Classes) -> int:
    """Return the most frequent class, the first of equals."""
    return int(np.bincount(targets).argmax())
