"""Compile a chat template for one shape of conversation: literals around contents, and the guards that must hold.

Conversations with the same sequence of roles render to the same literals, as long as the template does not look into
a content. So the template is rendered once with a probe for each content. A probe is a string that writes down every
question asked of it. Questions with a yes or no answer (is it empty? does it contain `</think>`?) become guards: rows
for which the answer is another take the slow way. After any other question the shape is not compiled.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from sftdata.checks import RESPONSE_ROLE
from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused
from sftdata.tokenizers.edges import ResponseUnknown
from sftdata.tokenizers.regions import find_regions
from sftdata.tokenizers.template_environment import Tracked, concatenate

PYTHON_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
"""What `str.strip` removes: polars' own notion lacks four control characters."""


Trim = tuple[str, str | None]
"""A method of `str` that trims, and the characters that it takes away; None means white space."""


class Slot(NamedTuple):
    """A place in the rendered text that takes the content of one turn, trimmed as the template trims it."""

    turn: int
    trims: tuple[Trim, ...] = ()


Guard = tuple[Slot, Callable[[pl.Expr], pl.Expr]]
"""A content and what must be true of it for the compiled shape to hold."""


@dataclass(frozen=True)
class Shape:
    """A compiled shape.

    Attributes:
        parts: literals and slots in order of the rendered text.
        guards: conditions on the contents.
    """

    parts: tuple[str | Slot, ...]
    guards: tuple[Guard, ...]


class _Mixed(Tracked):
    """Text in which contents stand beside other text; nothing may be asked of it."""

    log: "_Log"

    def give_up(self) -> bool:
        return self.log.give_up()

    def joined(self, text: str) -> Tracked:
        mixed = _Mixed(text)
        mixed.log = self.log
        return mixed

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return concatenate([self, other])

    def __radd__(self, other: str) -> str:
        return concatenate([other, self])


class _Probe(_Mixed):
    """A content that stands for all contents, and records what the template asks of it."""

    slot: Slot

    def __bool__(self) -> bool:
        return self.log.answer(self.slot, lambda text: text.str.len_bytes() > 0, found=True)

    def __contains__(self, part: object) -> bool:
        if isinstance(part, Tracked) or not isinstance(part, str):
            return self.log.give_up()
        return self.log.answer(self.slot, lambda text: ~text.str.contains(part, literal=True), found=False)

    def startswith(self, prefix: Any, *rest: Any) -> bool:
        if rest or not isinstance(prefix, str) or isinstance(prefix, Tracked):
            return self.log.give_up()
        return self.log.answer(self.slot, lambda text: ~text.str.starts_with(prefix), found=False)

    def endswith(self, suffix: Any, *rest: Any) -> bool:
        if rest or not isinstance(suffix, str) or isinstance(suffix, Tracked):
            return self.log.give_up()
        return self.log.answer(self.slot, lambda text: ~text.str.ends_with(suffix), found=False)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tracked):
            return self.log.give_up()
        return self.log.answer(self.slot, lambda text: text != str(other), found=False)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def strip(self, characters: Any = None, /) -> str:
        return self._trim("strip", characters)

    def lstrip(self, characters: Any = None, /) -> str:
        return self._trim("lstrip", characters)

    def rstrip(self, characters: Any = None, /) -> str:
        return self._trim("rstrip", characters)

    def _trim(self, method: str, characters: str | None) -> str:
        return _probe(Slot(self.slot.turn, (*self.slot.trims, (method, characters))), self.log)


