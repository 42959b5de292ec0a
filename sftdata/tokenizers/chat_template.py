"""Render conversations through a Jinja chat template, as transformers' `apply_chat_template` does.

No clock: a template that writes the current date gets the one that the recipe names, so that the same rows give the
same bytes on any day. Where none is named `strftime_now` stays undefined, and templates which ask for it fall back to
the date written in them.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from sftdata.errors import TokenizerError
from sftdata.tokenizers.template_environment import CLOSES, OPENS, TemplateEnvironment, looks_up_texts

Turn = Mapping[str, Any]

Span = tuple[int, int]
"""First character, and one past the last."""

REASONING = ("reasoning_content", "thinking", "reasoning")
"""The keys under which turns hold reasoning; transformers fills the first two from whichever there is."""


class TemplateRefused(Exception):  # noqa: N818
    """A template does not take this conversation; the message is the template's own."""


class Rendered(NamedTuple):
    """The text of a conversation, and where `{% generation %}` says that the assistant speaks."""

    text: str
    generated: tuple[Span, ...] = ()


class ChatTemplate:
    """A compiled chat template with the tokenizer's named tokens as variables.

    Args:
        source: the template.
        variables: the tokenizer's named tokens and what else the template may ask for.
        date: what `strftime_now` tells; None leaves it undefined.

    Raises:
        TokenizerError: when the template is not valid Jinja.
    """

    def __init__(self, source: str, variables: Mapping[str, Any], date: datetime.date | None = None) -> None:
        environment = TemplateEnvironment(date)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as cause:
            raise TokenizerError(
                f"the chat template is not valid Jinja: line {cause.lineno}: {cause.message}"
            ) from None
        self._variables = dict(variables)
        self.has_tags = re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", source) is not None
        self.can_be_tracked = not looks_up_texts(source, environment)

    def render(self, messages: Sequence[Turn], tools: Any = None, *, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation.

        Raises:
            TemplateRefused: when the template raises, or fails on these messages.
        """
        return self.render_tagged(messages, tools, add_generation_prompt=add_generation_prompt).text

    def render_tagged(
        self, messages: Sequence[Turn], tools: Any = None, *, add_generation_prompt: bool = False
    ) -> Rendered:
        """Return the text of a conversation with the spans that the template's tags enclose, if it has tags.

        Raises:
            TemplateRefused: when the template raises, or fails on these messages.
        """
        try:
            if self.has_tags and any(mark in str(turn.get("content")) for turn in messages for mark in OPENS + CLOSES):
                raise TemplateRefused("a turn holds a private character that marks responses: U+FFFF0 or U+FFFF1")
            text = self._template.render(
                **self._variables,
                messages=[_alias_reasoning(turn) for turn in messages],
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
            )
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as cause:
            raise TemplateRefused(str(cause)) from None
        return _read_tags(text) if self.has_tags else Rendered(text)


def _read_tags(text: str) -> Rendered:
    pieces, spans, depth, start, at = [], [], 0, 0, 0
    for piece in re.split(f"([{OPENS}{CLOSES}])", text):
        if piece == OPENS:
            start, depth = (start if depth else at), depth + 1
        elif piece == CLOSES:
            depth -= 1
            spans += [] if depth or start == at else [(start, at)]
        else:
            pieces.append(piece)
            at += len(piece)
    return Rendered("".join(pieces), tuple(spans))


def _alias_reasoning(turn: Turn) -> Turn:
    said = next((turn[key] for key in REASONING if turn.get(key) is not None), None)
    return turn if said is None else {"thinking": said, **turn, "reasoning_content": said}
