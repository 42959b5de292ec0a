"""The checks of a task, beside those that pandera brings.

Each is a function from a column name to a boolean polars expression, true where the row is good. In a schema they
stand under `checks` beside pandera's own names, and pandera runs them. A null is not judged: the answer is null.
"""

from collections.abc import Callable, Sequence

import polars as pl

from sftdata.row_checks import within

RESPONSE_ROLE = "assistant"

TOOL_CALLS = r'"tool_calls"\s*:\s*\[\s*\{'
"""What the other keys of a turn have in them where it calls tools; an empty list calls nothing."""


def not_blank(column: str) -> pl.Expr:
    """The text has a character that is not white space."""
    return _says_something(pl.col(column))


def _says_something(text: pl.Expr) -> pl.Expr:
    """There is a character that is not white space, of those that Unicode calls so; stripping would copy all texts."""
    return text.str.contains(r"\S")


def known_roles(column: str, roles: Sequence[str]) -> pl.Expr:
    """Every turn is spoken by one of `roles`."""
    return pl.col(column).list.eval(_field("role").is_in(list(roles)).fill_null(False)).list.all()


def no_blank_turn(column: str) -> pl.Expr:
    """Every turn says something; a system turn may be blank, and a turn that calls tools."""
    says = _says_something(_field("content")).fill_null(False)
    calls = _field("details").str.contains(TOOL_CALLS).fill_null(False)
    return pl.col(column).list.eval(says | calls | (_field("role") == "system").fill_null(False)).list.all()


def has_response(column: str) -> pl.Expr:
    """At least one turn is a response."""
    return pl.col(column).list.eval(_field("role") == RESPONSE_ROLE).list.any()


def ends_with_response(column: str) -> pl.Expr:
    """The last turn is a response."""
    last = pl.col(column).list.last().struct.field("role")
    return pl.when(pl.col(column).is_not_null()).then((last == RESPONSE_ROLE).fill_null(False))


def roles_alternate(column: str, tools: bool = False) -> pl.Expr:
    """After an optional system turn, user and assistant take turns, and the user begins.

    With `tools`, an assistant's turn may be followed by the results of tools and another assistant's turn.
    """
    known = _field("role").is_in(["system", "user", RESPONSE_ROLE, "tool"])
    spoken = pl.col(column).list.eval(pl.when(known).then(_field("role")).otherwise(pl.lit("?"))).list.join(" ")
    reply = "assistant(( tool)+ assistant)*" if tools else "assistant"
    end = f"( {reply}| {reply}( tool)+)?" if tools else f"( {reply})?"
    return spoken.str.contains(f"^(system )?user( {reply} user)*{end}$")


def no_blank_entry(column: str) -> pl.Expr:
    """Every entry of the list has a character that is not white space."""
    return pl.col(column).list.eval(_says_something(pl.element()).fill_null(False)).list.all()


def entries_isin(column: str, allowed_values: Sequence[str]) -> pl.Expr:
    """Every entry of the list is one of `allowed_values`."""
    return pl.col(column).list.eval(pl.element().is_in(list(allowed_values)).fill_null(False)).list.all()


def list_length(
    column: str, exact_value: int | None = None, min_value: int | None = None, max_value: int | None = None
) -> pl.Expr:
    """The list has so many entries."""
    return within(pl.col(column).list.len(), exact_value, min_value, max_value)


def whole_pairs(column: str) -> pl.Expr:
    """Every entry of the list is two texts that say something."""
    said = pl.element().list.eval(_says_something(pl.element()).fill_null(False)).list.all()
    return pl.col(column).list.eval(((pl.element().list.len() == 2) & said).fill_null(False)).list.all()


def as_long_as(column: str, other: str) -> pl.Expr:
    """The list has as many entries as the one in the column `other`."""
    return pl.col(column).list.len() == pl.col(other).list.len()


def legal_tags(column: str, scheme: str) -> pl.Expr:
    """The tags can follow each other as the scheme says: BIO (also called IOB2), BIOES, BMES or BILOU."""
    if scheme not in TAG_SCHEMES:
        raise ValueError(f"found {scheme!r}, expected {', '.join(TAG_SCHEMES)}")
    begin, inside, end, single = TAG_SCHEMES[scheme]
    tag, kind = pl.element(), pl.element().str.slice(2)
    before = tag.shift(1)
    continues = (before == f"{begin}-" + kind) | (before == f"{inside}-" + kind)
    shaped = (tag == "O") | (tag.str.contains(f"^[{begin}{inside}{end}{single}]-") & (kind != ""))
    follows = tag.str.contains(f"^[{inside}{end}]-") if end else tag.str.starts_with(f"{inside}-")
    if not end:  # an entity may stop anywhere
        legal = pl.when(follows).then(continues).otherwise(statement=True)
        return pl.col(column).list.eval((shaped & legal).fill_null(False)).list.all()
    opens = tag.str.contains(f"^[{begin}{inside}]-").fill_null(False)
    legal = pl.when(follows).then(continues).otherwise(~opens.shift(1, fill_value=False))
    closed = ~pl.col(column).list.last().str.contains(f"^[{begin}{inside}]-").fill_null(False)
    return pl.col(column).list.eval((shaped & legal).fill_null(False)).list.all() & closed


TAG_SCHEMES = {"BIO": ("B", "I", "", ""), "BIOES": tuple("BIES"), "BMES": tuple("BMES"), "BILOU": tuple("BILU")}
"""The letters with which an entity begins, goes on, ends, and stands alone."""


def _field(name: str) -> pl.Expr:
    return pl.element().struct.field(name)


TASK_CHECKS: dict[str, Callable[..., pl.Expr]] = {
    check.__name__: check
    for check in (
        *(not_blank, known_roles, no_blank_turn, has_response, ends_with_response, roles_alternate),
        *(no_blank_entry, entries_isin, list_length, whole_pairs, as_long_as, legal_tags),
    )
}
"""Every task check by the name that a schema calls it."""
