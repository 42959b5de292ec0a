import json
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import blanks, conversations, detailed_turns, quick, tagged, texts, values_of_dtype

from sftdata.checks import TASK_CHECKS
from sftdata.records import MESSAGES, PAIRS, STRINGS

WHITE_SPACE = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}
"""Unicode's White_Space."""


def says(text):
    return text is not None and any(letter not in WHITE_SPACE for letter in text)


def names(talk):
    return [turn["role"] for turn in talk]


def calls(turn):
    return bool(turn.get("details") and json.loads(turn["details"]).get("tool_calls"))


FOLLOWS = {
    None: {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user"},
}
FOLLOWS_WITH_TOOLS = FOLLOWS | {"assistant": {"user", "tool"}, "tool": {"tool", "assistant"}}


def alternate(talk, follows=FOLLOWS):
    spoken = [None, *names(talk)]
    return "user" in spoken and all(now in follows.get(before, ()) for before, now in pairwise(spoken))


OF_CONVERSATIONS = {
    "known_roles": (
        {"roles": ["system", "user", "assistant"]},
        lambda talk: {*names(talk)} <= {"system", "user", "assistant"},
    ),
    "no_blank_turn": (
        {},
        lambda talk: all(says(turn["content"]) or calls(turn) or turn["role"] == "system" for turn in talk),
    ),
    "has_response": ({}, lambda talk: "assistant" in names(talk)),
    "ends_with_response": ({}, lambda talk: names(talk)[-1:] == ["assistant"]),
    "roles_alternate": ({}, alternate),
    "roles_alternate, tools": ({"tools": True}, lambda talk: alternate(talk, FOLLOWS_WITH_TOOLS)),
}


def is_pair(entry):
    return entry is not None and len(entry) == 2 and all(map(says, entry))


OF_LISTS = {
    "no_blank_entry": ({}, lambda entries: all(map(says, entries))),
    "entries_isin": ({"allowed_values": ["a", "", "O"]}, lambda entries: all(e in ("a", "", "O") for e in entries)),
    "list_length, exact": ({"exact_value": 2}, lambda entries: len(entries) == 2),
    "list_length, from": ({"min_value": 1}, lambda entries: len(entries) >= 1),
    "list_length, between": ({"min_value": 1, "max_value": 2}, lambda entries: 1 <= len(entries) <= 2),
}


def continues(tags, letters):
    """Read tags with a machine that knows which kind of entity is open: (begin, inside, end, single) are `letters`."""
    begin, inside, end, single = letters
    open_kind = None
    for tag in tags:
        letter, dash, kind = (tag or "").partition("-")
        known = tag == "O" or (dash and kind and letter in (begin, inside, end, single) and letter)
        if not known or (letter in (inside, end) and kind != open_kind):
            return False
        if end and letter not in (inside, end) and open_kind is not None:
            return False
        open_kind = kind if letter in (begin, inside) else None
    return not end or open_kind is None


SCHEMES = {"BIO": ("B", "I", None, None), "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}

single_tags = st.builds(
    "{}{}{}".format,
    st.sampled_from(["B", "I", "E", "S", "M", "L", "U", "O", "", "b", "BI"]),
    st.sampled_from(["-", "-", "-", "_", ""]),
    st.sampled_from(["PER", "PER", "LOC", "", "-", "\n", "人"]),
)


@st.composite
def nearly_legal(draw):
    """Draw entities of a scheme, most of them whole, and spoil some tags."""
    begin, inside, end, single = SCHEMES[draw(st.sampled_from(sorted(SCHEMES)))]
    tags = []
    for length, kind in draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["PER", "LOC"])), max_size=4)):
        whole = [f"{begin}-{kind}", *[f"{inside}-{kind}"] * (length - 2), f"{end or inside}-{kind}"]
        tags += ["O"] if length == 0 else [f"{single or begin}-{kind}"] if length == 1 else whole
    for place in draw(st.sets(st.integers(0, max(len(tags) - 1, 0)), max_size=1)) if tags else ():
        tags[place] = draw(st.none() | single_tags | st.just("O"))
    return tags


sentences = nearly_legal() | tagged | st.lists(st.none() | single_tags, max_size=4)


def judge(name, series, arguments=None, **others):
    return pl.DataFrame({"c": series, **others}).select(TASK_CHECKS[name]("c", **(arguments or {}))).to_series()


def shapes(series):
    """Yield the series sliced and in several chunks; a kernel that ignores an offset fails on them."""
    yield series, slice(None)
    yield pl.concat([series[:1], series[1:3], series[3:]], rechunk=False), slice(None)
    yield series[1:], slice(1, None)
    yield series[:1], slice(1)
    yield series[:0], slice(0)
    yield pl.concat([series[2:], series[:2]], rechunk=False)[: max(len(series) - 2, 0)], slice(2, None)


def expect(name, series, expected, arguments=None):
    for given_series, part in shapes(series):
        found = judge(name, given_series, arguments)
        assert found.dtype == pl.Boolean
        assert found.to_list() == expected[part]


def test_every_check_has_an_oracle():
    judged = {name.partition(",")[0] for name in OF_CONVERSATIONS | OF_LISTS}
    assert judged | {"not_blank", "whole_pairs", "as_long_as", "legal_tags"} == set(TASK_CHECKS)


