import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from sftdata.errors import TrainingError
from sftdata.recipe import TRAINED
from sftdata.training.metrics import (
    METRICS,
    choose_metric,
    classification_scores,
    describe_classes,
    is_better,
    majority_class,
    token_scores,
)

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_scikit_learn(values):
    targets, found = (np.array(column, dtype=np.int64) for column in zip(*values, strict=True))
    scores = classification_scores(targets, found, 6)
    assert scores["accuracy"] == pytest.approx(accuracy_score(targets, found))
    assert scores["macro_f1"] == pytest.approx(f1_score(targets, found, average="macro", zero_division=0))
    expected = precision_recall_fscore_support(targets, found, labels=range(6), zero_division=0)
    for place, name in enumerate("abcdef"):
        ours = describe_classes(targets, found, list("abcdef"))[name]
        assert list(ours.values()) == pytest.approx([column[place] for column in expected])


def test_loss_and_accuracy_are_per_trained_token():
    scores = token_scores(loss_sum=20.0, correct=4, tokens=10)
    assert scores == {"loss": 2.0, "perplexity": pytest.approx(np.exp(2.0)), "token_accuracy": 0.4}


def test_the_majority_class_is_the_most_frequent():
    assert majority_class(np.array([2, 1, 2, 0, 1, 2])) == 2


@pytest.mark.parametrize(
    ("metric", "value", "best", "better"),
    [
        ("loss", 1.0, 2.0, True),
        ("loss", 2.0, 1.0, False),
        ("perplexity", 1.0, 2.0, True),
        ("accuracy", 2.0, 1.0, True),
        ("macro_f1", 1.0, 1.0, False),
        ("token_accuracy", 0.1, None, True),
        ("loss", float("nan"), None, False),
        ("accuracy", float("nan"), 0.1, False),
    ],
)
def test_better_means_strictly_better_in_the_metric_s_own_direction(metric, value, best, better):
    assert is_better(metric, value, best) is better


@pytest.mark.parametrize("task", TRAINED)
def test_an_unknown_metric_is_refused_and_the_known_are_named(task):
    with pytest.raises(TrainingError, match=r"found 'f2'.*" + ", ".join(METRICS[task])):
        choose_metric(task, "f2")
    assert choose_metric(task, None) == {"text_classification": "macro_f1", "causal_lm": "loss"}[task]
    assert [choose_metric(task, name) for name in METRICS[task]] == list(METRICS[task])
