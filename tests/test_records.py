import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.records import LEAST_WEIGHT, MOST_WEIGHT, REJECTED, no_rejections, partition, reject


def test_weights_are_those_that_float32_holds_with_its_full_precision():
    known = np.finfo(np.float32)
    assert (float(known.tiny), float(known.max)) == (LEAST_WEIGHT, MOST_WEIGHT)


@given(st.lists(st.sampled_from([True, False, None]), max_size=8), st.integers(0, 3))
@quick
def test_partition_puts_every_row_on_exactly_one_side(keep, start):
    rows = pl.DataFrame({"row_id": [f"s:{i}" for i in range(len(keep))], "source": "s", "record": range(len(keep))})
    rows = rows.with_columns(pl.col("record").cast(pl.Int64))[start:]
    flags, detail = (
        pl.Series(keep, dtype=pl.Boolean)[start:],
        pl.Series([f"d{i}" for i in range(len(keep))], dtype=pl.String)[start:],
    )
    before = rows.clone()
    result = partition(rows, flags, stage="stage", reason="why", detail=detail)
    assert rows.equals(before)
    assert result.rejected.schema == REJECTED
    kept, lost = result.kept["record"].to_list(), result.rejected["record"].to_list()
    assert kept == [i for i, flag in enumerate(keep) if flag and i >= start]
    assert lost == [i for i, flag in enumerate(keep) if not flag and i >= start]
    assert result.rejected["detail"].to_list() == [f"d{i}" for i in lost]
    assert result.rejected["reasons"].to_list() == [["why"]] * len(lost)


def test_reject_keeps_the_first_reason_apart_and_has_the_fixed_columns():
    rows = pl.DataFrame({"source": ["a", "b"], "record": [3, 4], "text": ["x", "y"]})
    rejected = reject(rows, "read", [["one", "two"], ["three"]], ["d", "e"])
    assert rejected.schema == REJECTED == no_rejections().schema
    assert rejected["reason"].to_list() == ["one", "three"]
    assert rejected["reasons"].to_list() == [["one", "two"], ["three"]]


def test_reject_refuses_a_row_without_a_reason():
    rows = pl.DataFrame({"source": ["a"], "record": [3]})
    with pytest.raises(IndexError):
        reject(rows, "read", [[]], ["d"])
