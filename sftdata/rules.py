"""What a schema asks of its rows, compiled: one boolean polars expression, or one check that pandera runs, a rule."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
from pydantic import TypeAdapter, ValidationError

from sftdata.checks import TASK_CHECKS
from sftdata.documents import hint
from sftdata.expressions import compile_expression, first_line
from sftdata.functions import find_named
from sftdata.records import LEAST_WEIGHT, MOST_WEIGHT
from sftdata.row_checks import ROW_CHECKS, Scalar

if TYPE_CHECKING:
    import pandera.polars as pa


@dataclass(frozen=True)
class Rule:
    """One thing that must hold for every row.

    Attributes:
        reason: what a row that breaks it is rejected for: `column:check`, or `row:check`.
        asks: what it asks for, for people.
        column: the column it judges; None where it judges the row as a whole.
        expression: true where a row is good, null where the rule does not judge it; None where pandera runs a check.
        function: `module:name` of a function that judges, as pandera calls it.
        element_wise: whether the function takes one value at a time.
        arguments: those of a check that has a name of pandera's.
        check: a check as a person gave it to pandera.
    """

    reason: str
    asks: str
    column: str | None
    expression: pl.Expr | None = None
    function: str | None = None
    element_wise: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    check: "pa.Check | None" = None

    def to_pandera(self) -> "pa.Check":
        """Return the check as pandera's own object."""
        if self.check is not None:
            return self.check
        import pandera.polars as pa

        name = self.reason.removeprefix("row:" if self.column is None else f"{self.column}:")
        if self.function:
            return pa.Check(find_named(self.function), element_wise=self.element_wise, name=name)
        if name in ROW_CHECKS and self.column is not None:
            check: pa.Check = getattr(pa.Check, name)(**self.arguments)
            return check
        return pa.Check(partial(_select, expression=self.expression), name=name)


def _select(data: Any, expression: pl.Expr | None) -> pl.LazyFrame:
    return cast("pl.LazyFrame", data.lazyframe.select(cast("pl.Expr", expression)))


def make_rule(column: str, name: str, arguments: Any) -> Rule:
    """Compile one check of a column: a known name with its arguments, or a name of one's own with a `function`.

    The arguments are a mapping, one value, or `true` for none.

    Raises:
        ValueError: when there is no such check or its arguments do not fit.
    """
    if isinstance(arguments, dict) and "function" in arguments:
        return _function_rule(f"{column}:{name}", column, arguments)
    known = TASK_CHECKS | ROW_CHECKS
    if name not in known:
        raise ValueError(
            f"unknown check '{name}'; {hint(name, known)}, or one of your own, as {name}: {{function: module:name}}"
        )
    named = name_arguments(name, arguments, known[name])
    name = known[name].__name__  # eq is equal_to, as pandera calls it
    return Rule(f"{column}:{name}", _describe(name, named), column, known[name](column, **named), arguments=named)


def make_row_rule(name: str, content: Any, columns: Mapping[str, pl.DataType]) -> Rule:
    """Compile one check across columns: an expression in polars' SQL, or a mapping with a `function`.

    Raises:
        ValueError: when it does not fit the columns.
    """
    if isinstance(content, dict) and "function" in content:
        return _function_rule(f"row:{name}", None, content)
    if not isinstance(content, str):
        raise ValueError(
            f"{name}: found {content!r}, expected an expression such as 'closed >= opened', or function: module:name"
        )
    return Rule(f"row:{name}", content, None, compile_expression(content, columns))


def presence_rule(column: str, dtype: pl.DataType) -> Rule:
    """Ask that a value is there; NaN is none, as pandera has it."""
    present = pl.col(column).is_not_null()
    if dtype.is_float():
        present &= pl.col(column).is_not_nan()
    return Rule(f"{column}:not_nullable", "a value", column, present)


def weight_rule(column: str) -> Rule:
    """Ask of a row's weight that something of the row is trained, and that float32 can hold it."""
    expression = pl.col(column).cast(pl.Float64).is_between(LEAST_WEIGHT, MOST_WEIGHT)
    asks = f"a number above 0, up to {MOST_WEIGHT:.1e} (0 would train nothing)"
    return Rule(f"{column}:weight", asks, column, expression)


