import json
import re

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_cases import turns_like
from strategies import conversations, json_values, quick

from sftdata.column import Column
from sftdata.records import MESSAGES
from sftdata.sources.json_text import load_json
from sftdata.sources.turn_columns import list_offsets, sum_of_lists, widen_turns
from sftdata.sources.turns import Misfit, fit_turns

PLAIN = Column(dtype="messages")
SHAREGPT = Column(
    dtype="messages",
    keys={"role": "from", "content": "value"},
    roles={"human": "user", "gpt": "assistant", "function_call": "tool_calls", "observation": "tool"},
)
CALL = '{"name": "f", "arguments": {"x": 1.10, "中": [1e5]}}'


def fit(text, column=PLAIN):
    return [(t["role"], t["content"], t["weight"], t["details"]) for t in fit_turns(load_json(text), column)]


def test_what_a_turn_says_beside_role_and_content_is_kept_as_it_is_written():
    details = '{"z": 1.10, "tool_calls": [{"id": null, "b": 1e5, "a": "中"}], "name": "x"}'
    turn = '{"role": "assistant", ' + details[1:-1] + ', "content": null}'
    assert fit(f"[{turn}]") == [("assistant", None, None, details)]


@given(st.lists(st.fixed_dictionaries({"role": st.just("user"), "x": json_values}), max_size=3))
@quick
def test_details_are_the_other_keys_of_the_turn(turns):
    found = fit_turns(load_json(json.dumps(turns)), PLAIN)
    assert [turn["details"] for turn in found] == [json.dumps({"x": t["x"]}, ensure_ascii=False) for t in turns]


@pytest.mark.parametrize(
    ("turn", "weight"),
    [
        ('"weight": 0', 0.0),
        ('"weight": 0.5', 0.5),
        ('"train": true', 1.0),
        ('"train": false', 0.0),
        ('"train": null, "weight": 2', 2.0),
        ('"weight": null', None),
    ],
)
def test_weight_and_train_say_how_much_a_turn_counts(turn, weight):
    assert fit('[{"role": "user", "content": "a", ' + turn + "}]") == [("user", "a", weight, None)]


def test_parts_of_text_are_joined():
    parts = '[{"type": "text", "text": "a "}, {"text": "中", "type": "text"}]'
    assert fit('[{"role": "user", "content": ' + parts + '}, {"role": "user", "content": []}]') == [
        ("user", "a 中", None, None),
        ("user", "", None, None),
    ]


def test_keys_and_roles_are_mapped_and_roles_without_a_name_stay():
    text = '[{"from": "human", "value": "a", "role": "x"}, {"from": "gpt", "value": "b"}, {"from": "user"}]'
    assert fit(text, SHAREGPT) == [
        ("user", "a", None, '{"role": "x"}'),
        ("assistant", "b", None, None),
        ("user", None, None, None),
    ]


@pytest.mark.parametrize("calls", [CALL, f"[{CALL}, {CALL}]"])
def test_a_turn_of_tool_calls_becomes_one_of_the_assistant(calls):
    turns = [{"from": "function_call", "value": calls, "id": 7}, {"from": "observation", "value": "ok"}]
    listed = ", ".join([f'{{"type": "function", "function": {CALL}}}'] * calls.count('"f"'))
    assert fit(json.dumps(turns), SHAREGPT) == [
        ("assistant", None, None, f'{{"tool_calls": [{listed}], "id": 7}}'),
        ("tool", "ok", None, None),
    ]


MISFITS = [
    ("5", "found 5, expected a list of turns"),
    ('"[]"', "found '[]', expected a list of turns"),
    ('[{"role": "a"}, 5]', "found 5 as turn 2, expected an object"),
    ("[null]", "found None as turn 1, expected an object"),
    ('[{"role": 5}]', "found 5 as role of turn 1, expected text"),
    ('[{"role": "a", "role": "a"}]', "found a key that is given twice as role of turn 1, expected text"),
    ('[{"content": {"a": 1}}]', "found {'a': 1} as content of turn 1, expected text or a list of text parts"),
    ('[{"content": "\\ud800"}]', "found '\\ud800' as content of turn 1, expected text or a list of text parts"),
    ('[{"content": ["a"]}]', "found 'a' as part 1 of content of turn 1, expected {\"type\""),
    ('[{"content": [{"type": "image_url", "image_url": "x"}]}]', 'as part 1 of content of turn 1, expected {"type"'),
    ('[{"content": [{"type": "text", "text": "x", "cache": 1}]}]', 'as part 1 of content of turn 1, expected {"type"'),
    ('[{"weight": true}]', "found True as weight of turn 1, expected a number"),
    ('[{"weight": "1"}]', "found '1' as weight of turn 1, expected a number"),
    ('[{"weight": 1e999}]', "found 1e999 as weight of turn 1, expected a number"),
    ('[{"train": 1}]', "found 1 as train of turn 1, expected true or false"),
    ('[{"train": true, "weight": 1}]', "found both weight and train in turn 1"),
    ('[{"x": {"a": 1, "a": 2}}]', "turn 1 cannot be kept as it is: a key is given twice"),
]


