from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from strategies import quick

from sftdata.errors import UsageError
from sftdata.settings.balancing import BalanceSettings
from sftdata.stages.balance_frame import balance
from sftdata.stages.balancing import balance_rows, plan_counts, weigh_labels

labels_of = st.lists(st.sampled_from(["a", "a", "a", "a", "b", "b", "中"]), max_size=50)
wishes_of = st.one_of(
    st.fixed_dictionaries({"oversample": st.sampled_from(["largest", "median"]) | st.floats(0.01, 1)}),
    st.fixed_dictionaries({"undersample": st.sampled_from(["smallest", "median"]) | st.floats(1, 5)}),
    st.just({"oversample": "median", "undersample": "median"}),
    st.just({}),
)


def make_slim(labels):
    return pl.DataFrame({"row_id": [f"s:{i}" for i in range(len(labels))], "label": pl.Series(labels, dtype=pl.String)})


@given(labels_of, wishes_of, st.integers(-5, 5))
@quick
def test_each_label_gets_its_rows_in_whole_rounds(labels, wishes, seed):
    settings = BalanceSettings(**wishes)
    made = balance_rows(make_slim(labels), settings, seed)
    counts = Counter(labels)
    goals = dict(
        zip(sorted(counts), plan_counts(np.array([counts[name] for name in sorted(counts)]), settings), strict=True)
    )
    assert made.copies.dtype == np.int32
    assert len(made.copies) == len(labels)
    for name, goal in goals.items():
        copies = made.copies[[label == name for label in labels]]
        assert copies.sum() == goal
        assert copies.max() - copies.min() <= 1
    assert {name: share.rows for name, share in made.before.items()} == counts
    assert {name: share.rows for name, share in made.after.items()} == goals
    assert sum(share.share for share in made.after.values()) == pytest.approx(int(bool(labels)))
    assert made.weights is None


@given(labels_of, wishes_of, st.randoms(use_true_random=False), st.integers(0, 50))
@quick
def test_the_draw_depends_on_neither_order_nor_chunks(labels, wishes, random, cut):
    slim, settings = make_slim(labels), BalanceSettings(**wishes)
    copies = balance_rows(slim, settings, 7).copies
    order = list(range(len(labels)))
    random.shuffle(order)
    assert (balance_rows(slim[order], settings, 7).copies == copies[order]).all()
    chunked = pl.concat([slim[:cut], slim[cut:]], rechunk=False)
    assert (balance_rows(chunked, settings, 7).copies == copies).all()


def test_the_seed_changes_the_draw_and_every_row_has_its_chance():
    slim = make_slim(["a"] * 30 + ["b"] * 10)
    draws = [balance_rows(slim, BalanceSettings(undersample="smallest"), seed).copies for seed in range(300)]
    left = sum(draws)[:30]
    assert left.sum() == 3000
    assert (abs(left - 100) < 5 * (300 * 2 / 9) ** 0.5).all()


@pytest.mark.parametrize(
    ("wishes", "goals"),
    [
        ({"oversample": "largest"}, [100, 100, 100]),
        ({"oversample": "median"}, [100, 10, 10]),
        ({"oversample": 0.25}, [100, 25, 25]),
        ({"undersample": "smallest"}, [4, 4, 4]),
        ({"undersample": "median"}, [10, 10, 4]),
        ({"undersample": 5.0}, [20, 10, 4]),
        ({"oversample": "median", "undersample": "median"}, [10, 10, 10]),
    ],
)
def test_goals(wishes, goals):
    assert plan_counts(np.array([100, 10, 4]), BalanceSettings(**wishes)).tolist() == goals


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.array(["a"] * 70 + ["b"] * 25 + ["c"] * 5)
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    made = balance_rows(make_slim(labels.tolist()), BalanceSettings(weights="balanced"), 0)
    assert list(made.weights.values()) == pytest.approx(expected.tolist())
    assert (made.copies == 1).all()


def test_effective_weights_are_those_of_the_paper():
    counts = np.array([5000, 500, 5])
    effective = [sum(0.99**i for i in range(count)) for count in counts]  # E_n = 1 + beta + beta^2 + ...
    expected = np.array([1 / number for number in effective])
    weights = weigh_labels(counts, "effective", 0.99)
    assert weights.tolist() == pytest.approx((expected * 3 / expected.sum()).tolist())
    assert weigh_labels(counts, "effective", 0.0).tolist() == [1, 1, 1]
    near = weigh_labels(counts, "effective", 1 - 1e-9)
    assert (near / near.sum()).tolist() == pytest.approx((1 / counts / (1 / counts).sum()).tolist(), rel=1e-3)


def test_weights_are_of_the_rows_as_they_then_are():
    made = balance_rows(make_slim(["a"] * 9 + ["b"]), BalanceSettings(oversample=0.5, weights="balanced"), 0)
    assert made.weights == pytest.approx({"a": 14 / (2 * 9), "b": 14 / (2 * 5)})


def test_several_labels_can_be_weighed_only():
    slim = pl.DataFrame({"row_id": list("wxyz"), "labels": [["a", "b", "a"], ["a"], [], ["a", None]]})
    made = balance_rows(slim, BalanceSettings(weights="balanced"), 0)
    assert made.weights == pytest.approx({"a": 1 / 3, "b": 3.0})
    assert made.before["a"].share == 0.75
    assert made.copies.tolist() == [1, 1, 1, 1]
    everywhere = slim.with_columns(labels=pl.Series([["a"]] * 4))
    assert balance_rows(everywhere, BalanceSettings(weights="balanced"), 0).weights == {"a": 1.0}
    for wishes in ({"oversample": "largest"}, {"undersample": "median"}, {"weights": "effective"}):
        with pytest.raises(ValueError, match="several labels"):
            balance_rows(slim, BalanceSettings(**wishes), 0)


@pytest.mark.parametrize("scheme", ["balanced", "effective"])
def test_no_rows_are_no_rows(scheme):
    made = balance_rows(make_slim([]), BalanceSettings(oversample="largest", weights=scheme), 0)
    assert (made.copies.tolist(), made.weights, made.before, made.after) == ([], {}, {}, {})
    assert balance(make_slim([]), undersample="median").kept.shape == (0, 3)


@given(labels_of, wishes_of)
@quick
def test_a_balanced_frame_has_each_row_as_often_as_decided(labels, wishes):
    frame = make_slim(labels).with_columns(other=pl.int_range(pl.len()))
    made = balance(frame, row_id="row_id", seed=3, **wishes)
    copies = balance_rows(frame, BalanceSettings(**wishes), 3).copies
    assert made.kept["other"].to_list() == np.repeat(np.arange(len(labels)), copies).tolist()
    assert made.kept["copy"].to_list() == [number for count in copies for number in range(count)]
    assert made.rejected.equals(frame.filter(copies == 0))
    assert made.kept.columns == [*frame.columns, "copy"]


def test_a_frame_must_have_labels_and_distinct_row_ids():
    with pytest.raises(UsageError, match="found 1 nulls in 'label'"):
        balance(pl.DataFrame({"label": ["a", None]}))
    with pytest.raises(UsageError, match="found nulls or repeated values in the row ids 'id'"):
        balance(pl.DataFrame({"label": ["a", "b"], "id": [1, 1]}), row_id="id")
    made = balance(pl.DataFrame({"topics": [["a"], ["b", "a"]]}), label="topics", weights="balanced")
    assert made.weights == {"a": 1.0, "b": 1.0}
