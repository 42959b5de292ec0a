"""How good predictions are: numpy arrays or texts in, numbers out. No torch, no files.

| task | call |
| --- | --- |
| text_classification | `score_classes` |
| multilabel | `score_labels`, with thresholds that `tune_thresholds` found on the validation split |
| regression | `score_numbers` |
| token_classification | `score_tags` |
| seq2seq | `score_tokens`, and `score_texts` after a generation |
| causal_lm | `score_tokens` |

Each returns `Scores`, and `|` joins two: `score_loss(...) | score_classes(...)` is an evaluation. `METRICS` says which
of the values can choose the best checkpoint.
"""

from sftdata.training.metrics.classification import (
    classification_scores,
    confusion_matrix,
    describe_classes,
    majority_class,
    score_classes,
)
from sftdata.training.metrics.entities import find_scheme, find_spans, score_tags
from sftdata.training.metrics.multilabel import choose_labels, score_labels, tune_thresholds
from sftdata.training.metrics.regression import score_numbers
from sftdata.training.metrics.scores import Scores
from sftdata.training.metrics.selection import GENERATED, LOWER_IS_BETTER, METRICS, choose_metric, is_better
from sftdata.training.metrics.texts import score_texts
from sftdata.training.metrics.tokens import score_loss, score_tokens, token_scores

__all__ = [
    "GENERATED",
    "LOWER_IS_BETTER",
    "METRICS",
    "Scores",
    "choose_labels",
    "choose_metric",
    "classification_scores",
    "confusion_matrix",
    "describe_classes",
    "find_scheme",
    "find_spans",
    "is_better",
    "majority_class",
    "score_classes",
    "score_labels",
    "score_loss",
    "score_numbers",
    "score_tags",
    "score_texts",
    "score_tokens",
    "token_scores",
    "tune_thresholds",
]
