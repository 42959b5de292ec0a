"""Schemas and models of `pandera.polars` as people write them: what columns they have, and what they ask of a row.

Their checks are run by pandera, each for itself: `DataFrameSchema.validate` would say which rows fail, but not on which
of them a check raises.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from sftdata.errors import SchemaError
from sftdata.expressions import first_line
from sftdata.records import MESSAGES, PAIRS, STRINGS
from sftdata.rules import Rule, presence_rule

if TYPE_CHECKING:
    import pandera.polars as pa

Misfits = dict[int, list[tuple[str, str]]]
"""For each row with a value that is not of the dtype asked for, by its position, the reasons and details."""


def as_schema(found: Any) -> "pa.DataFrameSchema":
    """Return the schema that a `DataFrameSchema` or a `DataFrameModel` is.

    Raises:
        ValueError: when it is neither, or asks for what cannot be judged row by row; with all that it asks so.
    """
    import pandera.polars as pa

    if isinstance(found, type) and issubclass(found, pa.DataFrameModel):
        found = found.to_schema()
    if not isinstance(found, pa.DataFrameSchema):
        raise ValueError(f"found {found!r}, expected a DataFrameSchema or DataFrameModel of pandera.polars")
    faults = [*_unfit(found), *(fault for name in found.columns for fault in _unfit_column(found, name))]
    if faults:
        raise ValueError("; ".join(faults))
    return found


def _unfit(schema: "pa.DataFrameSchema") -> Iterator[str]:
    if not schema.columns:
        yield "it names no column"
    if schema.strict or schema.ordered:
        yield "`strict` and `ordered` judge a file's columns, not its rows; leave them off"
    if schema.drop_invalid_rows:
        yield "`drop_invalid_rows` would lose rows; leave it off, for they are rejected with their reasons"
    if schema.add_missing_columns or schema.parsers:
        yield "`add_missing_columns` and parsers change the data; leave them off"
    if not all(isinstance(name, str) for name in schema.unique or ()):
        yield "`unique` takes the columns of one constraint"


def _unfit_column(schema: "pa.DataFrameSchema", name: str) -> Iterator[str]:
    column = schema.columns[name]
    if column.regex:
        yield f"{name}: a regular expression names no column; write each column out"
    if column.drop_invalid_rows:
        yield f"{name}: `drop_invalid_rows` would lose rows; leave it off, for they are rejected with their reasons"
    if column.default is not None or column.parsers:
        yield f"{name}: `default` and parsers change the data; leave them off"
    if not column.required and not column.nullable:
        yield f"{name}: a column that may be left out must be nullable too: nullable=True"
    if (dtype := target_dtype(schema, name)) is not None and _our_dtype(dtype) is None:
        expected = "text, a number, a boolean, a category, a date or a list of texts"
        yield f"{name}: found {dtype}, which cannot be read from a file; expected {expected}"


def columns_of(schema: "pa.DataFrameSchema") -> dict[str, dict[str, Any]]:
    """Return the settings of our `Column` for each column of a pandera schema.

    A dtype that ours has none for is read as text and cast before pandera judges.
    """
    return {
        name: {
            "dtype": _our_dtype(dtype := target_dtype(schema, name)),
            "nullable": column.nullable,
            "required": column.required,
            "coerce": bool(column.coerce or schema.coerce or (dtype is not None and dtype.is_decimal())),
            "unique": bool(column.unique),
        }
        for name, column in schema.columns.items()
    }


def target_dtype(schema: "pa.DataFrameSchema", name: str) -> pl.DataType | None:
    """Return the polars dtype that a pandera schema asks for in the column `name`, or None where it asks for none."""
    dtype = getattr(schema.dtype or schema.columns[name].dtype, "type", None)
    return dtype() if isinstance(dtype, type) else dtype


def _our_dtype(dtype: pl.DataType | None) -> str | None:
    """Return what we call the dtype as which a column is read; None where it cannot be read."""
    for name, same in {"messages": MESSAGES, "list[str]": STRINGS, "pairs": PAIRS, "bool": pl.Boolean()}.items():
        if dtype == same:
            return name
    if dtype is None or dtype.is_decimal() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Date):
        return "str"
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        return "str"
    return "int" if dtype.is_integer() else "float" if dtype.is_float() else None


def rules_of(schema: "pa.DataFrameSchema") -> list[Rule]:
    """Return what a pandera schema asks of each row, in its order; uniqueness left out, for a chunk cannot tell."""
    rules = []
    for name, column in schema.columns.items():
        rules += [] if column.nullable else [presence_rule(name, target_dtype(schema, name) or pl.String())]
        rules += _rules(column.checks, name)
    return rules + _rules(schema.checks, None)


def _rules(checks: "Iterable[pa.Check]", column: str | None) -> list[Rule]:
    """Return the rules that checks are; one that only warns rejects nothing."""
    return [
        Rule(
            f"{'row' if column is None else column}:{check.name}",
            str(check.error or check.name),
            column,
            element_wise=check.element_wise,
            check=check,
        )
        for check in checks
        if not check.raise_warning
    ]


def run_check(rows: pl.DataFrame, rule: Rule, where: str) -> pl.Series:
    """Let pandera run a check; true where a row is good or not judged, shape `[rows]`.

    Raises:
        SchemaError: when it does not give one boolean for each row.
    """
    from pandera.api.polars.types import PolarsData

    check = rule.to_pandera()
    output = _backend(check).apply(PolarsData(rows.lazy(), "*" if rule.column is None else rule.column))
    verdict = output.collect().to_series() if isinstance(output, pl.LazyFrame) else pl.Series([output])
    if not isinstance(output, pl.LazyFrame) or len(verdict) != len(rows) or verdict.dtype not in (pl.Boolean, pl.Null):
        gave = f"{len(verdict)} of {verdict.dtype}" if isinstance(output, pl.LazyFrame) else repr(output)
        fault = f"gave {gave} for {len(rows)} rows, expected a LazyFrame with one boolean for each row"
        raise SchemaError(where, [f"{rule.reason}: {fault}"])
    return verdict.cast(pl.Boolean).fill_null(value=check.ignore_na)


def _backend(check: "pa.Check") -> Any:
    """Return what runs a check; its own functions for polars pandera loads with the first such backend only."""
    backend = check.get_backend(pl.LazyFrame())
    name = getattr(check._check_fn, "__name__", "")
    if check.is_builtin_check(name):
        check._check_fn = check.get_builtin_check_fn(name)
    return backend(check)


def judge_values(values: pl.Series, rule: Rule) -> tuple[pl.Series, dict[int, str]]:
    """Call a check of one value on each as pandera does, whose run ends where it raises.

    Returns:
        True where a row is good or not judged, shape `[rows]`; and what went wrong, by row.
    """
    check = rule.to_pandera()
    judge = _backend(check).check_fn
    verdicts: list[bool | None] = []
    raised = {}
    for row, value in enumerate(values):
        verdict = None
        try:
            verdict = None if value is None else judge(value)
        except Exception as cause:  # whatever a person's function does
            raised[row] = f"raised {type(cause).__name__}: {first_line(cause)}"
        if not isinstance(verdict, bool | None):
            raised[row] = f"gave {verdict!r}, expected True or False"
        verdicts.append(False if row in raised else verdict)
    return pl.Series(verdicts, dtype=pl.Boolean).fill_null(value=check.ignore_na), raised


def cast_rows(rows: pl.DataFrame, schema: "pa.DataFrameSchema") -> tuple[pl.DataFrame, Misfits]:
    """Cast to the dtypes that a pandera schema asks for; a value that does not fit becomes null and is told.

    Args:
        rows: the schema's columns, in the dtypes as which they are read.
        schema: what is asked for.
    """
    misfits: Misfits = {}
    for name in schema.columns:
        wanted, before = target_dtype(schema, name), rows[name]
        if wanted is None or before.dtype == wanted:
            continue
        after = _cast(before, wanted)
        for row in (before.is_not_null() & after.is_null()).arg_true().to_list():
            misfits.setdefault(row, []).append((f"{name}:dtype", f"{name}: found {before[row]!r}, expected {wanted}"))
        rows = rows.with_columns(after)
    return rows, misfits


def _cast(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Cast; dates and times are read as ISO 8601 has them."""
    if wanted == pl.Date:
        return values.str.to_date("%Y-%m-%d", strict=False)
    if wanted == pl.Datetime:
        texts = values.str.replace(" ", "T", literal=True)
        return texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False).cast(wanted)
    return values.cast(wanted, strict=False)
