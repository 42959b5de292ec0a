import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.errors import UsageError
from sftdata.settings.cleaning import StopwordSettings
from sftdata.text.segmentation import Segmenter
from sftdata.text.stopwords import FEW, load_stopwords, make_guard, remove_stopwords

WORDS = frozenset(["the", "of", "的", "don't"])


def remove(*values):
    return remove_stopwords(pl.Series(values, dtype=pl.String), WORDS, Segmenter()).to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat of the mat", "cat mat"),
        ("the", ""),
        ("cat of.", "cat ."),
        ("theory often softens", "theory often softens"),
        ("don’t DON'T stop", "stop"),
        ("漂亮的房子", "漂亮房子"),
        ("the\n of", "\n "),
        ("a  the  b", "a    b"),
    ],
)
def test_words_go_and_one_of_the_spaces_around_them(text, expected):
    assert remove(text) == [expected]


@given(st.lists(st.none() | texts | st.lists(st.sampled_from([*WORDS, " ", "\n", "x", "中", "."])).map("".join)))
@quick
def test_each_text_is_cleaned_alone_and_only_where_the_guard_matches(values):
    cleaned = remove(*values)
    assert cleaned == [remove(value)[0] for value in values]
    matched = pl.Series(values, dtype=pl.String).str.contains(make_guard(WORDS)).to_list()
    assert all(match or after == before for before, after, match in zip(values, cleaned, matched, strict=True))


def test_the_guard_of_a_long_list_lets_all_texts_through():
    words = frozenset(f"w{number}" for number in range(FEW + 1))
    assert pl.Series(["\n", "a", ""]).str.contains(make_guard(words)).to_list() == [True, True, False]


def test_lists_are_added_together(tmp_path):
    (tmp_path / "own.txt").write_text("\ufeffFoo\n\n  bar \n", encoding="utf-8")
    words = load_stopwords(StopwordSettings(languages=("en", "zh"), words=("Baz’s",), file="own.txt"), tmp_path)
    assert {"the", "的", "foo", "bar", "baz's"} <= words
    assert load_stopwords(StopwordSettings(words=("x",)), tmp_path) == {"x"}


@pytest.mark.parametrize(("content", "message"), [(b"\xff", "cannot be read as UTF-8"), (b" \n", "found no stopword")])
def test_files_that_are_no_lists(tmp_path, content, message):
    (tmp_path / "own.txt").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_stopwords(StopwordSettings(file="own.txt"), tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_stopwords(StopwordSettings(file="none.txt"), tmp_path)
