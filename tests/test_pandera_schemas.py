import datetime
import json
import pickle
import re
import threading

import own_checks
import pandera.polars as pa
import polars as pl
import pytest
from examples import write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import pandera_alone
from own_checks import SCHEMA, Raising, Ticket, Unique
from pandera.api.parsers import Parser
from strategies import blanks, quick, texts, values_of_dtype

from sftdata.cli import main
from sftdata.column import DTYPES
from sftdata.errors import SchemaError
from sftdata.pandera_schemas import as_schema, cast_rows, columns_of, judge_values
from sftdata.rules import Rule
from sftdata.schema import Schema, from_pandera, load_schema, read_schema
from sftdata.stages.validation import validate_rows
from sftdata.uniqueness import Uniqueness, make_keys
from sftdata.validation import validate

FITTING = {
    pl.String(): blanks | texts | st.sampled_from(["a", "b", "xa", "ay"]),
    pl.Int32(): st.integers(-1, 7) | st.just(2**31 - 1),
    pl.Int8(): st.integers(-1, 5),
    pl.Int64(): st.integers(-1, 3),
    pl.Float64(): st.sampled_from([-0.5, 0.0, 0.5, 1.0, float("nan"), float("inf")]),
    pl.Float32(): st.sampled_from([0.5, float("nan")]),
    pl.Boolean(): st.booleans(),
    pl.Date(): st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31)).map(str),
    pl.Categorical(): st.sampled_from(["a", "b", "c", ""]),
    pl.Enum(["low", "high"]): st.sampled_from(["low", "high"]),
    pl.List(pl.String()): values_of_dtype["list[str]"],
}
"""Values of each dtype that pandera is asked for, as they are read."""

MODELS = {"Ticket": Ticket, "Unique": Unique, "SCHEMA": SCHEMA}


def make_rows(schema, values):
    columns = {n: pl.Series([row[n] for row in values], dtype=c.polars_dtype) for n, c in schema.columns.items()}
    records = pl.int_range(1, len(values) + 1, dtype=pl.Int64, eager=True)
    return pl.DataFrame({**columns, "@record": records}).with_columns(pl.lit("file").alias("@source"))


def rows_of(schema):
    judge = schema.judge
    one = {n: st.none() | FITTING[pl.String() if c.dtype is None else c.dtype.type] for n, c in judge.columns.items()}
    return st.lists(st.fixed_dictionaries(one), max_size=6)


def in_panderas_dtypes(rows, judge):
    """Return the frame that a person would give to pandera: the same values in the dtypes of their schema."""
    columns = {name: rows[name] for name in judge.columns}
    for name, column in judge.columns.items():
        wanted = column.dtype.type
        texts = columns[name]
        columns[name] = texts.str.to_date("%Y-%m-%d") if wanted == pl.Date else texts.cast(wanted)
    return pl.DataFrame(columns)


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@settings(quick, max_examples=40)
def test_the_verdict_is_panderas_own_with_every_reason(name, data):
    schema = from_pandera(MODELS[name])
    rows = make_rows(schema, data.draw(rows_of(schema)))
    cut = data.draw(st.integers(0, len(rows)))
    found = [set() for _ in range(len(rows))]
    uniqueness = Uniqueness()
    for chunk in (rows[:cut], rows[cut:]):
        result = validate_rows(chunk, schema)
        for record, reasons in result.rejected.select("record", "reasons").iter_rows():
            found[record - 1] |= set(reasons)
        assert set(result.kept["@record"]) | set(result.rejected["record"]) == set(chunk["@record"])
        uniqueness.add("file", make_keys(chunk, result.rejected.to_dicts(), schema.uniques))
    for record, reason in uniqueness.find_repeated().select("record", "reason").iter_rows():
        found[record - 1].add(reason)
    assert found == pandera_alone(in_panderas_dtypes(rows, schema.judge), schema.to_pandera())


