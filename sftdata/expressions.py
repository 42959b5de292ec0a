"""Expressions in polars' SQL that a schema may hold: each must judge a row by what stands in that row.

polars also parses queries, which could read files, and aggregates, whose verdict would depend on the other rows of a
chunk. Both are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

LONGEST = 1000
"""Characters: to polars, a chain of some hundred operators is slow, and one of thousands ends the process."""


def compile_expression(content: str, columns: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the expression, which gives a boolean for each row.

    Args:
        content: such as `closed >= opened`.
        columns: the dtypes of the columns that it may name.

    Raises:
        ValueError: when it cannot be computed of these columns, gives something else than true or false, or looks
            beyond the row.
    """
    if len(content) > LONGEST:
        raise ValueError(f"found {len(content)} characters, expected at most {LONGEST}; write a function instead")
    _refuse_queries(content)
    try:
        expression = pl.sql_expr(content)
        nodes = set(_nodes(json.loads(expression.meta.serialize(format="json"))))
        found = pl.DataFrame(schema=dict(columns)).select(expression)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as cause:
        raise ValueError(f"{content!r} cannot be computed: {first_line(cause)}") from None
    except RecursionError:
        raise ValueError("nested too deeply; write a function instead") from None
    if beyond := nodes & _BEYOND_THE_ROW:
        raise ValueError(f"{content!r} looks beyond the row ({', '.join(sorted(beyond))}); each row is judged alone")
    if not expression.meta.root_names():
        raise ValueError(f"{content!r} names no column, so its verdict would be the same for all rows")
    if found.dtypes != [pl.Boolean]:
        raise ValueError(f"{content!r} gives {', '.join(map(str, found.dtypes))}, expected one value, true or false")
    return expression


def _refuse_queries(content: str) -> None:
    """Refuse a query before polars parses it: it would open the files that the query names."""
    unsure = _UNSURE.search(content)  # quotes may not be what they seem
    if found := _QUERY_ANYWHERE.search(content) if unsure else _QUERY.search(_QUOTED.sub("''", content)):
        raise ValueError(f"{content!r} holds a query ({found[1].strip()}); name the columns of the row only")


_UNSURE = re.compile(r"--|/\*|[\\$`#]")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_QUERY = re.compile(r"(\bselect\b|\bvalues\b|\bwith\b|\btable\b|(?<=\()\s*from\b)", re.IGNORECASE)
_QUERY_ANYWHERE = re.compile(r"\b(select|values|with|table|from)\b", re.IGNORECASE)

_BEYOND_THE_ROW = frozenset(
    {"Agg", "Over", "Rolling", "Len", "Explode", "SubPlan", "Selector", "Shift", "Correlation", "Quantile", "NullCount"}
)
"""What polars calls the parts of an expression that look beyond the row, or give more than one column."""


def _nodes(tree: Any) -> Iterator[str]:
    """Yield what the parts of a serialized expression are called; names of columns and values are none of them."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list):
        for inner in tree:
            yield from _nodes(inner)
    elif isinstance(tree, dict):
        for name, inner in tree.items():
            yield name
            if name not in {"Column", "Literal"}:
                yield from _nodes(inner)


def first_line(cause: BaseException) -> str:
    """Return what polars says, without the plan that it adds."""
    text = str(cause.args[0]) if isinstance(cause, KeyError) and cause.args else str(cause)  # str() would quote it
    return text.strip().partition("\n")[0]
