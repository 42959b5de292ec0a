from collections import Counter
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import quick

from sftdata.settings.splitting import SplitSettings, plan_sizes
from sftdata.stages.audit import audit_split
from sftdata.stages.splitting import split_slim

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
seeds = st.integers(-(2**65), 2**65)

names = st.sampled_from(["a", "a", "a", "b", "b", "c", "d"])
slim_rows = st.lists(
    st.fixed_dictionaries(
        {
            "label": names,
            "labels": st.lists(names, max_size=3),
            "score": st.none() | st.integers(0, 9).map(float),
            "length": st.integers(0, 30),
            "group": st.none() | st.sampled_from("uvwxyz"),
            "cluster": st.none() | st.integers(0, 9),
        }
    ),
    max_size=60,
)
tied_by = st.sampled_from([(), ("group",), ("cluster",), ("group", "cluster")])
strata_wishes = st.sampled_from([None, "label", "labels", "score", "length"])
part_wishes = st.fixed_dictionaries(
    {"train": st.floats(0.1, 1), "validation": st.floats(0, 0.5), "test": st.floats(0, 0.5) | st.integers(2, 9)}
)
fold_wishes = st.fixed_dictionaries({"folds": st.integers(2, 7), "test": st.just(0.0) | st.floats(0.05, 0.5)})

SLIM = {
    "label": pl.String,
    "labels": pl.List(pl.String),
    "score": pl.Float64,
    "length": pl.UInt32,
    "group": pl.String,
    "cluster": pl.Int64,
}


def ids(count):
    return pl.Series("row_id", [f"ab12cd34:{i + 1}" for i in range(count)], dtype=pl.String)


def make_slim(rows, tied=()):
    frame = pl.DataFrame(rows, schema=SLIM, orient="row")
    frame = frame.drop({"group", "cluster"} - set(tied))
    return frame.with_columns(ids(len(rows)))


def settings_for(rows, wishes, **others):
    counted = wishes.get("test") if isinstance(wishes.get("test"), int) else 0
    assume(not counted or counted < len(rows))
    return SplitSettings(**wishes, **others)


def unit_of(slim):
    """Name the unit of each row: the smallest row that a chain of shared groups or clusters leads to."""
    names = list(range(len(slim)))
    keys = [slim[name].to_list() for name in ("group", "cluster") if name in slim.columns]
    for _ in names:
        for key in keys:
            smallest = {}
            for name, value in zip(names, key, strict=True):
                smallest[value] = min(name, smallest.get(value, name))
            names = [name if key[row] is None else smallest[key[row]] for row, name in enumerate(names)]
    return names


def places_of(assignment):
    return assignment.sides.rows()


@given(slim_rows, tied_by, strata_wishes, part_wishes | fold_wishes, seeds)
@quick
def test_every_row_has_one_place_and_units_are_whole(rows, tied, stratify, wishes, seed):
    slim = make_slim(rows, tied)
    settings = settings_for(rows, wishes, stratify=stratify, seed=seed)
    made = split_slim(slim, settings)
    assert made.parts.shape == (len(rows),)
    assert made.parts.dtype == np.int8
    assert made.names == settings.part_names()
    assert all(0 <= part < len(made.names) for part in made.parts)
    assert (made.fold is None) == (settings.folds is None)
    if made.fold is not None:
        assert made.fold.dtype == np.int32
        assert all((fold == -1) == (part > 0) for part, fold in made.sides.rows())
        assert (made.fold < settings.folds).all()
    units = unit_of(slim)
    assert len(set(zip(units, places_of(made), strict=True))) == len(set(units))
    assert set(audit_split(made.sides, {name: slim[name] for name in tied}).values()) <= {0}
    assert (made.report.rows, made.report.units) == (len(rows), len(set(units)))
    assert made.report.biggest_unit == max(Counter(units).values(), default=0)
    assert sum(made.report.got.values()) == sum(made.report.wanted.values()) == len(rows)


