"""Which texts a fast encoder may see; its ids and those that the reference gives the rest are put together."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.errors import TokenizerError
from sftdata.tokenizers.characters import candidate_characters, find_doubtful, in_contexts
from sftdata.tokenizers.encoders import Encode, Encoded

CHECKED_EVERY = 1000
"""One of so many texts of each call is encoded by the reference as well: 6 percent of gigatoken's time."""


class Router:
    """An encoder that gives texts to the fast one, and those that it may get wrong to the reference.

    A text with a character that was not tried goes to the reference. When fast and reference then agree on this
    character in contexts, and on every such text, the fast one may see it from the next call on. So rare characters
    cost time once; the ids are the reference's in any case.

    Args:
        fast: gives ids from `vocab_size` on where it knows itself that the tokenizer has none.
        reference: right by definition.
        characters: those that the fast encoder may see.
        tokens: added tokens that it may not see.
        vocab_size: one more than the highest id.
    """

    def __init__(
        self, fast: Encode, reference: Encode, characters: str, tokens: Sequence[str], vocab_size: int
    ) -> None:
        self._fast, self._reference, self._tokens, self._vocab_size = fast, reference, tokens, vocab_size
        self._characters = set(characters)
        self._tried = set(characters)
        self._doubtful = find_doubtful(characters, tokens)
        self._lock = Lock()

    def __call__(self, texts: pl.Series) -> Encoded:
        """Encode texts; one call at a time, for the encoders and what is learned have a state."""
        with self._lock:
            return self._route(texts)

    def _route(self, texts: pl.Series) -> Encoded:
        doubtful = texts.str.contains(self._doubtful)
        if not doubtful.any():
            return self._encode(texts)
        slow_texts = texts.filter(doubtful)
        slow = self._reference(slow_texts)
        self._learn(slow_texts, slow)
        return weave(self._encode(texts.filter(~doubtful)), slow, doubtful.to_numpy())

    def _encode(self, texts: pl.Series) -> Encoded:
        """Encode texts without doubt; those in which the fast one found no ids for something go to the reference."""
        ids, lengths = self._fast(texts)
        if not len(ids) or ids.max() < self._vocab_size:
            return ids, lengths
        unknown = np.zeros(len(lengths), dtype=np.bool_)
        unknown[np.repeat(np.arange(len(lengths)), lengths)[ids >= self._vocab_size]] = True
        fast = ids[~np.repeat(unknown, lengths)], lengths[~unknown]
        return weave(fast, self._reference(texts.filter(pl.Series(unknown))), unknown)

    def _learn(self, texts: pl.Series, encoded: Encoded) -> None:
        """Let the fast encoder see the characters in `texts` on which it agrees with the reference."""
        new = [c for c in candidate_characters(texts) if c not in self._tried]
        if not new:
            return
        self._tried.update(new)
        contexts = in_contexts(new)
        try:
            wrong = set(differences(self._fast(contexts), self._reference(contexts)))
        except TokenizerError:  # fastokens cannot encode a byte that the vocabulary lacks
            return
        good = self._characters.union(c for place, c in enumerate(new) if place not in wrong)
        sure = ~texts.str.contains(find_doubtful("".join(good), self._tokens))
        rows = texts.filter(sure)
        different = differences(self._encode(rows), take(encoded, np.flatnonzero(sure.to_numpy())))
        spoiled = set(candidate_characters(rows[different])) - self._characters
        self._characters = good - spoiled
        self._doubtful = find_doubtful("".join(self._characters), self._tokens)


def keep_checking(encode: Encode, reference: Encode, backend: str) -> Encode:
    """Return `encode`, which from now on compares one of `CHECKED_EVERY` texts of each call with the reference.

    It raises TokenizerError when the ids differ.
    """

    def checked(texts: pl.Series) -> Encoded:
        encoded = encode(texts)
        rows = np.arange(CHECKED_EVERY // 2, len(texts), CHECKED_EVERY)
        for place in differences(take(encoded, rows), reference(texts[rows])):
            raise TokenizerError(
                f"backend {backend} gives other ids than Hugging Face's for {shorten(texts[int(rows[place])])!r}. "
                "Use `backend: huggingface`."
            )
        return encoded

    return checked


Rows = tuple[NDArray[Any], NDArray[np.int64]]
"""What belongs to the tokens of all texts, end to end, and how many tokens each text has."""


def weave(fast: Rows, slow: Rows, is_slow: NDArray[np.bool_]) -> Rows:
    """Put two encodings together; `is_slow` tells for each text where it is, shape `[texts]`."""
    lengths = np.empty(len(is_slow), dtype=np.int64)
    lengths[is_slow], lengths[~is_slow] = slow[1], fast[1]
    ids = np.empty(int(lengths.sum()), dtype=fast[0].dtype)
    slow_ids = np.repeat(is_slow, lengths)
    ids[slow_ids], ids[~slow_ids] = slow[0], fast[0]
    return ids, lengths


def take(encoded: Encoded, rows: NDArray[np.int64]) -> Encoded:
    """Return the encodings of the texts at `rows`."""
    ids, lengths = encoded
    ends = np.cumsum(lengths)
    pieces = [ids[ends[row] - lengths[row] : ends[row]] for row in rows]
    return np.concatenate([np.zeros(0, dtype=np.int32), *pieces]), lengths[rows]


def differences(found: Encoded, expected: Encoded) -> list[int]:
    """Return the texts on which two encodings differ, rising."""
    if np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1]):
        return []
    pieces = [np.split(ids, np.cumsum(lengths)[:-1]) for ids, lengths in (found, expected)]
    return [text for text, pair in enumerate(zip(*pieces, strict=True)) if not np.array_equal(pair[0], pair[1])]


def shorten(text: str) -> str:
    """Cut a text for a message."""
    return text if len(text) <= 60 else text[:57] + "..."
