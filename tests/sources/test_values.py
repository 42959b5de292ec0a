import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.column import Column
from sftdata.sources.json_text import load_json
from sftdata.sources.parsing import cast_text
from sftdata.sources.turns import Misfit
from sftdata.sources.values import fit_value, parse_cell, split_column, split_entries

STRINGS, DIVIDED = Column(dtype="list[str]"), Column(dtype="list[str]", separator=";")
COERCED = Column(dtype="list[str]", coerce=True)
PAIRS, JSON, TURNS = Column(dtype="pairs"), Column(dtype="json"), Column(dtype="messages")

VALUES = [
    (Column(), '"a"', "a"),
    (Column(coerce=True), "1.10", "1.10"),
    (Column(dtype="int"), "-5", -5),
    (Column(dtype="float"), "1e3", 1000.0),
    (Column(dtype="bool"), "true", True),
    (STRINGS, '["a", "", "中"]', ["a", "", "中"]),
    (STRINGS, "[]", []),
    (COERCED, '["a", 1.10, true]', ["a", "1.10", "true"]),
    (DIVIDED, '" a ;b;;"', ["a", "b", "", ""]),
    (DIVIDED, '["a;b", " c"]', ["a;b", " c"]),
    (Column(dtype="list[str]", coerce=True, separator="."), "1.10", ["1", "10"]),
    (PAIRS, '[["a", "b"], ["", "c"]]', [["a", "b"], ["", "c"]]),
    (PAIRS, "[]", []),
    (JSON, '{"b": 1.10, "a": [null]}', '{"b": 1.10, "a": [null]}'),
    (JSON, '" {\\"a\\":1.10} "', '{"a":1.10}'),
    (JSON, '"no JSON"', '"no JSON"'),
    (JSON, "5", "5"),
    (TURNS, "[]", []),
]


@pytest.mark.parametrize(("column", "text", "value"), VALUES)
def test_a_value_is_taken_as_the_column_says(column, text, value):
    assert fit_value(load_json(text), column) == value
    assert fit_value(None, column) is None


MISFITS = [
    (Column(), "5", "found 5, expected str"),
    (Column(coerce=True), "[5]", "found [5], expected str"),
    (Column(), '"\\ud800"', "expected str"),
    (Column(dtype="int"), "1.0", "found 1.0, expected int"),
    (Column(dtype="int"), "9223372036854775808", "expected int"),
    (Column(dtype="int"), "true", "found True, expected int"),
    (Column(dtype="float"), "1e400", "found 1e400, expected float"),
    (Column(dtype="float"), '"1"', "found '1', expected float"),
    (Column(dtype="bool"), "1", "found 1, expected bool"),
    (STRINGS, '"a"', "found 'a', expected a list of texts"),
    (STRINGS, '["a", 1]', "found 1 as entry 2, expected text"),
    (STRINGS, "[null]", "found None as entry 1, expected text"),
    (DIVIDED, "5", "found 5, expected a list of texts"),
    (PAIRS, '[["a"]]', "found [['a']], expected a list of pairs of texts"),
    (PAIRS, '["a", "b"]', "expected a list of pairs of texts"),
    (PAIRS, "{}", "expected a list of pairs of texts"),
    (JSON, '{"a": 1, "a": 2}', "cannot be kept as it is: a key is given twice"),
]


@pytest.mark.parametrize(("column", "text", "message"), MISFITS)
def test_a_misfit_is_told_in_plain_words(column, text, message):
    with pytest.raises(Misfit, match=re.escape(message)):
        fit_value(load_json(text), column)


def test_values_of_python_are_taken_as_well():
    assert fit_value(5, Column(dtype="int")) == 5
    assert fit_value(5, Column(dtype="float")) == 5.0
    assert fit_value(1.5, Column(coerce=True)) == "1.5"
    for value in (float("nan"), 10**400, True):
        with pytest.raises(Misfit, match="expected float"):
            fit_value(value, Column(dtype="float"))
    for value in (True, 2**63):
        with pytest.raises(Misfit, match="expected int"):
            fit_value(value, Column(dtype="int"))
    with pytest.raises(Misfit, match="cannot be kept as it is"):
        fit_value({"a": {1}}, JSON)


NOTHING = {"weight": None, "details": None}
CELLS = [
    (STRINGS, '["a", "b"]', ["a", "b"]),
    (DIVIDED, "a; b", ["a", "b"]),
    (DIVIDED, '["a;b"]', ['["a', 'b"]']),
    (PAIRS, '[["a", "b"]]', [["a", "b"]]),
    (JSON, ' {"b":1.10} ', '{"b":1.10}'),
    (TURNS, '[{"role": "user", "content": "a"}]', [{"role": "user", "content": "a"} | NOTHING]),
]
BROKEN_CELLS = [
    (STRINGS, "a", "found 'a', expected a list of texts as JSON (Expecting value: line 1 column 1 (char 0))"),
    (STRINGS, "[1]", "found 1 as entry 1, expected text"),
    (PAIRS, "[1]", "found [1], expected a list of pairs of texts"),
    (JSON, "{'a': 1}", "expected any value as JSON"),
    (JSON, "NaN", "NaN is not JSON"),
    (TURNS, "[" * 600 + "]" * 600, "nested deeper than 500 levels"),
    (TURNS, '[{"role": 1}]', "found 1 as role of turn 1, expected text"),
]


@pytest.mark.parametrize(("column", "text", "value"), CELLS)
def test_a_cell_holds_json_or_entries_with_a_separator_between(column, text, value):
    assert parse_cell(text, column) == value
    frame, faults = cast_text(pl.DataFrame({"c": [text, None]}), {"c": column})
    assert frame["c"].dtype == column.polars_dtype
    assert frame["c"].to_list() == [value, None]
    assert faults == []


@pytest.mark.parametrize(("column", "text", "message"), BROKEN_CELLS)
def test_a_cell_that_holds_something_else_is_told(column, text, message):
    with pytest.raises(Misfit, match=re.escape(message)):
        parse_cell(text, column)
    frame, faults = cast_text(pl.DataFrame({"c": [None, text]}), {"c": column})
    assert frame["c"].to_list() == [None, None]
    ((row, reason, detail),) = faults
    assert (row, reason) == (1, "c:dtype")
    assert message in detail


@given(st.lists(st.none() | texts | st.sampled_from([" a;\u3000b\t;", ";;", ""]), max_size=5), st.sampled_from(";a,中"))
@quick
def test_columns_are_split_as_texts_are(values, separator):
    found = split_column(pl.Series(values, dtype=pl.String), separator)
    assert found.to_list() == [None if text is None else split_entries(text, separator) for text in values]
