"""What each format that ships becomes in the fields of its task."""

import json

import polars as pl
import pytest
from examples import write_jsonl
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import detailed_turns, quick, texts

from sftdata.records import FIELDS, MESSAGES, Task
from sftdata.schema import Schema, load_schema, schema_directory
from sftdata.settings.sources import SourceSettings
from sftdata.sources import find_sources, read_chunks
from sftdata.sources.conversations import to_fields
from sftdata.stages.validation import validate_rows

SHIPPED = sorted(path.stem for path in schema_directory().glob("*.yaml"))


def turn(role, content, weight=None, details=None):
    return {"role": role, "content": content, "weight": weight, "details": details}


CALL = '[{"type": "function", "function": {"name": "f", "arguments": "{\\"b\\": 1.0, \\"a\\": null}"}}]'
TOOLS = '[{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 1e3, "b": null}}}]'
"""Keys that are in no order, a number that Python would spell otherwise, and a null: all must stay."""

EXPECTED = {
    "text": ('{"text":" a\\n"}', [turn("assistant", " a\n")]),
    "text_label": ('{"text":" a\\n","label":5}', {"text": " a\n", "label": "5"}),
    "text_multilabel": ('{"text":"a","labels":"x; y"}', {"text": "a", "labels": ["x", "y"]}),
    "text_score": ('{"text":"a","score":3}', {"text": "a", "score": 3.0}),
    "tokens_tags": ('{"tokens":["a","b"],"tags":["O","B-X"]}', {"tokens": ["a", "b"], "tags": ["O", "B-X"]}),
    "source_target": ('{"source":"hello","target":"你好"}', {"source_text": "hello", "target_text": "你好"}),
    "alpaca": (
        '{"instruction":"do","input":"this","output":"done","system":"be","history":[["a","b"],["c","d"]]}',
        [
            *(
                turn("system", "be"),
                turn("user", "a"),
                turn("assistant", "b"),
                turn("user", "c"),
                turn("assistant", "d"),
            ),
            *(turn("user", "do\nthis"), turn("assistant", "done")),
        ],
    ),
    "prompt_completion": (
        '{"prompt":"p","completion":"c","system":"s"}',
        [turn("system", "s"), turn("user", "p"), turn("assistant", "c")],
    ),
    "messages": (
        '{"messages":[{"role":"user","content":"q","name":"n"},{"role":"assistant","content":"a","weight":0}]}',
        [turn("user", "q", details='{"name": "n"}'), turn("assistant", "a", 0.0)],
    ),
    "sharegpt": (
        '{"system":"s","tools":TOOLS,"conversations":[{"from":"human","value":"q"},'
        '{"from":"gpt","value":"a"},{"from":"human","value":"r"},{"from":"chatgpt","value":"b"}]}',
        [turn("system", "s"), turn("user", "q"), turn("assistant", "a"), turn("user", "r"), turn("assistant", "b")],
    ),
    "tools": (
        '{"tools":TOOLS,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":CALL},'
        '{"role":"tool","tool_call_id":"1","content":"2"},{"role":"assistant","content":"a"}]}',
        [
            *(turn("user", "q"), turn("assistant", None, details=f'{{"tool_calls": {CALL}}}')),
            *(turn("tool", "2", details='{"tool_call_id": "1"}'), turn("assistant", "a")),
        ],
    ),
}
"""One record of each format, as it may stand in a JSON Lines file, and what it becomes."""


def fields_of(path, schema):
    (source,) = find_sources([SourceSettings(path=path.name)], path.parent)
    (chunk,) = read_chunks(source)
    parsed = chunk.parse(schema.columns)
    assert not parsed.faults
    rows = parsed.frame.with_columns(
        pl.lit(source.name).alias("@source"), pl.Series("@record", [1], dtype=pl.Int64), pl.lit("id:1").alias("@row_id")
    )
    assert len(validate_rows(rows, schema).kept) == 1
    return to_fields(rows, schema)


