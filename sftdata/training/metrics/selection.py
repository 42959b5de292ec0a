"""Which metric chooses the best checkpoint, and what better means."""

import math
from collections.abc import Sequence

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.training.metrics.entities import find_scheme

_CLASSES = ("macro_f1", "accuracy", "loss", "micro_f1", "macro_precision", "macro_recall")
_ENTITIES = ("entity_f1", "entity_precision", "entity_recall", "entity_macro_f1")
_TOKENS = ("loss", "perplexity", "token_accuracy")

GENERATED = ("bleu", "chrf")
"""Metrics of texts, so that an evaluation has to write some."""

METRICS: dict[Task, tuple[str, ...]] = {
    Task.TEXT_CLASSIFICATION: (*_CLASSES, "roc_auc"),
    Task.MULTILABEL: (
        *("macro_f1", "micro_f1", "loss", "subset_accuracy", "hamming_loss", "roc_auc"),
        *("macro_precision", "macro_recall", "micro_precision", "micro_recall"),
    ),
    Task.REGRESSION: ("mse", "mae", "r2", "spearman", "loss"),
    Task.TOKEN_CLASSIFICATION: (*_ENTITIES, *_CLASSES),
    Task.SEQ2SEQ: (*_TOKENS, *GENERATED),
    Task.CAUSAL_LM: _TOKENS,
}
"""What can choose the best checkpoint of each task; the first does when nothing is asked for. Tags that spell no
entities have no metrics of entities, so `macro_f1` is their first."""

LOWER_IS_BETTER = ("loss", "perplexity", "mse", "mae", "hamming_loss")


def choose_metric(task: Task, asked: str | None, names: Sequence[str] = ()) -> str:
    """Return the metric that chooses the best checkpoint.

    Args:
        task: of the run.
        asked: the metric that a person wants; None for the task's first.
        names: of the labels; those of tags tell whether there are entities.

    Raises:
        TrainingError: when the task has no such metric.
    """
    spelled = task != Task.TOKEN_CLASSIFICATION or find_scheme(names) is not None
    known = [name for name in METRICS[task] if spelled or name not in _ENTITIES]
    if asked is not None and asked not in known:
        whose = f"a {task} task" + ("" if spelled else " whose tags spell no entities")
        raise TrainingError(f"train.metric: found '{asked}'; {whose} knows: {', '.join(known)}.")
    return asked or known[0]


def is_better(metric: str, value: float, best: float | None) -> bool:
    """Tell whether `value` beats the best so far; what is not a number beats nothing."""
    if best is None or math.isnan(value):
        return not math.isnan(value)
    return value < best if metric in LOWER_IS_BETTER else value > best
