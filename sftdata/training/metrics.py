"""How good predictions are. Plain numpy; equal to scikit-learn's figures, with `zero_division=0`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftdata.errors import TrainingError
from sftdata.records import Task

Classes = NDArray[np.int64]
"""A class index an example, shape `[examples]`, dtype int64."""

METRICS: dict[Task, tuple[str, ...]] = {
    Task.TEXT_CLASSIFICATION: ("macro_f1", "accuracy", "loss"),
    Task.CAUSAL_LM: ("loss", "perplexity", "token_accuracy"),
}
"""What can choose the best checkpoint of each task; the first does when nothing is asked for."""

LOWER_IS_BETTER = ("loss", "perplexity")


def choose_metric(task: Task, asked: str | None) -> str:
    """Return the metric that chooses the best checkpoint.

    Raises:
        TrainingError: when the task has no such metric.
    """
    if asked is not None and asked not in METRICS[task]:
        raise TrainingError(f"train.metric: found '{asked}'; a {task} task knows: {', '.join(METRICS[task])}.")
    return asked or METRICS[task][0]


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Tell whether `value` beats the best so far; what is not a number beats nothing."""
    if best is None or np.isnan(value):
        return not np.isnan(value)
    return value < best if metric in LOWER_IS_BETTER else value > best


def per_class(targets: Classes, predictions: Classes, classes: int) -> dict[str, NDArray[np.float64]]:
    """Return `precision`, `recall`, `f1` and `rows` of each class, shape `[classes]`, float64; 0 where undefined."""
    rows = np.bincount(targets, minlength=classes).astype(np.float64)
    predicted = np.bincount(predictions, minlength=classes).astype(np.float64)
    hits = np.bincount(targets[targets == predictions], minlength=classes).astype(np.float64)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, rows),
        "f1": _ratio(2 * hits, rows + predicted),
        "rows": rows,
    }


def classification_scores(targets: Classes, predictions: Classes, classes: int) -> dict[str, float]:
    """Return `accuracy` and `macro_f1`: the mean over classes that occur among the targets or the predictions."""
    seen = np.union1d(targets, predictions)
    f1 = per_class(targets, predictions, classes)["f1"][seen]
    return {"accuracy": float(np.mean(targets == predictions)), "macro_f1": float(np.mean(f1))}


def describe_classes(targets: Classes, predictions: Classes, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return `precision`, `recall`, `f1` and `rows` by label name."""
    scores = per_class(targets, predictions, len(names))
    return {
        name: {key: int(values[i]) if key == "rows" else float(values[i]) for key, values in scores.items()}
        for i, name in enumerate(names)
    }


def majority_class(targets: Classes) -> int:
    """Return the most frequent class, the first of equals."""
    return int(np.bincount(targets).argmax())


def token_scores(loss_sum: float, correct: int, tokens: int) -> dict[str, float]:
    """Return `loss` (nats a trained token), `perplexity` and `token_accuracy`."""
    loss = loss_sum / tokens
    return {"loss": loss, "perplexity": float(np.exp(min(loss, 700.0))), "token_accuracy": correct / tokens}


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
