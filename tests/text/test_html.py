import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text.html import HTML, strip_html


def strip(text):
    return strip_html(pl.Series([text]))[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("an <b>im<i>port</i>ant</b> word", "an important word"),
        ("<a title='x>y' href=\"a'>b\">link</a>", "link"),
        ("<tr><td>1</td><td>2</td></tr>", "1 2 "),
        ("<script type='x'>if (a<b) {}</script>a<style>p {}</style>", "a"),
        ("a<!-- no -->b<!DOCTYPE html>c", "abc"),
        ("&amp; &lt;b&gt; &#20013;&#x6587; &nbsp;&notin;", "& <b> 中文 \xa0∉"),
        ("&amp;amp;lt;", "&amp;lt;"),
        ("<H1 class=x>T</H1>text", "T\ntext"),
    ],
)
def test_html_becomes_text(text, expected):
    assert strip(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a < b > c",
        "vector<int> x",
        "<NAME>",
        "?a=1&copy=2&lt",
        "<3",
        "AT&T",
        "x <- y",
        "<https://x.cn>",
        "<bold>",
        "<a",
    ],
)
def test_what_is_no_html_stays(text):
    assert strip(text) == text


@given(st.lists(texts | st.sampled_from(["<", ">", "<b", "&", "amp", ";", "]]", "<!--", "&#38;", "\n"])).map("".join))
@quick
def test_a_text_that_the_guard_does_not_match_does_not_change(text):
    if not pl.Series([text]).str.contains(HTML)[0]:
        assert strip(text).strip("\n") == text.strip("\n")


def test_no_text_gives_none():
    assert strip_html(pl.Series([], dtype=pl.String)).to_list() == []
