import os
import sys
import uuid

import pandera.polars as pa
import polars as pl
import pytest

from sftdata.errors import SchemaError
from sftdata.records import MESSAGES
from sftdata.row_checks import ROW_CHECKS
from sftdata.schema import Schema, load_schema, schema_directory
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
    told = str(caught.value)
    assert "did you mean 'alpaca'?" in told if name == "alpaca/" else all(shipped in told for shipped in SHIPPED)


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
        "line 5: columns.label.checks: isin: found 'abc', expected a list of texts or numbers; unknown check 'not_blnk'"
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
        ("str_length: {max: 5}", "str_length: unknown argument max; known: exact_value, min_value, max_value"),
        ("str_length: {max_value: 5, raise_warning: true}", "str_length: unknown argument raise_warning"),
        ("str_length: {max_value: a}", "str_length: max_value: found 'a', expected a whole number"),
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


FAULTY = """\
name: faulty
task: token_classification
columns:
  text:
    roles: {human: user}
    keys: {role: from}
    checks:
      not_blnk: true
      isin: abc
      le: 99999999999999999999999999999999999999999
      own: {function: no_such_module:f}
  number:
    dtype: int
    separator: ";"
    unique: 5
    checks:
      in_range: [1, 5]
      str_length: 3
  talk:
    dtype: messages
    unique: true
    checks: {roles_alternate: false}
  tags:
    dtype: list[str]
    separator: ""
    checks:
      legal_tags: BIOO
      list_length: {min_value: 3, max_value: 1}
parts: {tokens: tags, tags: tags}
"""


def test_all_faults_of_the_columns_come_at_once_with_their_key_paths_and_lines(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(FAULTY)
    with pytest.raises(SchemaError) as caught:
        load_schema(path)
    expected = {
        "line 5: columns.text.roles: ": ["only a messages column has this; this one is str"],
        "line 6: columns.text.keys: ": ["only a messages column has this; this one is str"],
        "line 7: columns.text.checks: ": [
            *("unknown check 'not_blnk'; did you mean 'not_blank'?", "isin: found 'abc', expected a list of texts"),
            *("le: integer too large for Polars", "own: no_such_module:f: there is no module 'no_such_module'"),
        ],
        "line 14: columns.number.separator: ": ["only a list[str] column has this; this one is int"],
        "line 15: columns.number.unique: ": ["found 5, expected a valid boolean"],
        "line 16: columns.number.checks: ": ["in_range: missing argument max_value", "str_length: found 3, which does"],
        "line 21: columns.talk.unique: ": ["a messages column cannot be compared as a whole"],
        "line 22: columns.talk.checks: ": ["roles_alternate: found False, expected true"],
        "line 25: columns.tags.separator: ": ["found '', expected text that is not empty"],
        "line 26: columns.tags.checks: ": [
            *("legal_tags: found 'BIOO', expected BIO, BIOES, BMES, BILOU", "list_length: from 3 to 1 is an empty"),
        ],
    }
    assert len(caught.value.faults) == len(expected)
    for fault, (place, words) in zip(caught.value.faults, expected.items(), strict=True):
        assert fault.startswith(place)
        assert [word for word in words if word not in fault] == []


ACROSS = """\
name: faulty
task: token_classification
columns:
  a: {dtype: str}
  n: {dtype: int}
  l: {dtype: "list[str]"}
unique: [a, nope]
checks:
  unknown: a > nope
  broken: "n >"
  text: a
  other_rows: n > avg(n)
  query: n in (select 1)
  number: 5
  mapping: {expression: a}
  absent: {function: "own_checks:nope"}
  no_function: {function: "own_checks:not_a_function"}
  of_values: {function: "own_checks:ordered", element_wise: true}
parts: {tokens: a, tags: l}
"""


def test_all_faults_across_columns_come_at_once(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(ACROSS)
    with pytest.raises(SchemaError) as caught:
        load_schema(path)
    unique, checks, parts = caught.value.faults
    assert unique == "line 7: unique: there is no column 'nope'; known: a, l, n"
    assert parts == "line 19: parts: tokens: column 'a' is str, but this part needs list[str]"
    assert checks.startswith("line 8: checks: ")
    for words in (
        "unknown: 'a > nope' cannot be computed: unable to find column \"nope\"",
        "broken: 'n >' cannot be computed: unable to parse 'n >'",
        "text: 'a' gives String, expected one value, true or false",
        "other_rows: 'n > avg(n)' looks beyond the row (Agg)",
        "query: 'n in (select 1)' holds a query (select)",
        "number: found 5, expected an expression such as 'closed >= opened', or function: module:name",
        "mapping: found {'expression': 'a'}, expected an expression",
        "absent: own_checks:nope: module 'own_checks'",
        "no_function: own_checks:not_a_function is no function",
        "of_values: element_wise needs a column",
    ):
        assert words in checks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("raise RuntimeError('boom')", "failed with RuntimeError: boom"),
        ("import sys; sys.exit(0)", "failed with SystemExit: 0"),
        ("import no_such_module", "there is no module 'no_such_module'"),
        ("def other(data): ...", "has no 'good'"),
    ],
)
@pytest.mark.parametrize("place", ["column", "row", "pandera"])
def test_a_module_that_cannot_be_used_is_a_fault_of_the_schema(tmp_path, monkeypatch, content, words, place):
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"module_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(content)
    own = f"{{own: {{function: '{name}:good'}}}}"
    path = tmp_path / "s.yaml"
    path.write_text(
        {
            "column": f"name: s\ncolumns: {{a: {{checks: {own}}}}}\n",
            "row": f"name: s\ncolumns: {{a: {{}}}}\nchecks: {own}\n",
            "pandera": f"name: s\npandera: {name}:good\n",
        }[place]
    )
    with pytest.raises(SchemaError, match=rf"{name}") as caught:
        load_schema(path)
    assert words in caught.value.faults[0]


