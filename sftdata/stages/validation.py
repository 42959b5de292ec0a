"""Check every row against the schema, and give every reason of every bad one.

pandera is the language and the judge: the verdict is that of `Schema.to_pandera()`, row for row. What the rules of a
schema say is computed as polars expressions, which a test holds against pandera's own verdict; what a person wrote in
Python, a check of one's own or those of a whole pandera schema, is run by pandera itself.
"""

from collections.abc import Callable
from functools import partial, reduce
from operator import and_
from typing import Any

import polars as pl

from sftdata.errors import SchemaError
from sftdata.expressions import first_line
from sftdata.records import RAW_PROVENANCE, StageResult, no_rejections, reject, shorten
from sftdata.rules import Rule
from sftdata.schema import Schema

STAGE = "validate"

PIECES = 16
"""In how many pieces rows are cut, at most, to find those on which a rule raises."""


Failures = dict[int, list[tuple[str, str]]]
"""Of each row that breaks the schema, by its position, the reasons and details in the order of the rules."""


def validate_rows(rows: pl.DataFrame, schema: Schema) -> StageResult:
    """Reject each row that breaks the schema, with every reason: `column:check`, and the value as detail.

    Args:
        rows: `@source`, `@record` and the schema's columns, in the schema's dtypes.
        schema: what must hold.

    Raises:
        SchemaError: when a check of one's own does not give one boolean for each row.
    """
    failures = find_failures(rows, schema)
    if not failures:
        return StageResult(rows, no_rejections())
    bad = list(failures)
    reasons, details = zip(*map(sum_up, failures.values()), strict=True)
    return StageResult(drop_rows(rows, bad), reject(rows[bad].select(_PROVENANCE), STAGE, reasons, details))


def find_failures(rows: pl.DataFrame, schema: Schema) -> Failures:
    """Find the rows that break the schema, and say why; their positions rise.

    Uniqueness is not judged here, for a chunk cannot tell.

    Args:
        rows: the schema's columns, in the schema's dtypes, and any others.
        schema: what must hold.

    Raises:
        SchemaError: when a check of one's own does not give one boolean for each row.
    """
    judged = pl.DataFrame([rows[name] for name in schema.columns])  # a selection runs a query, ten times as long
    if schema.judge:
        return dict(sorted(_judge_by_pandera(judged, schema).items()))
    return _find_failures(judged, schema.rules, schema.name)


def sum_up(failures: list[tuple[str, str]]) -> tuple[list[str], str]:
    """Return each reason of a row once, and its details in one text."""
    reasons = dict.fromkeys(reason for reason, _ in failures)
    return list(reasons), "; ".join(detail for _, detail in failures)


def drop_rows(rows: pl.DataFrame, bad: list[int]) -> pl.DataFrame:
    """Return `rows` without those at the positions `bad`."""
    return rows.filter(pl.Series([True]).new_from_index(0, len(rows)).scatter(bad, False)) if bad else rows


_PROVENANCE = [pl.col(raw).alias(name) for raw, name in RAW_PROVENANCE.items() if name != "row_id"]


def _judge_by_pandera(rows: pl.DataFrame, schema: Schema) -> Failures:
    from sftdata.pandera_schemas import cast_rows, rules_of

    judge = schema.to_pandera()
    rows, failures = cast_rows(rows, judge)
    for row, why in _find_failures(rows, [*rules_of(judge), *schema.part_rules], schema.name).items():
        known = failures.setdefault(row, [])
        missing = {f"{reason.removesuffix(':dtype')}:not_nullable" for reason, _ in known}  # for it is null once cast
        known += [(reason, detail) for reason, detail in why if reason not in missing]
    return failures


def _find_failures(rows: pl.DataFrame, rules: list[Rule], schema: str) -> Failures:
    """Return for each row that fails, by its position, the reasons and details in the order of the rules."""
    if not len(rows) or not rules:
        return {}
    verdicts, raised = _judge(rows, rules, schema)
    failing = {place: verdict for place, verdict in enumerate(verdicts) if not verdict.all()}
    if not failing:
        return {}
    bad = (~reduce(and_, failing.values())).arg_true()
    found, failures = _Values(rows[bad]), {row: list[tuple[str, str]]() for row in bad.to_list()}
    for place, verdict in failing.items():
        for number, (row, good) in enumerate(zip(failures, verdict[bad].to_list(), strict=True)):
            if not good:
                detail = raised.get((place, row)) or _describe(rules[place], found, number)
                failures[row].append((rules[place].reason, detail))
    return failures


