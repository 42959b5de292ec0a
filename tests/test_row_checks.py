"""The expressions for pandera's checks give pandera's own verdict, and refuse what pandera refuses."""

import inspect
import re

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandera.backends.polars import builtin_checks
from strategies import quick, texts, values_of_dtype

from sftdata.column import DTYPES, SPECIMENS
from sftdata.row_checks import ROW_CHECKS
from sftdata.rules import make_rule

OF_WHOLE_COLUMNS = {"unique_values_eq"}
"""pandera's checks that give no verdict for a row."""

bounds = st.integers(-2, 4)
patterns = st.sampled_from(["a", "^a", "a|b", "", "[a-m]", r"\s", r"\d+", "(?i)A", "^", "$", "^a$", "."]) | texts.map(
    re.escape
)
values = {**values_of_dtype, "float": values_of_dtype["float"] | st.sampled_from([1, 0, 2.5])}


def names(*checks):
    return st.sampled_from(checks)


def kinds(dtype):
    """Draw a check of pandera's that fits `dtype`, by one of its names, with its arguments."""
    one = values[dtype] if dtype != "int" else st.integers(-1, 7) | st.sampled_from([0.5, 2.5])
    many = st.lists(values_of_dtype[dtype], max_size=4).map(lambda found: {"allowed_values": found})
    between = st.fixed_dictionaries(
        {"min_value": one, "max_value": one}, optional={"include_min": st.booleans(), "include_max": st.booleans()}
    )
    lengths = st.fixed_dictionaries({}, optional=dict.fromkeys(("exact_value", "min_value", "max_value"), bounds))
    of_all = [
        st.tuples(names("eq", "equal_to", "ne", "not_equal_to"), one.map(lambda value: {"value": value})),
        st.tuples(names("ge", "gt", "greater_than", "greater_than_or_equal_to"), one.map(lambda v: {"min_value": v})),
        st.tuples(names("le", "lt", "less_than", "less_than_or_equal_to"), one.map(lambda v: {"max_value": v})),
        st.tuples(names("in_range", "between"), between),
        st.tuples(st.just("isin"), many),
        st.tuples(st.just("notin"), many.map(lambda given: {"forbidden_values": given["allowed_values"]})),
    ]
    of_texts = [
        st.tuples(names("str_matches", "str_contains"), patterns.map(lambda pattern: {"pattern": pattern})),
        st.tuples(names("str_startswith", "str_endswith"), (texts | values["str"]).map(lambda text: {"string": text})),
        st.tuples(st.just("str_length"), lengths),
    ]
    return st.one_of(of_all + of_texts * (dtype in ("str", "json")))


def by_pandera(name, arguments, series):
    """Return pandera's verdict, or None where it refuses the check or fails on every value."""
    try:
        check = getattr(pa.Check, name)(**arguments)
        result = check(pl.LazyFrame({"c": series}), "c")
        passed = result.check_passed.collect().item()
    except (ValueError, TypeError, pl.exceptions.PolarsError):
        return None
    verdict = result.check_output.collect().to_series().to_list()
    assert passed == all(verdict)
    return verdict


def by_us(name, arguments, series, dtype):
    try:
        rule = make_rule("c", name, arguments)
        pl.DataFrame({"c": pl.Series([SPECIMENS[dtype]], dtype=DTYPES[dtype])}).select(rule.expression)
    except (ValueError, TypeError, pl.exceptions.PolarsError):
        return None, None
    return rule, pl.DataFrame({"c": series}).select(rule.expression.fill_null(value=True)).to_series().to_list()


def test_every_check_of_panderas_that_judges_a_row_is_there_by_all_its_names():
    functions = {
        name
        for name, f in inspect.getmembers(builtin_checks, inspect.isfunction)
        if f.__module__ == builtin_checks.__name__
    }
    aliases = {"eq", "ne", "gt", "ge", "lt", "le", "between"}
    assert all(hasattr(pa.Check, name) for name in functions | aliases)
    assert functions - OF_WHOLE_COLUMNS | aliases == set(ROW_CHECKS)


@pytest.mark.parametrize("dtype", ["str", "int", "float", "bool", "json"])
@given(data=st.data())
@settings(quick, max_examples=80)
def test_the_verdict_is_panderas_own_for_every_value(dtype, data):
    name, arguments = data.draw(kinds(dtype))
    series = pl.Series("c", data.draw(st.lists(st.none() | values_of_dtype[dtype], max_size=6)), dtype=DTYPES[dtype])
    rule, found = by_us(name, arguments, series, dtype)
    if rule is None:
        specimen = pl.Series("c", [SPECIMENS[dtype]], dtype=DTYPES[dtype])
        assert by_pandera(name, arguments, specimen) is None, "refused what pandera takes"
    else:
        assert found == by_pandera(name, arguments, series)
        assert rule.to_pandera() == getattr(pa.Check, name)(**rule.arguments)
        assert pa.Check.is_builtin_check(rule.to_pandera()._check_fn.__name__)


@given(st.lists(st.none() | values_of_dtype["list[str]"], max_size=4), values_of_dtype["list[str]"])
@quick
def test_lists_can_be_compared_as_pandera_compares_them(lists, value):
    series = pl.Series("c", lists, dtype=DTYPES["list[str]"])
    for name in ("eq", "ne"):
        assert by_us(name, {"value": value}, series, "list[str]")[1] == by_pandera(name, {"value": value}, series)


@given(st.lists(st.none() | values_of_dtype["str"], max_size=6), st.integers(0, 6))
@example(["a", None, "b"], 1)
@quick
def test_slices_and_chunks_are_judged_as_the_whole(texts, cut):
    series = pl.Series("c", texts, dtype=pl.String)
    chunked = pl.concat([series[:cut], series[cut:]], rechunk=False)
    for name, arguments in [("str_length", 1), ("isin", ["a", "b"]), ("str_matches", "a"), ("ge", "b")]:
        judge = make_rule("c", name, arguments).expression
        whole = pl.DataFrame({"c": series}).select(judge).to_series()
        assert pl.DataFrame({"c": chunked}).select(judge).to_series().equals(whole, null_equal=True)
        assert pl.DataFrame({"c": series[cut:]}).select(judge).to_series().equals(whole[cut:], null_equal=True)
        assert whole.is_null().to_list() == series.is_null().to_list()


@pytest.mark.parametrize(
    ("name", "arguments", "same"),
    [
        ("str_length", 3, pa.Check.str_length(3)),
        ("isin", ["a"], pa.Check.isin(["a"])),
        ("isin", [0.5, 1], pa.Check.isin([0.5, 1.0])),
        ("ge", 3, pa.Check.ge(3)),
        ("between", {"min_value": 1, "max_value": 2, "include_min": False}, pa.Check.in_range(1, 2, include_min=False)),
        ("str_matches", "a", pa.Check.str_matches("a")),
    ],
)
def test_one_value_means_what_it_means_to_pandera(name, arguments, same):
    assert make_rule("c", name, arguments).to_pandera() == same
