from collections import Counter

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.records import STRINGS
from sftdata.text.repetition import measure_repeated_lines, measure_repeated_ngrams

some_words = st.lists(st.sampled_from(["a", "b", "longer", "中"]), max_size=14)


def expected_ngrams(words, size):
    """The definition, one n-gram at a time."""
    grams = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
    total = max(sum(map(len, words)), 1)
    counts = {gram: count for gram, count in Counter(grams).items() if count > 1}
    top = max(((count, sum(map(len, gram))) for gram, count in counts.items()), default=(0, 0))
    again = [place for place, gram in enumerate(grams) if gram in grams[:place]]
    covered = {place + inside for place in again for inside in range(size)}
    return min(top[0] * top[1] / total, 1), sum(len(words[place]) for place in covered) / total


@given(st.lists(st.none() | some_words, max_size=6), st.integers(1, 4))
@example([["a", "a"]], 4)
@quick
def test_ngrams_are_measured_as_defined(values, size):
    found = measure_repeated_ngrams(pl.Series(values, dtype=STRINGS), size)
    expected = [expected_ngrams(words or [], size) for words in values]
    assert found["top"].to_list() == pytest.approx([top for top, _ in expected])
    assert found["duplicate"].to_list() == pytest.approx([duplicate for _, duplicate in expected])


@given(
    st.lists(st.none() | st.lists(st.sampled_from(["a", " a", "bb", "", "\t", "c"]) | texts).map("\n".join), max_size=5)
)
@quick
def test_lines_are_measured_as_defined(values):
    found = measure_repeated_lines(pl.Series(values, dtype=pl.String))
    for value, shares in zip(values, found.rows(), strict=True):
        lines = [line for line in pl.Series((value or "").split("\n")).str.strip_chars() if line]
        again = [line for place, line in enumerate(lines) if line in lines[:place]]
        assert shares == pytest.approx(
            (len(again) / max(len(lines), 1), sum(map(len, again)) / max(sum(map(len, lines)), 1))
        )


def test_slices_and_chunks():
    words = pl.Series([["x"], ["a", "b", "a", "b"], None, ["a", "a"]])
    whole = measure_repeated_ngrams(words, 2)
    assert measure_repeated_ngrams(words[1:], 2).equals(whole[1:])
    assert measure_repeated_ngrams(pl.concat([words[:2], words[2:]], rechunk=False), 2).equals(whole)