def test_every_format_that_ships_is_here():
    assert sorted(EXPECTED) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_record_becomes_the_fields_of_its_task(tmp_path, name):
    line, expected = EXPECTED[name]
    path = tmp_path / "f.jsonl"
    path.write_text(line.replace("TOOLS", TOOLS).replace("CALL", CALL) + "\n", encoding="utf-8")
    schema = load_schema(name)
    fields = fields_of(path, schema)
    assert fields.schema == {"row_id": pl.String, "source": pl.String, "record": pl.Int64, **FIELDS[schema.task]}
    (row,) = fields.to_dicts()
    assert (row.pop("row_id"), row.pop("source"), row.pop("record")) == ("id:1", path.name, 1)
    if schema.task == Task.CAUSAL_LM:
        assert row == {"messages": expected, "tools": TOOLS if "TOOLS" in line else None}
    else:
        assert row == {**dict.fromkeys(FIELDS[schema.task]), **expected}


def test_a_source_with_columns_called_as_the_provenance_is_not_mixed_up_with_it(tmp_path):
    columns = {"source": {}, "record": {"dtype": "int"}, "row_id": {}}
    parts = {"text": "source", "label": "row_id"}
    schema = Schema.model_validate({"name": "s", "task": "text_classification", "columns": columns, "parts": parts})
    path = write_jsonl(tmp_path / "f.jsonl", [{"source": "a text", "record": 77, "row_id": "a label"}])
    (row,) = fields_of(path, schema).to_dicts()
    expected = {"source": path.name, "record": 1, "text": "a text", "text_pair": None, "label": "a label"}
    assert row == {"row_id": "id:1", **expected}


def test_a_second_text_is_beside_the_first(tmp_path):
    columns = {"premise": {}, "hypothesis": {}, "score": {"dtype": "float"}}
    parts = {"text": "premise", "text_pair": "hypothesis", "score": "score"}
    schema = Schema.model_validate({"name": "s", "task": "regression", "columns": columns, "parts": parts})
    path = write_jsonl(tmp_path / "f.jsonl", [{"premise": "a", "hypothesis": "b", "score": 1}])
    (row,) = fields_of(path, schema).select("text", "text_pair", "score").to_dicts()
    assert row == {"text": "a", "text_pair": "b", "score": 1.0}
    assert schema.has_pairs


def make_rows(schema, values):
    columns = {n: pl.Series([row.get(n) for row in values], dtype=c.polars_dtype) for n, c in schema.columns.items()}
    count = len(values)
    provenance = {
        "@row_id": pl.Series([f"id:{n}" for n in range(count)], dtype=pl.String),
        "@source": pl.Series(["f"] * count, dtype=pl.String),
        "@record": pl.Series(range(count), dtype=pl.Int64),
    }
    return pl.DataFrame({**columns, **provenance})


def says(text):
    return text is not None and bool(text.strip())


def expect_turns(schema, values, cut, expected):
    """Hold the turns of rows against those expected, also of rows that are sliced or lie in several chunks."""
    rows = make_rows(schema, values)
    chunked = pl.concat([rows[:cut], rows[cut:]], rechunk=False)
    for given_rows, part in [(rows, slice(None)), (chunked, slice(None)), (rows[cut:], slice(cut, None))]:
        fields = to_fields(given_rows, schema)
        assert fields["messages"].dtype == MESSAGES
        assert fields["messages"].to_list() == [expected(row) for row in values[part]]
        assert fields["record"].to_list() == given_rows["@record"].to_list()


plain = st.sampled_from(["", " ", "\n", "a", " a ", "中"]) | texts.filter(lambda text: text.strip() or not text)
"""Texts of which Python and Unicode agree whether they are blank."""

instructions = st.fixed_dictionaries(
    {
        "instruction": plain,
        "input": st.none() | plain,
        "output": plain,
        "system": st.none() | plain,
        "history": st.none() | st.lists(st.lists(plain, min_size=2, max_size=2), max_size=3),
    }
)


