import own_checks
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import pandera_alone
from pandera.config import ValidationDepth, config_context
from strategies import quick, values_of_dtype

from sftdata.errors import SchemaError
from sftdata.records import REJECTED
from sftdata.schema import Schema, load_schema, schema_directory
from sftdata.stages import validation
from sftdata.stages.validation import validate_rows

SEVERAL = Schema.model_validate(
    {
        "name": "several",
        "task": "text_classification",
        "columns": {
            "text": {
                "checks": {"not_blank": True, "str_length": {"min_value": 2, "max_value": 5}, "str_matches": "^[^x]"}
            },
            "label": {"checks": {"isin": ["a", "b", " "], "ne": "b"}},
            "stars": {"dtype": "int", "nullable": True, "checks": {"in_range": {"min_value": 1, "max_value": 5}}},
            "score": {"dtype": "float", "nullable": True, "checks": {"ge": 0.0, "lt": 1.0}},
            "sure": {"dtype": "float"},
            "seen": {"dtype": "bool", "nullable": True, "checks": {"eq": True}},
            "talk": {"dtype": "messages", "nullable": True, "checks": {"ends_with_response": True}},
        },
        "parts": {"text": "text", "label": "label"},
    }
)
EVERY = Schema.model_validate(
    {
        "name": "every check there is",
        "columns": {
            "text": {
                "checks": {
                    "eq": "a",
                    "not_equal_to": "b",
                    "gt": "",
                    "ge": "a",
                    "less_than": "中",
                    "le": "中",
                    "between": {"min_value": "a", "max_value": "b", "include_max": False},
                    "isin": ["a", ""],
                    "notin": ["", " "],
                    "str_matches": "a|b",
                    "str_contains": r"\s",
                    "str_startswith": "^",
                    "str_endswith": "a",
                    "str_length": 1,
                    "not_blank": True,
                    "low": {"function": "own_checks:starts_low"},
                    "short": {"function": "own_checks:short", "element_wise": True},
                },
            },
            "low": {"dtype": "int", "nullable": True, "checks": {"isin": [1, 2, 3], "notin": [3], "ge": 1.5, "ne": 2}},
            "high": {"dtype": "int", "checks": {"in_range": {"min_value": 0, "max_value": 5}}},
            "odd:name": {
                "dtype": "float",
                "nullable": True,
                "checks": {
                    "gt": -0.5,
                    "isin": [0, 0.5, float("inf")],
                    "notin": [float("nan")],
                    "plus": {"function": "own_checks:positive", "element_wise": True},
                },
            },
            "score": {"dtype": "float", "checks": {"le": 1, "lt": float("inf")}},
            "seen": {"dtype": "bool", "nullable": True, "checks": {"isin": [True], "ne": False}},
            "talk": {
                "dtype": "messages",
                "nullable": True,
                "checks": {
                    "known_roles": ["user", "assistant"],
                    "no_blank_turn": True,
                    "has_response": True,
                    "ends_with_response": True,
                    "roles_alternate": {"tools": True},
                    "list_length": {"max_value": 3},
                },
            },
            "tokens": {"dtype": "list[str]", "nullable": True, "checks": {"list_length": {"min_value": 1}}},
            "tags": {
                "dtype": "list[str]",
                "nullable": True,
                "checks": {
                    "as_long_as": "tokens",
                    "no_blank_entry": True,
                    "entries_isin": ["O", "B-PER"],
                    "legal_tags": "BIO",
                },
            },
            "said": {"dtype": "pairs", "nullable": True, "checks": {"whole_pairs": True, "list_length": 1}},
            "any": {"dtype": "json", "nullable": True, "checks": {"str_length": {"min_value": 3}}},
        },
        "checks": {
            "rising": "high >= low",
            "either": "low > 2 or length(text) > 1 or seen",
            "not_null": "low is not null",
            "floats": 'score > "odd:name"',
            "given": {"function": "own_checks:ordered"},
            "two": {"function": "own_checks:both"},
        },
    }
)
SCHEMAS = {path.stem: load_schema(path.stem) for path in sorted(schema_directory().glob("*.yaml"))} | {
    "several": SEVERAL,
    "every": EVERY,
}


