import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from strategies import quick

from sftdata.training.metrics import (
    classification_scores,
    confusion_matrix,
    describe_classes,
    majority_class,
    score_classes,
)

NAMES = list("abcdef")
pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


def columns(values, dtype=np.int64):
    return tuple(np.array(column, dtype=dtype) for column in zip(*values, strict=True))


@given(pairs, st.sampled_from([np.int64, np.int32, np.int16, np.uint8]))
@quick
def test_scores_are_those_of_scikit_learn(values, dtype):
    targets, found = columns(values, dtype)
    scores = classification_scores(targets, found, 6)
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(targets, found))
    for average in ("macro", "micro"):
        ways = reference.precision_recall_fscore_support(targets, found, average=average, zero_division=0)
        expected = {f"{average}_{name}": way for name, way in zip(("precision", "recall", "f1"), ways[:3], strict=True)}
        assert scores == pytest.approx(scores | {name: expected[name] for name in expected.keys() & scores.keys()})
    assert scores.keys() == {"accuracy", "micro_f1", "macro_f1", "macro_precision", "macro_recall"}


@given(pairs)
@quick
def test_each_class_and_the_confusion_matrix_are_those_of_scikit_learn(values):
    targets, found = columns(values)
    expected = reference.precision_recall_fscore_support(targets, found, labels=range(6), zero_division=0)
    for place, (name, ours) in enumerate(describe_classes(targets, found, NAMES).items()):
        assert (name, list(ours)) == (NAMES[place], ["precision", "recall", "f1", "rows"])
        assert list(ours.values()) == pytest.approx([column[place] for column in expected])
    matrix = reference.confusion_matrix(targets, found, labels=range(6))
    assert np.array_equal(confusion_matrix(targets.astype(np.int8), found, 6), matrix)
    assert score_classes(targets, found, NAMES).details["confusion_matrix"] == matrix.tolist()


few = st.sampled_from([0.0, -0.0, 0.1, 0.25, 0.5, 1.0])
"""Scores with many ties."""


@given(st.lists(st.tuples(st.integers(0, 2), st.tuples(few, few, few)), min_size=1, max_size=30))
@quick
def test_the_area_of_each_class_is_that_of_scikit_learn_and_left_out_where_it_has_none(rows):
    targets = np.array([target for target, _ in rows])
    probabilities = np.array([scores for _, scores in rows], dtype=np.float32)
    result = score_classes(targets, probabilities.argmax(axis=1), list("abc"), probabilities)
    expected = {}
    for place, name in enumerate("abc"):
        if 0 < (targets == place).sum() < len(targets):
            expected[name] = reference.roc_auc_score(targets == place, probabilities[:, place])
    areas = {name: one["roc_auc"] for name, one in result.details["per_class"].items() if "roc_auc" in one}
    assert areas == pytest.approx(expected)
    if expected:
        assert result.values["roc_auc"] == pytest.approx(np.mean(list(expected.values())))
    else:
        assert "roc_auc" not in result.values
        assert result.undefined["roc_auc"].startswith("no class has an area; of the first, of")


def test_the_area_over_many_classes_is_scikit_learn_s_one_against_the_rest():
    random = np.random.default_rng(7)
    targets = random.integers(0, 5, 400)
    probabilities = random.dirichlet(np.ones(5), 400)
    expected = reference.roc_auc_score(targets, probabilities, multi_class="ovr", average="macro")
    result = score_classes(targets, probabilities.argmax(1), list("abcde"), probabilities)
    assert result.values["roc_auc"] == pytest.approx(expected)


def test_the_area_of_two_classes_is_that_of_the_second():
    targets, second = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.6, 0.9])
    found = (second > 0.5).astype(np.int64)
    result = score_classes(targets, found, ["no", "yes"], np.stack([np.zeros(5), second], axis=1))
    assert result.values["roc_auc"] == pytest.approx(reference.roc_auc_score(targets, second))


def test_the_area_has_a_reason_where_it_does_not_exist():
    targets, found = np.array([1, 1, 1]), np.array([1, 0, 1])
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
    assert score_classes(targets, found, ["no", "yes"]).undefined == {
        "roc_auc": "it needs the probabilities of all classes"
    }
    assert score_classes(targets, found, ["no", "yes"], probabilities).undefined == {
        "roc_auc": "of 3 rows all are positive"
    }
    probabilities[1, 1] = np.nan
    mixed = score_classes(np.array([0, 1, 1]), found, ["no", "yes"], probabilities)
    assert mixed.undefined == {"roc_auc": "some scores are not numbers"}
    assert "NaN" not in json.dumps(mixed.to_json())


def test_a_confusion_matrix_that_no_report_can_show_is_left_out_and_that_is_said():
    targets = np.arange(101)
    result = score_classes(targets, targets, [str(place) for place in range(101)])
    assert "confusion_matrix" not in result.details
    assert result.undefined["confusion_matrix"] == "there are 101 classes, it is shown for 100"
    assert result.values["accuracy"] == 1


def test_the_majority_class_is_the_most_frequent():
    assert majority_class(np.array([2, 1, 2, 0, 1, 2])) == 2
    assert majority_class(np.array([1, 0, 1, 0])) == 0