def test_the_oracle_finds_each_reason_of_a_model():
    good = {"text": "abc", "stars": 1, "score": 0.5, "sure": 0.5, "day": "2024-02-29", "kind": "a", "level": "low"}
    good |= {"seen": True, "tags": ["x"]}
    bad = {"text": "xy", "stars": 2, "sure": None, "kind": "c", "score": -0.5, "tags": None}
    schema = from_pandera(Ticket)
    rows = make_rows(schema, [good, good | bad, good | {"text": None, "stars": 8, "seen": False, "score": 1.0}])
    alone = pandera_alone(in_panderas_dtypes(rows, schema.judge), schema.to_pandera())
    assert alone == [
        set(),
        {"text:str_matches", "text:no_y", "stars:odd", "sure:not_nullable", "kind:isin", "tags:tagged"}
        | {"row:score_of_the_seen"},
        {"text:not_nullable", "stars:less_than_or_equal_to", "stars:odd", "seen:equal_to", "score:less_than"},
    ]


UNFIT = {"day": ["2024-02-30", "yesterday", ""], "stars": [2**31, -(2**40)], "level": ["middle", ""]}


def test_a_value_that_is_not_of_the_dtype_is_told_beside_all_other_reasons():
    schema = from_pandera(Ticket)
    good = {"text": "abc", "stars": 1, "score": 0.5, "sure": 0.5, "day": None, "kind": "a", "level": None}
    good |= {"seen": None, "tags": ["x"]}
    assert len(validate_rows(make_rows(schema, [good]), schema).kept) == 1
    for name, values in UNFIT.items():
        for value in values:
            (row,) = validate_rows(make_rows(schema, [good | {name: value, "text": ""}]), schema).rejected.to_dicts()
            assert row["reasons"] == [f"{name}:dtype", "text:str_matches", "text:str_length"]
            assert f"{name}: found {value!r}, expected " in row["detail"]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6), st.integers(0, 6))
@quick
def test_casting_tells_what_does_not_fit_and_changes_nothing_else(values, cut):
    judge = pa.DataFrameSchema({"a": pa.Column(pl.Int16, nullable=True), "b": pa.Column(nullable=True)})
    series = pl.Series("a", values, dtype=pl.Int64)
    chunked = pl.concat([series[:cut], series[cut:]], rechunk=False)
    rows = pl.DataFrame({"a": chunked, "b": chunked})
    cast, misfits = cast_rows(rows, judge)
    fits = [value is not None and -(2**15) <= value < 2**15 for value in values]
    assert cast["a"].to_list() == [value if fit else None for value, fit in zip(values, fits, strict=True)]
    assert cast["a"].dtype == pl.Int16
    assert cast["b"].equals(rows["b"])
    assert sorted(misfits) == [row for row, value in enumerate(values) if value is not None and not fits[row]]
    assert all(why == [("a:dtype", f"a: found {values[row]}, expected Int16")] for row, why in misfits.items())


@pytest.mark.parametrize(
    ("dtype", "ours"),
    [
        (str, "str"),
        (int, "int"),
        (float, "float"),
        (bool, "bool"),
        (pl.UInt8, "int"),
        (pl.Float32, "float"),
        (pl.Decimal(10, 2), "str"),
        (pl.Categorical, "str"),
        (pl.Enum(["a"]), "str"),
        (pl.Date, "str"),
        (pl.Datetime("ms"), "str"),
        (pl.List(pl.String), "list[str]"),
        (None, "str"),
        *[(DTYPES[name], name) for name in ("messages", "pairs", "list[str]")],
    ],
)
def test_a_dtype_of_panderas_is_read_as_ours_and_cast(dtype, ours):
    judge = as_schema(pa.DataFrameSchema({"a": pa.Column(dtype)}))
    assert columns_of(judge)["a"]["dtype"] == ours
    nothing = pl.DataFrame({"a": pl.Series([None, None], dtype=DTYPES[ours])})
    cast, misfits = cast_rows(nothing, judge)
    assert not misfits
    assert dtype is None or cast["a"].dtype == dtype or cast["a"].dtype.is_numeric() or dtype in (str, bool)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-02-29T10:11:12", datetime.datetime(2024, 2, 29, 10, 11, 12)),
        ("2024-02-29 10:11:12.5", datetime.datetime(2024, 2, 29, 10, 11, 12, 500_000)),
        ("2024-02-30 10:11:12", None),
        ("noon", None),
    ],
)
def test_a_time_is_read_as_iso_8601_has_it(text, wanted):
    judge = pa.DataFrameSchema({"a": pa.Column(pl.Datetime("us"))})
    cast, misfits = cast_rows(pl.DataFrame({"a": [text, None]}), judge)
    assert cast["a"].to_list() == [wanted, None]
    assert [*misfits] == [0] * (wanted is None)