def of_alpaca(row):
    earlier = [
        turn(role, text)
        for pair in row["history"] or []
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    asked = f"{row['instruction']}\n{row['input']}" if says(row["input"]) else row["instruction"]
    system = [turn("system", row["system"])] if says(row["system"]) else []
    return [*system, *earlier, turn("user", asked), turn("assistant", row["output"])]


@given(st.lists(instructions, max_size=5), st.integers(0, 5))
@example([{"instruction": "a", "input": None, "output": "b", "system": None, "history": []}], 0)
@example([], 0)
@quick
def test_an_instruction_its_input_and_what_was_said_before_become_turns(values, cut):
    expect_turns(load_schema("alpaca"), values, min(cut, len(values)), of_alpaca)


talks = st.lists(detailed_turns | st.none().map(lambda _: turn("system", "own")), max_size=4)


def with_system(row):
    talk = row["conversations"]
    has_one = bool(talk) and talk[0]["role"] == "system"
    return [turn("system", row["system"])] * (says(row["system"]) and not has_one) + talk


@given(
    st.lists(st.fixed_dictionaries({"conversations": talks, "system": st.none() | plain}), max_size=5),
    st.integers(0, 5),
)
@example([{"conversations": [turn("system", "own"), turn("user", "a")], "system": "other"}], 0)
@example([{"conversations": [turn(None, "a")], "system": "s"}, {"conversations": [], "system": "s"}], 1)
@quick
def test_a_system_prompt_begins_a_conversation_that_has_none(values, cut):
    expect_turns(load_schema("sharegpt"), values, min(cut, len(values)), with_system)


@pytest.mark.parametrize(
    ("given_tools", "kept"),
    [
        (TOOLS, True),
        (" [{}]", False),
        ("[1]", True),
        ("[]", False),
        ("[ ]", False),
        ("null", False),
        ('""', False),
        (None, False),
    ],
)
def test_tools_are_kept_as_they_are_written_and_nothing_on_offer_is_nothing(given_tools, kept):
    rows = make_rows(load_schema("tools"), [{"messages": [turn("user", "a")], "tools": given_tools}])
    assert to_fields(rows, load_schema("tools"))["tools"].to_list() == [given_tools if kept else None]


def test_sharegpt_knows_all_usual_names_of_roles(tmp_path):
    names = ["human", "gpt", "user", "assistant", "human", "model", "user", "bard", "human", "bing", "human", "bot"]
    calls = [("human", "q"), ("function_call", json.dumps({"name": "f", "arguments": {"b": 1, "a": None}}))]
    talk = [("system", "s"), *((name, name) for name in names), *calls, ("observation", "2"), ("gpt", "so")]
    path = write_jsonl(
        tmp_path / "s.jsonl", [{"conversations": [{"from": name, "value": text} for name, text in talk]}]
    )
    (messages,) = fields_of(path, load_schema("sharegpt"))["messages"].to_list()
    assert [said["role"] for said in messages] == ["system", *["user", "assistant"] * 7, "tool", "assistant"]
    details = json.loads(messages[-3]["details"])
    assert [call["function"]["name"] for call in details["tool_calls"]] == ["f"]
    assert messages[-3]["content"] in (None, "")


def test_a_schema_without_a_task_has_no_fields():
    schema = Schema.model_validate({"name": "s", "columns": {"a": {}}})
    with pytest.raises(ValueError, match="schema 's' has no task, so its rows have no fields"):
        to_fields(make_rows(schema, [{"a": "x"}]), schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_rows_become_no_rows_with_the_dtypes_of_the_task(name):
    schema = load_schema(name)
    fields = to_fields(make_rows(schema, []), schema)
    assert len(fields) == 0
    assert fields.schema == {"row_id": pl.String, "source": pl.String, "record": pl.Int64, **FIELDS[schema.task]}


def test_blank_texts_of_every_kind_are_no_input_and_no_system_prompt():
    schema = load_schema("alpaca")
    for blank in ["", " ", "\u3000", "\u00a0\u2003", "\n\t"]:
        rows = make_rows(schema, [{"instruction": "a", "input": blank, "output": "b", "system": blank}])
        assert to_fields(rows, schema)["messages"].to_list() == [[turn("user", "a"), turn("assistant", "b")]]