def try_rule(rule: Rule, dtype: pl.DataType, specimen: Any, complaint: str) -> None:
    """Run a compiled rule on one value, so that what does not fit is found before the first row.

    Raises:
        ValueError: the complaint, when it does not fit.
    """
    if rule.expression is None:
        return
    names = set(rule.expression.meta.root_names())
    try:
        pl.DataFrame({name: [specimen] for name in names}, schema=dict.fromkeys(names, dtype)).select(rule.expression)
    except pl.exceptions.PolarsError as cause:
        raise ValueError(f"{complaint}: {first_line(cause)}") from None


def name_arguments(check: str, arguments: Any, maker: Callable[..., Any]) -> dict[str, Any]:
    """Give the arguments of a check the names that they have in its signature.

    Raises:
        ValueError: when one is unknown, missing, or of another type.
    """
    parameters = {p.name: p for p in inspect.signature(maker).parameters.values() if p.name != "column"}
    known = ", ".join(parameters)
    if arguments is True and all(p.default is not p.empty for p in parameters.values()):
        return {}
    if not parameters or (arguments is False and all(p.default is not p.empty for p in parameters.values())):
        raise ValueError(f"{check}: found {arguments!r}, expected true; leave the check out to turn it off")
    named = arguments if isinstance(arguments, dict) else {next(iter(parameters)): arguments}
    if unknown := [str(given) for given in named if given not in parameters]:
        raise ValueError(f"{check}: unknown argument {', '.join(unknown)}; known: {known}")
    if missing := [p.name for p in parameters.values() if p.default is p.empty and p.name not in named]:
        raise ValueError(f"{check}: missing argument {', '.join(missing)}")
    for name, given in named.items():
        _require_type(f"{check}: {name}" if isinstance(arguments, dict) else check, given, parameters[name].annotation)
    return {name: _in_one_type(given) for name, given in named.items()}


def _require_type(place: str, given: Any, annotation: Any) -> None:
    try:
        _adapter_of(annotation).validate_python(given, strict=True)
    except ValidationError:
        raise ValueError(f"{place}: found {given!r}, expected {_EXPECTED[annotation]}") from None


@cache
def _adapter_of(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)  # takes longer to make than to use, and many checks share few types


_EXPECTED = {
    bool: "true or false",
    str: "text",
    int | None: "a whole number",
    Sequence[str]: "a list of texts",
    Sequence[Scalar]: "a list of texts or numbers",
}
"""The types of arguments, for people."""


def _in_one_type(given: Any) -> Any:
    """Return a list of numbers as floats where one is a float: polars takes the type of a list from its first entry."""
    if isinstance(given, list) and any(type(value) is float for value in given):
        return [float(value) if type(value) is int else value for value in given]
    return given


def _function_rule(reason: str, column: str | None, content: Mapping[str, Any]) -> Rule:
    if unknown := content.keys() - {"function", "element_wise"}:
        raise ValueError(f"unknown key {', '.join(map(str, unknown))}; known: function, element_wise")
    name, element_wise = content["function"], content.get("element_wise", False)
    if not isinstance(name, str) or not isinstance(element_wise, bool):
        raise ValueError("expected function: module:name, and element_wise: true or false")
    if element_wise and column is None:
        raise ValueError("element_wise needs a column; put the check under one")
    if not callable(find_named(name)):
        raise ValueError(f"{name} is no function")
    return Rule(reason, name, column, function=name, element_wise=element_wise)


def _describe(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a check as people write it, without a list of values that nobody would read to its end."""
    values = arguments.get("allowed_values", ())
    if len(values) > 5:
        return f"one of {len(values)} values"
    return f"{name}({', '.join(_spell(arguments))})" if arguments else name


def _spell(arguments: Mapping[str, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        yield repr(value) if len(arguments) == 1 and name not in _BOUNDS else f"{name}={value!r}"


_BOUNDS = {"min_value", "max_value", "exact_value"}


def fault_of(make: Callable[[], object], name: str) -> str | None:
    """Return what is wrong when `make` refuses, naming the check `name`."""
    try:
        make()
    except (ValueError, TypeError, OverflowError, RecursionError, re.error, pl.exceptions.PolarsError) as cause:
        said = first_line(cause)
        return said if said.startswith((f"{name}: ", f"unknown check '{name}'")) else f"{name}: {said}"
    return None


def folder_of(context: Any) -> Path:
    """Return the folder of the document that is being read, from pydantic's context."""
    return Path(context["base"]) if context else Path()
