import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.config import ValidationDepth, config_context
from strategies import blanks, conversations, quick, texts

from sftdata.records import REJECTED
from sftdata.schema import Schema, load_schema, schema_directory
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
SCHEMAS = {path.stem: load_schema(path.stem) for path in sorted(schema_directory().glob("*.yaml"))} | {
    "several": SEVERAL
}

VALUES = {
    "str": st.none() | blanks | texts | st.sampled_from(["a", "b", "xa"]),
    "int": st.none() | st.integers(-1, 7),
    "float": st.none() | st.sampled_from([-0.5, 0.0, 0.5, 1.0, float("nan")]),
    "bool": st.none() | st.booleans(),
    "messages": st.none() | conversations,
}


def make_rows(schema, values):
    columns = {
        name: pl.Series([row[name] for row in values], dtype=column.polars_dtype)
        for name, column in schema.columns.items()
    }
    numbers = list(range(1, len(values) + 1))
    provenance = {
        "source": pl.Series(["file"] * len(values), dtype=pl.String),
        "record": pl.Series(numbers, dtype=pl.Int64),
        "row_id": pl.Series([f"id:{number}" for number in numbers], dtype=pl.String),
    }
    return pl.DataFrame(columns | provenance)


def records(schema):
    return st.lists(st.fixed_dictionaries({n: VALUES[c.dtype] for n, c in schema.columns.items()}), max_size=7)


def pandera_alone(rows, schema):
    """Return for each row what pandera itself rejects it for, from its own list of failures, one row at a time."""
    found = []
    for place in range(len(rows)):
        try:
            schema.to_pandera().validate(rows[place].select(schema.columns.keys()), lazy=True)
        except pa.errors.SchemaErrors as errors:
            cases = errors.failure_cases
            found.append({f"{c}:{k.partition('(')[0]}" for c, k in cases.select("column", "check").iter_rows()})
        else:
            found.append(set())
    return found


def reasons(result, count):
    of_record = dict(zip(result.rejected["record"], result.rejected["reasons"].to_list(), strict=True))
    assert result.rejected.schema == REJECTED
    assert not {*of_record} & {*result.kept["record"]}
    assert len(of_record) + len(result.kept) == count
    return of_record


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@settings(quick, max_examples=15)
def test_the_verdict_is_panderas_own_with_every_reason(name, data):
    schema = SCHEMAS[name]
    rows = make_rows(schema, data.draw(records(schema)))
    found = reasons(validate_rows(rows, schema), len(rows))
    alone = pandera_alone(rows, schema)
    assert [set(found.get(record, [])) for record in rows["record"]] == alone
    assert all(len(set(of_row)) == len(of_row) for of_row in found.values())


@pytest.mark.parametrize("name", SCHEMAS)
@given(data=st.data())
@settings(quick, max_examples=15)
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


def one(schema, **values):
    defaults = {"text": "abc", "label": "a", "stars": 1, "score": 0.5, "sure": 1.0, "seen": True, "talk": None}
    return validate_rows(make_rows(schema, [{**defaults, **values}]), schema).rejected


def test_every_reason_of_a_row_is_told_with_its_value():
    (row,) = one(SEVERAL, text=" " * 9, label="c\nd", stars=9, seen=None).to_dicts()
    assert row["stage"] == "validate"
    assert row["reasons"] == ["text:not_blank", "text:str_length", "label:isin", "stars:in_range"]
    assert row["reason"] == "text:not_blank"
    assert "text: found '         ', expected not_blank" in row["detail"]
    assert "text: found '         ', expected str_length(2, 5)" in row["detail"]
    assert "label: found 'c\\nd', expected isin(['a', 'b', ' '])" in row["detail"]
    assert "stars: found 9, expected in_range(1, 5)" in row["detail"]


def test_a_null_is_told_as_missing_and_not_judged_by_checks():
    (row,) = one(SEVERAL, text=None, sure=float("nan")).to_dicts()
    assert row["reasons"] == ["text:not_nullable", "sure:not_nullable"]
    assert row["detail"] == "text is missing; sure is missing"


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
    assert result.kept["record"].to_list() == list(range(2, 2001, 2))
    assert result.rejected["reasons"].to_list() == [["text:not_blank", "label:not_nullable"]] * 1000
