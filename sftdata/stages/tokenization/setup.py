"""What turns rows of one task into examples, put together once for all chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from sftdata.errors import TokenizerError
from sftdata.records import Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.shards.layout import example_schema
from sftdata.tokenizers.backends import Backend, Proof, make_backend
from sftdata.tokenizers.chat_template import ChatTemplate
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
    """

    task: Task
    tokenizer: Tokenizer
    settings: TokenizeSettings
    proof: Proof | None = None
    label_names: tuple[str, ...] | None = None

    @property
    def extra_fields(self) -> list[pa.Field]:
        """The columns that examples have beside `row_id`, `input_ids` and `labels`."""
        return []

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
    def renderer(self) -> Renderer:
        """The chat template with the tokens that end a response."""
        return make_renderer(self.tokenizer)

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


def make_renderer(tokenizer: Tokenizer) -> Renderer:
    """Return the renderer for the tokenizer's chat template.

    Raises:
        TokenizerError: when there is no template.
    """
    if tokenizer.template is None:
        raise TokenizerError(
            f"the tokenizer '{tokenizer.name}' has no chat template, and causal_lm renders conversations with one. "
            "Give a Jinja file as tokenize.chat_template, or use an instruct model's tokenizer."
        )
    return Renderer(ChatTemplate(tokenizer.template, tokenizer.named_tokens()), tokenizer.special_tokens)
