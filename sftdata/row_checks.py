"""pandera's own checks as polars expressions, so that a run that needs no more than these need not load pandera.

Each function has the name and the arguments of the check in `pandera.Check` and must give pandera's verdict for every
value; a test holds both against each other. A null is not judged: the answer is null.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import polars as pl

Scalar = str | bool | int | float | date
"""A value that can stand in a list of values: it has no parts."""

FEW = 8
"""So many texts are compared with one by one, which is faster than to look them up."""


def equal_to(column: str, value: Any) -> pl.Expr:
    """The value is `value`."""
    return pl.col(column).eq(_given("value", value))


def not_equal_to(column: str, value: Any) -> pl.Expr:
    """The value is not `value`."""
    return pl.col(column).ne(_given("value", value))


def greater_than(column: str, min_value: Any) -> pl.Expr:
    """The value is above `min_value`."""
    return pl.col(column).gt(_given("min_value", min_value))


def greater_than_or_equal_to(column: str, min_value: Any) -> pl.Expr:
    """The value is `min_value` or above."""
    return pl.col(column).ge(_given("min_value", min_value))


def less_than(column: str, max_value: Any) -> pl.Expr:
    """The value is below `max_value`."""
    return pl.col(column).lt(_given("max_value", max_value))


def less_than_or_equal_to(column: str, max_value: Any) -> pl.Expr:
    """The value is `max_value` or below."""
    return pl.col(column).le(_given("max_value", max_value))


def in_range(
    column: str, min_value: Any, max_value: Any, include_min: bool = True, include_max: bool = True
) -> pl.Expr:
    """The value lies between the two."""
    low, high = _given("min_value", min_value), _given("max_value", max_value)
    if high < low or (high == low and not (include_min and include_max)):
        raise ValueError(f"from {low} to {high} is an empty interval")
    value = pl.col(column)
    return (value.ge(low) if include_min else value.gt(low)) & (value.le(high) if include_max else value.lt(high))


def isin(column: str, allowed_values: Sequence[Scalar]) -> pl.Expr:
    """The value is one of `allowed_values`."""
    if 0 < len(allowed_values) <= FEW and all(isinstance(value, str) for value in allowed_values):
        return pl.any_horizontal(pl.col(column).eq(value) for value in allowed_values)
    return pl.col(column).is_in(list(allowed_values))


def notin(column: str, forbidden_values: Sequence[Scalar]) -> pl.Expr:
    """The value is none of `forbidden_values`."""
    return pl.col(column).is_in(list(forbidden_values)).not_()


def str_matches(column: str, pattern: str) -> pl.Expr:
    """The text begins with a match of the regular expression."""
    pattern = _regex(pattern)
    return pl.col(column).str.contains(pattern if pattern.startswith("^") else f"^{pattern}")


def str_contains(column: str, pattern: str) -> pl.Expr:
    """The regular expression matches somewhere in the text."""
    return pl.col(column).str.contains(_regex(pattern), literal=False)


def str_startswith(column: str, string: str) -> pl.Expr:
    """The text begins with `string`."""
    return pl.col(column).str.starts_with(string)


def str_endswith(column: str, string: str) -> pl.Expr:
    """The text ends with `string`."""
    return pl.col(column).str.ends_with(string)


def str_length(
    column: str, exact_value: int | None = None, min_value: int | None = None, max_value: int | None = None
) -> pl.Expr:
    """The text has so many characters."""
    return within(pl.col(column).str.len_chars(), exact_value, min_value, max_value)


def within(length: pl.Expr, exact_value: int | None, min_value: int | None, max_value: int | None) -> pl.Expr:
    """A length is the exact one, or lies between the two."""
    if exact_value is None and min_value is None and max_value is None:
        raise ValueError("found no length, expected exact_value, min_value or max_value")
    if exact_value is not None and (min_value, max_value) != (None, None):
        raise ValueError("exact_value cannot stand beside min_value or max_value")
    if min_value is not None and max_value is not None and max_value < min_value:
        raise ValueError(f"from {min_value} to {max_value} is an empty interval")
    if exact_value is not None:
        return length.eq(exact_value)
    if min_value is not None and max_value is not None:
        return length.is_between(min_value, max_value)  # which counts once
    return length.le(max_value) if min_value is None else length.ge(min_value)


def _given(name: str, value: Any) -> Any:
    if value is None:
        raise ValueError(f"{name} must not be None")
    return value


def _regex(pattern: str) -> str:
    re.compile(pattern)  # pandera does the same, and Python's dialect and polars' must both take it
    return pattern


_ALIASES: dict[str, Callable[..., pl.Expr]] = {
    "eq": equal_to,
    "ne": not_equal_to,
    "gt": greater_than,
    "ge": greater_than_or_equal_to,
    "lt": less_than,
    "le": less_than_or_equal_to,
    "between": in_range,
}

_CHECKS: tuple[Callable[..., pl.Expr], ...] = (
    *(equal_to, not_equal_to, greater_than, greater_than_or_equal_to, less_than, less_than_or_equal_to, in_range),
    *(isin, notin, str_matches, str_contains, str_startswith, str_endswith, str_length),
)

ROW_CHECKS: dict[str, Callable[..., pl.Expr]] = {check.__name__: check for check in _CHECKS} | _ALIASES
"""Every one of pandera's checks that judges a row alone, by its names; the others need the whole column."""
