from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text.cutting import PROTECTED as PATTERNS
from sftdata.text.cutting import _cut_simple, _narrow, _pattern, cut_lists, cut_texts
from sftdata.text.pieces import HAN, LATIN, Replacement
from sftdata.text.segmentation import Segmenter

PROTECTED = [
    "```py\nx = 1 and y\n```",
    "`x and y`",
    "$a + b$",
    "$$\na + b\n$$",
    r"\(a + b\)",
    r"\[a + b\]",
    r"\begin{align}a + b\end{align}",
    r"\alpha",
    "{name}",
    "{two words}",
    "{{ name }}",
    "${name}",
    "%s",
    "%(name)s",
    "<URL>",
    "<a href='x y'>",
    "[EMAIL]",
    "https://example.org/path?query=words#part",
    "www.example.org",
    "someone@example.org",
    "@someone",
    "#topic",
    "&amp;",
    "3.14",
    "1,000",
    "2024/05/01",
    "COVID-19",
    "snake_case",
    "example.com",
    "3rd",
]


def words_of(text, protect=()):
    pieces = cut_texts(pl.Series([text], dtype=pl.String), Segmenter(), protect)
    return pieces.distinct.gather(pieces.code[pieces.kind[pieces.code] >= LATIN]).to_list()


@given(st.lists(st.none() | texts | st.text("aZ1 .{}`$\\<>\n中文%@_-'", max_size=30), max_size=6))
@example(["`a", "$ a b $", "``` a b", "{a b", "<a b", "  a  b ", ""])
@quick
def test_pieces_join_to_the_texts(values):
    pieces = cut_texts(pl.Series(values, dtype=pl.String), Segmenter())
    assert pieces.texts().to_list() == [value or "" for value in values]
    assert pieces.lists().list.join("").to_list() == [value or "" for value in values]
    assert "" not in pieces.lists().explode().to_list()


@pytest.mark.parametrize("span", PROTECTED)
def test_protected_spans_hold_no_word(span):
    assert words_of(f"before {span} after") == ["before", "after"]
    assert words_of(f"前面，{span}，后面") == ["前面", "后面"]


def test_words_are_whole():
    assert words_of("It's state-of-the-art, naïve and “quoted” (too); 我们在北京。") == [
        "It's",
        "state-of-the-art",
        "naïve",
        "and",
        "quoted",
        "too",
        "我们",
        "在",
        "北京",
    ]
    assert words_of("a getName iPhone call") == ["a", "call"]


def test_terms_are_no_words_in_any_case_and_with_what_is_written_on():
    assert words_of("Acme makes acmes in New York, 我在苹果公司工作", ["acme", "New York", "苹果"]) == [
        "makes",
        "in",
        "我",
        "在",
        "公司",
        "工作",
    ]
    assert words_of("a cat and (C) dog", ["(C)", " cat "]) == ["a", "and", "dog"]


@given(st.lists(texts | st.text("a `$1中", max_size=20), min_size=1, max_size=6))
@quick
def test_a_text_is_cut_alike_in_any_company(values):
    series = pl.Series(values, dtype=pl.String)
    together = cut_texts(series, Segmenter()).lists().to_list()
    assert together == [cut_texts(series[i : i + 1], Segmenter()).lists()[0].to_list() for i in range(len(values))]
    chunked = pl.concat([series[:1], series[1:]], rechunk=False)
    assert cut_texts(chunked, Segmenter()).lists().to_list() == together


ascii_texts = st.text(st.characters(max_codepoint=127), max_size=30) | st.text(
    "aZw1 .,;:/-'()\"\t\n`$\\\\@_", max_size=30
)


@given(st.lists(ascii_texts | texts, min_size=1, max_size=6))
@example(["www.a", " www.,", "x://y", " (a.b)", "  ", "don't", ' "word";', " c++"])
@quick
def test_simple_parts_are_cut_as_by_the_regular_expression(values):
    parts = pl.Series([value for value in values if value] or ["a"])
    lists, simple = _cut_simple(parts)
    slow = parts.str.extract_all(_pattern([], PATTERNS))
    assert lists.filter(simple).to_list() == slow.filter(simple).to_list()


def test_most_of_english_is_simple():
    parts = pl.Series([" word", "Word", ' "word', " word),", " --", " don't", " 12", " a.b", " www.x", "中"])
    assert _cut_simple(parts)[1].tolist() == [True] * 5 + [False] * 5


@given(st.lists(ascii_texts, min_size=1, max_size=6))
@quick
def test_narrow_patterns_find_the_same_in_ascii(values):
    wide, parts = _pattern(["C++", "a 1", "\\w"], PATTERNS), pl.Series(values)
    assert _narrow(wide) != wide
    assert parts.str.extract_all(_narrow(wide)).to_list() == parts.str.extract_all(wide).to_list()


def test_texts_are_taken_with_their_pieces():
    pieces = cut_texts(pl.Series(["a b", None, "", "c d e"]), Segmenter())
    chosen = pl.Series([False, True, True, True]).to_numpy()
    assert pieces.take(chosen).texts().to_list() == ["", "", "c d e"]
    assert cut_texts(pl.Series([], dtype=pl.String), Segmenter()).texts().to_list() == []


@given(st.lists(st.none() | texts | st.text("a é中", max_size=20), max_size=6), st.data())
@example([], None)
@quick
def test_pieces_are_replaced_in_texts(values, data):
    series = pl.Series("said", ["cut off", *values], dtype=pl.String)[1:]
    pieces = cut_texts(series, Segmenter())
    flags = data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces))) if data else []
    places = np.flatnonzero(np.array(flags, dtype=np.bool_))
    new = pl.Series([("", "b", "文é")[place % 3] for place in places], dtype=pl.String)
    written = pieces.write(Replacement(places, new), series)
    replaced = dict(zip(places.tolist(), new, strict=True))
    flat = [replaced.get(place, piece) for place, piece in enumerate(pieces.lists().explode().drop_nulls())]
    bounds = pieces.offsets.tolist()
    assert written.to_list() == ["".join(flat[a:b]) for a, b in pairwise(bounds)]
    assert written.to_list() == pieces.put(Replacement(places, new)).texts().to_list()
    assert written.name == "said"


def test_what_is_found_about_pieces_is_remembered():
    pieces = cut_texts(pl.Series(["a b", "c"]), Segmenter())
    looked = []
    found = [pieces.remember("key", lambda: looked.append(1) or "found") for _ in range(2)]
    assert (found, len(looked)) == (["found", "found"], 1)
    assert pieces.match("^[ab]$").sum() == 2
    changed = pieces.put(Replacement(np.array([3]), pl.Series(["b"])))
    assert changed.match("^[ab]$").sum() == 3  # what was found of other pieces does not count


def test_tokens_are_pieces():
    tokens = pl.Series([["EU", "rejects", "."], [], ["北京"]])
    free = pl.Series([[False, True, True], [], [True]])
    pieces = cut_lists(tokens, free)
    assert pieces.lists().to_list() == tokens.to_list()
    assert pieces.free.tolist() == [False, True, True, True]
    assert pieces.kind[pieces.code].tolist() == [LATIN, LATIN, 0, HAN]
