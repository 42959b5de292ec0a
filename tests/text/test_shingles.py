import itertools
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text.shingles import (
    CHARACTER,
    COMMON,
    UNSPACED,
    _kind_of,
    cut_tokens,
    hash_shingles,
    hash_texts,
    normalize_texts,
    to_buffer,
)

letters = st.sampled_from(list("aAßẞſΣσςᾳᾼιİiıＡé\u0301e中臺ｱア한ไท１²ﬁ \t\n\u00a0\u3000\x1c\x85.,'\x01"))
mixed = st.lists(st.text(letters, max_size=12) | texts, max_size=6)


def words_of(text: str) -> list[str]:
    """Cut by the rule in the module's docstring, a character at a time."""

    def kind(sign: str) -> str:
        if unicodedata.category(sign)[0] not in "LMN":
            return "none"
        return "single" if any(low <= ord(sign) <= high for low, high in UNSPACED) else "word"

    words = []
    for group, signs in itertools.groupby(text, kind):
        words += {"none": lambda _: [], "single": list, "word": lambda run: ["".join(run)]}[group](list(signs))
    return words


def python_form(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  Hello\t\n World ", "hello world"),
        ("ＨＥＬＬＯ，　ｗｏｒｌｄ！", "hello, world!"),
        ("STRASSE straße STRAẞE", "strasse strasse strasse"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("e\u0301 ﬁ ²", "é fi 2"),
        ("中文，　測試", "中文, 測試"),
        ("", ""),
        (None, ""),
    ],
)
def test_normal_form(text, form):
    assert normalize_texts(pl.Series([text], dtype=pl.String)).to_list() == [form]


@quick
@given(
    st.lists(st.text(st.characters(max_codepoint=127), max_size=20) | st.text("a B\t\n\x1c", max_size=8), max_size=6)
)
def test_normal_form_of_ascii_is_small_letters_with_single_spaces(given_texts):
    ours = normalize_texts(pl.Series(given_texts, dtype=pl.String)).to_list()
    assert ours == [" ".join(text.lower().split()) for text in given_texts]


@quick
@given(mixed)
def test_normal_form_changes_nothing_twice_and_keeps_the_order(given_texts):
    series = pl.Series(given_texts, dtype=pl.String)
    once = normalize_texts(series)
    assert once.to_list() == [normalize_texts(pl.Series([text]))[0] for text in given_texts]
    assert once.str.strip_chars().to_list() == once.to_list()


@quick
@given(st.text(letters, max_size=6), st.text(letters, max_size=6))
def test_two_texts_have_one_form_exactly_when_python_says_so(one, other):
    ours = normalize_texts(pl.Series([one, other], dtype=pl.String))
    assert (ours[0] == ours[1]) == (python_form(one) == python_form(other))


@quick
@given(mixed)
def test_words_are_cut_as_documented(given_texts):
    buffer = to_buffer(pl.Series(given_texts, dtype=pl.String))
    tokens = cut_tokens(buffer)
    found = [buffer.data[start:end].tobytes().decode() for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    by_text = [found[low:high] for low, high in itertools.pairwise(tokens.offsets)]
    assert by_text == [words_of(text) for text in given_texts]


def test_common_characters_are_what_a_look_at_each_says():
    for first, last in COMMON:
        assert {_kind_of(point) for point in range(first, last + 1)} == {CHARACTER}


@quick
@given(st.lists(st.text(st.sampled_from("ab中 文."), max_size=10), max_size=6), st.integers(1, 4), st.integers(1, 4))
def test_shingles_are_equal_exactly_when_their_words_are(given_texts, words, characters):
    shingles = hash_shingles(cut_tokens(to_buffer(pl.Series(given_texts, dtype=pl.String))), words, characters)
    expected, counts = [], []
    for text in given_texts:
        cut = words_of(text)
        single = sum(word in "中文" for word in cut)
        width = characters if cut and 2 * single >= len(cut) else words
        runs = [tuple(cut[place : place + width]) for place in range(len(cut) - width + 1)]
        expected += runs
        counts.append(len(runs))
    assert np.diff(shingles.offsets).tolist() == counts
    assert len(set(zip(expected, shingles.hashes.tolist(), strict=True))) == len(set(expected))
    assert len(set(shingles.hashes.tolist())) == len(set(expected))


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 1000])
def test_every_byte_of_a_word_counts(length):
    words = ["a" * length] + ["a" * place + "b" + "a" * (length - place - 1) for place in range(length)]
    hashes = cut_tokens(to_buffer(pl.Series([*words, "a" * (length + 1)]))).hashes
    assert len(np.unique(hashes)) == length + 2


def test_whole_texts_hash_apart():
    similar = ["", "\0", "\0\0", "a", "a\0", "\0a", "ab", "ba", "a" * 8, "a" * 9, "a" * 16, "a" * 8 + "\0" * 8, "中"]
    hashes = hash_texts(to_buffer(pl.Series(similar)))
    assert hashes.shape == (2, len(similar))
    assert [len(np.unique(half)) for half in hashes] == [len(similar)] * 2


def test_hashes_are_the_same_on_every_machine():
    buffer = to_buffer(pl.Series(["the quick brown fox, jumping", "这本书很好"]))
    shingles = hash_shingles(cut_tokens(buffer), 3, 3)
    assert shingles.offsets.tolist() == [0, 3, 6]
    assert hash_texts(buffer)[:, 0].tolist() == WHOLE
    assert shingles.hashes[[0, 3]].tolist() == FIRST


WHOLE = [5775150815290887815, 7221003305498816759]
FIRST = [13339261659896698210, 5456756369539412228]


def test_sliced_chunked_and_empty_series_are_the_same_texts():
    whole = pl.Series(["left out", "one two three four", "中文测试"])
    parts = pl.concat([whole[1:2], whole[2:]], rechunk=False)
    alone = hash_shingles(cut_tokens(to_buffer(pl.Series(whole.to_list()[1:]))), 3, 3)
    for series in (whole[1:], parts):
        again = hash_shingles(cut_tokens(to_buffer(series)), 3, 3)
        assert again.hashes.tolist() == alone.hashes.tolist()
        assert again.offsets.tolist() == alone.offsets.tolist()
    none = hash_shingles(cut_tokens(to_buffer(pl.Series([], dtype=pl.String))), 3, 3)
    assert (len(none.hashes), none.offsets.tolist()) == (0, [0])
