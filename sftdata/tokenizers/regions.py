"""Where in a rendered conversation each response stands: from the end of its prompt to the token that ends its turn.

With `{% generation %}` tags the template says so itself. Without, a response begins where the prompt ends that the
model is given for it (the turns before, with `add_generation_prompt`). Where the whole conversation shows earlier turns
otherwise than that prompt does (templates that leave out old reasoning), the prompt's last words are looked for in
the template's own text before the turn's first word. A response ends with the control token behind its last word; marks
put into every text tell where words end and the template's own text begins.

The proof: what is trained must hold every text of the turn, in order, with nothing lost but white space.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftdata.checks import RESPONSE_ROLE
from sftdata.tokenizers.chat_template import REASONING, ChatTemplate, Rendered, Span, Turn
from sftdata.tokenizers.edges import Memory, ResponseUnknown, Talk, find_leaves, find_opening, find_region
from sftdata.tokenizers.leaves import Leaf, mark_leaves


@dataclass(frozen=True)
class Regions:
    """A rendered conversation.

    Attributes:
        text: as the template gives it.
        spans: for each response, in order, the spans of what the model writes; one, but for templates with tags.
    """

    text: str
    spans: tuple[tuple[Span, ...], ...]


def find_regions(
    template: ChatTemplate,
    messages: Sequence[Turn],
    tools: Any,
    end_tokens: Sequence[str],
    wanted: Sequence[bool] | None = None,
    memory: Memory | None = None,
) -> Regions:
    """Render a conversation and find its responses.

    Args:
        template: the chat template.
        messages: the turns.
        tools: the tools on offer, or None.
        end_tokens: the control tokens, one of which ends a turn.
        wanted: for each response whether it is trained; the others get no span and need no proof. None: all.
        memory: what was learned from other conversations with this template; added to.

    Raises:
        TemplateRefused: when the template takes no such conversation.
        ResponseUnknown: when it cannot be proved where a response stands.
    """
    responses = [place for place, turn in enumerate(messages) if turn["role"] == RESPONSE_ROLE]
    wanted = [True] * len(responses) if wanted is None else wanted
    rendered = template.render_tagged(messages, tools)
    if not any(wanted):
        return Regions(rendered.text, ((),) * len(responses))
    found = find_leaves(template, messages, tools, rendered.text)
    talk = Talk(template, end_tokens, messages, tools, rendered.text, found, {} if memory is None else memory)
    spans = _read_tagged(rendered, talk, responses, wanted) if template.has_tags else None
    if spans is None:
        spans = [
            (find_region(talk, turn),) if is_wanted else () for turn, is_wanted in zip(responses, wanted, strict=True)
        ]
    for turn, of_turn in zip(responses, spans, strict=True):
        if of_turn:
            _prove(talk, turn, of_turn)
    return Regions(rendered.text, tuple(spans))


def _read_tagged(
    rendered: Rendered, talk: Talk, responses: Sequence[int], wanted: Sequence[bool]
) -> list[tuple[Span, ...]] | None:
    """Give each tagged span to its turn; None where there are tags but none was rendered for a response."""
    spans = rendered.generated
    if not spans:
        return None
    if len(spans) == len(responses):
        return [(span,) if is_wanted else () for span, is_wanted in zip(spans, wanted, strict=True)]
    of_turn: dict[int, list[Span]] = {turn: [] for turn in responses}
    for start, end in spans:
        # what holds no text of its own, such as the token that ends a turn, belongs to the text before it
        places = [(found.end, found.leaf.turn) for found in talk.found if found.end is not None and found.end <= end]
        owners = {turn for place, turn in places if place > start} or {
            turn for _, turn in [max(places, default=(0, -1))]
        }
        if len(owners) != 1 or not owners <= of_turn.keys():
            raise ResponseUnknown("it cannot be told to which turn a span of {% generation %} belongs")
        of_turn[owners.pop()].append((start, end))
    return [tuple(of_turn[turn]) if is_wanted else () for turn, is_wanted in zip(responses, wanted, strict=True)]


def _prove(talk: Talk, turn: int, spans: Sequence[Span]) -> None:
    """Make sure that the spans hold every text of the turn, in order, and no other turn's.

    A response may begin with what its prompt has already said, such as `<think>`.
    """
    header, start = find_opening(talk, turn).header, spans[0][0]
    fitting = next((size for size in range(len(header), 0, -1) if talk.text[:start].endswith(header[:size])), 0)
    header = _squeeze(header[:fitting])
    trained = header + _squeeze("".join(talk.text[start:end] for start, end in spans))
    at: dict[str, int] = {}
    for key, text in dict.fromkeys((_kind(leaf), leaf.text) for leaf in _texts(talk, turn)):
        end = _search(trained, text, at.get(key, 0), len(header), quoted=key in _QUOTED)
        if end < 0:
            raise ResponseUnknown(f"the template leaves out or changes {key} of turn {turn + 1}")
        at[key] = end
    for found in talk.found:
        inside = found.end is not None and any(start < found.end <= end for start, end in spans)
        if inside and found.leaf.turn != turn:
            raise ResponseUnknown(f"the template puts turn {found.leaf.turn + 1} into turn {turn + 1}")
        if inside and found.start is not None and found.leaf.key not in _QUOTED:
            shown = talk.text[found.start : found.end]
            if _squeeze(shown) != _squeeze(found.leaf.text):
                raise ResponseUnknown(f"the template changes {found.leaf.key} of turn {turn + 1}")


_QUOTED = ("tool_calls", "function_call")
"""What templates write as JSON, with its escapes."""


def _kind(leaf: Leaf) -> str:
    return REASONING[0] if leaf.key in REASONING else leaf.key


def _texts(talk: Talk, turn: int) -> list[Leaf]:
    return mark_leaves([talk.messages[turn]]).leaves


def _search(trained: str, text: str, start: int, least: int, *, quoted: bool) -> int:
    """Return the end of a text that begins behind `start` and ends behind `least`, -1 where there is none.

    White space does not count.
    """
    forms = [text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]] if quoted else [text]
    for wanted in filter(None, map(_squeeze, forms)):
        if (place := trained.find(wanted, max(start, least - len(wanted) + 1))) >= 0:
            return place + len(wanted)
    return -1 if _squeeze(text) else start


def _squeeze(text: str) -> str:
    return "".join(text.split())
