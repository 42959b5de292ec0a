"""Histograms, cuts and packs come to what a naive count comes to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.plan.packing import pack
from sftdata.report.figures import draw_histogram
from sftdata.report.lengths import BATCH, Axis, compare_packing, fill_bins, find_cuts, make_axis

LENGTHS = st.lists(st.integers(1, 40) | st.integers(1, 5000), min_size=1, max_size=80).map(np.array)


@given(lengths=LENGTHS)
@quick
def test_every_row_is_in_its_bin(lengths):
    counts = np.bincount(lengths)
    axis = make_axis(counts)
    bins = fill_bins(counts, axis)
    assert bins.sum() == len(lengths)
    assert axis.bins <= 42
    assert axis.is_open == (lengths.max() >= axis.end)
    for place in range(axis.bins - 1):
        assert bins[place] == ((axis.edge(place) <= lengths) & (lengths < axis.edge(place + 1))).sum()
    assert bins[-1] == (lengths >= axis.edge(axis.bins - 1)).sum()


@given(lengths=LENGTHS)
@quick
def test_what_a_cut_costs_is_what_lies_behind_it(lengths):
    cuts = find_cuts(np.bincount(lengths))
    assert [cut["length"] for cut in cuts] == sorted({cut["length"] for cut in cuts})
    assert cuts[-1]["rows"] == 0
    for cut in cuts:
        over = np.maximum(lengths - cut["length"], 0)
        assert (cut["rows"], cut["tokens"]) == ((over > 0).sum(), over.sum())
        assert cut["of_tokens"] == pytest.approx(over.sum() / lengths.sum())


@given(lengths=LENGTHS, more=st.integers(0, 3000))
@quick
def test_packs_are_those_of_the_plan_and_batches_are_padded_to_their_longest(lengths, more):
    most = int(lengths.max()) + more
    rows, batches, *packs = compare_packing(lengths, most)
    assert rows["positions"] == len(lengths) * most
    assert len(lengths) * lengths.min() <= batches["positions"] <= len(lengths) * lengths.max()
    assert packs
    for told in packs:
        capacity = int(told["way"].removeprefix("packs of ").replace(",", ""))
        assert told["packs"] == len(pack(lengths, capacity))
        assert told["positions"] == told["packs"] * capacity
    for told in (rows, batches, *packs):
        assert told["filled"] == pytest.approx(lengths.sum() / told["positions"])
        assert told["saved"] == pytest.approx(1 - told["positions"] / batches["positions"])


def test_batches_of_equal_rows_have_no_padding():
    _, batches, *_ = compare_packing(np.full(5 * BATCH + 3, 7), 9)
    assert (batches["positions"], batches["filled"]) == (7 * (5 * BATCH + 3), 1.0)


def test_very_many_rows_are_batched_by_some_of_them(monkeypatch):
    lengths = np.tile(np.arange(1, 101), 400)
    exact = compare_packing(lengths, 100)[1]["positions"]
    monkeypatch.setattr("sftdata.report.lengths.BATCH_ROWS", 5000)
    assert compare_packing(lengths, 100)[1]["positions"] == pytest.approx(exact, rel=0.02)


def place(text):
    assert text.endswith("%")
    return float(text[:-1])


@given(bins=st.lists(st.integers(0, 10**9), min_size=1, max_size=42), marked=st.none() | st.integers(0, 500))
@quick
def test_bars_stand_within_the_figure_and_say_how_many_rows_they_are(bins, marked):
    axis = Axis(0, 10, len(bins), is_open=False)
    drawn = draw_histogram(axis, np.array(bins), "tokens", marked)
    assert [f": {count:,} row" in bar.said for bar, count in zip(drawn.bars, filter(None, bins), strict=True)].count(
        0
    ) == 0
    for bar in drawn.bars:
        assert 0 <= place(bar.left) <= place(bar.left) + place(bar.width) <= 100
        assert 0 <= place(bar.top) <= 100
        assert place(bar.top) + place(bar.height) == pytest.approx(100, abs=0.01)
    assert (drawn.mark is None) == (marked is None)
    if drawn.mark:
        assert drawn.mark.is_beyond == (marked > 10 * len(bins))
        assert place(drawn.mark.left) == pytest.approx(min(100, 10 * marked / len(bins)), abs=0.01)
    assert [place(tick.left) for tick in drawn.ticks] == sorted({place(tick.left) for tick in drawn.ticks})
    assert place(drawn.ticks[-1].left) == 100


def test_a_bar_says_its_lengths():
    assert draw_histogram(Axis(0, 1, 2, False), np.array([0, 1]), "tokens").bars[0].said == "1 tokens: 1 row"
    drawn = draw_histogram(Axis(0, 20, 2, True), np.array([3000, 2]), "tokens")
    assert [bar.said for bar in drawn.bars] == ["0 to 19 tokens: 3,000 rows", "20 and more tokens: 2 rows"]
    assert [tick.text for tick in drawn.ticks] == ["0", "20", "40+"]
    scores = draw_histogram(Axis(-1.5, 0.25, 2, False), np.array([3, 2]), "score")
    assert [bar.said for bar in scores.bars] == ["-1.5 to -1.25 score: 3 rows", "-1.25 to -1 score: 2 rows"]
