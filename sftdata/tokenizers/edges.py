"""Where a response begins and ends in a rendered conversation, found by rendering parts of it.

Templates write the same words around like turns, so what was found once in a chunk is remembered: the next turn of that
kind with the same words before its first text and behind its last one has its edges at the same places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sftdata.checks import RESPONSE_ROLE
from sftdata.tokenizers.chat_template import ChatTemplate, Span, TemplateRefused, Turn
from sftdata.tokenizers.leaves import Found, mark_leaves, read_marks


class ResponseUnknown(Exception):  # noqa: N818
    """It cannot be proved where a response stands, or that the template shows all of it; the message says why."""


@dataclass(frozen=True)
class Opening:
    """How a response begins.

    Attributes:
        start: where; None where that is not known.
        framed: whether all that the template writes around the turn's texts is part of it.
        header: what the prompt for this turn has beyond the turns before.
    """

    start: int | None
    framed: bool
    header: str


Memory = dict[tuple[Any, ...], Any]
"""What was found of turns of one kind."""


@dataclass(frozen=True)
class Talk:
    """A conversation, and what is known of its rendering.

    Attributes:
        template: the chat template.
        end_tokens: the control tokens, one of which ends a turn.
        messages: the turns.
        tools: the tools on offer, or None.
        text: the rendered text.
        found: where its leaves stand.
        memory: what other conversations have shown.
    """

    template: ChatTemplate
    end_tokens: Sequence[str]
    messages: Sequence[Turn]
    tools: Any
    text: str
    found: Sequence[Found]
    memory: Memory = field(default_factory=dict)

    def render(self, turns: int, *, prompt: bool = False) -> str | None:
        """Render the first turns alone; None where the template refuses them."""
        try:
            return self.template.render(self.messages[:turns], self.tools, add_generation_prompt=prompt)
        except TemplateRefused:
            return None

    def leaves(self, turn: int) -> list[Found]:
        """Return where the texts of a turn stand."""
        return [found for found in self.found if found.leaf.turn == turn]

    def kind(self, turn: int) -> tuple[Any, ...]:
        """Return what a template can tell of a turn without looking into its texts."""
        before = self.messages[turn - 1]["role"] if turn else None
        keys = tuple(sorted(key for key, value in self.messages[turn].items() if value))
        return before, keys, turn == len(self.messages) - 1, self.tools is not None


def find_leaves(template: ChatTemplate, messages: Sequence[Turn], tools: Any, text: str) -> list[Found]:
    """Render once more with marks; where they change the text, with fewer; nothing is known where all fail."""
    for role, tight in ((None, False), (None, True), (RESPONSE_ROLE, False), (RESPONSE_ROLE, True)):
        marked = mark_leaves(messages, role=role, tight=tight)
        try:
            bare, found = read_marks(template.render(marked.turns, tools), marked.leaves)
        except TemplateRefused:
            continue
        if bare == text:
            return found
    return []


def find_region(talk: Talk, turn: int) -> Span:
    """Return where the response `turn` stands.

    Raises:
        ResponseUnknown: when that cannot be told.
    """
    opening = find_opening(talk, turn)
    end = _find_end(talk, turn, framed=opening.framed)
    if opening.start is None or end is None or opening.start >= end:
        raise ResponseUnknown(f"the template changes turn {turn + 1}, so its place in the text is unknown")
    return opening.start, end


def find_opening(talk: Talk, turn: int) -> Opening:
    """Tell how the response `turn` begins."""
    first = next((found.start for found in talk.leaves(turn) if found.start is not None), None)
    if first is None:
        return _search_opening(talk, turn, None)
    before = max((found.end for found in talk.found if found.end is not None and found.end <= first), default=0)
    key = ("opening", *talk.kind(turn), talk.text[before:first])
    if key not in talk.memory:
        found = _search_opening(talk, turn, first)
        if found.start is None or not before <= found.start <= first:
            return found
        talk.memory[key] = (first - found.start, found.framed, found.header)
    distance, framed, header = talk.memory[key]
    return Opening(first - distance, framed, header)


def _search_opening(talk: Talk, turn: int, first: int | None) -> Opening:
    header, before = _header(talk, turn), talk.render(turn) or ""
    shown = talk.text.startswith(before)
    if header and shown and (fitting := _fit(header, _common(talk.text[len(before) :], header))):
        return Opening(len(before) + fitting, True, header)
    if first is None:
        return Opening(None, True, header)
    if not header and shown:  # the template knows no prompts
        frame = talk.text[len(before) : first].strip()
        return Opening(first if frame else len(before), not frame, header)
    # what came before is shown otherwise here; the prompt's last words stand before the response all the same
    start = max((found.end for found in talk.found if found.leaf.turn < turn and found.end is not None), default=0)
    return Opening(start + _find_header(talk.text[start:first], header), True, header)


def _header(talk: Talk, turn: int) -> str:
    """Return what the prompt for a turn has beyond the turns before."""
    prompt, before = talk.render(turn, prompt=True), talk.render(turn)
    return prompt[_common(prompt, before) :] if prompt is not None and before is not None else ""


def _find_header(gap: str, header: str) -> int:
    """Return where in `gap`, the template's own text before a response, the header of the turn ends."""
    for length in range(len(header), 0, -1):
        if _fit(header, length) == length and (place := gap.rfind(header[:length])) >= 0:
            return place + length
    return len(gap)


