"""Mark every text of a conversation, so that a rendered conversation shows where each of them went."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sftdata.tokenizers.chat_template import REASONING, Turn

FIRST_MARK, LAST_MARK = 0xF0000, 0xFFEFF
"""The private characters that marks are made of; text that holds one is not marked."""

_MARKS = re.compile(f"[{chr(FIRST_MARK)}-{chr(LAST_MARK)}]")

SAID = ("content", *REASONING, "tool_calls", "function_call")
"""The keys of a turn whose texts a model reads or writes."""

IN_CALLS = ("function", "name", "arguments")
"""What a tool call says; its id and its type are for programs, and templates compare them."""


@dataclass(frozen=True)
class Leaf:
    """A text inside a turn.

    Attributes:
        turn: the position of its turn.
        key: what holds it, one of `SAID`.
        text: the text without the white space around it.
    """

    turn: int
    key: str
    text: str


@dataclass
class Marked:
    """Turns whose texts carry marks, and the leaves by number: leaf n has the marks `FIRST_MARK + 2n` and the next."""

    turns: list[Turn]
    leaves: list[Leaf] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """Where the marks of a leaf stand in a rendered text, in characters of the text without marks; None: lost."""

    leaf: Leaf
    start: int | None
    end: int | None


def mark_leaves(messages: Sequence[Turn], *, role: str | None = None, tight: bool = False) -> Marked:
    """Put marks around every text that is not empty.

    Args:
        messages: the turns.
        role: marks only turns of this role; None marks all.
        tight: put marks inside the white space around a text, which a template may take away.

    Nothing is marked where there are more texts than marks.
    """
    marked = Marked([])
    for place, turn in enumerate(messages):
        keys = [key for key in SAID if key in turn] if role in (None, turn["role"]) else []
        said = {key: _mark(turn[key], Leaf(place, key, ""), marked, IN_CALLS, tight=tight) for key in keys}
        marked.turns.append({**turn, **said})
    return marked if 2 * len(marked.leaves) <= LAST_MARK - FIRST_MARK else Marked(list(messages))


def _mark(value: Any, place: Leaf, marked: Marked, inside: Collection[str] | None, *, tight: bool) -> Any:
    """Mark the texts in `value`; of mappings only what stands under the names `inside`, all where it is None."""
    if isinstance(value, Mapping):
        return {
            name: _mark(inner, place, marked, None if name == "arguments" else inside, tight=tight)
            if inside is None or name in inside
            else inner
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_mark(inner, place, marked, inside, tight=tight) for inner in value]
    if not isinstance(value, str) or not (core := value.strip() if tight else value):
        return value
    before = value[: value.index(core)]
    first = FIRST_MARK + 2 * len(marked.leaves)
    marked.leaves.append(replace(place, text=value.strip()))
    marks = [chr(min(mark, LAST_MARK)) for mark in (first, first + 1)]
    return f"{before}{marks[0]}{core}{marks[1]}{value[len(before) + len(core) :]}"


def read_marks(text: str, leaves: Sequence[Leaf]) -> tuple[str, list[Found]]:
    """Return a rendered text without marks, and where each leaf stands; what stands there twice counts as lost."""
    pieces = _MARKS.split(text)
    places: dict[int, list[int]] = {}
    at = 0
    for piece, mark in zip(pieces, [*_MARKS.findall(text), ""], strict=True):
        at += len(piece)
        if mark:
            places.setdefault(ord(mark) - FIRST_MARK, []).append(at)
    found = [Found(leaf, _only(places.get(2 * n)), _only(places.get(2 * n + 1))) for n, leaf in enumerate(leaves)]
    return "".join(pieces), found


def _only(places: list[int] | None) -> int | None:
    return places[0] if places and len(places) == 1 else None