@given(
    slim_rows,
    tied_by,
    strata_wishes,
    part_wishes | fold_wishes,
    st.sampled_from(["exact", "stable"]),
    st.randoms(use_true_random=False),
    st.data(),
)
@quick
def test_the_place_of_a_row_depends_on_neither_order_nor_chunks_nor_slices(
    rows, tied, stratify, wishes, method, random, data
):
    assume(
        method == "exact" or (not isinstance(wishes.get("test"), int) and stratify is None and "cluster" not in tied)
    )
    slim = make_slim(rows, tied)
    settings = settings_for(rows, wishes, stratify=stratify, method=method)
    made = split_slim(slim, settings)
    order = list(range(len(rows)))
    random.shuffle(order)
    moved = split_slim(slim[order], settings)
    assert places_of(moved) == [places_of(made)[row] for row in order]
    assert asdict(moved.report) == asdict(made.report)
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pl.concat([slim[:cut], slim[cut:]], rechunk=False)
    assert places_of(split_slim(chunked, settings)) == places_of(made)
    sliced = pl.concat([slim[:1], slim], rechunk=True)[min(len(slim), 1) :]
    assert places_of(split_slim(sliced, settings)) == places_of(made)


@given(slim_rows, part_wishes | fold_wishes, seeds)
@quick
def test_single_rows_meet_the_sizes_exactly(rows, wishes, seed):
    settings = settings_for(rows, wishes, seed=seed)
    report = split_slim(make_slim(rows), settings).report
    assert report.got == report.wanted
    sizes = plan_sizes(settings, len(rows))
    assert list(report.got.values())[settings.folds or 1 :] == sizes[1:]
    assert sum(list(report.got.values())[: settings.folds or 1]) == sizes[0]


@given(slim_rows, part_wishes, st.sampled_from(["label", "labels", "score", "length"]), seeds)
@quick
def test_strata_cost_training_at_most_a_row_each_for_what_it_must_have(rows, wishes, stratify, seed):
    settings = settings_for(rows, wishes, stratify=stratify, seed=seed)
    slim = make_slim(rows)
    report = split_slim(slim, settings).report
    strata = len(set(slim[stratify].explode().to_list() if stratify == "labels" else slim[stratify].to_list()))
    assert all(report.got[name] <= report.wanted[name] for name in report.got if name != "train")
    assert 0 <= report.got["train"] - report.wanted["train"] <= strata + 1


@given(slim_rows, tied_by, part_wishes | fold_wishes, seeds)
@quick
def test_no_part_but_training_is_larger_than_wished(rows, tied, wishes, seed):
    report = split_slim(make_slim(rows, tied), settings_for(rows, wishes, stratify="label", seed=seed)).report
    assert all(report.got[name] <= report.wanted[name] for name in report.got.keys() & {"validation", "test"})
    if "fold 0" in report.got and "test" not in report.got:
        assert all(report.got[name] < report.wanted[name] + max(report.biggest_unit, 1) for name in report.got)


@given(slim_rows, tied_by, st.sampled_from(["label", "labels"]), part_wishes | fold_wishes, seeds)
@quick
def test_training_has_every_label(rows, tied, stratify, wishes, seed):
    slim = make_slim(rows, tied)
    made = split_slim(slim, settings_for(rows, wishes, stratify=stratify, seed=seed))
    named = slim[stratify].to_frame().explode(stratify) if stratify == "labels" else slim[stratify].to_frame()
    trained = slim[stratify].to_frame().filter(made.parts == 0)
    trained = trained.explode(stratify) if stratify == "labels" else trained
    assert set(trained.to_series().drop_nulls()) == set(named.to_series().drop_nulls())


