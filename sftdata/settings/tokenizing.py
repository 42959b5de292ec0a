"""How rows become tokens."""

import datetime
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from sftdata.documents import Settings, Text


class TrainTokenizerSettings(Settings):
    """A tokenizer of one's own, fitted on the training part."""

    kind: Literal["bpe", "word", "char"]
    """`bpe`: parts of words, byte-level, nothing is unknown; `word`: whole words; `char`: characters."""
    vocab_size: int = Field(default=32_000, ge=1)
    """Most tokens, control tokens included."""
    min_frequency: int = Field(default=2, ge=1)
    """A word or character that occurs less often is unknown; a pair that does so is not merged."""
    segmenter: Literal["jieba", "nltk", "whitespace"] | None = Field(default=None, validate_default=True)
    """What a word is. `jieba`: Chinese words; `nltk`: runs of letters and digits, and of punctuation; `whitespace`: all
    that stands between spaces. `word` needs one; `bpe` may take `jieba`, to learn no token across Chinese words."""

    @field_validator("segmenter")
    @classmethod
    def _check_segmenter(cls, segmenter: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind == "word" and segmenter is None:
            raise ValueError("kind word needs a segmenter, to tell what a word is: whitespace, nltk or jieba")
        if kind == "char" and segmenter is not None:
            raise ValueError("kind char knows no words; leave segmenter out")
        if kind == "bpe" and segmenter not in (None, "jieba"):
            raise ValueError("kind bpe finds words by itself; leave segmenter out, or take jieba for Chinese")
        return segmenter


class TokenizeSettings(Settings):
    """How rows become tokens."""

    tokenizer: Text | None = None
    """A local directory with tokenizer.json, relative to the recipe file, or a name on the hub."""
    train_tokenizer: TrainTokenizerSettings | None = Field(default=None, validate_default=True)
    """Instead of `tokenizer`: fit one on the training part."""
    chat_template: Text | Literal[False] | None = None
    """A Jinja file to use instead of the tokenizer's own template; or `false`, for prompts and completions that are
    put together as they stand, with the token that ends a text behind them. causal_lm only."""
    chat_template_arguments: dict[str, Any] = Field(default_factory=dict)
    """Further variables of the chat template, such as `enable_thinking: false`; causal_lm only."""
    date: datetime.date | None = None
    """The day that chat templates which write the current date shall write; causal_lm only."""
    train_on: Literal["all", "last"] = "all"
    """Which responses of a conversation are trained: `all`, or the `last` alone; a turn with `train: false` or `weight:
    0` never is."""
    special_tokens_in_text: Literal["reject", "escape", "allow"] = "reject"
    """What happens to a text that spells a control token such as `<|im_end|>`: `reject` rejects the row, `escape`
    encodes the plain characters, `allow` makes it that token, as Hugging Face's tokenizers do."""
    max_length: int = Field(default=2048, ge=1)
    """Most tokens of one example, special tokens included."""
    max_target_length: int | None = Field(default=None, ge=1)
    """Most tokens of a target, special tokens included; `max_length` where it is not given. seq2seq only."""
    overflow: Literal["reject", "truncate", "split"] = "reject"
    """What happens to a longer row: `reject` keeps it with the rejected rows, `truncate` cuts off its end, `split`
    makes several examples of it, conversations between turns."""
    label_all_pieces: bool = False
    """Whether all pieces of a word have its tag, those behind the first of a `B-X` word `I-X`; without it they are not
    trained. token_classification only."""
    backend: Literal["auto", "gigatoken", "fastokens", "tokie", "huggingface"] = "auto"
    """`auto` takes the fastest backend that is proved equal to Hugging Face's tokenizers (`huggingface`), which are the
    reference; `gigatoken`, `fastokens` or `tokie` insists on one, and it is an error when it is not equal."""

    @field_validator("train_tokenizer")
    @classmethod
    def _check_one(
        cls, train_tokenizer: TrainTokenizerSettings | None, info: ValidationInfo
    ) -> TrainTokenizerSettings | None:
        if "tokenizer" in info.data and (info.data["tokenizer"] is None) == (train_tokenizer is None):
            found = "neither" if train_tokenizer is None else "both"
            raise ValueError(f"found {found}, expected one of tokenizer, train_tokenizer")
        return train_tokenizer
