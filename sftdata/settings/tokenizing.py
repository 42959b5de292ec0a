"""How rows become tokens."""

import datetime
from typing import Any, Literal

from pydantic import Field

from sftdata.documents import Settings, Text


class TokenizeSettings(Settings):
    """How rows become tokens."""

    tokenizer: Text
    """A local directory with tokenizer.json, relative to the recipe file, or a name on the hub."""
    chat_template: Text | Literal[False] | None = None
    """A Jinja file to use instead of the tokenizer's own template; or `false`, for prompts and completions that are
    put together as they stand, with the token that ends a text behind them. causal_lm only."""
    chat_template_arguments: dict[str, Any] = Field(default_factory=dict)
    """Further variables of the chat template, such as `enable_thinking: false`; causal_lm only."""
    date: datetime.date | None = None
    """The day that chat templates which write the current date shall write; causal_lm only."""
    train_on: Literal["all", "last"] = "all"
    """Which responses of a conversation are trained; a turn with `train: false` or `weight: 0` never is."""
    special_tokens_in_text: Literal["reject", "escape", "allow"] = "reject"
    """What happens to a text that spells a control token such as `<|im_end|>`: the row is rejected; or it is encoded as
    the plain characters; or it becomes that token, as Hugging Face's tokenizers have it."""
    max_length: int = Field(default=2048, ge=1)
    """Most tokens of one example, special tokens included."""
    overflow: Literal["reject", "truncate", "split"] = "reject"
    """What happens to a longer row; `split` makes several examples of it, conversations between turns."""
    backend: Literal["auto", "tokie", "huggingface"] = "auto"
    """`auto` takes the fast backend where it is proved equal to Hugging Face's, which is the reference."""