@given(st.lists(names, max_size=200), st.integers(2, 7), seeds)
@quick
def test_folds_of_single_rows_have_the_same_size_and_labels(of_rows, folds, seed):
    slim = pl.DataFrame({"row_id": ids(len(of_rows)), "label": pl.Series(of_rows, dtype=pl.String)})
    made = split_slim(slim, SplitSettings(folds=folds, stratify="label", seed=seed))
    sizes = np.bincount(made.fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for name in set(of_rows):
        counts = np.bincount(made.fold[(slim["label"] == name).to_numpy()], minlength=folds)
        assert counts.max() - counts.min() <= 2


@given(slim_rows, tied_by, st.floats(0.05, 0.5), st.none() | st.integers(2, 5), st.data())
@quick
def test_stable_rows_stay_when_rows_are_added(rows, tied, test, folds, data):
    wishes = {"test": test, "folds": folds} if folds else {"test": test, "validation": 0.1}
    settings = SplitSettings(method="stable", **wishes)
    slim = make_slim(rows, tied)
    count = data.draw(st.integers(0, len(rows)))
    before, after = split_slim(slim[:count], settings), split_slim(slim, settings)
    old_units, new_units = unit_of(slim[:count]), unit_of(slim)
    joined = {new for old, new in zip(old_units, new_units, strict=False) if old != new}
    for row, (old, new) in enumerate(zip(places_of(before), places_of(after), strict=False)):
        assert old == new or new_units[row] in joined
    alone = [row for row in range(count) if slim["cluster"][row] is None] if "cluster" in tied else list(range(count))
    if "cluster" not in tied:  # then new rows may stand anywhere
        order = data.draw(st.permutations(range(len(rows))))
        shuffled = places_of(split_slim(slim[order], settings))
        assert all(shuffled[order.index(row)] == places_of(before)[row] for row in alone)


def test_stable_groups_stay_wherever_rows_are_added():
    settings = SplitSettings(method="stable", train=0.5, validation=0, test=0.5)
    slim = pl.DataFrame({"row_id": ids(60), "group": [f"group {row % 15}" for row in range(60)]})
    parts = split_slim(slim, settings).parts
    assert 0 < parts.sum() < 60
    assert (split_slim(slim.reverse(), settings).parts[::-1] == parts).all()
    assert (split_slim(slim[40:], settings).parts == parts[40:]).all()


def test_stable_clusters_stay_when_copies_are_added_behind():
    settings = SplitSettings(method="stable", train=0.5, validation=0, test=0.5)
    slim = pl.DataFrame({"row_id": ids(60), "cluster": [row % 20 for row in range(60)]})
    parts = split_slim(slim, settings).parts
    assert 0 < parts.sum() < 60
    assert (split_slim(slim[:20], settings).parts == parts[:20]).all()


def test_a_stable_row_that_joins_two_old_units_brings_the_younger_to_the_older():
    settings = SplitSettings(method="stable", train=0.5, validation=0, test=0.5)
    old = pl.DataFrame({"row_id": ids(40), "cluster": range(40)})
    parts = split_slim(old, settings).parts
    younger = next(row for row in range(1, 40) if parts[row] != parts[0])
    bridge = pl.DataFrame({"row_id": ["new:1"], "group": ["both"], "cluster": [0]})
    grouped = old.with_columns(group=pl.when(pl.col("cluster") == younger).then(pl.lit("both")))
    assert (split_slim(grouped, settings).parts[[0, *range(1, younger)]] == parts[:younger]).all()
    made = split_slim(pl.concat([grouped, bridge], how="diagonal_relaxed"), settings).parts
    assert made[0] == made[younger] == made[40] == parts[0]
    others = [row for row in range(40) if row != younger]
    assert (made[others] == parts[others]).all()


def test_stable_shares_and_folds_are_met_on_average_and_a_fold_does_not_tell_the_part():
    made = split_slim(
        pl.DataFrame({"row_id": ids(20_000)}), SplitSettings(method="stable", test=0.2, folds=4, train=0.8)
    )
    assert abs((made.parts == 1).mean() - 0.2) < 0.01
    assert (abs(np.bincount(made.fold[made.parts == 0]) / 16_000 - 0.25) < 0.015).all()


def test_a_larger_stable_test_part_keeps_the_rows_it_had():
    slim = pl.DataFrame({"row_id": ids(2000)})
    small = split_slim(slim, SplitSettings(method="stable", train=0.8, validation=0.1, test=0.1)).parts
    large = split_slim(slim, SplitSettings(method="stable", train=0.75, validation=0.1, test=0.15)).parts
    assert (large[small == 2] == 2).all()
    assert set(zip(small, large, strict=True)) == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}