def make_rows(schema, values):
    columns = {
        name: pl.Series([row[name] for row in values], dtype=column.polars_dtype)
        for name, column in schema.columns.items()
    }
    numbers = list(range(1, len(values) + 1))
    provenance = {
        "@source": pl.Series(["file"] * len(values), dtype=pl.String),
        "@record": pl.Series(numbers, dtype=pl.Int64),
    }
    return pl.DataFrame(columns | provenance)


def records(schema):
    one = {name: st.none() | values_of_dtype[column.dtype] for name, column in schema.columns.items()}
    return st.lists(st.fixed_dictionaries(one), max_size=7)


def reasons(result, count):
    of_record = dict(zip(result.rejected["record"], result.rejected["reasons"].to_list(), strict=True))
    assert result.rejected.schema == REJECTED
    assert not {*of_record} & {*result.kept["@record"]}
    assert len(of_record) + len(result.kept) == count
    return of_record


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@settings(quick, max_examples=25)
def test_the_verdict_is_panderas_own_with_every_reason(name, data):
    schema = SCHEMAS[name]
    rows = make_rows(schema, data.draw(records(schema)))
    found = reasons(validate_rows(rows, schema), len(rows))
    alone = pandera_alone(rows.select(schema.columns.keys()), schema.to_pandera())
    assert [set(found.get(record, [])) for record in rows["@record"]] == alone
    assert all(len(set(of_row)) == len(of_row) for of_row in found.values())


def test_pandera_alone_tells_the_reasons_of_each_row():
    values = {"text": "abc", "label": "a", "stars": 1, "score": 0.5, "sure": 1.0, "seen": True, "talk": None}
    rows = make_rows(SEVERAL, [values, {**values, "text": " ", "stars": 9}, {**values, "label": None, "sure": None}])
    assert pandera_alone(rows.select(SEVERAL.columns.keys()), SEVERAL.to_pandera()) == [
        set(),
        {"text:not_blank", "text:str_length", "stars:in_range"},
        {"label:not_nullable", "sure:not_nullable"},
    ]


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@settings(quick, max_examples=10)
def test_slices_and_chunks_are_judged_as_the_whole_and_the_input_stays(name, data):
    schema = SCHEMAS[name]
    rows = make_rows(schema, data.draw(records(schema)))
    before = rows.clone()
    whole = validate_rows(rows, schema)
    assert rows.equals(before)
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pl.concat([rows[:cut], rows[cut:]], rechunk=False)
    again = validate_rows(chunked, schema)
    assert again.kept.equals(whole.kept)
    assert again.rejected.equals(whole.rejected)
    parts = [validate_rows(part, schema) for part in (rows[:cut], rows[cut:])]
    assert pl.concat([part.kept for part in parts]).equals(whole.kept)
    assert pl.concat([part.rejected for part in parts]).equals(whole.rejected)
    assert validate_rows(whole.kept, schema).kept.equals(whole.kept)


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_rows_give_no_rows(name):
    result = validate_rows(make_rows(SCHEMAS[name], []), SCHEMAS[name])
    assert (len(result.kept), len(result.rejected)) == (0, 0)
    assert result.rejected.schema == REJECTED


def test_a_schema_that_asks_for_nothing_keeps_every_row():
    schema = Schema.model_validate({"name": "any", "columns": {"a": {"nullable": True}}})
    rows = make_rows(schema, [{"a": None}, {"a": "x"}])
    assert validate_rows(rows, schema).kept.equals(rows)


def one(schema, **values):
    defaults = {"text": "abc", "label": "a", "stars": 1, "score": 0.5, "sure": 1.0, "seen": True, "talk": None}
    return validate_rows(make_rows(schema, [{**defaults, **values}]), schema).rejected