def test_a_dtype_for_the_whole_frame_counts_for_every_column():
    schema = from_pandera(pa.DataFrameSchema({"a": pa.Column(str), "b": pa.Column()}, dtype=pl.Int8))
    assert {name: column.dtype for name, column in schema.columns.items()} == {"a": "int", "b": "int"}
    rejected = validate_rows(make_rows(schema, [{"a": 1, "b": 300}, {"a": 1, "b": 2}]), schema).rejected
    assert rejected["reasons"].to_list() == [["b:dtype"]]


REFUSED = {
    "neither": (5, "found 5, expected a DataFrameSchema or DataFrameModel of pandera.polars"),
    "a class": (dict, "expected a DataFrameSchema or DataFrameModel"),
    "empty": (pa.DataFrameSchema({}), "it names no column"),
    "strict": (pa.DataFrameSchema({"a": pa.Column()}, strict=True), "`strict` and `ordered` judge a file's columns"),
    "filter": (pa.DataFrameSchema({"a": pa.Column()}, strict="filter"), "`strict` and `ordered`"),
    "ordered": (pa.DataFrameSchema({"a": pa.Column()}, ordered=True), "`strict` and `ordered`"),
    "drop": (pa.DataFrameSchema({"a": pa.Column()}, drop_invalid_rows=True), "`drop_invalid_rows` would lose rows"),
    "drop in a column": (
        pa.DataFrameSchema({"a": pa.Column(drop_invalid_rows=True)}),
        "a: `drop_invalid_rows` would lose rows",
    ),
    "add": (
        pa.DataFrameSchema({"a": pa.Column()}, add_missing_columns=True),
        "`add_missing_columns` and parsers change",
    ),
    "parser": (
        pa.DataFrameSchema({"a": pa.Column()}, parsers=Parser(lambda data: data)),
        "`add_missing_columns` and parsers change the data",
    ),
    "parser of a column": (
        pa.DataFrameSchema({"a": pa.Column(parsers=Parser(lambda data: data))}),
        "a: `default` and parsers change the data",
    ),
    "default": (pa.DataFrameSchema({"a": pa.Column(str, default="x")}), "a: `default` and parsers change the data"),
    "regex": (pa.DataFrameSchema({"^a.*$": pa.Column(regex=True)}), "^a.*$: a regular expression names no column"),
    "optional": (
        pa.DataFrameSchema({"a": pa.Column(str, required=False)}),
        "a: a column that may be left out must be nullable too: nullable=True",
    ),
    "several constraints": (
        pa.DataFrameSchema({"a": pa.Column(), "b": pa.Column()}, unique=[["a"], ["b"]]),
        "`unique` takes the columns of one constraint",
    ),
    "list of numbers": (
        pa.DataFrameSchema({"a": pa.Column(pl.List(pl.Int64))}),
        "a: found List(Int64), which cannot be",
    ),
    "struct": (pa.DataFrameSchema({"a": pa.Column(pl.Struct({"b": pl.String}))}), "a: found Struct("),
    "time": (pa.DataFrameSchema({"a": pa.Column(pl.Time)}), "a: found Time, which cannot be read from a file"),
    "zone": (pa.DataFrameSchema({"a": pa.Column(pl.Datetime("us", "UTC"))}), "a: found Datetime("),
    "binary": (pa.DataFrameSchema({"a": pa.Column(pl.Binary)}), "a: found Binary"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_judged_row_by_row_is_refused_in_plain_words(name):
    given, words = REFUSED[name]
    with pytest.raises(SchemaError) as caught:
        from_pandera(given)
    assert words in str(caught.value)


def test_all_that_is_refused_is_told_at_once():
    judge = pa.DataFrameSchema({"a": pa.Column(str, default="x"), "b": pa.Column(pl.Time)}, strict=True, ordered=True)
    with pytest.raises(ValueError, match=re.escape("leave them off; a: `default`") + ".*; b: found Time"):
        as_schema(judge)


def test_a_check_that_raises_rejects_just_the_rows_on_which_it_raises():
    schema = from_pandera(Raising)
    given = [("2", "3"), ("x", "3"), ("2", "x"), ("1", "3"), ("2", "1"), ("2", None), ("xxxx", "95"), ("3", "99")] * 5
    rows = make_rows(schema, [{"text": text, "other": other} for text, other in given])
    expected = {
        ("x", "3"): ["text:strict"],
        ("2", "x"): ["other:each", "row:row"],
        ("1", "3"): ["text:strict"],
        ("2", "1"): ["other:each"],
        ("xxxx", "95"): ["text:str_length", "text:strict", "row:row"],
        ("3", "99"): ["row:row"],
    }
    result = validate_rows(rows, schema)
    found = dict(zip(result.rejected["record"], result.rejected["reasons"], strict=True))
    assert {record: [*why] for record, why in found.items()} == {
        record: expected[pair] for record, pair in enumerate(given, start=1) if pair in expected
    }
    assert "text:strict: raised InvalidOperationError: conversion from `str` to `i64`" in result.rejected["detail"][0]
    assert "other:each: raised ValueError: invalid literal for int()" in result.rejected["detail"][1]


def test_a_check_that_gives_one_verdict_for_all_rows_is_a_fault_of_the_schema():
    for function in (own_checks.one_verdict, own_checks.one_row):
        schema = from_pandera(pa.DataFrameSchema({"a": pa.Column(str, pa.Check(function))}, name="mine"))
        with pytest.raises(SchemaError, match=rf"mine: 1 fault in this schema\n  a:{function.__name__}: gave"):
            validate_rows(make_rows(schema, [{"a": "x"}, {"a": "y"}]), schema)


def test_a_check_that_only_warns_rejects_nothing():
    judge = pa.DataFrameSchema({"a": pa.Column(str, [pa.Check.isin(["a"], raise_warning=True), pa.Check.ne("b")])})
    schema = from_pandera(judge)
    result = validate_rows(make_rows(schema, [{"a": "a"}, {"a": "b"}, {"a": "c"}]), schema)
    assert result.rejected["reasons"].to_list() == [["a:not_equal_to"]]


def test_a_message_of_ones_own_is_told():
    schema = from_pandera(SCHEMA)
    (row,) = validate_rows(make_rows(schema, [{"text": "a", "number": 2}]), schema).rejected.to_dicts()
    assert row["reasons"] == ["row:not_two"]
    assert row["detail"] == "row:not_two: found text 'a', number 2; expected not two"


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@given(data=st.data())
@settings(quick, max_examples=20)
def test_a_value_comes_to_its_check_as_pandera_gives_it(dtype, data):
    series = pl.Series("a", data.draw(st.lists(st.none() | values_of_dtype[dtype], max_size=5)), dtype=DTYPES[dtype])
    seen = []

    def note(value):
        seen.append((type(value), repr(value)))
        return None if len(repr(value)) % 3 == 0 else len(repr(value)) % 3 == 1

    for ignore in (True, False):
        check = pa.Check(note, element_wise=True, ignore_na=ignore)
        seen.clear()
        by_pandera = check(pl.LazyFrame({"a": series}), "a").check_output.collect().to_series()
        theirs = sorted(seen, key=str)  # in what order is the affair of polars
        seen.clear()
        verdict, raised = judge_values(series, Rule("a:note", "", "a", element_wise=True, check=check))
        assert verdict.to_list() == by_pandera.to_list()
        assert sorted(seen, key=str) == theirs
        assert not raised


def test_what_a_function_gives_instead_of_a_boolean_is_told():
    values = pl.Series("a", [1, 2, None, 3])
    check = pa.Check(lambda value: {1: "yes", 2: True}.get(value, value > 3), element_wise=True)
    verdict, raised = judge_values(values, Rule("a:f", "", "a", element_wise=True, check=check))
    assert verdict.to_list() == [False, True, True, False]
    assert raised == {0: "gave 'yes', expected True or False"}


def test_threads_that_judge_at_the_same_time_do_not_disturb_each_other():
    schema = from_pandera(Ticket)
    good = {"text": "abc", "stars": 1, "score": 0.5, "sure": 0.5, "day": "2024-01-01", "kind": "a", "level": "low"}
    good |= {"seen": True, "tags": ["x"]}
    rows = make_rows(schema, [good, good | {"text": "xyz"}] * 50)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(validate_rows(rows, schema).rejected["record"].to_list()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(2, 101, 2))] * 8


# The ways in which a person names such a schema.

TICKETS = [
    {"text": "a", "number": 1},
    {"text": "c", "number": 1},
    {"text": "b", "number": 2},
    {"text": "b", "number": None},
    {"text": "b", "number": 7},
    {"text": None, "number": 0},
]
REASONS = {"text:isin": 1, "row:not_two": 1, "number:below": 2, "number:in_range": 1, "text:not_nullable": 1}


@pytest.fixture
def tickets(tmp_path):
    return write_jsonl(tmp_path / "t.jsonl", TICKETS)


@pytest.fixture
def in_yaml(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("name: tickets\npandera: own_checks:SCHEMA\n")
    return path


def test_an_object_is_taken_as_it_is(tickets):
    assert dict(validate([tickets], SCHEMA).reasons) == REASONS
    assert (
        dict(validate([tickets], Schema.model_validate({"name": "x", "pandera": "own_checks:SCHEMA"})).reasons)
        == REASONS
    )


def test_a_schema_names_it(tickets, in_yaml):
    assert dict(validate([tickets], in_yaml).reasons) == REASONS


def test_the_command_line_names_it(tickets, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sftdata", "validate", str(tickets), "--schema", "own_checks:SCHEMA", "--json"])
    with pytest.raises(SystemExit):
        main()
    assert json.loads(capsys.readouterr().out)["reasons"] == REASONS


def test_a_model_with_task_and_parts_serves_a_recipe():
    content = {"name": "x", "pandera": "own_checks:Ticket", "task": "text_classification"}
    schema = Schema.model_validate({**content, "parts": {"text": "text", "label": "kind"}})
    assert schema.judge is not None
    with pytest.raises(ValueError, match="every row needs one, so column 'level'"):
        Schema.model_validate({**content, "parts": {"text": "text", "label": "level"}})


@pytest.mark.parametrize("columns", [{"a": {}}, {"text": {}}])
def test_columns_stand_in_one_place(columns):
    with pytest.raises(ValueError, match="leave it out where `pandera` names a schema"):
        Schema.model_validate({"name": "x", "pandera": "own_checks:SCHEMA", "columns": columns})


@pytest.mark.parametrize("given", ["own_checks:nope", "own_checks:short", "no_such_module:x", "own_checks"])
def test_a_name_that_is_no_schema_is_told(given, tmp_path):
    with pytest.raises(SchemaError):
        load_schema(given, tmp_path)
    with pytest.raises(ValueError, match="pandera"):
        Schema.model_validate({"name": "x", "pandera": given})


@pytest.mark.parametrize("way", ["own_checks:SCHEMA", "in_yaml", "own_checks:Ticket", Ticket])
def test_it_goes_to_worker_processes(way, in_yaml):
    schema = read_schema(in_yaml if way == "in_yaml" else way)
    assert schema.judge is not None
    again = pickle.loads(pickle.dumps(schema))  # noqa: S301  # as worker processes get it
    assert {*again.judge.columns} == {*schema.judge.columns}
    assert again.columns == schema.columns


def test_worker_processes_judge_as_this_one_does(tickets):
    assert dict(validate([tickets], "own_checks:SCHEMA", workers=2).reasons) == REASONS


def test_an_object_that_cannot_go_to_worker_processes_is_told(tickets):
    with pytest.raises(SchemaError, match="module:name"):
        validate([tickets], SCHEMA, workers=2)
