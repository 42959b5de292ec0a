import pickle
import re

import own_checks
import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values, quick, texts

from sftdata.checks import TASK_CHECKS
from sftdata.column import DTYPES, SPECIMENS
from sftdata.row_checks import ROW_CHECKS
from sftdata.rules import Rule, fault_of, make_row_rule, make_rule, presence_rule, try_rule


@pytest.mark.parametrize(
    ("name", "arguments", "reason", "asks"),
    [
        ("isin", ["a"], "c:isin", "isin(['a'])"),
        ("isin", list("abcdef"), "c:isin", "one of 6 values"),
        ("eq", 3, "c:equal_to", "equal_to(3)"),
        ("between", {"min_value": 1, "max_value": 2}, "c:in_range", "in_range(min_value=1, max_value=2)"),
        ("ge", 1, "c:greater_than_or_equal_to", "greater_than_or_equal_to(min_value=1)"),
        ("not_blank", True, "c:not_blank", "not_blank"),
        ("roles_alternate", True, "c:roles_alternate", "roles_alternate"),
        ("roles_alternate", {"tools": True}, "c:roles_alternate", "roles_alternate(True)"),
        ("polite", {"function": "own_checks:short"}, "c:polite", "own_checks:short"),
        ("isin", {"function": "own_checks:short", "element_wise": True}, "c:isin", "own_checks:short"),
    ],
)
def test_a_check_has_a_reason_with_panderas_name_and_words_for_people(name, arguments, reason, asks):
    rule = make_rule("c", name, arguments)
    assert (rule.reason, rule.asks) == (reason, asks)
    assert reason == f"c:{rule.to_pandera().name}"


@pytest.mark.parametrize("column", ["a", "a:b", "a:isin", "row", "row:x", ":", ""])
def test_a_check_is_panderas_own_whatever_its_column_is_called(column):
    assert make_rule(column, "isin", ["a"]).to_pandera() == pa.Check.isin(["a"])
    rule = make_rule(column, "my:own", {"function": "own_checks:starts_low"})
    assert rule.to_pandera().name == "my:own"
    assert rule.to_pandera()._check_fn is own_checks.starts_low


def test_a_function_is_called_by_pandera_as_it_is_asked_for():
    assert make_rule("c", "f", {"function": "own_checks:short", "element_wise": True}).to_pandera().element_wise
    assert not make_rule("c", "f", {"function": "own_checks:short"}).to_pandera().element_wise
    assert make_row_rule("f", {"function": "own_checks:ordered"}, {}).to_pandera().name == "f"


RULES = [
    make_rule("c", "isin", ["a"]),
    make_rule("c", "legal_tags", "BIO"),
    make_rule("c", "f", {"function": "own_checks:short", "element_wise": True}),
    make_row_rule("r", "a > 1", {"a": pl.Int64()}),
    presence_rule("c", pl.Float64()),
]


@pytest.mark.parametrize("rule", RULES, ids=[rule.reason for rule in RULES])
def test_a_rule_goes_to_worker_processes(rule):
    again = pickle.loads(pickle.dumps(rule))  # noqa: S301  # as worker processes get it
    assert (again.reason, again.asks, again.column, again.function) == (
        *(rule.reason, rule.asks, rule.column),
        rule.function,
    )
    assert str(again.expression) == str(rule.expression)


