"""gigatoken, fed with one buffer and asked for one array, so that no Python object per text is made.

Its own ways to encode many texts take a list of `str`, or give awkward arrays, whose import alone takes 0.3 s. So the
texts are joined by a separator that is made an added token of a copy of the tokenizer: added tokens cut a text before
anything else looks at it, hence the ids between two separators are those of the text alone.

A byte-level vocabulary may lack single bytes (SmolLM2's lacks 21), which gigatoken refuses. In the copy they have ids
past the end; whoever routes texts must give those in which such an id appears to the reference.
"""

import json
import mmap
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.errors import TokenizerError

if TYPE_CHECKING:
    import gigatoken

SEPARATOR = "\U0010ffff"
"""A code point that Unicode will never assign; a text that holds it must not come here."""

CACHE_BYTES = 256 * 2**20
"""gigatoken 0.10 remembers each word that it meets and never forgets; after this growth it is loaded anew."""

MEMORY = Path("/proc/self/statm")
"""Where Linux tells how many pages of memory this process has; elsewhere the cache is not bounded."""


@lru_cache(maxsize=2)
def gigatoken_encoder(text: str, vocab_size: int, missing_bytes: tuple[str, ...]) -> "GigatokenEncoder":
    """Return the encoder of a tokenizer.json.

    Args:
        text: the content of tokenizer.json.
        vocab_size: one more than the highest id; ids from here on do not exist in the tokenizer.
        missing_bytes: characters of the byte-level alphabet that are no tokens.

    Raises:
        TokenizerError: when gigatoken does not support this tokenizer.
    """
    bytes_past_the_end = [f"{json.dumps(byte)}:{vocab_size + 1 + i}" for i, byte in enumerate(missing_bytes)]
    copy = _insert(text, '"added_tokens"', "[", [json.dumps(_separator_token(vocab_size))])
    return GigatokenEncoder(_insert(copy, '"vocab"', "{", bytes_past_the_end), vocab_size)


class GigatokenEncoder:
    """Encodes texts, and is loaded anew when its cache has grown too large.

    Args:
        text: tokenizer.json with the separator.
        separator_id: the separator's id.
    """

    def __init__(self, text: str, separator_id: int) -> None:
        self._text = text
        self._separator_id = separator_id
        self._load()

    def _load(self) -> None:
        self._encoder = _load(self._text)
        self._resident = resident_bytes()

    def __call__(self, texts: pl.Series) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of all texts end to end, shape `[tokens]`, and how many each has, shape `[texts]`."""
        from gigatoken import BytesSource

        if texts.is_empty():
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
        joined = texts.str.join(SEPARATOR).cast(pl.Binary).item()
        ids = self._encoder.encode_batch_padded(BytesSource(joined), pad_id=0)[0].reshape(-1)
        edges = np.flatnonzero(ids == self._separator_id)
        if len(edges) != len(texts) - 1:
            raise TokenizerError(f"gigatoken found {len(edges) + 1:,} texts where {len(texts):,} were given")
        if resident_bytes() - self._resident > CACHE_BYTES:
            self._load()
        lengths = np.diff(edges, prepend=-1, append=len(ids)) - 1
        return np.delete(ids, edges).view(np.int32), lengths


def resident_bytes() -> int:
    """Return how much memory this process holds; 0 where the system does not tell."""
    return int(MEMORY.read_text().split()[1]) * mmap.PAGESIZE if MEMORY.exists() else 0


def _load(text: str) -> "gigatoken.Tokenizer":
    import gigatoken

    try:
        return gigatoken.Tokenizer.from_json(text)
    except (ValueError, RuntimeError) as cause:
        raise TokenizerError(f"it does not support this tokenizer ({str(cause).partition(chr(10))[0]})") from None


def _separator_token(number: int) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": SEPARATOR, **flags}


def _insert(text: str, key: str, bracket: str, entries: list[str]) -> str:
    """Put entries first into the list or mapping at `key`: parsing and writing 10 MB of JSON takes 0.5 s."""
    opening = re.search(rf"{key}\s*:\s*{re.escape(bracket)}(?=\s*([\]}}])?)", text)
    if opening is None:
        raise TokenizerError(f"its tokenizer.json has no {key}")
    if not entries:
        return text
    return text[: opening.end()] + ",".join(entries) + ("" if opening[1] else ",") + text[opening.end() :]
