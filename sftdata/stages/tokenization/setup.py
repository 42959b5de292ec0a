"""What turns rows of one task into examples, put together once for all chunks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from sftdata.errors import TokenizerError
from sftdata.records import Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.shards.layout import TOKEN_TYPES, WEIGHTS, example_schema
from sftdata.stages.tokenization.pairs import PairTemplate, find_pair_template
from sftdata.tokenizers.backends import Backend, Proof, make_backend
from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused
from sftdata.tokenizers.labels import byte_table
from sftdata.tokenizers.loading import Tokenizer
from sftdata.tokenizers.rendering import Renderer


@dataclass(frozen=True)
class Tokenization:
    """What turns rows of one task into examples. Pickles, so that worker processes can make their own encoder.

    Attributes:
        task: what the rows teach.
        tokenizer: the tokenizer's files.
        settings: what the recipe says.
        proof: which encoder was chosen for this tokenizer and these data; None: the reference.
        label_names: names of classes or tags by index; None for tasks without.
        has_pairs: whether rows have a second text, `text_pair`.
        is_plain_text: whether a conversation is one text, which nothing is asked before.
        has_turn_weights: whether some responses have another weight than 0 and 1.
    """

    task: Task
    tokenizer: Tokenizer
    settings: TokenizeSettings
    proof: Proof | None = None
    label_names: tuple[str, ...] | None = None
    has_pairs: bool = False
    is_plain_text: bool = False
    has_turn_weights: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made of the attributes: an encoder goes to no other process."""
        return {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}

    @property
    def extra_fields(self) -> list[pa.Field]:
        """The columns that examples have beside `row_id`, `input_ids` and `labels`."""
        types = [TOKEN_TYPES] * (self.has_pairs and self.pair_template.has_types)
        return types + [WEIGHTS] * self.has_turn_weights

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the examples."""
        return example_schema(self.task, self.label_names, self.extra_fields)

    @cached_property
    def backend(self) -> Backend:
        """The encoder that was chosen."""
        return make_backend(self.tokenizer, self.proof)

    @cached_property
    def label_ids(self) -> Mapping[str, int]:
        """The index of each label."""
        return {name: index for index, name in enumerate(self.label_names or ())}

    @cached_property
    def wrapping(self) -> tuple[list[int], list[int]]:
        """The special ids before and after a single text."""
        return find_wrapping(self.tokenizer)

    @cached_property
    def pair_template(self) -> PairTemplate:
        """The special ids and types around two texts."""
        return find_pair_template(self.tokenizer)

    @cached_property
    def renderer(self) -> Renderer:
        """The chat template with the tokens that end a response."""
        return make_renderer(self.tokenizer, self.settings)

    @cached_property
    def bytes_of_ids(self) -> pa.LargeBinaryArray | None:
        """The bytes of each id, for byte-level BPE."""
        return byte_table(self.tokenizer.reference)


def find_wrapping(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special ids that the tokenizer puts before and after a single text.

    Raises:
        TokenizerError: when it does something else to a text.
    """
    bare = tokenizer.reference.encode("a", add_special_tokens=False).ids
    whole = tokenizer.reference.encode("a", add_special_tokens=True).ids
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise TokenizerError(
        f"the tokenizer '{tokenizer.name}' changes a text when it adds special tokens; sftdata cannot use it"
    )


def make_renderer(tokenizer: Tokenizer, settings: TokenizeSettings) -> Renderer:
    """Return the renderer for the tokenizer's chat template.

    Raises:
        TokenizerError: when there is no template, or it wants a date and the settings have none.
    """
    if tokenizer.template is None:
        raise TokenizerError(
            f"the tokenizer '{tokenizer.name}' has no chat template, and causal_lm renders conversations with one. "
            "Give a Jinja file as tokenize.chat_template, use an instruct model's tokenizer, or set chat_template: "
            "false to put prompts and completions together as they stand."
        )
    variables = tokenizer.named_tokens() | settings.chat_template_arguments
    template = ChatTemplate(tokenizer.template, variables, settings.date)
    for_tools = tokenizer.tool_template and ChatTemplate(tokenizer.tool_template, variables, settings.date)
    try:
        template.render([{"role": "user", "content": "Hi"}])
    except TemplateRefused as refusal:
        if "strftime_now" in str(refusal):
            raise TokenizerError(
                f"the chat template of '{tokenizer.name}' writes the current date, which would change the data from "
                "day to day. Say which day it shall write, such as tokenize.date: 2026-01-31."
            ) from None
    return Renderer(template, tokenizer.special_tokens, settings.train_on, for_tools or None)


def without_template(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with a chat template that puts turns together as they stand.

    Each response ends with the token that ends a text; before the first turn stands what the tokenizer itself puts
    before a text. It is a template like any other, so that whoever loads the saved tokenizer asks in the same way.
    """
    ids, _ = find_wrapping(tokenizer)
    before = "".join(tokenizer.reference.id_to_token(i) or "" for i in ids)
    after = tokenizer.named_tokens().get("eos_token", "")
    template = (
        f"{{{{ {json.dumps(before, ensure_ascii=False)} }}}}"
        "{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}"
        f"{{{{ message.content }}}}{{{{ {json.dumps(after, ensure_ascii=False)} }}}}"
        "{% endgeneration %}{% else %}{{ message.content }}{% endif %}{% endfor %}"
    )
    return replace(tokenizer, template=template, tool_template=None)
