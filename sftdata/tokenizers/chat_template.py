"""Render conversations through a Jinja chat template, as transformers' `apply_chat_template` does.

No clock: `strftime_now` is left undefined, so that templates which ask for it fall back to the date written in them
and the same rows give the same bytes on any day.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.ext import loopcontrols as LoopControls  # noqa: N812
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sftdata.errors import TokenizerError

Turn = Mapping[str, Any]


class TemplateRefused(Exception):  # noqa: N818
    """A template does not take this conversation; the message is the template's own."""


class _Generation(Extension):
    """`{% generation %}` marks what the assistant says; for the rendered text it changes nothing."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A compiled chat template with the tokenizer's named tokens as variables.

    Raises:
        TokenizerError: when the template is not valid Jinja.
    """

    def __init__(self, source: str, named_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, LoopControls]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as cause:
            raise TokenizerError(
                f"the chat template is not valid Jinja: line {cause.lineno}: {cause.message}"
            ) from None
        self._variables = dict(named_tokens)

    def render(self, messages: Sequence[Turn], tools: Any = None, *, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation.

        Raises:
            TemplateRefused: when the template raises, or fails on these messages.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._variables,
            )
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as cause:
            raise TemplateRefused(str(cause)) from None


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)