def _judge(rows: pl.DataFrame, rules: list[Rule], schema: str) -> tuple[pl.DataFrame, dict[tuple[int, int], str]]:
    """Return one boolean column a rule, without nulls; and what a rule said when it raised, by (rule, row)."""
    compiled = [rule.expression.fill_null(value=True) for rule in rules if rule.expression is not None]
    if len(compiled) == len(rules):
        try:
            return rows.select_seq(verdict.alias(str(place)) for place, verdict in enumerate(compiled)), {}
        except _RAISED:
            pass  # one of them fails on some row; find out which, on which
    raised: dict[tuple[int, int], str] = {}
    columns = []
    for place, rule in enumerate(rules):
        column, failed = _judge_rule(rule, rows, schema)
        columns.append(column.alias(str(place)))
        raised |= {(place, row): f"{rule.reason}: {problem}" for row, problem in failed.items()}
    return pl.DataFrame(columns), raised


Judged = tuple[pl.Series, dict[int, str]]
"""The verdicts of a rule, and what it said where it raised, by the position of the row: such a row is bad."""

Run = Callable[[pl.DataFrame], pl.Series]


def _judge_rule(rule: Rule, rows: pl.DataFrame, schema: str) -> Judged:
    """Run one rule; where it raises, find the rows on which it does.

    That costs a call a value for a function of one value. For others it costs at most a fifteenth more runs than there
    are rows, and two where the rule says the same of no rows at all: it raises then whatever the rows.
    """
    run = _runner(rule, schema)
    verdict, problem = _attempt(run, rows)
    if verdict is not None:
        return verdict, {}
    if rule.element_wise and rule.column is not None:
        from sftdata.pandera_schemas import judge_values

        return judge_values(rows[rule.column], rule)
    if _attempt(run, rows[:0])[1] == problem:
        return pl.Series([False]).new_from_index(0, len(rows)), dict.fromkeys(range(len(rows)), problem)
    return _judge_pieces(run, rows, 0)


def _judge_pieces(run: Run, rows: pl.DataFrame, start: int) -> Judged:
    size = 1
    while size * PIECES < len(rows):
        size *= PIECES
    verdicts: list[pl.Series] = []
    raised: dict[int, str] = {}
    for at in range(0, len(rows), size):
        piece = rows[at : at + size]
        verdict, problem = _attempt(run, piece)
        if verdict is None and len(piece) > 1:
            verdict, of_piece = _judge_pieces(run, piece, start + at)
            raised |= of_piece
        elif verdict is None:
            raised[start + at] = problem
        verdicts.append(pl.Series([False]) if verdict is None else verdict)
    return pl.concat(verdicts), raised


def _attempt(run: Run, rows: pl.DataFrame) -> tuple[pl.Series | None, str]:
    """Return the verdicts, or None and what went wrong."""
    try:
        return run(rows), ""
    except SchemaError:
        raise
    except _RAISED as cause:
        return None, f"raised {type(cause).__name__}: {first_line(cause)}"


def _runner(rule: Rule, schema: str) -> Run:
    if rule.expression is not None:
        verdict = rule.expression.fill_null(value=True)
        return lambda rows: rows.select(verdict).to_series()
    from sftdata.pandera_schemas import run_check

    return partial(run_check, rule=rule, where=schema)


_RAISED = (Exception, pl.exceptions.PanicException)


class _Values(dict[str, list[Any]]):
    """The values of some rows by column, taken out of their frame where they are asked for."""

    def __init__(self, rows: pl.DataFrame) -> None:
        super().__init__()
        self.rows = rows

    def __missing__(self, name: str) -> list[Any]:
        self[name] = values = self.rows[name].to_list()
        return values


def _describe(rule: Rule, found: _Values, row: int) -> str:
    if rule.reason.endswith(":not_nullable") and rule.column is not None:
        return f"{rule.column} is missing" if found[rule.column][row] is None else f"{rule.column} is NaN"
    if rule.column is not None and (fault := _explain(rule, found, row)):
        return f"{rule.column}: {fault}"
    if rule.column is not None:
        return f"{rule.column}: found {_show(found[rule.column][row])}, expected {shorten(rule.asks, 60)}"
    names = found.rows.columns if rule.expression is None else dict.fromkeys(rule.expression.meta.root_names())
    shown = ", ".join(f"{name} {_show(found[name][row])}" for name in names)
    return f"{rule.reason}: found {shorten(shown, 300)}; expected {shorten(rule.asks)}"


def _explain(rule: Rule, found: _Values, row: int) -> str | None:
    """Say which turn, entry or tag of a list is wrong, where one of our own checks says that one is."""
    if rule.expression is None or rule.column is None or not isinstance(value := found[rule.column][row], list | dict):
        return None
    from sftdata.faults import explain

    check = rule.reason.removeprefix(f"{rule.column}:")
    return explain(check, value, rule.arguments, lambda name: found[name][row])


def _show(value: Any) -> str:
    return shorten(repr(value))
