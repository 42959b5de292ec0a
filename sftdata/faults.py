"""Where a list breaks a check of ours, in words: which turn, entry or tag, and what was expected there.

The checks themselves are polars expressions in `checks`; what is here runs for rejected rows alone. A test holds both
against each other: there is a fault to tell of exactly where the check says no.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from sftdata.checks import RESPONSE_ROLE, TAG_SCHEMES, TOOL_CALLS
from sftdata.records import shorten

SHOWN = 3
"""So many faults of one list are told."""

Other = Callable[[str], Any]
"""Gives the value of another column of the row."""


def explain(check: str, value: Any, arguments: Mapping[str, Any], other: Other) -> str | None:
    """Say what is wrong with a list that breaks a check.

    Args:
        check: its name.
        value: the list; of turns each is a mapping with `role`, `content` and `details`.
        arguments: of the check.
        other: asked for what stands in another column.

    Returns:
        The faults and what was expected; None for checks that are not of lists.
    """
    if check not in _FINDERS or not isinstance(value, list):
        return None
    found = list(islice(_FINDERS[check](value, other, **arguments), SHOWN + 1))
    more = "; ..." if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more + _expected(check, arguments) if found else None


def _expected(check: str, arguments: Mapping[str, Any]) -> str:
    allowed = arguments.get("roles") or arguments.get("allowed_values") or ()
    if allowed and len(allowed) <= 5:
        return f"; expected {', '.join(map(repr, allowed))}"
    return f"; expected one of {len(allowed)} values" if allowed else ""


def _known_roles(turns: list[Any], other: Other, roles: Sequence[str]) -> Iterator[str]:
    for place, role in enumerate(_roles(turns), 1):
        if role not in roles:
            yield f"turn {place} has no role" if role is None else f"turn {place} has the role {_show(role)}"


def _no_blank_turn(turns: list[Any], other: Other) -> Iterator[str]:
    for place, turn in enumerate(turns, 1):
        role, content, details = ((turn or {}).get(key) for key in ("role", "content", "details"))
        if role != "system" and not (content and content.strip()) and not re.search(TOOL_CALLS, details or ""):
            yield f"turn {place} ({role or 'no role'}) says nothing"


def _has_response(turns: list[Any], other: Other) -> Iterator[str]:
    roles = _roles(turns)
    if RESPONSE_ROLE not in roles:
        said = f"its roles are {', '.join(map(str, dict.fromkeys(roles)))}" if roles else "there is no turn"
        yield f"no turn is of {RESPONSE_ROLE!r}: {said}"


def _ends_with_response(turns: list[Any], other: Other) -> Iterator[str]:
    last = _roles(turns)[-1:]
    if last != [RESPONSE_ROLE]:
        found = f"the last turn, {len(turns)}, is of {_show(last[0])}" if last else "there is no turn"
        yield f"{found}, expected {RESPONSE_ROLE!r}"


def _roles_alternate(turns: list[Any], other: Other, tools: bool = False) -> Iterator[str]:
    follow = {"": ["system", "user"], "system": ["user"], "user": [RESPONSE_ROLE], RESPONSE_ROLE: ["user"]}
    follow |= {RESPONSE_ROLE: ["user", "tool"], "tool": ["tool", RESPONSE_ROLE]} if tools else {}
    roles = _roles(turns)
    for place, (before, role) in enumerate(pairwise(["", *roles]), 1):
        expected = follow[before]
        if role not in expected:
            behind = f", behind {before!r}" if before else ""
            found = "has no role" if role is None else f"is of {_show(role)}"
            yield f"turn {place} {found}{behind}, expected {' or '.join(map(repr, expected))}"
            return
    if roles in ([], ["system"]):
        yield "there is no turn of 'user'"


def _no_blank_entry(entries: list[Any], other: Other) -> Iterator[str]:
    for place, entry in enumerate(entries, 1):
        if not (entry and entry.strip()):
            yield f"entry {place} is {'missing' if entry is None else 'blank'}"


def _entries_isin(entries: list[Any], other: Other, allowed_values: Sequence[str]) -> Iterator[str]:
    for place, entry in enumerate(entries, 1):
        if entry not in allowed_values:
            yield f"entry {place} is {_show(entry)}"


def _list_length(
    entries: list[Any],
    other: Other,
    exact_value: int | None = None,
    min_value: int | None = None,
    max_value: int | None = None,
) -> Iterator[str]:
    asked = {"": exact_value, "at least ": min_value, "at most ": max_value}
    said = " and ".join(f"{how}{count}" for how, count in asked.items() if count is not None)
    yield f"it has {_count(entries, 'entry', 'entries')}, expected {said}"


def _whole_pairs(pairs: list[Any], other: Other) -> Iterator[str]:
    for place, pair in enumerate(pairs, 1):
        if pair is None or len(pair) != 2:
            yield f"pair {place} has {_count(pair or (), 'text', 'texts')}, expected 2"
        elif not all(text and text.strip() for text in pair):
            yield f"pair {place} has a blank text"


def _as_long_as(entries: list[Any], column_of: Other, other: str) -> Iterator[str]:
    yield f"it has {_count(entries, 'entry', 'entries')}, but {other} has {len(column_of(other))}"


def _legal_tags(tags: list[Any], other: Other, scheme: str) -> Iterator[str]:
    begin, inside, end, single = TAG_SCHEMES[scheme]
    openers = (begin, inside) if end else ()
    for place, (before, tag) in enumerate(pairwise([None, *tags]), 1):
        letter, _, kind = (tag or "").partition("-")
        goes_on = before in (f"{begin}-{kind}", f"{inside}-{kind}")
        if tag != "O" and not (kind and letter and letter in (begin, inside, end, single)):
            yield f"tag {place}, {_show(tag)}, is none of {scheme}"
        elif letter in (inside, end) and tag != "O" and not goes_on:
            yield f"tag {place}, {_show(tag)}, does not go on from {_show(before) if before else 'the start'}"
        elif _opens(before, openers) and letter not in (inside, end):
            yield f"tag {place}, {_show(tag)}, stands behind {_show(before)}, which is not ended"
    if tags and _opens(tags[-1], openers):
        yield f"the last tag, {_show(tags[-1])}, is not ended"


def _opens(tag: str | None, openers: Sequence[str]) -> bool:
    return tag is not None and tag[1:2] == "-" and tag[:1] in openers


def _roles(turns: list[Any]) -> list[Any]:
    return [(turn or {}).get("role") for turn in turns]


def _count(entries: Sequence[Any], one: str, several: str) -> str:
    return f"{len(entries)} {one if len(entries) == 1 else several}"


def _show(value: Any) -> str:
    return "none" if value is None else shorten(repr(value), 60)


_FINDERS: dict[str, Callable[..., Iterator[str]]] = {
    "known_roles": _known_roles,
    "no_blank_turn": _no_blank_turn,
    "has_response": _has_response,
    "ends_with_response": _ends_with_response,
    "roles_alternate": _roles_alternate,
    "no_blank_entry": _no_blank_entry,
    "entries_isin": _entries_isin,
    "list_length": _list_length,
    "whole_pairs": _whole_pairs,
    "as_long_as": _as_long_as,
    "legal_tags": _legal_tags,
}
