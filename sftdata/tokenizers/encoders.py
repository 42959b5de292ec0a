"""Encoders as plain functions: texts in, the ids of all texts end to end out.

Each maker takes a tokenizer and raises `TokenizerError` where its library is not installed or does not support it.
"""

import tempfile
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tokenizers
from numpy.typing import NDArray

from sftdata.errors import TokenizerError
from sftdata.tokenizers.gigatoken import gigatoken_encoder
from sftdata.tokenizers.loading import Tokenizer

Encoded = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The ids of all texts end to end, shape `[tokens]`, and the number of ids of each text, shape `[texts]`."""

Encode = Callable[[pl.Series], Encoded]
"""Takes texts without nulls, String, shape `[texts]`; adds no special tokens around them."""


def reference_encoder(reference: tokenizers.Tokenizer) -> Encode:
    """Return Hugging Face's encoder: 1 to 3 MB/s, and right by definition."""

    def encode(texts: pl.Series) -> Encoded:
        encodings = reference.encode_batch_fast(texts.to_list(), add_special_tokens=False)
        lengths = np.fromiter(map(len, encodings), dtype=np.int64, count=len(encodings))
        every = chain.from_iterable(encoding.ids for encoding in encodings)  # tokenizers gives Python lists only
        return np.fromiter(every, dtype=np.int32, count=int(lengths.sum())), lengths

    return encode


def fast_gigatoken(tokenizer: Tokenizer) -> Encode:
    """Return gigatoken's encoder: 100 to 400 MB/s, BPE with pre-tokenizers that it knows."""
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    missing = tuple(sorted(byte for byte in alphabet if tokenizer.reference.token_to_id(byte) is None))
    return gigatoken_encoder(tokenizer.text, tokenizer.vocab_size, missing)


def fast_fastokens(tokenizer: Tokenizer) -> Encode:
    """Return fastokens' encoder: 40 to 90 MB/s, any byte-level BPE; its loading takes twice tokie's."""
    return _fastokens(tokenizer.text)


def fast_tokie(tokenizer: Tokenizer) -> Encode:
    """Return tokie's encoder: 25 to 60 MB/s, BPE, WordPiece and Unigram; 0.1.4 may cut BPE wrongly after a tab."""
    return _tokie(tokenizer.text)


@lru_cache(maxsize=2)
def _fastokens(text: str) -> Encode:
    import fastokens

    try:
        encoder = fastokens.Tokenizer.from_json_str(text)
    except (ValueError, RuntimeError) as cause:
        raise TokenizerError(f"it does not support this tokenizer ({_first_line(cause)})") from None
    encoder.no_truncation()
    encoder.no_padding()

    def encode(texts: pl.Series) -> Encoded:
        try:
            ids, offsets = encoder.encode_batch_flat(texts.to_list(), add_special_tokens=False)
        except (ValueError, RuntimeError) as cause:  # such as a byte that the vocabulary lacks
            raise TokenizerError(f"it cannot encode a text ({_first_line(cause)})") from None
        ends = np.frombuffer(offsets, dtype=np.uint64).astype(np.int64)
        return np.frombuffer(ids, dtype=np.uint32).astype(np.int32), ends[1:] - ends[:-1]

    return encode


@lru_cache(maxsize=2)
def _tokie(text: str) -> Encode:
    import tokie

    with tempfile.TemporaryDirectory() as folder:  # tokie reads files only
        path = Path(folder) / "tokenizer.json"
        path.write_text(text, encoding="utf-8")
        try:
            encoder = tokie.Tokenizer.from_json(str(path))
        except (tokie.TokieError, ValueError, RuntimeError) as cause:
            raise TokenizerError(f"it does not support this tokenizer ({_first_line(cause)})") from None
    encoder.no_truncation()
    encoder.no_padding()
    flat: Callable[..., Any] = encoder.encode_batch_flat  # type: ignore[attr-defined]  # its stub file lacks it

    def encode(texts: pl.Series) -> Encoded:
        ids, lengths = flat(texts.to_list(), add_special_tokens=False)
        return ids.astype(np.int32), lengths.astype(np.int64)

    return encode


def _first_line(cause: Exception) -> str:
    return str(cause).strip().partition("\n")[0]