@pytest.mark.parametrize(("text", "message"), MISFITS)
def test_what_is_no_turn_is_told_in_plain_words(text, message):
    with pytest.raises(Misfit, match=re.escape(message)):
        fit(text)


@pytest.mark.parametrize("calls", ["", "hello", "{}", "[1]", '{"name": "f"}', '{"name": 1, "arguments": {}}', None])
def test_tool_calls_that_are_none_are_told(calls):
    with pytest.raises(Misfit, match=r"as tool calls of turn 1, expected JSON with name and arguments"):
        fit(json.dumps([{"from": "function_call", "value": calls}]), SHAREGPT)
    with pytest.raises(Misfit, match=r"both in value and in tool_calls of turn 1"):
        fit(json.dumps([{"from": "function_call", "value": CALL, "tool_calls": []}]), SHAREGPT)


def test_values_of_python_are_taken_as_well():
    assert fit_turns([{"role": "user", "content": "a", "weight": 1, "n": 2.5}], PLAIN) == [
        {"role": "user", "content": "a", "weight": 1.0, "details": '{"n": 2.5}'}
    ]
    with pytest.raises(Misfit, match="as weight of turn 1"):
        fit_turns([{"weight": 10**400}], PLAIN)
    with pytest.raises(Misfit, match="turn 1 cannot be kept as it is"):
        fit_turns([{"x": float("nan")}], PLAIN)


FIELDS = {"role": pa.large_string(), "content": pa.string(), "weight": pa.float64(), "train": pa.bool_()}


def plain_lists(rows, column, kind=pa.list_):
    """Return conversations as an Arrow column of the keys that are known, and which rows have no other."""
    keys = [column.keys.role, column.keys.content, "weight", "train"]
    known = [None if row is None else [t and {k: t.get(k) for k in keys} for t in row] for row in rows]
    types = dict(zip(keys, FIELDS.values(), strict=True))
    return pa.array(known, kind(pa.struct(list(types.items())))), [
        all(turn is None or turn.keys() <= set(keys) for turn in row or []) for row in rows
    ]


def floats(row):
    return row and [t and {k: float(v) if k == "weight" and v is not None else v for k, v in t.items()} for t in row]


small = turns_like.filter(lambda row: all(abs((turn or {}).get("weight") or 0) < 2**1000 for turn in row))


@given(st.lists(st.none() | conversations | small, max_size=5), st.sampled_from([PLAIN, SHAREGPT]), st.data())
@quick
def test_a_whole_column_says_what_its_values_say(rows, column, data):
    rows = [floats(row) for row in rows]
    array, is_plain = plain_lists(rows, column, data.draw(st.sampled_from([pa.list_, pa.large_list])))
    start = data.draw(st.integers(0, len(rows)))
    chunks = data.draw(st.sampled_from([lambda a: a, lambda a: pa.chunked_array([a[:1], a[1:], a[:0]], type=a.type)]))
    series, odd = widen_turns(chunks(array[start:]), column)
    assert series.dtype == MESSAGES
    assert len(series) == len(odd) == len(rows) - start
    for row, plain, found, strange in zip(rows[start:], is_plain[start:], series.to_list(), odd, strict=True):
        if plain and not strange:
            assert found == (None if row is None else fit_turns(row, column))


def test_only_what_needs_it_is_left_to_be_judged_turn_by_turn():
    turns = [
        [{"from": "human", "value": "a"}],
        None,
        [],
        [None],
        [{"from": "gpt", "weight": 1.0, "train": True}],
        [{"from": "gpt", "weight": float("inf")}],
        [{"from": "human"}, {"from": "function_call", "value": CALL}],
        [{"from": "gpt", "train": False}],
    ]
    series, odd = widen_turns(plain_lists(turns, SHAREGPT)[0], SHAREGPT)
    assert odd.tolist() == [False, False, False, True, True, True, True, False]
    assert series[0].to_list()[0] == {"role": "user", "content": "a", "weight": None, "details": None}
    assert series[7].to_list()[0] == {"role": "assistant", "content": None, "weight": 0.0, "details": None}
    assert pl.Series([None], dtype=MESSAGES).equals(series[1:2], check_dtypes=True)


def test_offsets_and_sums_of_sliced_lists():
    lists = pa.array([[1], [2, 3], None, [], [4]])[1:]
    offsets = list_offsets(lists)
    assert offsets.tolist() == [0, 2, 2, 2, 3]
    assert sum_of_lists(lists.flatten().to_numpy(), offsets).tolist() == [5, 0, 0, 4]