@pytest.mark.parametrize("name", OF_CONVERSATIONS)
@given(talks=st.lists(st.none() | conversations | st.lists(detailed_turns, max_size=5), max_size=8))
@example(talks=[[], None, [{"role": None, "content": None}], [{"role": "user assistant", "content": "a"}]])
@example(
    talks=[
        [{"role": role, "content": "a"} for role in spoken.split()]
        for spoken in (
            *("user", "system", "system user", "user user", "assistant user", "user system", "tool", "user tool"),
            *("user assistant", "system user assistant user", "user assistant assistant", "user assistant tool"),
            *("user assistant tool tool assistant", "user assistant tool user", "user assistant tool assistant user"),
            *("system user assistant tool assistant tool assistant", "user assistant system user assistant"),
        )
    ]
)
@example(
    talks=[
        [{"role": "assistant", "content": None, "details": details}]
        for details in (
            *('{"tool_calls":[]}', '{"tool_calls":null}', '{"name":"tool_calls"}', '{"tool_calls":[{"id":"1"}]}'),
            *('{"a":1,"tool_calls": [ {"id":"1"}]}', '{"a":"\\"tool_calls\\":[{"}', "{}"),
        )
    ]
)
@quick
def test_a_check_of_conversations_is_what_it_says_and_does_not_judge_a_null(name, talks):
    arguments, oracle = OF_CONVERSATIONS[name]
    expected = [None if talk is None else oracle(talk) for talk in talks]
    expect(name.partition(",")[0], pl.Series("c", talks, dtype=MESSAGES), expected, arguments)


@given(st.lists(st.none() | blanks | texts, max_size=8))
@example([*WHITE_SPACE, "\u200b", "\x1f", "\ufeff", None, ""])
@quick
def test_not_blank_is_true_for_text_with_a_character_that_is_no_white_space(values):
    expected = [None if text is None else says(text) for text in values]
    expect("not_blank", pl.Series("c", values, dtype=pl.String), expected)


@pytest.mark.parametrize("name", OF_LISTS)
@given(lists=st.lists(st.none() | values_of_dtype["list[str]"], max_size=8))
@example(lists=[[], [None], None, ["a", None], [""], ["a", "a"], ["a", "a", "a"]])
@quick
def test_a_check_of_lists_is_what_it_says_and_does_not_judge_a_null(name, lists):
    arguments, oracle = OF_LISTS[name]
    expected = [None if entries is None else oracle(entries) for entries in lists]
    expect(name.partition(",")[0], pl.Series("c", lists, dtype=STRINGS), expected, arguments)


@given(st.lists(st.none() | values_of_dtype["pairs"], max_size=8))
@example([[], [[]], [None], [["a", "b"]], [["a", None]], [["a", "b"], ["a", " "]], [["a", "b", "c"]], [["a"]], None])
@quick
def test_whole_pairs_are_pairs_of_texts_that_say_something(lists):
    expected = [None if pairs is None else all(map(is_pair, pairs)) for pairs in lists]
    expect("whole_pairs", pl.Series("c", lists, dtype=PAIRS), expected)


@given(st.lists(st.tuples(*[st.none() | values_of_dtype["list[str]"]] * 2), max_size=8), st.integers(0, 8))
@example([([], []), (["a"], [None]), (["a"], []), (None, ["a"]), (["a"], None)], 2)
@quick
def test_as_long_as_compares_the_lengths_of_two_lists(pairs, cut):
    lists, others = (pl.Series([pair[side] for pair in pairs], dtype=STRINGS) for side in (0, 1))
    chunked = pl.concat([others[:cut], others[cut:]], rechunk=False)
    expected = [None if None in (a, b) else len(a) == len(b) for a, b in pairs]
    assert judge("as_long_as", lists, {"other": "o"}, o=chunked).to_list() == expected
    assert judge("as_long_as", lists[cut:], {"other": "o"}, o=others[cut:]).to_list() == expected[cut:]


@pytest.mark.parametrize("scheme", SCHEMES)
@given(lists=st.lists(st.none() | sentences, max_size=8))
@example(lists=[[], None, [None], ["O"], ["B-PER"], ["I-PER"], ["B-PER", "I-LOC"], ["O", None], ["B-PER", None]])
@example(lists=[["B-A", "E-A"], ["B-A", "M-A", "E-A"], ["S-A", "S-A"], ["B-A", "B-A", "E-A"], ["B-A", "O"], ["E-A"]])
@example(lists=[["B-A", "L-A"], ["U-A"], ["B-A", "I-A", "L-A", "U-A"], ["B-A", "E-B"], ["B-A", "I-A", "E-A"], ["M-A"]])
@example(
    lists=[
        ["B-\n", "E-\n"],
        ["S-\n"],
        ["B-"],
        ["B"],
        ["-A"],
        [""],
        ["X-A"],
        ["O-A"],
        ["o"],
        ["B--"],
        ["B-A-B", "I-A-B"],
        ["B-A-B", "I-A"],
    ]
)
@settings(quick, max_examples=150)
def test_tags_are_legal_where_a_machine_that_reads_them_says_so(scheme, lists):
    expected = [None if tags is None else bool(continues(tags, SCHEMES[scheme])) for tags in lists]
    expect("legal_tags", pl.Series("c", lists, dtype=STRINGS), expected, {"scheme": scheme})


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_machine_and_the_check_know_legal_from_illegal(scheme):
    begin, inside, end, single = SCHEMES[scheme]
    whole = ["O", f"{begin}-A", f"{inside}-A", f"{end or inside}-A", f"{single or begin}-B", "O"]
    bad = [[*whole, f"{inside}-A"], [f"{inside}-A"], [f"{begin}-A", f"{end or inside}-B"], [*whole, None], ["A"]]
    assert continues(whole, SCHEMES[scheme])
    assert not any(continues(tags, SCHEMES[scheme]) for tags in bad)
    series = pl.Series("c", [whole, *bad], dtype=STRINGS)
    assert judge("legal_tags", series, {"scheme": scheme}).to_list() == [True, *[False] * len(bad)]
