import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import blanks, quick, texts

from sftdata.settings.cleaning import CleanSettings
from sftdata.stages.cleaning_filters import FAULTS, filter_texts
from sftdata.text.cleaner import make_cleaner


def faults_of(values, **settings):
    cleaner = make_cleaner(CleanSettings(**settings), ["text"], ".", count_tokens=lambda some: some.str.len_bytes())
    return filter_texts(pl.Series("text", values, dtype=pl.String), cleaner)


def found(*values, **settings):
    return faults_of(values, **settings).select("row", "reason").rows()


def test_lengths():
    values = ("ab", "abcd", None, "", "中文")
    assert found(*values, characters={"min": 2, "max": 3}) == [(3, "too_short:characters"), (1, "too_long:characters")]
    assert found(*values, tokens={"max": 4}) == [(4, "too_long:tokens")]
    assert found("one two", "我爱北京", "...", None, words={"min": 2, "max": 2}) == [
        (2, "too_short:words"),
        (1, "too_long:words"),
    ]
    assert faults_of(["abc"], characters={"max": 2})["detail"].to_list() == [
        "text: found 3 characters, expected at most 2"
    ]


@pytest.mark.parametrize(
    ("limit", "lost"), [({"min": 3}, True), ({"min": 2}, False), ({"max": 1}, True), ({"max": 2}, False)]
)
def test_limits_are_within(limit, lost):
    assert bool(found("ab", characters=limit)) is lost


def test_shares_of_symbols_and_digits_leave_white_space_out():
    assert found("ab!!  ", "a!!", "。。 中", " ", "", None, max_symbols=0.5) == [
        (1, "too_many:symbols"),
        (2, "too_many:symbols"),
    ]
    assert found("a1  ", "a11", "٣٤", None, max_digits=0.5) == [(1, "too_many:digits"), (2, "too_many:digits")]
    assert faults_of(["a11"], max_digits=0.5)["detail"].to_list() == [
        "text: found a share of 0.667 of characters that are digits, expected at most 0.5"
    ]


def test_language_and_confidence():
    values = (
        "The weather is lovely today, let us go.",
        "今天天气很好，我们去公园散步吧",
        None,
        "  ",
        "Wie geht es Ihnen heute?",
    )
    assert found(*values, language={"keep": ["en"]}) == [(1, "language"), (4, "language")]
    assert found(*values, language={"keep": ["en", "zh"], "confidence": 1}) == [
        (0, "language"),
        (1, "language"),
        (4, "language"),
    ]
    detail = faults_of(values, language={"keep": ["en"]})["detail"][0]
    assert detail.startswith("text: found zh with confidence 0.")
    assert detail.endswith(", expected one of en with at least 0.5")


def test_repetition():
    lines = "a\nb\na\na"
    assert found(lines, "a\nb", None, repetition={"lines": 0.4, "line_characters": 0.5}) == [(0, "repeated:lines")]
    words = "buy now buy now buy now or else"
    assert found("no word twice", words, "", repetition={"top_ngrams": {2: 0.5}}) == [(1, "repeated:top_ngrams")]
    assert found(words, repetition={"duplicate_ngrams": {2: 0.4, 3: 0.9}}) == [(0, "repeated:duplicate_ngrams")]
    assert found("哈哈哈 " * 9, repetition={"top_ngrams": {1: 0.5}}) == [(0, "repeated:top_ngrams")]
    detail = faults_of([words], repetition={"top_ngrams": {2: 0.5}})["detail"][0]
    assert detail == "text: found a share of 0.75 in repeated 2-grams, expected at most 0.5"


EVERYTHING = {
    "characters": {"min": 1, "max": 5},
    "words": {"min": 1},
    "tokens": {"max": 6},
    "language": {"keep": ["en"]},
    "max_symbols": 0.4,
    "max_digits": 0.4,
    "repetition": {"lines": 0.3, "top_ngrams": {1: 0.3}},
}


@given(st.lists(st.none() | blanks | texts, max_size=5))
@settings(quick, max_examples=25)  # polars compiles the regular expressions again in each call
def test_each_row_is_judged_alone(values):
    whole = faults_of(values, **EVERYTHING)
    assert whole.schema == FAULTS
    for row, value in enumerate(values):
        of_row = whole.filter(pl.col("row") == row).select("reason", "detail").rows()
        assert of_row == faults_of([value], **EVERYTHING).select("reason", "detail").rows()


def test_columns_of_several_chunks_some_of_them_empty():
    cleaner = make_cleaner(CleanSettings(**EVERYTHING), ["text"], ".", count_tokens=lambda some: some.str.len_bytes())
    texts = pl.Series("text", ["a", "!!!!!!!!", None, "12 12 12", ""])
    whole = filter_texts(texts, cleaner)
    for first in range(6):
        for second in range(first, 6):
            chunks = [texts[:first], texts[first:second], texts[:0], texts[second:]]
            assert filter_texts(pl.concat(chunks, rechunk=False), cleaner).equals(whole)


def test_nothing_is_asked():
    assert found("", None, "!!!!") == []
