"""Encode texts so that none of them becomes a control token unless the recipe wants it, and keep to the length."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.stages.tokenization.drafts import Drop
from sftdata.stages.tokenization.flat import Flags, Ints, positions_in_rows
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.tokenizers.backends import Encoded
from sftdata.tokenizers.encoders import reference_encoder
from sftdata.tokenizers.loading import Tokenizer
from sftdata.tokenizers.routing import weave


def encode_texts(texts: pl.Series, settings: Tokenization, drop: Drop) -> Encoded:
    """Encode one text a row, without special tokens around it; rows may be rejected as `special_token_in_text`."""
    handling = settings.settings.special_tokens_in_text
    spelled = spell_control_tokens(texts, settings.tokenizer) if handling != "allow" else np.zeros(len(texts), np.bool_)
    if not spelled.any():
        return settings.backend.encode(texts)
    if handling == "reject":
        reject_control_tokens(np.flatnonzero(spelled), settings, drop)
        return settings.backend.encode(texts)
    rows = np.flatnonzero(spelled)
    others = settings.backend.encode(texts.filter(pl.Series(~spelled)))
    return weave(others, reference_encoder(settings.tokenizer.plain_reference)(texts[rows]), spelled)


def spell_control_tokens(texts: pl.Series, tokenizer: Tokenizer) -> Flags:
    """Tell which texts spell a control token: encoded as they stand, they would become one."""
    tokens = list(tokenizer.special_tokens)
    if not tokens or texts.null_count() == len(texts):
        return np.zeros(len(texts), dtype=np.bool_)
    found: Flags = texts.str.contains_any(tokens).fill_null(value=False).to_numpy()
    return found


def reject_control_tokens(rows: Ints, settings: Tokenization, drop: Drop) -> None:
    """Reject rows that spell a control token."""
    tokens = ", ".join(settings.tokenizer.special_tokens[:20])
    hint = "to keep such rows set special_tokens_in_text: escape"
    drop.add(rows, "special_token_in_text", f"the text spells a control token, one of {tokens}; {hint}")


@dataclass(frozen=True)
class Cut:
    """Rows of tokens brought to the length that is allowed.

    Attributes:
        rows: the row that each piece comes from, rising, shape `[pieces]`.
        keep: which tokens are still there, shape `[tokens]` of before.
        lengths: how many tokens each piece has, shape `[pieces]`.
        truncated: which pieces lost tokens, shape `[pieces]`.
    """

    rows: Ints
    keep: Flags
    lengths: Ints
    truncated: Flags

    def apply(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return what is left of `values`, which has one entry a token of before."""
        return values if self.keep.all() else values[self.keep]


def cut(lengths: Ints, most: int, settings: Tokenization, drop: Drop) -> Cut:
    """Reject, truncate or split the rows of more than `most` tokens, as the recipe says."""
    rows, none = np.arange(len(lengths)), np.zeros(len(lengths), dtype=np.bool_)
    everything = np.ones(int(lengths.sum()), dtype=np.bool_)
    long = lengths > most
    if not long.any():
        return Cut(rows, everything, lengths, none)
    if settings.settings.overflow == "truncate" and most > 0:
        return Cut(rows, positions_in_rows(lengths) < most, np.minimum(lengths, most), long)
    if settings.settings.overflow == "split" and most > 0:
        pieces = np.maximum(-(-lengths // most), 1)
        of_piece = np.repeat(rows, pieces)
        left = lengths[of_piece] - most * positions_in_rows(pieces)
        return Cut(of_piece, everything, np.minimum(left, most), np.zeros(len(of_piece), dtype=np.bool_))
    reject_long(np.flatnonzero(long), settings, drop, extra=settings.settings.max_length - most)
    return Cut(rows, everything, lengths, none)


def reject_long(rows: Ints, settings: Tokenization, drop: Drop, extra: int = 0) -> None:
    """Reject rows as `too_long`; `extra` special tokens stand around each."""
    found = f"more than max_length {settings.settings.max_length} tokens" + f", {extra} special" * bool(extra)
    drop.add(rows, "too_long", found)
