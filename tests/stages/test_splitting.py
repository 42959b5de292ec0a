import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick

from sftdata.stages.splitting import apportion, split_rows

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
shares_of = st.lists(st.floats(0.01, 10), min_size=1, max_size=4).map(lambda w: {f"s{i}": x for i, x in enumerate(w)})
labels = st.lists(st.sampled_from([None, "a", "b", "c", "d", "中"]), max_size=60)
seeds = st.integers(-(2**65), 2**65)


def ids(count):
    return pl.Series("row_id", [f"ab12cd34:{i + 1}" for i in range(count)], dtype=pl.String)


def strata(values):
    return pl.Series("label", values, dtype=pl.String)


@given(labels, shares_of, seeds, st.booleans())
@quick
def test_every_row_is_assigned_and_the_same_again(values, shares, seed, stratified):
    by = strata(values) if stratified else None
    parts = split_rows(ids(len(values)), shares, seed, by)
    assert parts.dtype == np.int8
    assert parts.shape == (len(values),)
    assert ((parts >= 0) & (parts < len(shares))).all()
    assert (parts == split_rows(ids(len(values)), shares, seed, by)).all()


@given(labels, shares_of, seeds, st.randoms(use_true_random=False), st.data())
@quick
def test_the_side_of_a_row_depends_on_neither_order_nor_chunks_nor_slices(values, shares, seed, random, data):
    row_ids, by = ids(len(values)), strata(values)
    parts = split_rows(row_ids, shares, seed, by)
    order = list(range(len(values)))
    random.shuffle(order)
    moved = split_rows(row_ids[order] if order else row_ids, shares, seed, by[order] if order else by)
    assert (moved == parts[order]).all()
    cut = data.draw(st.integers(0, len(values)))
    chunked = [pl.concat([series[:cut], series[cut:]], rechunk=False) for series in (row_ids, by)]
    assert (split_rows(chunked[0], shares, seed, chunked[1]) == parts).all()
    padded = pl.concat([ids(3), row_ids], rechunk=True)[3:], pl.concat([strata(["x"] * 3), by], rechunk=True)[3:]
    assert (split_rows(padded[0], shares, seed, padded[1]) == parts).all()


def assert_near(counts, sizes, weights):
    """Each stratum has its quota rounded up or down, but for one row that training is given."""
    for size, row in zip(sizes, counts, strict=True):
        quota = size * weights
        forced = np.zeros(len(weights))
        assert row.sum() == size
        assert (row >= 0).all()
        if size:
            assert row[0] >= 1
        given_up = np.flatnonzero(row < np.floor(quota + 1e-6) - 1e-6)
        if row[0] == 1 and quota[0] < 1:
            forced[given_up] = 1
        assert (abs(row + forced - quota) < 1 + 1e-6).all(), (size, row, quota)
        assert len(given_up) <= 1


@given(st.lists(st.integers(0, 60), max_size=12), shares_of)
@example([1] * 50 + [100, 12], SHARES)
@example([2] * 100, {"train": 0.01, "test": 0.99})
@quick
def test_each_stratum_is_within_one_row_of_its_share_and_has_a_training_row(sizes, shares):
    weights = np.array(list(shares.values()))
    weights /= weights.sum()
    assert_near(apportion(sizes, weights), sizes, weights)


@given(st.lists(st.integers(10, 200), min_size=1, max_size=40))
@quick
def test_the_whole_is_near_its_shares_when_no_row_is_forced(sizes):
    weights = np.array([0.8, 0.1, 0.1])
    totals = apportion(sizes, weights).sum(axis=0)
    assert (abs(totals - sum(sizes) * weights) <= 2).all()


@pytest.mark.parametrize("count", [10, 1000, 5001])
def test_shares_without_strata_are_exact(count):
    parts = split_rows(ids(count), SHARES, 7)
    counts = np.bincount(parts, minlength=3)
    assert abs(counts - count * np.array([0.8, 0.1, 0.1])).max() < 1


def test_one_tenth_of_thirty_is_three():
    assert apportion([30], np.array([0.9, 0.1])).tolist() == [[27, 3]]
    assert apportion([30, 30], np.array([0.8, 0.1, 0.1])).tolist() == [[24, 3, 3]] * 2


def test_tiny_strata_train_and_do_not_take_rows_from_the_large_ones():
    values = [f"rare {i}" for i in range(200)] + ["common"] * 1000
    parts = split_rows(ids(1200), SHARES, 7, strata(values))
    assert (parts[:200] == 0).all()
    assert np.bincount(parts[200:]).tolist() == [800, 100, 100]


def test_pairs_make_up_for_what_they_round_away():
    parts = split_rows(ids(200), SHARES, 7, strata([f"pair {i // 2}" for i in range(200)]))
    assert abs(np.bincount(parts) - np.array([160, 20, 20])).max() <= 1
    assert all(0 in parts[i : i + 2] for i in range(0, 200, 2))


def test_a_single_row_trains_and_no_rows_are_no_rows():
    assert split_rows(ids(1), {"train": 0.001, "test": 1}, 0).tolist() == [0]
    assert split_rows(ids(0), SHARES, 0).tolist() == []
    assert split_rows(ids(0), SHARES, 0, strata([])).tolist() == []
    assert split_rows(ids(4), {"train": 1}, 0).tolist() == [0] * 4


def test_the_seed_changes_the_draw():
    draws = {tuple(split_rows(ids(100), SHARES, seed).tolist()) for seed in range(20)}
    assert len(draws) == 20


def test_draws_are_fair_over_seeds():
    held_out = sum((split_rows(ids(50), SHARES, seed) > 0).astype(int) for seed in range(400))
    assert held_out.sum() == 400 * 10
    assert (abs(held_out - 80) < 5 * (400 * 0.2 * 0.8) ** 0.5).all()


def test_adding_a_stratum_that_sorts_last_moves_no_other_row():
    before = split_rows(ids(100), SHARES, 7, strata(["a"] * 60 + ["b"] * 40))
    after = split_rows(ids(150), SHARES, 7, strata(["a"] * 60 + ["b"] * 40 + ["c"] * 50))
    assert (after[:100] == before).all()
