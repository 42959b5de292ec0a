"""From texts that a person gives to the ids that a finished run reads: as `prepare` would have made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sftdata.errors import DataError, TrainingError, UsageError
from sftdata.records import Task
from sftdata.training.run import RunRecord

Asked = str | Sequence[str]
"""A text, or for tags its words."""

_ALONE = r"\p{Han}\x{3001}-\x{303f}\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff20}\x{ff3b}-\x{ff40}\x{ff5b}-\x{ff65}"
"""Chinese characters, and the punctuation that goes with them."""


@dataclass(frozen=True)
class Encoded:
    """A text as a model reads it.

    Attributes:
        ids: its tokens.
        types: which text of a pair each belongs to, where a model may want to know.
        words: for tags, the words of the text.
        firsts: for tags, where the first token of each word stands.
    """

    ids: list[int]
    types: list[int] | None = None
    words: list[str] | None = None
    firsts: list[int] | None = None


def check_texts(record: RunRecord, texts: Sequence[Asked], text_pairs: Sequence[str] | None, run: Path) -> None:
    """Refuse texts of another kind than the run was trained on.

    Raises:
        UsageError: single texts for pairs, pairs for single texts, words where there are no tags.
    """
    if record.has_pairs != (text_pairs is not None):
        expected = "two texts a row, `text` and `text_pair`" if record.has_pairs else "single texts"
        raise UsageError(f"{run} was trained on {expected}; give it such")
    if text_pairs is not None and len(texts) != len(text_pairs):
        raise UsageError(f"found {len(texts)} texts and {len(text_pairs)} second texts, expected as many of both")
    if record.task != Task.TOKEN_CLASSIFICATION and not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{run} was trained for {record.task}; give it texts, not lists of words")


def encode_asked(
    tokenizer: Any, texts: Sequence[Any], text_pairs: Sequence[str] | None, task: Task, run: Path
) -> list[Encoded]:
    """Encode what `check_texts` let pass.

    Raises:
        TrainingError: a chat model without a chat template.
        DataError: a text without tokens, or a word without any.
    """
    match task:
        case Task.TOKEN_CLASSIFICATION:
            return [_encode_words(tokenizer, words, number) for number, words in enumerate(cut_words(texts), start=1)]
        case Task.CAUSAL_LM:
            encoded = [
                Encoded(tokenizer(text, add_special_tokens=False)["input_ids"])
                for text in _render(tokenizer, texts, run)
            ]
        case Task.SEQ2SEQ:
            encoded = [Encoded(tokenizer(text, truncation=False)["input_ids"]) for text in texts]
        case _:
            encoded = _encode_texts(tokenizer, texts, text_pairs)
    empty = next((number for number, one in enumerate(encoded, start=1) if not one.ids), None)
    if empty is not None:
        raise DataError(f"text {empty} has no tokens. Leave it out.")
    return encoded


def cut_words(texts: Sequence[Asked]) -> list[list[str]]:
    """Cut texts at white space, and around each Chinese character and sign; words that are given stay as they are."""
    if not texts:
        return []
    plain = pl.Series([text if isinstance(text, str) else "" for text in texts], dtype=pl.String)
    cut = plain.str.extract_all(rf"[{_ALONE}]|[^\s{_ALONE}]+").to_list()
    return [words if isinstance(text, str) else list(text) for text, words in zip(texts, cut, strict=True)]


def _encode_words(tokenizer: Any, words: list[str], number: int) -> Encoded:
    if not words:
        raise DataError(f"text {number} has no words. Leave it out.")
    found = tokenizer(words, is_split_into_words=True, truncation=False)
    places = {word: place for place, word in reversed(list(enumerate(found.word_ids(0)))) if word is not None}
    silent = next((place for place in range(len(words)) if place not in places), None)
    if silent is not None:
        raise DataError(
            f"text {number}: its word {silent + 1}, {words[silent]!r}, has no token, so the model cannot see it. "
            "Leave the word out."
        )
    return Encoded(found["input_ids"], words=words, firsts=[places[place] for place in range(len(words))])


def _encode_texts(tokenizer: Any, texts: Sequence[str], text_pairs: Sequence[str] | None) -> list[Encoded]:
    pairs = [None] * len(texts) if text_pairs is None else text_pairs
    found = [tokenizer(*pair, truncation=False, padding=False) for pair in zip(texts, pairs, strict=True)]
    typed = tokenizer.num_special_tokens_to_add(pair=True) > 0  # as `stages.tokenization.pairs` has it
    return [Encoded(one["input_ids"], one.get("token_type_ids") if typed else None) for one in found]


def _render(tokenizer: Any, texts: Sequence[str], run: Path) -> list[str]:
    if not tokenizer.chat_template:
        raise TrainingError(
            f"{run} has no chat template, expected one in chat_template.jinja; the base model lacks it."
        )
    return [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        for text in texts
    ]
