"""The checks of a task, beside those that pandera brings.

Each is a function from a column name to a boolean polars expression, true where the row is good. In a schema they
stand under `checks` beside pandera's own names, and pandera runs them. A null is not judged: the answer is null.
"""

from collections.abc import Callable, Sequence

import polars as pl

RESPONSE_ROLE = "assistant"


def not_blank(column: str) -> pl.Expr:
    """The text has a character that is not white space."""
    return pl.col(column).str.contains(r"\S")


def known_roles(column: str, roles: Sequence[str]) -> pl.Expr:
    """Every turn is spoken by one of `roles`."""
    return pl.col(column).list.eval(_field("role").is_in(list(roles)).fill_null(False)).list.all()


def no_blank_turn(column: str) -> pl.Expr:
    """Every turn says something; a system turn may be blank."""
    says = _field("content").str.contains(r"\S").fill_null(False)
    return pl.col(column).list.eval(says | (_field("role") == "system").fill_null(False)).list.all()


def has_response(column: str) -> pl.Expr:
    """At least one turn is a response."""
    return pl.col(column).list.eval(_field("role") == RESPONSE_ROLE).list.any()


def ends_with_response(column: str) -> pl.Expr:
    """The last turn is a response."""
    last = pl.col(column).list.last().struct.field("role")
    return pl.when(pl.col(column).is_not_null()).then((last == RESPONSE_ROLE).fill_null(False))


def roles_alternate(column: str) -> pl.Expr:
    """After an optional system turn, user and assistant take turns, and the user begins."""
    known = _field("role").is_in(["system", "user", RESPONSE_ROLE])
    spoken = pl.col(column).list.eval(pl.when(known).then(_field("role")).otherwise(pl.lit("?"))).list.join(" ")
    return spoken.str.contains(r"^(system )?user( assistant user)*( assistant)?$")


def _field(name: str) -> pl.Expr:
    return pl.element().struct.field(name)


TASK_CHECKS: dict[str, Callable[..., pl.Expr]] = {
    check.__name__: check
    for check in (not_blank, known_roles, no_blank_turn, has_response, ends_with_response, roles_alternate)
}
"""Every task check by the name that a schema calls it."""
