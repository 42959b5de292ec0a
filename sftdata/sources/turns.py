"""Turn conversations as their sources have them into turns of ours, value by value."""

import math
from typing import Any, TypeGuard

from sftdata.column import Column
from sftdata.records import LEAST_WEIGHT, MOST_WEIGHT, shorten
from sftdata.sources.json_text import LONE_SURROGATE, Number, dump_json, load_json

Turn = dict[str, Any]
"""A turn as `records.TURN` has it."""

TOOL_CALLS = "tool_calls"
"""What a schema calls the role of a turn whose content is the JSON of its tool calls."""


class Misfit(Exception):  # noqa: N818
    """A value is not what its column takes; the message says what was found and what was expected."""


def fit_turns(value: Any, column: Column) -> list[Turn]:
    """Return a conversation as turns of ours; what else a turn says stands in its `details` as it was written.

    Args:
        value: JSON as `load_json` gives it, or of Python's own types.
        column: says what the turns call their parts and their roles.

    Raises:
        Misfit: when it is no conversation.
    """
    if not isinstance(value, list):
        raise Misfit(f"found {show(value)}, expected a list of turns")
    reserved = {column.keys.role, column.keys.content, "weight", "train"}
    return [_fit_turn(turn, column, reserved, f"turn {number}") for number, turn in enumerate(value, start=1)]


def show(value: Any) -> str:
    """Return a value for a message, short and printable."""
    return shorten(repr(value), 80)


def is_text(value: Any) -> TypeGuard[str]:
    """Tell whether a value is text that UTF-8 can hold."""
    return type(value) is str and not LONE_SURROGATE.search(value)


def to_float(value: Any) -> float:
    """Return a number as a float; NaN for anything else, infinity for what is too large."""
    return float(str(value)) if type(value) in (Number, int, float) else math.nan


def _fit_turn(turn: Any, column: Column, reserved: set[str], place: str) -> Turn:
    if not isinstance(turn, dict):
        raise Misfit(f"found {show(turn)} as {place}, expected an object")
    keys = column.keys
    role, content = turn.get(keys.role), turn.get(keys.content)
    details = {name: turn[name] for name in turn if name not in reserved}
    if role is not None and not is_text(role):
        raise Misfit(f"found {show(role)} as {keys.role} of {place}, expected text")
    ours = column.roles.get(role, role) if role else role
    if ours == TOOL_CALLS and role in column.roles:
        if TOOL_CALLS in details:
            raise Misfit(
                f"found tool calls both in {keys.content} and in {TOOL_CALLS} of {place}, expected one of them"
            )
        role, content, details = "assistant", None, {TOOL_CALLS: _read_calls(content, place), **details}
    else:
        role, content = ours, _read_content(content, f"{keys.content} of {place}")
    return {"role": role, "content": content, "weight": _read_weight(turn, place), "details": _write(details, place)}


def _read_content(content: Any, place: str) -> str | None:
    """Return the text of a turn, joined where it stands in parts."""
    if isinstance(content, list):
        return "".join(_read_part(part, f"part {number} of {place}") for number, part in enumerate(content, start=1))
    if content is None or is_text(content):
        return content
    raise Misfit(f"found {show(content)} as {place}, expected text or a list of text parts")


def _read_part(part: Any, place: str) -> str:
    if isinstance(part, dict) and part.keys() == {"type", "text"} and part["type"] == "text" and is_text(part["text"]):
        return part["text"]
    raise Misfit(f'found {show(part)} as {place}, expected {{"type": "text", "text": "..."}}')


def _read_calls(content: Any, place: str) -> list[dict[str, Any]]:
    """Return the tool calls of a turn in OpenAI's form, each as it was written."""
    try:
        calls = load_json(content) if type(content) is str else content
    except ValueError:
        calls = None
    calls = calls if isinstance(calls, list) else [calls]
    for call in calls:
        if not isinstance(call, dict) or not is_text(call.get("name")) or "arguments" not in call:
            raise Misfit(f"found {show(content)} as tool calls of {place}, expected JSON with name and arguments")
    return [{"type": "function", "function": call} for call in calls]


def _read_weight(turn: Turn, place: str) -> float | None:
    weight, train = turn.get("weight"), turn.get("train")
    if weight is not None and train is not None:
        raise Misfit(f"found both weight and train in {place}, expected one of them")
    if train is not None and not isinstance(train, bool):
        raise Misfit(f"found {show(train)} as train of {place}, expected true or false")
    if weight is None:
        return None if train is None else float(train)
    number = to_float(weight)
    if number != 0 and not LEAST_WEIGHT <= number <= MOST_WEIGHT:
        raise Misfit(f"found {show(weight)} as weight of {place}, expected a number from 0 to {MOST_WEIGHT:.1e}")
    return number


def _write(details: dict[str, Any], place: str) -> str | None:
    try:
        return dump_json(details) if details else None
    except (ValueError, TypeError) as problem:
        raise Misfit(f"{place} cannot be kept as it is: {problem}") from None