def test_a_module_beside_the_schema_is_used_and_no_other_beside_it_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"module_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text("def good(value): return value != 'bad'")
    (tmp_path / "never_named.py").write_text("raise SystemExit")
    path = tmp_path / "s.yaml"
    path.write_text(
        f"name: s\ncolumns: {{a: {{checks: {{own: {{function: '{name}:good', element_wise: true}}}}}}}}\n"
        "description: '{function: never_named:x}'\n"
    )
    schema = load_schema(path)
    assert verdict(schema, {"a": "good"}) == []
    assert verdict(schema, {"a": "bad"}) == [["a:own"]]
    assert "never_named" not in sys.modules


@pytest.mark.parametrize(
    "content",
    [
        "name: !!python/object/apply:os.system ['touch FILE']\ncolumns: {a: {}}\n",
        "name: s\ncolumns: {a: {checks: {isin: !!python/object/apply:os.system ['touch FILE']}}}\n",
        'name: s\ncolumns: {a: {}}\nchecks: {x: \'__import__("os").system("touch FILE")\'}\n',
        "name: s\ncolumns: {a: {checks: {eval: 'x'}}}\n",
    ],
)
def test_no_code_is_run_that_the_schema_does_not_name(tmp_path, content):
    path, trace = tmp_path / "s.yaml", tmp_path / "trace"
    path.write_text(content.replace("FILE", str(trace)))
    with pytest.raises(SchemaError):
        load_schema(path)
    assert not trace.exists()


@pytest.mark.parametrize("checks", [{"unique": True}, {"isin": ["a"], "unique": True}])
def test_unique_may_stand_among_the_checks(checks):
    schema = Schema.model_validate({"name": "s", "columns": {"a": {"checks": checks}, "b": {"unique": True}}})
    assert schema.columns["a"].unique
    assert "unique" not in schema.columns["a"].checks
    assert schema.uniques == {"a:unique": ("a",), "b:unique": ("b",)}
    assert [column.unique for column in schema.to_pandera().columns.values()] == [True, True]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_checks_that_pandera_has_are_panderas_own_in_its_schema(name):
    schema = load_schema(name)
    for column in schema.to_pandera().columns.values():
        assert [check.name for check in column.checks] == list(schema.columns[column.name].checks)
        for check in column.checks:
            if check.name in ROW_CHECKS:
                assert check == getattr(pa.Check, check.name)(**check.statistics)
