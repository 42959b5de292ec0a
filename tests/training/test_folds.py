"""Folds hold every row out once, and say so where they cannot."""

import json
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import TrainingError
from sftdata.plan import make_plan
from sftdata.training.folds import average_folds, count_folds, join_predictions, select_fold
from sftdata.training.metrics import Scores


@st.composite
def assigned(draw: st.DrawFn) -> np.ndarray:
    """Folds of which each has a row."""
    count = draw(st.integers(2, 6))
    rest = draw(st.lists(st.integers(0, count - 1), max_size=30))
    return np.array(draw(st.permutations([*range(count), *rest])), dtype=np.int32)


@quick
@given(assigned())
def test_every_row_is_held_out_once_and_trained_by_all_other_folds(folds):
    held_times, trained_times = np.zeros(len(folds), int), np.zeros(len(folds), int)
    for number in range(count_folds(folds)):
        train, held = select_fold(folds, number)
        assert train.dtype == held.dtype == np.int64
        assert (np.diff(train) > 0).all()
        assert (np.diff(held) > 0).all()
        assert len(train) > 0
        assert (folds[held] == number).all()
        held_times[held] += 1
        trained_times[train] += 1
    assert (held_times == 1).all()
    assert (trained_times == count_folds(folds) - 1).all()


@quick
@given(assigned(), st.integers(0, 3))
def test_predictions_come_back_in_the_order_of_the_rows(folds, classes):
    expected = np.random.default_rng(0).random((len(folds), classes)).astype(np.float32)
    held = [select_fold(folds, number)[1] for number in range(count_folds(folds))]
    joined = join_predictions(len(folds), ((rows[::-1], expected[rows[::-1]]) for rows in held))
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, expected)


def test_a_plan_takes_the_rows_of_a_fold():
    folds = np.arange(30, dtype=np.int32) % 3
    train, held = select_fold(folds, 1)
    plan = make_plan(np.full(30, 5), seed=1, step_size=4, epochs=1, rows=train)
    seen = np.sort(np.concatenate([unit for step in plan.iterate() for unit in step]))
    assert seen.tolist() == train.tolist()
    assert not set(seen) & set(held)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([0, 1, -1], "found rows of fold -1, expected folds from 0"),
        ([0, 2, 2, 4], "found no row in fold 1, 3 of 0 to 4"),
        ([1, 2], "found no row in fold 0 of 0 to 2"),
        ([0, 0], "found 1 folds with rows, expected two or more"),
        ([], "found 0 folds with rows"),
    ],
)
def test_folds_that_are_none_are_refused(folds, message):
    with pytest.raises(TrainingError, match=message):
        select_fold(np.array(folds, dtype=np.int32), 0)


@pytest.mark.parametrize("number", [-1, 2])
def test_a_fold_that_is_not_there_is_refused(number):
    with pytest.raises(TrainingError, match=f"found fold {number}, expected one from 0 to 1"):
        select_fold(np.array([0, 1], dtype=np.int32), number)


@quick
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_mean_and_deviation_are_of_the_sample(values):
    found = average_folds([Scores({"loss": value}) for value in values])["loss"]
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)
    assert found.deviation == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-6)
    assert (found.values, found.missing) == (tuple(values), {})


def test_missing_values_are_told():
    scores = [
        Scores({"loss": 1.0, "roc_auc": 0.5}),
        Scores({"loss": 2.0}, undefined={"roc_auc": "one class only", "bleu": "no text"}),
        Scores({"loss": 4.0, "f1": 0.25}, undefined={"roc_auc": "no class"}),
    ]
    found = average_folds(scores)
    assert list(found) == ["loss", "roc_auc", "f1", "bleu"]
    assert found["roc_auc"].to_json() == {
        "mean": 0.5,
        "deviation": None,
        "values": [0.5, None, None],
        "missing": {"1": "one class only", "2": "no class"},
    }
    assert found["f1"].missing == dict.fromkeys((0, 1), "the evaluation of this fold does not have it")
    assert (found["bleu"].mean, found["bleu"].values) == (None, (None, None, None))
    assert found["loss"].mean == pytest.approx(7 / 3)
    assert found["loss"].deviation == pytest.approx(statistics.stdev([1, 2, 4]))
    assert "missing" not in found["loss"].to_json()
    json.dumps({name: score.to_json() for name, score in found.items()}, allow_nan=False)


def part(rows, shape=(2,), dtype=np.float32):
    return np.array(rows, dtype=np.int64), np.zeros((len(rows), *shape), dtype=dtype)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([part([0, 1]), part([3])], "found no prediction for row 2, expected one a row"),
        ([], "found no prediction for rows 0, 1, 2, 3, expected"),
        ([part([0, 1]), part([1, 2, 3])], "fold 1: found a second prediction for row 1, expected one a row"),
        ([part([0, 1, 1]), part([2, 3])], "fold 0: found a second prediction for row 1"),
        ([part([0, 1]), part([2, 3, 4])], "fold 1: found predictions for row 4 of 4 rows"),
        ([part([0, 1]), part([2, 3, -1])], "fold 1: found predictions for row -1 of 4 rows"),
        ([part([0, 1]), part([2, 3], (3,))], r"fold 1: found predictions of shape \(3,\) and dtype float32, expected"),
        ([part([0, 1]), part([2, 3], dtype=np.float64)], "dtype float64, expected .* float32 as in fold 0"),
        ([(np.array([0, 1]), np.zeros((3, 2)))], "fold 0: found 3 predictions for 2 rows"),
    ],
)
def test_predictions_that_overlap_or_lack_rows_are_refused(parts, message):
    with pytest.raises(TrainingError, match=message):
        join_predictions(4, parts)


def test_many_rows_are_named_by_the_first_of_them():
    with pytest.raises(TrainingError, match="for rows 2, 3, 4, 5, 6 and 3 more, expected one a row"):
        join_predictions(10, [part([0, 1])])