def _fit(header: str, length: int) -> int:
    """Return how much of the header's first `length` characters is whole words.

    The prompt may hold more than the header that each response has, such as `<think>`.
    """
    while 0 < length < len(header) and not header[length - 1].isspace() and header[length] != "<":
        length -= 1
    return length


def _common(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    if one.startswith(other):
        return len(other)
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _find_end(talk: Talk, turn: int, *, framed: bool) -> int | None:
    """Find where the turn ends: behind the control token that follows its last text."""
    ends = [(found.end, found.leaf.key) for found in talk.leaves(turn) if found.end is not None]
    if not ends:
        return None
    last, key = max(ends)
    following = [found.start for found in talk.found if found.leaf.turn > turn and found.start is not None]
    gap = talk.text[last : min(following, default=len(talk.text))]
    kind = ("end", *talk.kind(turn), key, framed, gap)
    if kind not in talk.memory:
        length = _search_end(talk, turn, gap, framed=framed, in_content=key == "content")
        if length is None:
            return None
        talk.memory[kind] = length
    end: int = last + talk.memory[kind]
    return end


def _search_end(talk: Talk, turn: int, gap: str, *, framed: bool, in_content: bool) -> int | None:
    """Return how much of `gap`, the template's own text behind a turn, belongs to it; None where that is unknown."""
    space = len(gap) - len(gap.lstrip())
    token = find_end_token(gap[space:], talk.end_tokens)
    direct = space + len(token) if token else 0
    if not framed:
        return direct
    tail = _tail(talk, turn)
    stops = [at + len(name) for name in talk.end_tokens for at in _occurrences(tail or "", name)]
    fitting = [stop for stop in stops if gap.startswith((tail or "")[:stop])]
    if fitting or direct:
        return max(fitting, default=direct)
    return 0 if tail is not None and not stops and in_content else None


def _tail(talk: Talk, turn: int) -> str | None:
    """Return the template's own text behind a turn, as it is when the conversation ends there."""
    text = talk.render(turn + 1)
    if text is None:
        return None
    found = find_leaves(talk.template, talk.messages[: turn + 1], talk.tools, text)
    ends = [leaf.end for leaf in found if leaf.leaf.turn == turn and leaf.end is not None]
    return text[max(ends) :] if ends else None


def _occurrences(text: str, part: str) -> list[int]:
    places, at = [], text.find(part)
    while at >= 0:
        places.append(at)
        at = text.find(part, at + 1)
    return places


def find_end_token(literal: str, end_tokens: Sequence[str]) -> str:
    """Return the control token that `literal` begins with, or nothing; the longest where several fit."""
    return max((token for token in end_tokens if literal.startswith(token)), key=len, default="")