def test_every_reason_of_a_row_is_told_with_its_value():
    (row,) = one(SEVERAL, text=" " * 9, label="c\nd", stars=9, seen=None).to_dicts()
    assert row["stage"] == "validate"
    assert row["reasons"] == ["text:not_blank", "text:str_length", "label:isin", "stars:in_range"]
    assert row["reason"] == "text:not_blank"
    assert "text: found '         ', expected not_blank" in row["detail"]
    assert "text: found '         ', expected str_length(min_value=2, max_value=5)" in row["detail"]
    assert "label: found 'c\\nd', expected isin(['a', 'b', ' '])" in row["detail"]
    assert "stars: found 9, expected in_range(min_value=1, max_value=5)" in row["detail"]


def test_a_null_is_told_as_missing_and_not_judged_by_checks():
    (row,) = one(SEVERAL, text=None, sure=float("nan")).to_dicts()
    assert row["reasons"] == ["text:not_nullable", "sure:not_nullable"]
    assert row["detail"] == "text is missing; sure is NaN"


def test_details_are_short_and_on_one_line():
    (row,) = one(SEVERAL, text="y\n" * 5000, talk=[{"role": "user", "content": "z" * 5000}] * 3).to_dicts()
    assert row["reasons"] == ["text:str_length", "talk:ends_with_response"]
    assert len(row["detail"]) < 500
    assert "\n" not in row["detail"]


@pytest.mark.parametrize("off", [{"validation_enabled": False}, {"validation_depth": ValidationDepth.SCHEMA_ONLY}])
def test_a_setting_of_pandera_does_not_turn_the_checks_off(off):
    with config_context(**off):
        assert one(SEVERAL, text=" ").to_dicts()[0]["reasons"] == ["text:not_blank", "text:str_length"]
        assert one(SEVERAL, text=None).to_dicts()[0]["reasons"] == ["text:not_nullable"]


def test_a_thousand_bad_rows_are_each_rejected_once():
    rows = make_rows(SCHEMAS["text_label"], [{"text": " ", "label": None}, {"text": "a", "label": "b"}] * 1000)
    result = validate_rows(rows, SCHEMAS["text_label"])
    assert result.kept["@record"].to_list() == list(range(2, 2001, 2))
    assert result.rejected["reasons"].to_list() == [["text:not_blank", "label:not_nullable"]] * 1000


def own(dtype="str", nullable=False, row_checks=None, **checks):
    return Schema.model_validate(
        {
            "name": "own",
            "columns": {"a": {"dtype": dtype, "nullable": nullable, "checks": checks}, "b": {"nullable": True}},
            "checks": row_checks or {},
        }
    )


def values(schema, given):
    return make_rows(schema, [{"a": value, "b": None} for value in given])


STRICT = {
    "a function that polars computes": own(c={"function": "own_checks:strict_number"}),
    "a function in Python": own(c={"function": "own_checks:eager_number"}),
    "a function of one value": own(c={"function": "own_checks:number", "element_wise": True}),
    "an expression": own(row_checks={"c": "cast(a as int) > 1"}),
    "beside others": own(not_blank=True, row_checks={"c": "cast(a as int) > 1", "d": "a != '5'"}),
}


@pytest.mark.parametrize("name", STRICT)
@given(given=st.lists(st.sampled_from(["1", "2", "3", "x", "", None]), max_size=40))
@settings(quick, max_examples=25)
def test_a_check_that_raises_rejects_just_the_rows_on_which_it_raises(name, given):
    schema = STRICT[name]
    rows = values(schema, given)
    result = validate_rows(rows, schema)
    bad = [record for record, text in enumerate(given, start=1) if text not in ("2", "3")]
    assert result.rejected["record"].to_list() == bad
    for row in result.rejected.to_dicts():
        text = given[row["record"] - 1]
        if text is None:
            assert row["reasons"] == ["a:not_nullable"]
        else:
            assert row["reasons"][-1].endswith(":c")
            assert ("raised " in row["detail"]) == (text in ("x", ""))
            assert "\n" not in row["detail"]


@given(given=st.lists(st.sampled_from([1, 2, 3, None]), max_size=6))
@quick
def test_a_check_sees_the_columns_of_the_schema_and_no_others(given):
    schema = own(dtype="int", nullable=True, row_checks={"c": {"function": "own_checks:all_columns"}})
    rows = values(schema, given).with_columns(pl.lit("7").alias("@source"), pl.lit(7, dtype=pl.Int64).alias("@record"))
    assert len(validate_rows(rows, schema).kept) == len(given)