@pytest.mark.parametrize("dtype", [pl.String(), pl.Float64(), pl.Float32(), pl.Int64()])
def test_a_null_is_no_value_and_nor_is_nan(dtype):
    values = [None, 1, float("nan")] if dtype.is_float() else [None, 1, 2]
    series = pl.Series("c", values, dtype=pl.Float64 if dtype.is_float() else pl.Int64).cast(dtype)
    found = pl.DataFrame({"c": series}).select(presence_rule("c", dtype).expression).to_series().to_list()
    assert found == [False, True, not dtype.is_float()]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (
            "isn",
            ["a"],
            "unknown check 'isn'; did you mean 'isin'?, or one of your own, as isn: {function: module:name}",
        ),
        ("isin", "abc", "isin: found 'abc', expected a list of texts or numbers"),
        ("isin", None, "isin: found None, expected a list of texts or numbers"),
        ("isin", [["a"]], "isin: found [['a']], expected a list of texts or numbers"),
        ("isin", [None], "isin: found [None], expected a list of texts or numbers"),
        ("isin", {"values": ["a"]}, "isin: unknown argument values; known: allowed_values"),
        ("isin", {}, "isin: missing argument allowed_values"),
        ("isin", [10**40], "isin: int value too large"),
        ("eq", 10**40, "eq: integer too large for Polars"),
        ("eq", None, "eq: value must not be None"),
        ("str_length", False, "str_length: found False, expected true; leave the check out to turn it off"),
        ("str_length", True, "str_length: found no length, expected exact_value, min_value or max_value"),
        ("str_length", "3", "str_length: found '3', expected a whole number"),
        ("str_length", {"min_value": 1.5}, "str_length: min_value: found 1.5, expected a whole number"),
        ("str_length", {"min_value": True}, "str_length: min_value: found True, expected a whole number"),
        ("str_length", {"exact_value": 1, "max_value": 3}, "str_length: exact_value cannot stand beside"),
        ("str_length", {"min_value": 3, "max_value": 1}, "str_length: from 3 to 1 is an empty interval"),
        ("list_length", {"min_value": 3, "max_value": 1}, "list_length: from 3 to 1 is an empty interval"),
        ("in_range", {"min_value": 3, "max_value": 1}, "in_range: from 3 to 1 is an empty interval"),
        ("in_range", {"min_value": "a", "max_value": 1}, "in_range: '<' not supported"),
        (
            "in_range",
            {"min_value": 1, "max_value": 1, "include_min": False},
            "in_range: from 1 to 1 is an empty interval",
        ),
        (
            "in_range",
            {"min_value": 1, "max_value": 2, "include_min": 1},
            "include_min: found 1, expected true or false",
        ),
        ("str_matches", "[", "str_matches: unterminated character set"),
        ("str_matches", 5, "str_matches: found 5, expected text"),
        ("str_startswith", None, "str_startswith: found None, expected text"),
        ("not_blank", "yes", "not_blank: found 'yes', expected true; leave the check out to turn it off"),
        ("not_blank", {"x": 1}, "not_blank: found {'x': 1}, expected true"),
        ("known_roles", "user", "known_roles: found 'user', expected a list of texts"),
        ("known_roles", [1], "known_roles: found [1], expected a list of texts"),
        ("roles_alternate", False, "roles_alternate: found False, expected true"),
        ("roles_alternate", {"tools": "no"}, "roles_alternate: tools: found 'no', expected true or false"),
        ("legal_tags", "bio", "legal_tags: found 'bio', expected BIO, BIOES, BMES, BILOU"),
        ("as_long_as", ["a"], "as_long_as: found ['a'], expected text"),
        ("f", {"function": 5}, "f: expected function: module:name, and element_wise: true or false"),
        (
            "f",
            {"function": "own_checks:short", "element_wise": 1},
            "f: expected function: module:name, and element_wise",
        ),
        ("f", {"function": "own_checks:short", "name": 1}, "f: unknown key name; known: function, element_wise"),
        ("f", {"function": "own_checks:not_a_function"}, "f: own_checks:not_a_function is no function"),
        ("f", {"function": "own_checks"}, "f: found 'own_checks', expected module:name"),
        ("f", True, "unknown check 'f'"),
    ],
)
def test_what_is_wrong_with_a_check_is_told_in_one_line_that_names_it(name, arguments, words):
    fault = fault_of(lambda: make_rule("c", name, arguments), name)
    assert fault is not None
    assert words in fault
    assert fault.startswith((f"{name}: ", f"unknown check '{name}'"))
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (5, "r: found 5, expected an expression such as 'closed >= opened', or function: module:name"),
        ({"functio": "own_checks:ordered"}, "expected an expression"),
        (
            {"function": "own_checks:ordered", "element_wise": True},
            "r: element_wise needs a column; put the check under one",
        ),
        ({"function": "own_checks:nope"}, "has no 'nope'"),
        ("a > b", "r: 'a > b' cannot be computed: unable to find column \"b\""),
    ],
)
def test_what_is_wrong_with_a_check_across_columns_is_told(content, words):
    fault = fault_of(lambda: make_row_rule("r", content, {"a": pl.Int64()}), "r")
    assert fault is not None
    assert words in fault


@given(st.sampled_from(sorted(ROW_CHECKS | TASK_CHECKS)), json_values | texts, st.sampled_from(sorted(DTYPES)))
@quick
def test_a_check_is_made_and_runs_or_is_refused(name, arguments, dtype):
    made = []

    def make():
        made.append(make_rule("c", name, arguments))
        try_rule(made[0], DTYPES[dtype], SPECIMENS[dtype], f"{name}: does not fit")

    if fault_of(make, name) is None:
        made[0].to_pandera()
        row = pl.DataFrame({"c": pl.Series([SPECIMENS[dtype], None], dtype=DTYPES[dtype])})
        row = row.with_columns(pl.col("c").alias(n) for n in made[0].expression.meta.root_names())
        verdict = row.select(made[0].expression).to_series()
        assert verdict.dtype == pl.Boolean
        assert verdict[1] is None


def test_a_rule_that_is_not_compiled_is_not_tried():
    try_rule(Rule("c:f", "", "c", function="own_checks:always_raises"), pl.String(), "", "no")
    with pytest.raises(ValueError, match=re.escape("no: ")):
        try_rule(make_rule("c", "ge", 3), pl.String(), "", "no")
