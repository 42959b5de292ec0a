"""Wrong labels are found where cleanlab finds them, in an order that no machine decides."""

import json
import warnings
from functools import partial
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import TrainingError
from sftdata.training import label_errors
from sftdata.training.label_errors import (
    class_thresholds,
    confident_joint,
    find_label_errors,
    measure_quality,
    write_label_errors,
)

PRUNES = ("noise_rate", "class", "both")
FILTERS = {"noise_rate": "prune_by_noise_rate", "class": "prune_by_class", "both": "both"}
RANKS = ("normalized_margin", "self_confidence")


class Predicted(NamedTuple):
    labels: np.ndarray
    probabilities: np.ndarray


@st.composite
def predictions(draw: st.DrawFn) -> Predicted:
    """Labels with classes that may lack rows, and probabilities: sharp, flat, tied, or not adding up to one."""
    rows, classes = draw(st.integers(2, 60)), draw(st.integers(2, 7))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    used = draw(st.lists(st.integers(0, classes - 1), min_size=2, max_size=classes, unique=True))
    labels = generator.choice(used, rows)
    labels[:2] = used[:2]  # cleanlab wants two classes
    logits = generator.normal(size=(rows, classes)) * draw(st.sampled_from([0, 0.1, 1, 5, 200]))
    logits[np.arange(rows), labels] += draw(st.sampled_from([-3, 0, 1, 3]))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / (powers.sum(axis=1, keepdims=True) if draw(st.booleans()) else 1)
    if steps := draw(st.sampled_from([None, 1, 4])):
        probabilities = np.round(probabilities * steps) / steps
    return Predicted(labels, probabilities.astype(np.float32))


def ask_cleanlab(function, labels, probabilities, **options):
    """Call cleanlab without its complaints, with sorts that leave ties as they stand, in the precision of ours."""
    stable = partial(np.argsort, kind="stable")
    with warnings.catch_warnings(), mock.patch.object(np, "argsort", stable):
        warnings.simplefilter("ignore")
        return function(labels, probabilities.astype(np.float64), **options)


