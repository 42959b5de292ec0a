import datetime
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import conversations, quick, texts

from sftdata.column import Column, TurnKeys
from sftdata.sources import columns
from sftdata.sources.parsing import MissingColumns

TALK = Column(dtype="messages", nullable=True)
LISTS = Column(dtype="list[str]", nullable=True)
PAIRS = Column(dtype="pairs", nullable=True)
JSON = Column(dtype="json", nullable=True)


def parse(array, column):
    """Return for each row its value, or its reasons in a tuple."""
    parsed = columns.parse(pa.record_batch({"c": array}), {"c": column}, "f")
    assert parsed.frame.schema == {"c": column.polars_dtype}
    of_row = dict(zip(parsed.positions, parsed.frame["c"].to_list(), strict=True))
    for fault in parsed.faults:
        assert fault.position not in parsed.positions
        of_row[fault.position] = (*of_row.get(fault.position, ()), fault.reason)
    return [of_row[row] for row in range(len(array))]


def details_of(array, column):
    return [fault.detail for fault in columns.parse(pa.record_batch({"c": array}), {"c": column}, "f").faults]


def turn(role, content, weight=None, details=None):
    return {"role": role, "content": content, "weight": weight, "details": details}


TEXTS = ["a", None, "中", ""]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(["x", *TEXTS, "y"])[1:5],
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3, 4], pa.int32()), pa.array(TEXTS)),
        pa.array(TEXTS, pa.json_()),
    ],
    ids=lambda array: str(array.type)[:20],
)
def test_text_is_text_in_every_encoding(array):
    assert parse(array, Column(nullable=True)) == TEXTS


MISFITS = [
    ("str", [1.5, 2.0], None),
    ("str", [1, 2], None),
    ("str", [True], None),
    ("str", [Decimal("1.5")], None),
    ("str", [datetime.date(2020, 1, 1)], None),
    ("str", [["a"], []], None),
    ("str", [b"abc", b"\xff"], None),
    ("str", [{"a": 1}], None),
    ("int", [1.5, 2.0], None),
    ("int", [True], None),
    ("int", [2**63], pa.uint64()),
    ("int", [datetime.datetime(2020, 1, 1)], None),
    ("int", [Decimal("1.0")], None),
    ("float", [2**53 + 1], None),
    ("float", [float("nan"), float("inf")], None),
    ("float", ["nan", "x"], None),
    ("float", [[1.0]], None),
    ("float", [True], None),
    ("bool", [1, 0], None),
    ("bool", [["a"]], None),
    ("messages", ["[{]", "{}", "a"], None),
    ("messages", [[["user", "a"]]], None),
    ("messages", [[{"role": "user", "content": 1}]], None),
    ("messages", [[{"role": "user", "content": ["a"]}]], None),
    ("messages", [[{"role": "user", "content": {"type": "text"}}]], None),
    ("messages", [[{"role": "user", "content": "a", "weight": 1.0, "train": True}]], None),
    ("messages", [[{"role": "user", "content": "a", "weight": float("nan")}]], None),
    ("messages", [[{"role": "user", "content": "a", "weight": "1"}]], None),
    ("messages", [[{"role": "user", "content": "a"}, None]], None),
    ("messages", [{"role": "user", "content": "a"}], None),
    ("list[str]", ["a", '["a", 1]'], None),
    ("list[str]", [["a", None], [None]], None),
    ("list[str]", [[1]], None),
    ("list[str]", [[["a"]]], None),
    ("pairs", [[["a"]], [["a", "b", "c"]], [["a", None]], [["a", "b"], None]], None),
    ("pairs", [[{"a": "x"}]], None),
    ("json", [float("nan")], None),
    ("json", [b"\xff"], None),
    ("json", [datetime.date(2020, 1, 1)], None),
]


@pytest.mark.parametrize(("dtype", "values", "arrow_type"), MISFITS, ids=str)
def test_a_value_of_another_type_is_rejected_never_changed(dtype, values, arrow_type):
    array = pa.array([*values, None], arrow_type)
    assert parse(array, Column(dtype=dtype, nullable=True)) == [("c:dtype",)] * len(values) + [None]
    assert all(detail.startswith("c: ") for detail in details_of(array, Column(dtype=dtype, nullable=True)))


