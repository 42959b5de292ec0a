import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text.protection import MARKS, MASK, PATTERNS, hide, keeps_spans, make_pattern, show

ALL = make_pattern(PATTERNS, ["[own]", "<URL>"])
parts = st.sampled_from(["`", "```", "$", "\\(", "\\)", "{x}", "%s", "<A_B>", MASK, MARKS[3], "[own]", "\n", "a", "中"])
mixed = st.lists(parts | texts).map("".join)


def spans_of(text, *kinds):
    return hide(pl.Series([text]), make_pattern(kinds, []))[1].to_list()[0]


@given(st.lists(mixed))
@quick
def test_showing_undoes_hiding(values):
    series = pl.Series(values, dtype=pl.String)
    hidden, spans = hide(series, ALL)
    assert show(hidden, spans).to_list() == values
    assert hidden.str.count_matches(MASK).to_list() == spans.list.len().to_list()
    assert not hidden.str.contains("[" + "".join(MARKS) + "]").any()


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("a {name} {} {0.x!r:>10} b", ["{name}", "{}", "{0.x!r:>10}"]),
        ("${x} {{ y }} {% if z %}", ["${x}", "{{ y }}", "{% if z %}"]),
        ("%s %(name)s %1$s %.2f %5d %lld 100% sure 5%", ["%s", "%(name)s", "%1$s", "%.2f", "%5d", "%lld"]),
        ("%1 %2的内核 100%15 %0", ["%1", "%2"]),
        ("<NAME> <URL_2> <|im_start|> <b> <N>", ["<NAME>", "<URL_2>", "<|im_start|>"]),
        ("{ a: 1 } if (x) { y } {two words}", []),
    ],
)
def test_placeholders(text, spans):
    assert spans_of(text, "placeholders") == spans


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("x $a^2$ y $$\nb\n$$ \\(c\\) \\[d\\]", ["$a^2$", "$$\nb\n$$", "\\(c\\)", "\\[d\\]"]),
        ("costs $5 and $6 in all", []),
        (
            "\\begin{align*}\\begin{matrix}1\\end{matrix}\\end{align*} x",
            ["\\begin{align*}\\begin{matrix}1\\end{matrix}\\end{align*}"],
        ),
        ("\\begin{itemize} x \\end{itemize}", []),
    ],
)
def test_latex(text, spans):
    assert spans_of(text, "latex") == spans


def test_code():
    text = "a `b` ``c`d`` ```py\nx = `1`\n``` ~~~\ny\n~~~ ````\n```\n```` ```open {z}"
    fences = ["```py\nx = `1`\n```", "~~~\ny\n~~~", "````\n```\n````", "```open {z}"]
    assert spans_of(text, "code_fences") == fences
    assert spans_of("a `b c` `d\ne`", "inline_code") == ["`b c`"]
    assert spans_of("```\n`x` {y}\n``` `{z}` {z}", *PATTERNS) == ["```\n`x` {y}\n```", "`{z}`", "{z}"]


def test_spans_that_are_not_to_be_hidden_stay():
    pattern = make_pattern(["placeholders"], [])
    hidden, spans = hide(pl.Series(["<DIV> <NAME> <DIV>", "a"]), pattern, but=["<DIV>"])
    assert hidden.to_list() == [f"<DIV> {MASK} <DIV>", "a"]
    assert spans.to_list() == [["<NAME>"], []]


def test_a_step_that_removes_a_mask_is_a_defect():
    with pytest.raises(ValueError, match="removed or added a protected span"):
        show(pl.Series(["a"]), pl.Series([["{x}"]]))


def test_spans_are_kept_in_order():
    assert keeps_spans(["x {a} {b}", "{b} {a}", "{a}"], [["{a}", "{b}"], ["{a}", "{b}"], []]) == [True, False, True]


@pytest.mark.parametrize(
    "sign", ["\\[", "\\begin{align}", "$", "`", "{", "$$", "```", "{{", "<|", "~~~ ```", "\\[{x}", "\\({x}"]
)
def test_hiding_takes_linear_time(sign):
    started = time.perf_counter()
    hide(pl.Series([sign * 30_000 + "\n"]), ALL)
    assert time.perf_counter() - started < 5  # hundredths of a second; a quadratic search takes half a minute
