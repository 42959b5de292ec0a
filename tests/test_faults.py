"""There is a fault to tell of exactly where a check of a list says no, and it names the right place."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.checks import TAG_SCHEMES, TASK_CHECKS
from sftdata.faults import SHOWN, explain

TURN = pl.Struct({"role": pl.String, "content": pl.String, "details": pl.String})
CALLS = '{"tool_calls": [{"function": {}}]}'

turns = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant", "tool", "bot", None]),
            "content": st.sampled_from(["said", " ", "", None]),
            "details": st.sampled_from([None, CALLS, '{"tool_calls": []}']),
        }
    ),
    max_size=6,
)
talks = st.lists(st.sampled_from(["user", "assistant", "tool"]), max_size=7).map(
    lambda roles: [{"role": role, "content": "said", "details": None} for role in roles]
)
words = st.lists(st.sampled_from(["a", "b", " ", "", None]), max_size=5)


def verdict(check, dtype, value, **arguments):
    frame = pl.DataFrame({"column": [value]}, schema={"column": pl.List(dtype)})
    return frame.select(TASK_CHECKS[check]("column", **arguments).fill_null(value=True)).item()


def check_both(check, dtype, value, **arguments):
    said = explain(check, value, arguments, lambda name: [])
    assert (said is None) == verdict(check, dtype, value, **arguments), said


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        ("known_roles", {"roles": ["system", "user", "assistant"]}),
        ("no_blank_turn", {}),
        ("has_response", {}),
        ("ends_with_response", {}),
        ("roles_alternate", {}),
        ("roles_alternate", {"tools": True}),
    ],
)
@given(value=turns | talks)
def test_turns_have_a_fault_where_the_check_says_no(check, arguments, value):
    check_both(check, TURN, value, **arguments)


@given(value=words)
def test_entries_have_a_fault_where_the_check_says_no(value):
    check_both("no_blank_entry", pl.String, value)
    check_both("entries_isin", pl.String, value, allowed_values=["a", " "])


@given(value=st.lists(st.lists(st.sampled_from(["a", " ", None]), max_size=3), max_size=4))
def test_pairs_have_a_fault_where_the_check_says_no(value):
    check_both("whole_pairs", pl.List(pl.String), value)


@pytest.mark.parametrize("scheme", TAG_SCHEMES)
@given(data=st.data())
def test_tags_have_a_fault_where_the_check_says_no(scheme, data):
    letters = [letter for letter in TAG_SCHEMES[scheme] if letter]
    legal = [f"{letter}-{kind}" for letter in letters for kind in ("X", "Y")]
    value = data.draw(st.lists(st.sampled_from([*legal, *legal, "O", "Q-X", "B-", None]), max_size=6))
    check_both("legal_tags", pl.String, value, scheme=scheme)


def turn(role, content="said"):
    return {"role": role, "content": content, "details": None}


@pytest.mark.parametrize(
    ("check", "value", "arguments", "said"),
    [
        ("known_roles", [turn("user"), turn(None), turn("bot")], {"roles": ["user", "assistant"]},
         "turn 2 has no role; turn 3 has the role 'bot'; expected 'user', 'assistant'"),
        ("no_blank_turn", [turn("user"), turn("assistant", " ")], {}, "turn 2 (assistant) says nothing"),
        ("has_response", [turn("user"), turn("user")], {}, "no turn is of 'assistant': its roles are user"),
        ("ends_with_response", [turn("assistant"), turn("user")], {},
         "the last turn, 2, is of 'user', expected 'assistant'"),
        ("ends_with_response", [], {}, "there is no turn, expected 'assistant'"),
        ("roles_alternate", [turn("user"), turn("user")], {},
         "turn 2 is of 'user', behind 'user', expected 'assistant'"),
        ("roles_alternate", [turn("system")], {}, "there is no turn of 'user'"),
        ("no_blank_entry", ["a", None, " "], {}, "entry 2 is missing; entry 3 is blank"),
        ("entries_isin", ["a"] * 9, {"allowed_values": [str(n) for n in range(6)]},
         "; ".join(f"entry {n} is 'a'" for n in range(1, SHOWN + 1)) + "; ...; expected one of 6 values"),
        ("list_length", [], {"min_value": 1, "max_value": 3}, "it has 0 entries, expected at least 1 and at most 3"),
        ("whole_pairs", [["a", "b"], ["a"], ["a", " "]], {}, "pair 2 has 1 text, expected 2; pair 3 has a blank text"),
        ("as_long_as", ["O"], {"other": "tokens"}, "it has 1 entry, but tokens has 2"),
        ("legal_tags", ["O", "I-X"], {"scheme": "BIO"}, "tag 2, 'I-X', does not go on from 'O'"),
        ("legal_tags", ["B-X", "O"], {"scheme": "BIOES"},
         "tag 2, 'O', stands behind 'B-X', which is not ended"),
        ("legal_tags", ["B-X"], {"scheme": "BMES"}, "the last tag, 'B-X', is not ended"),
        ("legal_tags", ["X"], {"scheme": "BIO"}, "tag 1, 'X', is none of BIO"),
    ],
)  # fmt: skip
def test_the_place_and_what_was_expected_are_told(check, value, arguments, said):
    assert explain(check, value, arguments, {"tokens": ["a", "b"]}.__getitem__) == said


def test_checks_of_single_values_are_not_explained_here():
    assert explain("not_blank", "", {}, lambda name: []) is None
    assert explain("list_length", None, {"min_value": 1}, lambda name: []) is None


def test_a_rejected_row_tells_which_turn_is_wrong(tmp_path):
    import sftdata

    path = tmp_path / "talks.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}]}\n')
    report = sftdata.validate(path, "messages")
    assert [row["detail"] for row in report.examples] == ["messages: turn 2 (assistant) says nothing"]
