import os

import polars as pl
import pytest

from sftdata.errors import SchemaError
from sftdata.records import MESSAGES
from sftdata.schema import load_schema, schema_directory
from sftdata.stages.validation import validate_rows

SHIPPED = sorted(path.stem for path in schema_directory().glob("*.yaml"))


def write(tmp_path, text, label="", parts="{text: text, label: label}", task="text_classification"):
    path = tmp_path / "own.yaml"
    path.write_text(f"name: own\ntask: {task}\ncolumns:\n  text: {{{text}}}\n  label: {{{label}}}\nparts: {parts}\n")
    return path


def faults_of(tmp_path, *arguments, **named):
    with pytest.raises(SchemaError) as caught:
        load_schema(write(tmp_path, *arguments, **named))
    return list(caught.value.faults)


def verdict(schema, values):
    rows = {"@source": ["s"], "@record": [1]}
    given = {name: values.get(name) for name in schema.columns}
    frame = pl.DataFrame(
        {**rows, **{n: pl.Series([v], dtype=schema.columns[n].polars_dtype) for n, v in given.items()}}
    )
    return validate_rows(frame, schema).rejected["reasons"].to_list()


def test_the_schemas_of_the_contract_ship():
    assert {"alpaca", "messages", "text_label"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_schema_loads_by_name_and_is_called_so(name):
    schema = load_schema(name)
    assert schema.name == name
    assert schema.description
    assert schema.to_pandera().name == name


@pytest.mark.parametrize("blank", [None, "", " ", "\n\t", "\u3000\u00a0"])
@pytest.mark.parametrize(
    ("name", "good", "column"),
    [
        ("text_label", {"text": "a", "label": "b"}, "text"),
        ("text_label", {"text": "a", "label": "b"}, "label"),
        ("alpaca", {"instruction": "a", "output": "b"}, "instruction"),
        ("alpaca", {"instruction": "a", "output": "b"}, "output"),
    ],
)
def test_a_shipped_schema_refuses_a_null_or_blank_text_response_or_label(name, good, column, blank):
    schema = load_schema(name)
    assert verdict(schema, good) == []
    assert verdict(schema, {**good, column: blank}) == [
        [f"{column}:not_nullable" if blank is None else f"{column}:not_blank"]
    ]


@pytest.mark.parametrize("blank", [None, "", " \u3000"])
def test_the_messages_schema_refuses_a_null_or_blank_turn_or_conversation(blank):
    schema = load_schema("messages")
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert verdict(schema, {"messages": turns}) == []
    for spoiled in (0, 1):
        bad = [{**turn, "content": blank} if place == spoiled else turn for place, turn in enumerate(turns)]
        assert verdict(schema, {"messages": bad}) == [["messages:no_blank_turn"]]
    assert verdict(schema, {"messages": None}) == [["messages:not_nullable"]]
    assert verdict(schema, {"messages": []})[0] == ["messages:roles_alternate", "messages:ends_with_response"]


def test_alpaca_does_without_input_and_system():
    assert verdict(load_schema("alpaca"), {"instruction": "a", "input": None, "output": "b", "system": " "}) == []


@pytest.mark.parametrize("name", ["nope", "../x", "../schemas/alpaca", "", ".", "alpaca/", "schemas"])
def test_an_unknown_schema_lists_those_that_ship(name, tmp_path):
    with pytest.raises(SchemaError) as caught:
        load_schema(name, tmp_path)
    assert all(shipped in str(caught.value) for shipped in SHIPPED)


def test_a_name_cannot_climb_out_of_the_shipped_schemas(tmp_path):
    outside = os.path.relpath(write(tmp_path, "").with_suffix(""), schema_directory())
    with pytest.raises(SchemaError, match="no such file, and no schema of that name ships"):
        load_schema(outside, tmp_path / "elsewhere")


def test_a_schema_file_is_found_from_its_base(tmp_path):
    write(tmp_path, "")
    assert load_schema("own.yaml", tmp_path).name == "own"
    with pytest.raises(SchemaError, match="no such file"):
        load_schema("other.yaml", tmp_path)


def test_all_faults_of_a_schema_come_at_once(tmp_path):
    found = faults_of(tmp_path, "dtyp: str", "checks: {isin: abc, not_blnk: true}", parts="{txt: text}")
    assert found[0] == "line 4: columns.text.dtyp: unknown key; did you mean 'dtype'?"
    assert found[1].startswith(
        "line 5: columns.label.checks: isin: found 'abc', expected a list; unknown check 'not_blnk'"
    )
    assert "did you mean 'not_blank'?" in found[1]
    assert found[2] == "line 6: parts: found {txt}, but a text_classification task needs {label, text}"
    assert len(found) == 3


def test_a_faulty_column_does_not_make_its_part_look_missing(tmp_path):
    assert faults_of(tmp_path, "dtype: integer") == [
        "line 4: columns.text.dtype: found 'integer', expected 'str', 'int', 'float', 'bool', "
        "'messages', 'list[str]', 'pairs' or 'json'"
    ]


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("isin: abc", "isin: found 'abc', expected a list"),
        ("notin: abc", "notin: found 'abc', expected a list"),
        ("isin: [yes, no]", "isin: found [True, False], which does not fit a str column"),
        ("isin: [1, 2]", "isin: found [1, 2], which does not fit a str column"),
        ("isin: [1, a]", "isin: "),
        ("ge: 3", "ge: found 3, which does not fit a str column"),
        ("ge: null", "ge: min_value must not be None"),
        ("not_blank: false", "not_blank: found False, expected true"),
        ("not_blank: null", "not_blank: found None, expected true"),
        ("known_roles: [user]", "known_roles: found ['user'], which does not fit a str column"),
        ("str_length: {max: 5}", "str_length: unknown argument max; known: min_value, max_value"),
        ("str_length: {max_value: 5, raise_warning: true}", "str_length: unknown argument raise_warning"),
        ("str_length: {max_value: a}", "which does not fit a str column"),
        ("str_length: {min_value: 5, max_value: 2}", "empty interval"),
        ("'str_matches': '['", "str_matches: unterminated character set"),
        ("str_contains: '(?=a)'", "str_contains: found '(?=a)', which does not fit"),
        ("in_range: [1, 5]", "in_range: missing argument max_value"),
        ("unique: 5", "unique: found 5, expected true"),
    ],
)
def test_a_check_that_cannot_judge_its_column_is_found_before_the_first_row(tmp_path, check, words):
    (fault,) = faults_of(tmp_path, f"checks: {{{check}}}")
    assert fault.startswith("line 4: columns.text.checks: ")
    assert words in fault


