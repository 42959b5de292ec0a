import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import UsageError
from sftdata.stages.split_frame import split

FRAME = pl.DataFrame(
    {
        "id": range(200),
        "text": ["x" * (i % 23) for i in range(200)],
        "author": [f"author {i % 40}" for i in range(200)],
        "topic": ["a" if i % 4 else "b" for i in range(200)],
        "tags": [["x"] * (i % 2) + ["y"] * (i % 3 == 0) for i in range(200)],
        "near": [i // 2 if i % 5 == 0 else None for i in range(200)],
    }
)


@given(st.integers(0, 200), st.sampled_from([None, "author"]), st.sampled_from([None, "near"]))
@quick
def test_the_parts_hold_every_row_once_and_nothing_crosses(rows, group, cluster):
    frame = FRAME[:rows]
    made = split(frame, test=0.2, group=group, cluster=cluster, stratify="topic")
    assert made.rows.drop("split").equals(frame)
    parts = [made[name] for name in ("train", "validation", "test")]
    assert pl.concat(parts).sort("id").equals(frame)
    assert made.crossing == {name: 0 for name, key in (("groups", group), ("clusters", cluster)) if key}


def test_folds_are_held_out_in_turn():
    made = split(FRAME, folds=4, test=0.1, stratify="topic", group="author")
    train, pairs = made["train"], list(made.folds())
    assert len(pairs) == 4
    assert pl.concat([held_out for _, held_out in pairs]).sort("id").equals(train.drop("fold"))
    for training, held_out in pairs:
        assert len(training) + len(held_out) == len(train)
        assert not set(training["author"]) & set(held_out["author"])
    assert made["test"]["fold"].null_count() == len(made["test"]) == made.report.got["test"] == 20
    with pytest.raises(ValueError, match="without folds"):
        next(split(FRAME).folds())


@pytest.mark.parametrize(
    ("stratify", "bins", "strata"),
    [
        ("topic", None, "label"),
        ("tags", None, "labels"),
        (pl.col("text").str.len_chars(), 4, "score"),
        (pl.col("id") / 7, None, "score"),
        (pl.col("text").str.len_chars(), None, "label"),
        (None, None, None),
    ],
)
def test_strata_are_labels_lists_or_quantiles(stratify, bins, strata):
    assert split(FRAME, stratify=stratify, bins=bins).report.shares_of == strata


def test_row_ids_make_the_split_independent_of_the_order():
    made = split(FRAME, row_id="id", stratify="topic")
    moved = split(FRAME.reverse(), row_id="id", stratify="topic")
    assert moved.rows.reverse().equals(made.rows)
    assert not split(FRAME, row_id="id", stratify="topic", seed=1).rows.equals(made.rows)


def test_stable_rows_stay_when_rows_are_added_behind():
    before = split(FRAME[:120], method="stable").rows
    assert split(FRAME, method="stable").rows[:120].equals(before)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="found a column split already"):
        split(split(FRAME).rows)
    with pytest.raises(UsageError, match="row ids 'author'"):
        split(FRAME, row_id="author")
    with pytest.raises(UsageError, match="found 1, expected a share"):
        split(FRAME, test=1)
    with pytest.raises(UsageError, match="found 200 rows, expected more than the 300"):
        split(FRAME, test=300)