def test_lossless_casts_are_made():
    assert parse(pa.array([1, None, -5], pa.int8()), Column(dtype="int", nullable=True)) == [1, None, -5]
    assert parse(pa.array([2**63 - 1, 2**63], pa.uint64()), Column(dtype="int")) == [2**63 - 1, ("c:dtype",)]
    assert parse(pa.array([1, None, 2**53]), Column(dtype="float", nullable=True)) == [1.0, None, 2.0**53]
    assert parse(pa.array([0.5], pa.float32()), Column(dtype="float")) == [0.5]
    assert parse(pa.array([np.float16(0.5)], pa.float16()), Column(dtype="float")) == [0.5]
    assert parse(pa.array(["12", "x", None]), Column(dtype="int", nullable=True)) == [12, ("c:dtype",), None]
    assert parse(pa.array([Decimal("12"), None]), Column(dtype="int", nullable=True)) == [12, None]
    assert parse(pa.array([Decimal("1.25")], pa.decimal256(50, 2)), Column(dtype="float")) == [1.25]
    assert parse(pa.array([True, None]), Column(dtype="bool", nullable=True)) == [True, None]


@pytest.mark.parametrize("dtype", ["str", "int", "float", "bool", "messages", "list[str]", "pairs", "json"])
def test_nulls_and_no_rows_and_no_column_are_fine_for_every_dtype(dtype):
    column = Column(dtype=dtype, nullable=True, required=False)
    assert parse(pa.nulls(3), column) == [None] * 3
    assert parse(pa.nulls(0), column) == []
    assert parse(pa.array([], pa.string()), column) == []
    assert columns.parse(pa.record_batch({"x": [1, 2]}), {"c": column}, "f").frame["c"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (3, None, "3"),
        (True, None, "true"),
        (2**64 - 1, pa.uint64(), "18446744073709551615"),
        (1.0, None, "1.0"),
        (1e16, None, "1e+16"),
        (0.1, pa.float32(), "0.1"),
        (Decimal("1.10"), None, "1.10"),
        (Decimal("-12345678901234567890.5"), None, "-12345678901234567890.5"),
        (datetime.date(2020, 1, 2), None, "2020-01-02"),
        (datetime.datetime(2020, 1, 2, 3, 4, 5), None, "2020-01-02 03:04:05"),
        (datetime.time(3, 4, 5), None, "03:04:05"),
        (b"abc", None, "abc"),
        ("as it is", None, "as it is"),
    ],
    ids=str,
)
def test_values_become_text_only_when_that_is_wanted(value, kind, text):
    assert parse(pa.array([value, None], kind), Column(coerce=True, nullable=True)) == [text, None]
    assert parse(pa.array([[value, value]], pa.list_(kind or pa.scalar(value).type)), Column(coerce=True)) == [
        ("c:dtype",)
    ]


def test_what_has_no_text_is_not_made_into_one():
    for value in (b"\xff", float("nan"), float("inf"), ["a"], {"a": "b"}):
        assert parse(pa.array([value]), Column(coerce=True)) == [("c:dtype",)]
    assert parse(pa.array([[1, 2.5]]), Column(dtype="list[str]", coerce=True)) == [["1.0", "2.5"]]


def test_details_are_short_and_on_one_line():
    assert details_of(pa.array([["a" * 500]]), Column()) == ["c: found ['" + "a" * 75 + "..., expected str"]


LIST_KINDS = {
    "list": pa.list_,
    "large_list": pa.large_list,
    "list_view": pa.list_view,
    "large_list_view": pa.large_list_view,
}
TURN = pa.struct({"role": pa.string(), "content": pa.large_string(), "weight": pa.float64()})


@pytest.mark.parametrize("kind", LIST_KINDS.values(), ids=LIST_KINDS)
def test_turns_may_have_a_weight_and_any_list_type(kind):
    talk = [turn("user", "a", 1.0), turn("assistant", None, 0.0), turn("assistant", "b")]
    array = pa.array([None, talk, [], None, talk[1:]], kind(TURN))
    assert parse(array, TALK) == [None, talk, [], None, talk[1:]]
    assert parse(array[1:], TALK) == [talk, [], None, talk[1:]]


def test_turns_of_a_fixed_number_and_of_coded_parts():
    roles = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, None], pa.int8()), pa.array(["user", "assistant"]))
    turns = pa.StructArray.from_arrays([roles, pa.array(["a", "b", None, None], pa.string_view())], ["role", "content"])
    array = pa.FixedSizeListArray.from_arrays(turns, 2, mask=pa.array([False, True]))
    assert parse(array, TALK) == [[turn("user", "a"), turn("assistant", "b")], None]


