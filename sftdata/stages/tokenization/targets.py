"""Examples of a text and the text that it becomes, each encoded between its special tokens."""

import numpy as np
import polars as pl

from sftdata.errors import TokenizerError
from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.encoding import encode_texts
from sftdata.stages.tokenization.flat import Flags, as_lists, positions_in_rows, wrap
from sftdata.stages.tokenization.setup import Tokenization, find_wrapping
from sftdata.tokenizers.backends import Encoded
from sftdata.tokenizers.loading import Tokenizer

Wrapping = tuple[list[int], list[int]]
"""The special ids before and after a text."""

TARGET_OF_ITS_OWN = ("Marian", "MBart", "MBart50", "M2M100", "Nllb", "PLBart", "SeamlessM4T")
"""Tokenizers of which transformers encodes a target otherwise than a source: with the code of another language, or with
another vocabulary. Neither stands in tokenizer.json."""


def tokenize_targets(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> Drafts:
    """Encode sources as `input_ids` and targets as labels; rejects rows without tokens or with too many on one side."""
    options = settings.settings
    most = options.max_target_length or options.max_length
    source, cut_source = _encode(rows["source_text"], settings.wrapping, options.max_length, "", settings, drop)
    target, cut_target = _encode(
        rows["target_text"], find_target_wrapping(settings.tokenizer), most, "target_", settings, drop
    )
    return Drafts(np.arange(len(rows)), *source, as_lists(*target), cut_source | cut_target)


def sources_and_targets(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the texts of `rows` that an encoder will see."""
    return pl.concat([rows["source_text"], rows["target_text"]]).drop_nulls()


def find_target_wrapping(tokenizer: Tokenizer) -> Wrapping:
    """Return the special ids around a target: those around any text, as `tokenizer(text_target=...)` has them.

    A decoder learns from the last id where to stop. T5, BART and BERT tokenizers put one there; behind the text of one
    that does not, such as a byte-level BPE without a template, comes its `eos_token`.

    Raises:
        TokenizerError: when it names no such token, or when a target needs what tokenizer.json does not hold.
    """
    kind = str(tokenizer.config.get("tokenizer_class", "")).removesuffix("Fast").removesuffix("Tokenizer")
    if kind in TARGET_OF_ITS_OWN:
        raise TokenizerError(
            f"the tokenizer '{tokenizer.name}' is a {kind} tokenizer, which encodes a target otherwise than a source, "
            "and its tokenizer.json does not say how; sftdata cannot use it for seq2seq"
        )
    before, after = find_wrapping(tokenizer)
    if after:
        return before, after
    end = tokenizer.named_tokens().get("eos_token", "")
    if (number := tokenizer.reference.token_to_id(end)) is None:
        raise TokenizerError(
            f"the tokenizer '{tokenizer.name}' puts no token behind a text and names no eos_token, so a target would "
            "have no end. Name one in its tokenizer_config.json."
        )
    return before, [number]


def _encode(
    texts: pl.Series, around: Wrapping, most: int, side: str, settings: Tokenization, drop: Drop
) -> tuple[Encoded, Flags]:
    """Encode one side of the rows, to at most `most` tokens; also tell which rows were cut."""
    ids, lengths = encode_texts(texts.fill_null(""), settings, drop)
    drop.add(np.flatnonzero(lengths == 0), f"{side}no_tokens", f"{texts.name} has no token")
    room = most - sum(map(len, around))
    cut = lengths > room
    if settings.settings.overflow == "truncate" and room > 0:
        return wrap(ids[positions_in_rows(lengths) < room], np.minimum(lengths, room), *around), cut
    drop.add(np.flatnonzero(cut), f"{side}too_long", f"{texts.name} has more than max_{side}length {most} tokens")
    return wrap(ids, lengths, *around), np.zeros(len(texts), dtype=np.bool_)
