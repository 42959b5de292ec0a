"""Measure texts in tokens, where nothing but their number is asked for."""

from dataclasses import dataclass

import polars as pl

from sftdata.tokenizers.loading import Tokenizer


@dataclass(frozen=True)
class TokenCounter:
    """Counts with the reference tokenizer, for no backend is proved yet. It pickles."""

    tokenizer: Tokenizer

    def __call__(self, texts: pl.Series) -> pl.Series:
        """Return how many tokens each of `texts` has without special tokens: UInt32, shape `[texts]`."""
        found = self.tokenizer.reference.encode_batch_fast(texts.to_list(), add_special_tokens=False)
        return pl.Series([len(encoding) for encoding in found], dtype=pl.UInt32)
