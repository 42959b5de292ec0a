from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.stages.strata import NO_LABEL, cut_quantiles, find_strata

scores = st.lists(st.none() | st.floats(-5, 5) | st.just(float("nan")), max_size=40)
label_lists = st.lists(st.none() | st.lists(st.none() | st.sampled_from(["a", "b", "中"]), max_size=3), max_size=20)


def as_sets(strata, rows):
    found = [set() for _ in range(rows)]
    for row, code in zip(strata.rows, strata.codes, strict=True):
        assert strata.names[code] not in found[row]
        found[row].add(strata.names[code])
    return found


@given(label_lists)
@quick
def test_each_row_is_in_the_strata_of_its_labels_once(labels):
    column = pl.Series("labels", labels, dtype=pl.List(pl.String))
    wanted = [{name for name in of_row or () if name is not None} or {NO_LABEL} for of_row in labels]
    strata = find_strata(column.to_frame(), "labels", 10)
    assert as_sets(strata, len(labels)) == wanted
    assert (strata.rows[1:] >= strata.rows[:-1]).all()
    sliced = pl.concat([pl.Series("labels", [["x"], None], dtype=column.dtype), column], rechunk=True)[2:]
    assert as_sets(find_strata(sliced.to_frame(), "labels", 10), len(labels)) == wanted
    chunked = pl.concat([column[:2], column[2:]], rechunk=False)
    assert as_sets(find_strata(chunked.to_frame(), "labels", 10), len(labels)) == wanted


@pytest.mark.parametrize("values", [["b", None, "a"], [2, None, 1], [True, None, False], []])
def test_labels_of_any_dtype_are_strata_in_the_order_of_their_names(values):
    column = pl.Series("label", values, dtype=None if values else pl.String)
    strata = find_strata(column.to_frame(), "label", 10)
    names = column.cast(pl.String).to_list()
    assert as_sets(strata, len(values)) == [{NO_LABEL if name is None else name} for name in names]
    assert list(strata.names) == sorted(name for name in names if name) + [NO_LABEL] * (None in values)


def test_without_a_wish_all_rows_are_in_one_stratum():
    strata = find_strata(pl.DataFrame({"row_id": ["a", "b"]}), None, 10)
    assert (strata.rows.tolist(), strata.codes.tolist(), strata.names) == ([0, 1], [0, 0], ("all",))


@given(scores, st.integers(2, 12))
@quick
def test_quantiles_are_ranges_that_do_not_overlap_and_equal_scores_share_one(values, bins):
    names = cut_quantiles(pl.Series(values, dtype=pl.Float64), bins).to_list()
    assert [name is None for name in names] == [value is None or value != value for value in values]
    of_name = {}
    for value, name in zip(values, names, strict=True):
        if name is not None:
            of_name.setdefault(name, []).append(value)
    assert len(of_name) <= bins
    ranges = sorted((min(found), max(found)) for found in of_name.values())
    assert all(left[1] < right[0] for left, right in pairwise(ranges))


def test_distinct_scores_fall_into_quantiles_of_equal_size():
    sizes = cut_quantiles(pl.Series(range(100)).shuffle(seed=1), 10).value_counts()["count"]
    assert sizes.to_list() == [10] * 10
    assert cut_quantiles(pl.Series([3, 1, 2, 4]), 2).to_list() == [
        "3.0 to 4.0",
        "1.0 to 2.0",
        "1.0 to 2.0",
        "3.0 to 4.0",
    ]
