import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import blanks, conversations, quick, texts

from sftdata.checks import TASK_CHECKS
from sftdata.records import MESSAGES

WHITE_SPACE = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}
"""Unicode's White_Space."""


def says(text):
    return text is not None and any(letter not in WHITE_SPACE for letter in text)


def names(talk):
    return [turn["role"] for turn in talk]


def alternate(talk):
    spoken = names(talk)
    spoken = spoken[1:] if spoken[:1] == ["system"] else spoken
    return bool(spoken) and spoken == [("user", "assistant")[i % 2] for i in range(len(spoken))]


ORACLES = {
    "known_roles": lambda talk: all(name in ("system", "user", "assistant") for name in names(talk)),
    "no_blank_turn": lambda talk: all(says(turn["content"]) or turn["role"] == "system" for turn in talk),
    "has_response": lambda talk: "assistant" in names(talk),
    "ends_with_response": lambda talk: names(talk)[-1:] == ["assistant"],
    "roles_alternate": alternate,
}
ARGUMENTS = {"known_roles": {"roles": ["system", "user", "assistant"]}}
SEVERAL = st.lists(st.none() | conversations, max_size=8)


def judge(name, series):
    return pl.DataFrame({"c": series}).select(TASK_CHECKS[name]("c", **ARGUMENTS.get(name, {}))).to_series()


def shapes(series):
    """Yield the series sliced and in several chunks; a kernel that ignores an offset fails on them."""
    yield series, slice(None)
    yield pl.concat([series[:1], series[1:3], series[3:]], rechunk=False), slice(None)
    yield series[1:], slice(1, None)
    yield pl.concat([series[2:], series[:2]], rechunk=False)[: max(len(series) - 2, 0)], slice(2, None)


def test_every_check_has_an_oracle():
    assert {*ORACLES, "not_blank"} == set(TASK_CHECKS)


@pytest.mark.parametrize("name", ORACLES)
@given(talks=SEVERAL)
@example([[], None, [{"role": None, "content": None}], [{"role": "user assistant", "content": "a"}]])
@quick
def test_a_check_of_conversations_is_what_it_says_and_does_not_judge_a_null(name, talks):
    expected = [None if talk is None else ORACLES[name](talk) for talk in talks]
    for series, part in shapes(pl.Series("c", talks, dtype=MESSAGES)):
        found = judge(name, series)
        assert found.dtype == pl.Boolean
        assert found.to_list() == expected[part]


@given(st.lists(st.none() | blanks | texts, max_size=8))
@example([*WHITE_SPACE, "\u200b", "\x1f", "\ufeff", None, ""])
@quick
def test_not_blank_is_true_for_text_with_a_character_that_is_no_white_space(values):
    expected = [None if text is None else says(text) for text in values]
    for series, part in shapes(pl.Series("c", values, dtype=pl.String)):
        assert judge("not_blank", series).to_list() == expected[part]
