"""Encode lists of words, each word alone, as pre-tokenised input is encoded by Hugging Face's tokenizers.

`tokenizers` defines the encoding of such a list as that of its words one after the other (`encode_single_sequence` in
tokenizers 0.23, what `tokenizer(words, is_split_into_words=True)` of transformers calls): normaliser, added tokens,
pre-tokeniser and model see one word at a time. So each distinct word of a chunk is encoded once, and its pieces are
copied to wherever the word stands. Whether a space goes before a word is the tokenizer's own `add_prefix_space`.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.records import shorten
from sftdata.stages.tokenization.drafts import Drop
from sftdata.stages.tokenization.encoding import encode_texts, reject_control_tokens
from sftdata.stages.tokenization.flat import Ints, count_in_rows, take_rows
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.text.fields import flatten


@dataclass(frozen=True)
class Words:
    """The words of all rows end to end, and their pieces.

    Attributes:
        counts: how many words each row has, shape `[rows]`.
        pieces: how many tokens each word has, shape `[words]`.
        ids: the tokens of all words end to end, shape `[tokens]`.
    """

    counts: Ints
    pieces: Ints
    ids: NDArray[np.int32]


def encode_words(column: pl.Series, settings: Tokenization, drop: Drop) -> Words:
    """Encode a column of lists of words.

    Rows are rejected as `special_token_in_text`, as `no_tokens` where there is no word, and as `word_without_token`
    where a word is made of characters that the tokenizer drops: Hugging Face's alignment would lose its tag in silence.
    """
    counts = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    words = flatten(column).fill_null("").rechunk()
    kinds = words.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    place = to_numpy(kinds.indices)
    distinct = pl.Series(kinds.dictionary, dtype=pl.String)
    spelling = Drop(distinct.to_frame())  # its positions are those of distinct words
    ids, lengths = encode_texts(distinct, settings, spelling)
    if not (accepted := spelling.kept()).all():
        reject_control_tokens(np.flatnonzero(count_in_rows(~accepted[place], counts)), settings, drop)
    drop.add(np.flatnonzero(counts == 0), "no_tokens", "there is no word")
    ids, pieces = take_rows(ids, lengths, place)
    _reject_empty(words, pieces, counts, drop)
    return Words(counts, pieces, ids)


def distinct_words(column: pl.Series) -> pl.Series:
    """Return each word of a column of lists once, in order of appearance."""
    return flatten(column).drop_nulls().unique(maintain_order=True)


def _reject_empty(words: pl.Series, pieces: Ints, counts: Ints, drop: Drop) -> None:
    empty = np.flatnonzero(pieces == 0)
    if not len(empty):
        return
    rows, first = np.unique(np.repeat(np.arange(len(counts)), counts)[empty], return_index=True)
    starts = np.cumsum(counts) - counts
    for row, place in zip(rows.tolist(), empty[first].tolist(), strict=True):
        found = f"word {place - starts[row] + 1}, {shorten(ascii(words[place]))}"
        drop.add(np.array([row]), "word_without_token", f"{found}, gives no token, so its tag would be lost")
