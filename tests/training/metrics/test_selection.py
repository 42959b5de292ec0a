import re
import subprocess
import sys

import numpy as np
import pytest

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.training.metrics import (
    GENERATED,
    LOWER_IS_BETTER,
    METRICS,
    choose_metric,
    is_better,
    score_classes,
    score_labels,
    score_loss,
    score_numbers,
    score_tags,
    score_texts,
    score_tokens,
)

TAGS = ["O", "B-X", "I-X"]
FIRST = {
    Task.TEXT_CLASSIFICATION: "macro_f1",
    Task.MULTILABEL: "macro_f1",
    Task.REGRESSION: "mse",
    Task.TOKEN_CLASSIFICATION: "entity_f1",
    Task.SEQ2SEQ: "loss",
    Task.CAUSAL_LM: "loss",
}


def evaluations():
    """An evaluation of each task in which every metric exists."""
    targets, found = np.array([0, 1, 2, 1]), np.array([0, 1, 1, 1])
    loss, tokens = score_loss(3.0, 4), score_tokens(3.0, 2, 4)
    return {
        Task.TEXT_CLASSIFICATION: loss | score_classes(targets, found, list("abc"), np.eye(3)[found]),
        Task.MULTILABEL: loss | score_labels(np.eye(3)[targets], np.eye(3, dtype=np.float32)[found], list("abc")),
        Task.REGRESSION: loss | score_numbers(targets, found),
        Task.TOKEN_CLASSIFICATION: loss | score_tags(targets, found, TAGS, np.array([4])),
        Task.SEQ2SEQ: tokens | score_texts(["a b c d"], ["a b c d e"]),
        Task.CAUSAL_LM: tokens,
    }


@pytest.mark.parametrize("task", Task)
def test_the_metrics_of_a_task_are_the_numbers_that_its_evaluation_gives(task):
    assert set(METRICS[task]) == evaluations()[task].values.keys()
    assert set(METRICS[Task.SEQ2SEQ]) - set(METRICS[Task.CAUSAL_LM]) == set(GENERATED)


@pytest.mark.parametrize("task", Task)
def test_an_unknown_metric_is_refused_and_the_known_are_named(task):
    with pytest.raises(TrainingError, match=r"found 'f2'.*" + ", ".join(METRICS[task])):
        choose_metric(task, "f2", TAGS)
    assert choose_metric(task, None, TAGS) == FIRST[task]
    assert [choose_metric(task, name, TAGS) for name in METRICS[task]] == list(METRICS[task])


def test_tags_that_spell_no_entities_are_judged_as_classes():
    assert choose_metric(Task.TOKEN_CLASSIFICATION, None, ["NN", "VB"]) == "macro_f1"
    with pytest.raises(TrainingError, match=re.escape("whose tags spell no entities knows: macro_f1, accuracy")):
        choose_metric(Task.TOKEN_CLASSIFICATION, "entity_f1", ["NN", "VB"])


def test_metrics_load_nothing_heavy():
    heavy = {"torch", "transformers", "sklearn", "scipy", "seqeval", "sacrebleu"}
    program = f"import sys, sftdata.training.metrics; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("metric", "value", "best", "better"),
    [
        ("loss", 1.0, 2.0, True),
        ("loss", 2.0, 1.0, False),
        ("perplexity", 1.0, 2.0, True),
        ("mse", 1.0, 2.0, True),
        ("mae", 2.0, 1.0, False),
        ("hamming_loss", 0.1, 0.2, True),
        ("accuracy", 2.0, 1.0, True),
        ("macro_f1", 1.0, 1.0, False),
        ("r2", -1.0, -2.0, True),
        ("token_accuracy", 0.1, None, True),
        ("loss", float("nan"), None, False),
        ("accuracy", float("nan"), 0.1, False),
    ],
)
def test_better_means_strictly_better_in_the_metric_s_own_direction(metric, value, best, better):
    assert is_better(metric, value, best) is better


def test_perfect_predictions_are_better_than_wrong_ones_by_every_metric_but_the_loss():
    targets, wrong = np.array([0, 1, 2, 1]), np.array([1, 2, 0, 0])
    one_hot = np.eye(3, dtype=np.float32)
    ways = {
        Task.TEXT_CLASSIFICATION: lambda found: score_classes(targets, found, list("abc"), one_hot[found]),
        Task.MULTILABEL: lambda found: score_labels(one_hot[targets], one_hot[found], list("abc")),
        Task.REGRESSION: lambda found: score_numbers(targets, found),
        Task.TOKEN_CLASSIFICATION: lambda found: score_tags(targets, found, TAGS, np.array([4])),
    }
    for task, way in ways.items():
        right, bad = way(targets).values, way(wrong).values
        for metric in set(METRICS[task]) - {"loss"}:
            assert is_better(metric, right[metric], bad[metric]), (task, metric)
    assert set().union(*METRICS.values()) >= set(LOWER_IS_BETTER)
