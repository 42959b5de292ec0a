import numpy as np
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.keys import random_keys

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
    monkeypatch.setattr("sftdata.keys.mix", lambda keys: keys * np.uint64(len(keys) > 1))
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