class _Log:
    """What a template asked of the probes of one render."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.guards: list[Guard] = []
        self.compilable = True

    def answer(self, slot: Slot, guard: Callable[[pl.Expr], pl.Expr], *, found: bool) -> bool:
        self.guards.append((slot, guard))
        return found

    def give_up(self) -> bool:
        self.compilable = False
        return False


def _watch(name: str) -> Callable[..., Any]:
    method = getattr(str, name)

    def watched(self: _Mixed, *args: Any, **named: Any) -> Any:
        self.log.give_up()
        return method(self, *args, **named)

    return watched


_HARMLESS = (
    {"__add__", "__str__", "__repr__", "__new__", "__init__", "__class__", "__doc__", "__dir__", "__getattribute__"}
    | {"__setattr__", "__delattr__", "__init_subclass__", "__subclasshook__", "__sizeof__", "__hash__"}
    | {"__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__"}
)
for _name in set(dir(str)) - _HARMLESS:
    setattr(_Mixed, _name, _watch(_name))


def _mixed_truth(self: _Mixed) -> bool:
    return not self.log.give_up()


_Mixed.__bool__ = _mixed_truth  # type: ignore[attr-defined]  # str has none: its length would be asked for


def _probe(slot: Slot, log: _Log) -> _Probe:
    # quotes, a backslash, mixed case and `<`: a template that escapes or changes a content changes them too
    probe = _Probe(f'\ue000aA"<\\{len(log.slots)}\ue001')
    probe.slot, probe.log = slot, log
    log.slots.append(slot)
    return probe


_MARK = re.compile('\ue000aA"<\\\\([0-9]+)\ue001')


def compile_shape(template: ChatTemplate, roles: Sequence[str]) -> Shape | None:
    """Render the template once for this sequence of roles; None when it looks into contents in a way not understood.

    Raises:
        TemplateRefused: when the template takes no conversation of this shape, whatever is said in it.
    """
    log = _Log()
    messages = [{"role": role, "content": _probe(Slot(turn), log)} for turn, role in enumerate(roles)]
    if not template.can_be_tracked:
        return None
    try:
        text = template.render(messages)
    except TemplateRefused:
        if log.guards or not log.compilable:
            return None  # another content might have passed
        raise
    if not log.compilable:
        return None
    pieces = _MARK.split(text)
    parts: list[str | Slot] = [pieces[0]]
    for number, literal in zip(pieces[1::2], pieces[2::2], strict=True):
        parts += [log.slots[int(number)], literal]
    if any("\ue000" in part or "\ue001" in part for part in parts if isinstance(part, str)):
        return None
    return Shape(tuple(part for part in parts if part != ""), tuple(log.guards))


class Edge(NamedTuple):
    """An edge of a span in the text of a shape: so many bytes of UTF-8 behind the beginning of a part.

    The part after the last one stands for the end of the text.
    """

    part: int
    bytes: int


class PlacedSpan(NamedTuple):
    """A span that is trained in conversations of a shape, and the position of its turn."""

    start: Edge
    end: Edge
    turn: int


def place_spans(
    shape: Shape, roles: Sequence[str], template: ChatTemplate, end_tokens: Sequence[str], wanted: Sequence[bool]
) -> list[PlacedSpan] | None:
    """Find the spans that are trained in conversations of a shape, in order; None where they cannot be proved.

    They are found in one conversation of this shape, whose contents are made up.

    Raises:
        TemplateRefused: when the template refuses that conversation.
    """
    messages = [{"role": role, "content": f"Qz{turn}zQ"} for turn, role in enumerate(roles)]
    texts = [part if isinstance(part, str) else messages[part.turn]["content"] for part in shape.parts]
    try:
        regions = find_regions(template, messages, None, end_tokens, wanted)
    except ResponseUnknown:
        return None
    if "".join(texts) != regions.text:
        return None
    responses = [turn for turn, role in enumerate(roles) if role == RESPONSE_ROLE]
    spans = [
        PlacedSpan(_find_edge(start, texts), _find_edge(end, texts), turn)
        for turn, of_turn in zip(responses, regions.spans, strict=True)
        for start, end in of_turn
    ]
    inside = [
        edge
        for span in spans
        for edge in (span.start, span.end)
        if edge.bytes and not isinstance(shape.parts[edge.part], str)
    ]
    return spans if not inside else None


def _find_edge(place: int, texts: Sequence[str]) -> Edge:
    for part, text in enumerate(texts):
        if place < len(text):
            return Edge(part, len(text[:place].encode()))
        place -= len(text)
    return Edge(len(texts), 0)


def content_of(slot: Slot) -> pl.Expr:
    """Return the expression of a slot's content in rows that have a `messages` column."""
    content = pl.col("messages").list.get(slot.turn, null_on_oob=True).struct.field("content")
    for method, characters in slot.trims:
        content = _TRIMS[method](content, PYTHON_SPACE if characters is None else characters)
    return content


_TRIMS: dict[str, Callable[[pl.Expr, str], pl.Expr]] = {
    "strip": lambda text, characters: text.str.strip_chars(characters),
    "lstrip": lambda text, characters: text.str.strip_chars_start(characters),
    "rstrip": lambda text, characters: text.str.strip_chars_end(characters),
}
