import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.records import REJECTED, no_rejections, partition, random_keys, reject

MASK = 2**64 - 1
ids = st.lists(texts, max_size=10)
seeds = st.integers(-(2**70), 2**70)


def mix(key):
    key = (key + 0x9E3779B97F4A7C15) & MASK
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & MASK
    return key ^ (key >> 31)


def reference(row_id, seed):
    key = 0xCBF29CE484222325
    for byte in row_id.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    return mix((key + mix(seed & MASK)) & MASK)


@given(ids, seeds)
@example(["", "a", "你好", "x" * 300], 0)
@quick
def test_keys_equal_the_published_hash_and_mix(values, seed):
    keys = random_keys(pl.Series(values, dtype=pl.String), seed)
    assert keys.dtype == np.uint64
    assert keys.tolist() == [reference(value, seed) for value in values]


@given(ids, seeds, st.data())
@quick
def test_keys_do_not_depend_on_slicing_chunks_or_order(values, seed, data):
    series = pl.Series(values, dtype=pl.String)
    whole = random_keys(series, seed).tolist()
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    chunked = pl.concat([series[:start], series[start:]], rechunk=False)
    assert random_keys(chunked, seed).tolist() == whole
    for given_series in (series, chunked):
        assert random_keys(given_series[start : start + length], seed).tolist() == whole[start : start + length]
    assert random_keys(series.reverse(), seed).tolist() == whole[::-1]


def test_fnv_1a_is_the_published_one(monkeypatch):
    monkeypatch.setattr("sftdata.records.mix", lambda keys: keys * np.uint64(len(keys) > 1))
    keys = random_keys(pl.Series(["", "a", "foobar"]), 0)
    assert [f"{key:x}" for key in keys.tolist()] == ["cbf29ce484222325", "af63dc4c8601ec8c", "85944171f73967e8"]


def test_keys_fill_the_range_evenly_and_seeds_are_independent():
    series = pl.Series([f"ab12cd34:{i}" for i in range(20_000)])
    first, second = random_keys(series, 1), random_keys(series, 2)
    assert len(np.unique(first)) == len(series)
    for keys in (first, second):
        counts = np.bincount((keys >> np.uint64(60)).astype(np.int64), minlength=16)
        assert (abs(counts - 1250) < 6 * 1250**0.5).all()
    assert abs(np.corrcoef(first.astype(np.float64), second.astype(np.float64))[0, 1]) < 0.05


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
