"""Check every row against the schema; pandera judges."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from sftdata.records import StageResult, no_rejections, reject
from sftdata.schema import Schema

if TYPE_CHECKING:
    from pandera.errors import SchemaError

STAGE = "validate"


def validate_rows(rows: pl.DataFrame, schema: Schema) -> StageResult:
    """Reject each row that breaks the schema, with every reason: `column:check`, and the value as detail.

    Args:
        rows: provenance and the schema's columns, in the schema's dtypes.
        schema: what must hold.
    """
    failures = _find_failures(rows, schema)
    if not failures:
        return StageResult(rows, no_rejections())
    bad = pl.Series(sorted(failures), dtype=pl.UInt32)
    lost = rows[bad]
    reasons = [[reason for reason, _ in failures[row]] for row in bad]
    details = ["; ".join(detail for _, detail in failures[row]) for row in bad]
    kept = rows.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(bad.implode()))
    return StageResult(kept, reject(lost, STAGE, reasons, details))


def _find_failures(rows: pl.DataFrame, schema: Schema) -> dict[int, list[tuple[str, str]]]:
    import pandera.polars as pa
    from pandera.config import ValidationDepth, config_context

    # said here, for an environment variable of pandera's could otherwise turn the checks off
    everything = config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA)
    try:
        # lazy=True collects all failures; on an eager frame, for a LazyFrame would be checked by its schema only
        with everything:
            schema.to_pandera().validate(rows.select(schema.columns.keys()), lazy=True)
    except pa.errors.SchemaErrors as found:
        failures: dict[int, list[tuple[str, str]]] = {}
        for error in found.schema_errors:
            for row in _failing_rows(error, len(rows)):
                failures.setdefault(row, []).append(_describe(error, rows[error.schema.name][row]))
        return failures
    return {}


def _describe(error: "SchemaError", value: Any) -> tuple[str, str]:
    column, check = error.schema.name, error.check
    if isinstance(check, str):  # one of pandera's own, of which chunks with the right dtypes meet only this
        return f"{column}:{check}", f"{column} is missing" if check == "not_nullable" else f"{column} fails {check}"
    shown = value.to_list() if isinstance(value, pl.Series) else value
    return f"{column}:{check.name}", f"{column}: found {_shorten(repr(shown))}, expected {_rule(check)}"


def _rule(check: Any) -> str:
    """Return what a check asks for, without a list of values that nobody would read to its end."""
    values = (check.statistics or {}).get("allowed_values", ())
    return f"one of {len(values)} values" if len(values) > 5 else _shorten(check.error or check.name, 60)


def _failing_rows(error: "SchemaError", count: int) -> Iterator[int]:
    """Yield the rows that one failed check names; all of them where the check could not say which."""
    output = error.check_output
    if not isinstance(output, pl.DataFrame) or len(output) != count:
        yield from range(count)
        return
    yield from (~output.to_series().fill_null(value=False)).arg_true().to_list()


def _shorten(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