def test_a_unit_too_big_for_a_part_goes_to_training_and_is_reported():
    slim = pl.DataFrame({"row_id": ids(100), "group": ["big"] * 30 + [None] * 70})
    made = split_slim(slim, SplitSettings(train=0.8, validation=0.1, test=0.1))
    assert (made.parts[:30] == 0).all()
    assert made.report.got == {"train": 80, "validation": 10, "test": 10}
    assert (made.report.biggest_unit, made.report.oversized_units) == (30, 1)
    folded = split_slim(slim, SplitSettings(folds=5))
    assert sorted(folded.report.got.values()) == [17, 17, 18, 18, 30]
    assert folded.report.oversized_units == 1


def test_sizes_come_before_strata_and_strata_share_what_rare_labels_cost():
    values = [f"rare {i}" for i in range(200)] + ["common"] * 400 + ["other"] * 600
    made = split_slim(pl.DataFrame({"row_id": ids(1200), "label": values}), SplitSettings(stratify="label", **SHARES))
    assert list(made.report.got.values()) == [960, 120, 120]
    assert (made.parts[:200] == 0).all()
    assert np.bincount(made.parts[200:600]).tolist() == [
        300,
        50,
        50,
    ]  # 20 rows from each of the two to the held-out parts
    assert made.report.lacking["test"].count == 200
    assert made.report.lacking["test"].first[:2] == ("rare 0", "rare 1")
    assert "train" not in made.report.lacking


def test_training_has_a_row_of_every_label_even_where_that_costs_the_sizes_and_the_report_says_so():
    slim = pl.DataFrame({"row_id": ids(10), "label": ["a"] * 5 + ["b"] * 5, "group": list("aaaaabcdef")})
    report = split_slim(slim, SplitSettings(train=0.5, validation=0, test=0.5, stratify="label")).report
    assert (report.wanted, report.got) == ({"train": 5, "test": 5}, {"train": 6, "test": 4})
    assert asdict(report.worst_share) == {"stratum": "a", "part": "test", "share": 0.0, "share_of_all": 0.5}
    assert report.mean_deviation == pytest.approx((1 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
    assert asdict(report)["lacking"] == {"test": {"count": 1, "first": ("a",)}}


def test_training_has_labels_of_two_units_where_it_is_small():
    pairs = [[f"pair {row // 2}", "common"] for row in range(40)]
    slim = pl.DataFrame({"row_id": ids(40), "labels": pairs})
    for seed in range(5):
        made = split_slim(slim, SplitSettings(train=0.1, validation=0, test=0.9, stratify="labels", seed=seed))
        trained = slim["labels"].filter(made.parts == 0).explode()
        assert set(trained) == {name for pair in pairs for name in pair}
        assert made.report.got == {"train": 20, "test": 20}


def test_many_rare_labels_do_not_push_the_common_one_about():
    values = [f"rare {row // 2}" for row in range(8000)] + ["common"] * 4000
    slim = pl.DataFrame({"row_id": ids(12_000), "label": values})
    made = split_slim(slim, SplitSettings(stratify="label", **SHARES))
    assert made.report.got == made.report.wanted
    common = np.bincount(made.parts[8000:]) / np.bincount(made.parts)
    assert (abs(common - 1 / 3) < 0.01).all()


def test_draws_are_fair_and_change_with_the_seed():
    slim = pl.DataFrame({"row_id": ids(50)})
    draws = [split_slim(slim, SplitSettings(seed=seed, **SHARES)).parts > 0 for seed in range(300)]
    held_out = sum(draw.astype(int) for draw in draws)
    assert held_out.sum() == 300 * 10
    assert (abs(held_out - 60) < 5 * (300 * 0.2 * 0.8) ** 0.5).all()


def test_too_few_rows_for_the_numbers_asked_for():
    with pytest.raises(ValueError, match=r"found 9 rows, expected more than the 9"):
        split_slim(pl.DataFrame({"row_id": ids(9)}), SplitSettings(test=9))