def test_a_train_flag_is_a_weight():
    talk = [{"role": "user", "content": "a", "train": False}, {"role": "assistant", "content": "b", "train": True}]
    assert parse(pa.array([talk]), TALK) == [[turn("user", "a", 0.0), turn("assistant", "b", 1.0)]]
    assert parse(pa.array([[{"role": "user", "content": "a", "weight": 2}]]), TALK) == [[turn("user", "a", 2.0)]]


def test_turns_may_call_their_parts_otherwise():
    column = Column(
        dtype="messages", keys=TurnKeys(role="from", content="value"), roles={"human": "user", "gpt": "assistant"}
    )
    array = pa.array([[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "tool", "value": "c"}]])
    assert parse(array, column) == [[turn("user", "a"), turn("assistant", "b"), turn("tool", "c")]]


def test_a_part_that_no_turn_has_is_null():
    assert parse(pa.array([[{"role": "user"}], [{"role": None}]]), TALK) == [[turn("user", None)], [turn(None, None)]]


def test_further_fields_are_details_and_null_ones_are_padding():
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":  1}'}}]
    asked = {"role": "user", "content": "a", "name": "ann"}
    called = {"role": "assistant", "content": None, "tool_calls": calls}
    answered = {"role": "tool", "content": "b", "tool_call_id": "1", "extra": [{"x": 1.5}, {"y": None}]}
    array = pa.array([[asked], [{"role": "user", "content": "plain"}], [asked, called, answered], None, []])
    assert parse(array, TALK) == [
        [turn("user", "a", details='{"name": "ann"}')],
        [turn("user", "plain")],
        [
            turn("user", "a", details='{"name": "ann"}'),
            turn("assistant", None, details=json.dumps({"tool_calls": calls})),
            turn("tool", "b", details='{"tool_call_id": "1", "extra": [{"x": 1.5}, {}]}'),
        ],
        None,
        [],
    ]
    assert parse(array[2:3], TALK) == parse(array, TALK)[2:3]


def test_details_that_json_cannot_hold_reject_their_row_alone():
    talks = [[{"role": "user", "content": "a", "at": at}] for at in (datetime.date(2020, 1, 1), None)]
    assert parse(pa.array(talks), TALK) == [("c:dtype",), [turn("user", "a")]]


def test_decimal_numbers_in_details_stay_as_they_are_written():
    assert parse(pa.array([[{"role": "user", "content": "a", "cost": Decimal("1.10")}]]), TALK) == [
        [turn("user", "a", details='{"cost": 1.10}')]
    ]


def test_content_in_parts_is_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert parse(pa.array([[{"role": "user", "content": parts}]]), TALK) == [[turn("user", "ab")]]


def test_text_may_hold_json_where_turns_lists_or_pairs_are_wanted():
    talk = '[{"role": "user", "content": "a", "n": 1.10}]'
    assert parse(pa.array([talk, "[]", "[", None]), TALK) == [
        [turn("user", "a", details='{"n": 1.10}')],
        [],
        ("c:dtype",),
        None,
    ]
    assert parse(pa.array(['["a", "b"]', "[]"]), LISTS) == [["a", "b"], []]
    assert parse(pa.array(['[["a", "b"]]']), PAIRS) == [[["a", "b"]]]
    assert parse(pa.array(['{"b":  1.10, "a": null}', "[1", None]), JSON) == ['{"b":  1.10, "a": null}', '"[1"', None]


ENTRIES = [["a", "b"], [], None, [""], ["c"]]


@pytest.mark.parametrize("kind", LIST_KINDS.values(), ids=LIST_KINDS)
@pytest.mark.parametrize("inner", [pa.string(), pa.string_view()], ids=str)
def test_lists_of_text_in_every_list_type(kind, inner):
    array = pa.array([["x"], *ENTRIES, ["y"]], kind(inner))
    assert parse(array, LISTS) == [["x"], *ENTRIES, ["y"]]
    assert parse(array[1:6], LISTS) == ENTRIES


def test_lists_of_coded_text_and_of_a_fixed_number():
    entries = pa.array(["a", "b", "a", "c"]).dictionary_encode()
    mask = pa.array([False, True, False])
    assert parse(pa.ListArray.from_arrays([0, 1, 1, 4], entries, mask=mask), LISTS) == [["a"], None, ["b", "a", "c"]]
    assert parse(pa.FixedSizeListArray.from_arrays(entries, 2)[1:], LISTS) == [["a", "c"]]