@pytest.mark.parametrize("roles", ["user", "true", "5"])
def test_roles_must_be_a_list(tmp_path, roles):
    path = tmp_path / "m.yaml"
    path.write_text(
        f"name: m\ntask: causal_lm\ncolumns: {{m: {{dtype: messages, checks: {{known_roles: {roles}}}}}}}\n"
        "parts: {messages: m}\n"
    )
    with pytest.raises(SchemaError, match=r"known_roles: found .*, expected a list"):
        load_schema(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dtype: int", "text: column 'text' is int, but this part needs str"),
        ("nullable: true", "text: every row needs one, so column 'text' must be required and not nullable"),
        ("nullable: true, required: false", "text: every row needs one"),
    ],
)
def test_a_column_that_cannot_play_its_part_is_refused(tmp_path, text, words):
    (fault,) = faults_of(tmp_path, text)
    assert words in fault


def test_a_column_that_may_be_left_out_must_be_nullable(tmp_path):
    assert "must be nullable too" in faults_of(tmp_path, "required: false")[0]


@pytest.mark.parametrize("name", ["@row_id", "@source", "@record"])
def test_a_column_may_not_be_called_as_one_that_sftdata_adds(tmp_path, name):
    path = tmp_path / "s.yaml"
    path.write_text(
        f"name: s\ntask: text_classification\ncolumns: {{'{name}': {{}}, label: {{}}}}\n"
        f"parts: {{text: '{name}', label: label}}\n"
    )
    with pytest.raises(SchemaError, match=f"'{name}' is a column that sftdata adds"):
        load_schema(path)


def test_a_part_without_a_column_gets_a_suggestion(tmp_path):
    (fault,) = faults_of(tmp_path, "", parts="{text: txt, label: label}")
    assert fault == "line 6: parts: text: there is no column 'txt'; did you mean 'text'?"


def test_a_messages_column_has_the_dtype_of_conversations():
    assert load_schema("messages").columns["messages"].polars_dtype == MESSAGES