@pytest.mark.parametrize(
    ("function", "gave"),
    [
        ("one_verdict", "gave True for 3 rows"),
        ("one_row", "gave 1 of Boolean for 3 rows"),
        ("fewer", "gave 2 of Boolean for 3 rows"),
        ("numbers", "gave 3 of Int64 for 3 rows"),
        ("ordered", None),
    ],
)
def test_a_check_that_does_not_judge_each_row_is_told_as_a_fault_of_the_schema(function, gave):
    schema = own(nullable=True, c={"function": f"own_checks:{function}"})
    rows = values(schema, ["x", None, "y"] if function == "fewer" else ["x", "z", "y"])
    if gave is None:  # it names columns that are not there, so it raises on every row
        assert validate_rows(rows, schema).rejected["reasons"].to_list() == [["a:c"]] * 3
        return
    with pytest.raises(SchemaError) as caught:
        validate_rows(rows, schema)
    (fault,) = caught.value.faults
    assert fault == f"a:c: {gave}, expected a LazyFrame with one boolean for each row"
    assert caught.value.where == "own"


@pytest.mark.parametrize("texts", [["x"] * 700, ["x", "2"] * 350, ["2"] * 699 + ["x"], ["x"]])
@pytest.mark.parametrize(
    "schema",
    [own(c={"function": "own_checks:strict_number"}), own(row_checks={"c": "cast(a as int) > 1"})],
    ids=["function", "expression"],
)
def test_however_many_rows_a_check_raises_on_the_runs_stay_bounded(schema, texts, monkeypatch):
    runs = []
    attempt = validation._attempt
    monkeypatch.setattr(validation, "_attempt", lambda run, rows: runs.append(len(rows)) or attempt(run, rows))
    rows = values(schema, texts)
    assert len(validate_rows(rows, schema).rejected) == texts.count("x")
    rules = len(schema.rules)
    assert len(runs) <= len(rows) * 16 / 15 + 5 + rules
    assert texts.count("x") > 1 or len(runs) <= 60


def test_a_check_that_raises_whatever_the_rows_is_run_on_them_once(monkeypatch):
    schema = own(nullable=True, c={"function": "own_checks:always_raises"})
    runs = []
    attempt = validation._attempt
    monkeypatch.setattr(validation, "_attempt", lambda run, rows: runs.append(len(rows)) or attempt(run, rows))
    rejected = validate_rows(values(schema, ["x"] * 5000), schema).rejected
    assert runs == [5000, 0]
    assert rejected["detail"].unique().to_list() == ["a:c: raised KeyError: no such thing"]
    assert len(rejected) == 5000


def test_a_function_of_one_value_is_called_twice_a_value_at_most():
    schema = own(c={"function": "own_checks:counted", "element_wise": True})
    own_checks.CALLS.clear()
    assert len(validate_rows(values(schema, ["x"] * 500 + [None, "2"]), schema).rejected) == 501
    assert 500 < len(own_checks.CALLS) <= 1002


def test_a_row_that_breaks_one_rule_by_two_names_is_counted_once():
    schema = own(dtype="int", ge=3, greater_than_or_equal_to=5)
    (row,) = validate_rows(values(schema, [1]), schema).rejected.to_dicts()
    assert row["reasons"] == ["a:greater_than_or_equal_to"]
    assert "min_value=3" in row["detail"]
    assert "min_value=5" in row["detail"]


def test_a_row_that_breaks_a_check_across_columns_is_told_with_what_it_looked_at():
    schema = own(dtype="int", row_checks={"c": "a > length(b)", "d": {"function": "own_checks:all_columns"}})
    rows = make_rows(schema, [{"a": 1, "b": "z" * 500}, {"a": 9, "b": "7"}])
    first, second = validate_rows(rows, schema).rejected.to_dicts()
    assert first["detail"].startswith("row:c: found a 1, b 'zzz")
    assert first["detail"].endswith("; expected a > length(b)")
    assert len(first["detail"]) < 400
    assert second["detail"] == "row:d: found a 9, b '7'; expected own_checks:all_columns"
