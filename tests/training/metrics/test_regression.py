import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from strategies import quick

from sftdata.training.metrics import score_numbers

numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1.0, 2.5])
rows = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)


@given(rows)
@quick
def test_scores_are_those_of_scikit_learn_and_scipy(values):
    targets, found = (np.array(column, dtype=np.float32) for column in zip(*values, strict=True))
    result = score_numbers(targets, found)
    wide, widely = targets.astype(np.float64), found.astype(np.float64)
    expected = {
        "mse": reference.mean_squared_error(wide, widely),
        "mae": reference.mean_absolute_error(wide, widely),
    }
    if np.ptp(wide) > 0 and (spread := np.sum((wide - wide.mean()) ** 2)) > 1e-300:
        assert result.values["r2"] == pytest.approx(1 - np.sum((wide - widely) ** 2) / spread, rel=1e-9, abs=1e-9)
        assert result.values["r2"] == pytest.approx(reference.r2_score(wide, widely), rel=1e-6, abs=1e-6)
    if np.ptp(wide) > 0 and np.ptp(widely) > 0:
        expected["spearman"] = scipy.stats.spearmanr(wide, widely).statistic
    assert {name: value for name, value in result.values.items() if name != "r2"} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("targets", "found", "undefined"),
    [
        ([0.1, 0.1, 0.1], [1, 2, 3], {"r2": "all targets are equal", "spearman": "all targets are equal"}),
        ([1, 2, 3], [2, 2, 2], {"spearman": "all predictions are equal"}),
        ([1], [1], {"r2": "all targets are equal", "spearman": "all targets are equal"}),
        ([1, 2], [1e200, 0], {"mse": "it is inf", "r2": "it is -inf"}),
    ],
)
def test_what_does_not_exist_is_left_out_with_the_reason(targets, found, undefined):
    result = score_numbers(np.array(targets, dtype=np.float64), np.array(found, dtype=np.float64))
    assert result.undefined == undefined
    assert result.values.keys() == {"mse", "mae", "r2", "spearman"} - undefined.keys()
    json.dumps(result.to_json(), allow_nan=False)


def test_a_prediction_that_is_no_number_leaves_nothing_to_score():
    result = score_numbers(np.array([1.0, 2, 3]), np.array([1, np.nan, np.inf]))
    assert result.values == {}
    assert set(result.undefined.values()) == {"2 of 3 predictions are not finite numbers"}
