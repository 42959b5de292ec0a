"""Fit one value into a column: of a JSON record, of a cell that holds JSON text, or of an Arrow value."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import polars as pl

from sftdata.column import Column
from sftdata.sources.json_text import Number, dump_json, load_json
from sftdata.sources.turns import Misfit, fit_turns, is_text, show, to_float

IN_JSON = ("messages", "list[str]", "pairs", "json")
"""The dtypes whose values stand in a cell of text as JSON."""

SPACES = " \t\r\n\u00a0\u3000"
"""What is stripped from the entries of a list that a separator divides."""


def fit_value(value: Any, column: Column) -> Any:
    """Return a value as the column takes it; null stays null.

    Args:
        value: JSON as `load_json` gives it, or of Python's own types.
        column: what is wanted.

    Raises:
        Misfit: when it is not what the column takes.
    """
    return None if value is None else _FITS[column.dtype](value, column)


def parse_cell(text: str, column: Column) -> Any:
    """Return what a cell of text holds, for a column of one of the dtypes `IN_JSON`.

    Raises:
        Misfit: when it is not what the column takes.
    """
    if column.separator and column.dtype == "list[str]":
        return split_entries(text, column.separator)
    try:
        value = load_json(text)
    except ValueError as problem:
        raise Misfit(f"found {show(text)}, expected {WANTED[column.dtype]} as JSON ({problem})") from None
    return text.strip() if column.dtype == "json" else fit_value(value, column)


def split_entries(text: str, separator: str) -> list[str]:
    """Split a text; entries lose the spaces around them, and none is dropped."""
    return [entry.strip(SPACES) for entry in text.split(separator)]


def split_column(texts: pl.Series, separator: str) -> pl.Series:
    """Split a column of texts as `split_entries` does; null stays null."""
    return texts.str.split(separator).list.eval(pl.element().str.strip_chars(SPACES))


def make_series(values: Sequence[Any], column: Column) -> pl.Series:
    """Return a column of values as `fit_value` and `parse_cell` give them."""
    if column.dtype == "messages":
        from sftdata.sources.turn_columns import make_turns

        return make_turns(values)
    return pl.Series(values, dtype=column.polars_dtype)


def as_written(value: Any) -> Any:
    """Return a number or boolean as the text it is written as; anything else as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, Number | int | float) else value


def _fit_text(value: Any, column: Column) -> str:
    text = as_written(value) if column.coerce else value
    return text if is_text(text) else _refuse(value, column)


def _fit_int(value: Any, column: Column) -> int:
    digits = str(value) if type(value) in (Number, int) else ""
    if len(digits) > 20 or not digits.removeprefix("-").isdigit() or not -(2**63) <= int(digits) < 2**63:
        return _refuse(value, column)
    return int(digits)


def _fit_float(value: Any, column: Column) -> float:
    number = to_float(value)
    return number if math.isfinite(number) else _refuse(value, column)


def _fit_bool(value: Any, column: Column) -> bool:
    return value if isinstance(value, bool) else _refuse(value, column)


def _fit_strings(value: Any, column: Column) -> list[str]:
    if column.separator and is_text(text := as_written(value) if column.coerce else value):
        return split_entries(text, column.separator)
    if not isinstance(value, list):
        return _refuse(value, column)
    return [_fit_entry(entry, column, f"entry {number}") for number, entry in enumerate(value, start=1)]


def _fit_entry(entry: Any, column: Column, place: str) -> str:
    text = as_written(entry) if column.coerce else entry
    if not is_text(text):
        raise Misfit(f"found {show(entry)} as {place}, expected text")
    return text


def _fit_pairs(value: Any, column: Column) -> list[list[str]]:
    pairs: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(is_text, pair)) for pair in pairs):
        return _refuse(value, column)
    return pairs


def _fit_json(value: Any, column: Column) -> str:
    try:
        if type(value) is str:
            load_json(value)
            return value.strip()
    except ValueError:  # a text that is no JSON is a JSON value as well
        pass
    try:
        return dump_json(value)
    except (ValueError, TypeError) as problem:
        raise Misfit(f"found {show(value)}, which cannot be kept as it is: {problem}") from None


def _refuse(value: Any, column: Column) -> NoReturn:
    raise Misfit(f"found {show(value)}, expected {WANTED[column.dtype]}")


WANTED = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "messages": "a list of turns",
    "list[str]": "a list of texts",
    "pairs": "a list of pairs of texts",
    "json": "any value",
}
"""What people are told that a column of each dtype takes."""

_FITS: dict[str, Callable[[Any, Column], Any]] = {
    "str": _fit_text,
    "int": _fit_int,
    "float": _fit_float,
    "bool": _fit_bool,
    "messages": fit_turns,
    "list[str]": _fit_strings,
    "pairs": _fit_pairs,
    "json": _fit_json,
}