def make_wrong(rows=600, classes=5, share=0.1, seed=3) -> tuple[Predicted, np.ndarray]:
    """Return predictions that are mostly right, labels of which some are wrong, and which are."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(classes, size=rows)
    wrong = generator.random(rows) < share
    labels = np.where(wrong, (truth + generator.integers(1, classes, size=rows)) % classes, truth)
    probabilities = generator.dirichlet(np.ones(classes), size=rows) * 0.6
    probabilities[np.arange(rows), truth] += 0.4
    return Predicted(labels, probabilities.astype(np.float32)), wrong


@quick
@given(predictions(), st.sampled_from(PRUNES), st.sampled_from(RANKS))
def test_the_rows_found_and_their_order_are_cleanlabs(predicted, prune, rank):
    options = {"filter_by": FILTERS[prune], "return_indices_ranked_by": rank, "n_jobs": 1}
    expected = ask_cleanlab(find_label_issues, *predicted, **options)
    assert find_label_errors(*predicted, prune=prune, rank=rank).positions.tolist() == expected.tolist()


@quick
@given(predictions(), st.booleans())
def test_the_confident_joint_is_cleanlabs(predicted, calibrate):
    expected = ask_cleanlab(compute_confident_joint, *predicted, calibrate=calibrate)
    np.testing.assert_array_equal(confident_joint(*predicted, calibrate=calibrate), expected)


@quick
@given(predictions(), st.sampled_from(RANKS))
def test_thresholds_and_qualities_are_cleanlabs(predicted, rank):
    expected = ask_cleanlab(get_confident_thresholds, *predicted)
    with_rows = np.bincount(predicted.labels, minlength=len(expected)) > 0
    found = class_thresholds(*predicted)
    np.testing.assert_allclose(found[with_rows], expected[with_rows], rtol=1e-12)
    assert np.isinf(found[~with_rows]).all()
    np.testing.assert_array_equal(
        measure_quality(*predicted, rank), ask_cleanlab(get_label_quality_scores, *predicted, method=rank)
    )


@pytest.mark.parametrize("prune", PRUNES)
def test_many_rows_are_found_as_cleanlab_finds_them(prune, monkeypatch):
    monkeypatch.setattr(label_errors, "_BLOCK", 1000)  # so that rows come in several blocks, the last one shorter
    predicted, wrong = make_wrong(rows=5000, classes=30)
    found = find_label_errors(*predicted, prune=prune, rank="self_confidence")
    options = {"filter_by": FILTERS[prune], "return_indices_ranked_by": "self_confidence", "n_jobs": 1}
    assert found.positions.tolist() == ask_cleanlab(find_label_issues, *predicted, **options).tolist()
    assert wrong[found.positions].mean() > 0.8


def test_wrong_labels_are_found_with_what_they_should_be():
    labels = np.array([0] * 10 + [1] * 10)
    probabilities = np.where(np.arange(2) == labels[:, None], 0.9, 0.1).astype(np.float32)
    labels[[3, 15]] = [1, 0]
    probabilities[15] = [0.02, 0.98]
    found = find_label_errors(labels, probabilities)
    assert (found.positions.tolist(), found.given.tolist(), found.suggested.tolist()) == ([15, 3], [0, 1], [1, 0])
    np.testing.assert_allclose(found.given_probability, [0.02, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found.suggested_probability, [0.98, 0.9], rtol=1e-6)
    np.testing.assert_allclose(found.score, [0.02, 0.1], rtol=1e-6)
    assert {values.dtype.name for values in vars(found).values()} == {"int64", "float64"}


def test_the_joint_counts_confident_rows_only():
    labels = np.array([0, 0, 0, 1, 1, 2])
    probabilities = np.array(
        [
            [0.8, 0.1, 0.1],
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1],  # thresholds: 17/30, 0.7, 0.4
            [0.2, 0.7, 0.1],
            [0.2, 0.7, 0.1],
            [0.3, 0.3, 0.4],
        ]
    )
    np.testing.assert_allclose(class_thresholds(labels, probabilities), [17 / 30, 0.7, 0.4])
    joint = confident_joint(labels, probabilities, calibrate=False)
    assert joint.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 1]]
    unsure = np.concatenate([probabilities, [[0.5, 0.3, 0.2]]])
    assert confident_joint(np.append(labels, 1), unsure, calibrate=False)[1].sum() == 2


@quick
@given(predictions())
def test_the_calibrated_joint_has_as_many_rows_of_a_label_as_there_are(predicted):
    joint = confident_joint(*predicted)
    assert joint.sum(axis=1).tolist() == np.bincount(predicted.labels, minlength=len(joint)).tolist()
    assert joint.min() >= 0


@pytest.mark.parametrize("prune", PRUNES)
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (1, 1), (1, 3), (9, 1)])
def test_nothing_is_found_where_nothing_can_be(shape, prune, rank):
    found = find_label_errors(
        np.zeros(shape[0], dtype=np.int64), np.full(shape, 0.5, dtype=np.float32), prune=prune, rank=rank
    )
    assert len(found) == len(found.score) == 0
    assert found.positions.dtype == np.int64


def test_equal_rows_come_in_their_order_and_as_many_as_counted():
    labels = np.repeat([0, 1], [8, 8])
    probabilities = np.where(np.arange(2) == labels[:, None], 0.9, 0.1)
    probabilities[[1, 4, 6]] = [0.1, 0.9]
    assert find_label_errors(labels, probabilities).positions.tolist() == [1, 4, 6]
    assert label_errors._largest(np.array([1.0, 3, 2, 2, 2, 0]), 3).tolist() == [1, 2, 3]


def test_a_label_that_is_as_probable_as_any_is_never_wrong():
    predicted, _ = make_wrong()
    found = find_label_errors(*predicted, prune="class")
    assert len(found) > 0
    assert (found.suggested_probability > found.given_probability).all()
    assert (found.suggested == predicted.probabilities.argmax(axis=1)[found.positions]).all()


def test_a_difference_within_the_tolerance_is_none():
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.4], [0.1, 0.3], [0.1, 0.3]])
    probabilities[2, 1] += 5e-7
    assert len(find_label_errors(labels, probabilities, prune="class")) == 0
    probabilities[2, 1] += 1e-5
    assert find_label_errors(labels, probabilities, prune="class").positions.tolist() == [2]


@pytest.mark.parametrize("dtype", [np.int8, np.int32])
@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_dtypes_and_views_give_the_same(dtype, kind):
    predicted, _ = make_wrong()
    values = predicted.probabilities.astype(kind)
    wide = np.zeros((2 * len(values), values.shape[1] + 2), dtype=kind)
    wide[::2, 1:-1] = values
    given_before = wide.copy(), predicted.labels.astype(dtype)
    found = find_label_errors(given_before[1], wide[::2, 1:-1])
    assert found.positions.tolist() == find_label_errors(predicted.labels, values).positions.tolist()
    np.testing.assert_array_equal(wide, given_before[0])


@pytest.mark.parametrize(
    ("labels", "probabilities", "error", "message"),
    [
        ([0, 3], [[0.5, 0.5]] * 2, ValueError, "found labels from 0 to 3, expected them from 0 to 1"),
        ([-1, 1], [[0.5, 0.5]] * 2, ValueError, "found labels from -1 to 1"),
        ([0], [[0.5, 0.5]] * 2, ValueError, r"shape \(1,\) and probabilities of shape \(2, 2\)"),
        ([0, 1], [0.5, 0.5], ValueError, r"expected \[rows\] and \[rows, classes\]"),
        ([0.0, 1.0], [[0.5, 0.5]] * 2, ValueError, "found float64 labels"),
        ([0, 1], [[1, 0]] * 2, ValueError, "int64 probabilities"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], TrainingError, "found predictions from nan to nan"),
        ([0, 1], [[0.5, 0.5], [-3.0, 4.0]], TrainingError, "found predictions from -3 to 4, expected probabilities"),
    ],
)
def test_what_is_no_label_or_probability_is_refused(labels, probabilities, error, message):
    for function in (find_label_errors, confident_joint, class_thresholds, measure_quality):
        with pytest.raises(error, match=message):
            function(np.array(labels), np.array(probabilities))


def test_the_file_has_a_line_a_row_and_appears_at_once(tmp_path):
    found = find_label_errors(np.array([0, 0, 0, 1, 1]), np.array([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 3, np.float32))
    path = tmp_path / "label_errors.jsonl"
    write_label_errors(path, found, ["gut", "schön"], ["0a:b:17+2"], {"0a:b": "データ.csv"})
    text = path.read_text(encoding="utf-8")
    assert "schön" in text
    assert "データ" in text
    assert [json.loads(line) for line in text.splitlines()] == [
        {
            "row_id": "0a:b:17+2",
            "source": "データ.csv",
            "record": 17,
            "given": "gut",
            "suggested": "schön",
            "given_probability": 0.1,
            "suggested_probability": 0.9,
            "score": 0.1,
        }
    ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["label_errors.jsonl"]


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "label_errors.jsonl"
    path.write_text("earlier\n")
    found = find_label_errors(np.array([0, 0, 0, 1, 1]), np.array([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 3))
    with pytest.raises(ValueError, match="zip"):
        write_label_errors(path, found, ["a", "b"], [], {})
    assert path.read_text() == "earlier\n"


def test_without_findings_the_file_is_empty(tmp_path):
    found = find_label_errors(np.array([0, 1]), np.eye(2))
    write_label_errors(tmp_path / "none.jsonl", found, ["a", "b"], [], {})
    assert (tmp_path / "none.jsonl").read_text() == ""