def test_a_text_may_hold_a_list_that_a_separator_divides():
    column = Column(dtype="list[str]", separator=";", nullable=True)
    assert parse(pa.array(["a; b ;", None, "", "中"]), column) == [["a", "b", ""], None, [""], ["中"]]
    assert parse(pa.array([["a;b"]]), column) == [["a;b"]], "a list is divided already"
    assert parse(pa.array([Decimal("1.5")]), column) == [("c:dtype",)], "a number is no text"


@pytest.mark.parametrize("kind", LIST_KINDS.values(), ids=LIST_KINDS)
def test_pairs_of_text(kind):
    pairs = [[["a", "b"], ["c", ""]], [], None, [["d", "e"]]]
    array = pa.array([[["x", "y"]], *pairs], kind(kind(pa.string())))
    assert parse(array, PAIRS) == [[["x", "y"]], *pairs]
    assert parse(array[1:], PAIRS) == pairs
    assert parse(pa.array(pairs, kind(pa.list_(pa.string(), 2))), PAIRS) == pairs


def test_any_value_is_written_as_json():
    values = [{"type": "object", "b": [1, 2.5, True, None], "a": {"x": "中"}, "none": None}, None, {"type": None}]
    assert parse(pa.array(values), JSON) == [
        '{"type": "object", "b": [1.0, 2.5, 1.0, null], "a": {"x": "中"}}',
        None,
        "{}",
    ]
    assert parse(pa.array([[1], []]), JSON) == ["[1]", "[]"]
    assert parse(pa.array([1.5, 2.0]), JSON) == ["1.5", "2.0"]
    assert parse(pa.array([[("k", None)]], pa.map_(pa.string(), pa.int8())), JSON) == ['{"k": null}']


def test_bytes_that_are_not_utf8_reject_their_row_alone():
    bad = pa.array([b"a", b"\xff", None, b"\xe4\xb8\xad"]).view(pa.string())
    found = columns.parse(
        pa.record_batch({"t": bad, "n": [1, 2, 3, 4]}), {"t": Column(nullable=True), "n": Column(dtype="int")}, "f"
    )
    assert found.frame.rows() == [("a", 1), (None, 3), ("中", 4)]
    assert [(fault.position, fault.reason) for fault in found.faults] == [(1, "encoding:utf-8")]
    turns = pa.StructArray.from_arrays([pa.array(["user"] * 4), bad], ["role", "content"])
    assert parse(pa.ListArray.from_arrays([0, 1, 2, 3, 4], turns), TALK)[1:3] == [
        ("encoding:utf-8",),
        [turn("user", None)],
    ]
    unused = pa.record_batch({"t": ["a"] * 4, "bad": bad})
    assert len(columns.parse(unused, {"t": Column()}, "f").frame) == 4, (
        "a column that is not used may hold what it likes"
    )


@given(st.lists(texts, min_size=4, max_size=12), st.data())
@quick
def test_a_sliced_batch_is_read_from_its_own_rows(values, data):
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    batch = pa.record_batch({"text": values, "z": list(range(len(values)))}).slice(start, length)
    parsed = columns.parse(batch, {"text": Column(), "z": Column(dtype="int")}, "f")
    assert parsed.frame.rows() == list(zip(values, range(len(values)), strict=True))[start : start + length]


@given(st.lists(st.none() | conversations, max_size=6), st.data())
@quick
def test_sliced_conversations_are_read_from_their_own_rows(talks, data):
    array = pa.array(talks, pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})))
    start = data.draw(st.integers(0, len(talks)))
    expected = [talk and [turn(**one) for one in talk] for talk in talks]
    assert parse(array[start:], TALK) == expected[start:]


def test_missing_columns_are_refused_or_null():
    with pytest.raises(MissingColumns, match="missing column 'text'; found 'txt'"):
        columns.parse(pa.record_batch({"txt": ["a"]}), {"text": Column()}, "f")


def test_a_column_that_the_schema_uses_may_not_be_there_twice():
    batch = pa.RecordBatch.from_arrays([pa.array(["a"])] * 3, names=["text", "text", "other"])
    with pytest.raises(MissingColumns, match="more than one column is called 'text'"):
        columns.parse(batch, {"text": Column()}, "f")
    assert columns.parse(batch, {"other": Column()}, "f").frame["other"].to_list() == ["a"]
