"""Find a text in token ids without decoding rows: what each id spells, end to end, is searched as bytes.

A byte-level tokenizer spells a text exactly. Others put white space between tokens, or lose it, when they decode, so
with these neither text nor query has any. Upper and lower case count as one. A special token is no text but a code of
bytes that UTF-8 never uses: `sep` does not find `[SEP]`, which a query that spells it whole does.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa
import tokenizers
from numpy.typing import NDArray

from sftdata.arrays import to_arrow
from sftdata.tokenizers.labels import byte_table

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""The name of a token that stands for a byte, where a tokenizer has one for each."""

_DIGITS = 7
"""Octal digits of the code of a special token, each a byte from F8 to FF."""


@dataclass(frozen=True)
class Hit:
    """Where a text stands first in a row: its row, its first token there and one past its last."""

    row: int
    first: int
    last: int


@dataclass(frozen=True)
class Spelling:
    """What ids spell.

    Attributes:
        pieces: the bytes of each id, ASCII letters small, and behind the last an empty one for ids that it lacks.
        specials: the code of each special token by its name.
        keeps_spaces: whether the pieces have the white space of the text.
        normalizer: what the tokenizer does to a text before it is cut, and so to a query.
    """

    pieces: pa.LargeBinaryArray
    specials: dict[str, bytes]
    keeps_spaces: bool
    normalizer: tokenizers.normalizers.Normalizer | None

    def write(self, ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], pa.Buffer | bytes]:
        """Return where each token begins in the bytes of all tokens end to end, shape `[tokens + 1]`, and the bytes."""
        known = np.minimum(ids.view(np.uint32), np.uint32(len(self.pieces) - 1))
        taken = self.pieces.take(to_arrow(known))
        if not len(taken):
            return np.zeros(1, np.int64), b""
        _, offsets, data = taken.buffers()
        return np.frombuffer(offsets, np.int64, len(taken) + 1), data or b""

    def compile(self, query: str) -> re.Pattern[bytes] | None:
        """Return what finds a query in the bytes of `write`; None where nothing is left of it to look for."""
        names = "|".join(re.escape(name) for name in sorted(self.specials, key=len, reverse=True))
        parts = re.split(f"({names})", query.strip()) if names else [query.strip()]
        found = [self.specials[part] if part in self.specials else self._allow(part) for part in parts]
        pattern = b"".join(found)
        return re.compile(pattern) if pattern else None

    def _allow(self, text: str) -> bytes:
        normal = self.normalizer.normalize_str(text) if self.normalizer and text else text
        words = normal.replace("▁", " ").split() if not self.keeps_spaces else re.split(r"\s+", normal)
        space = rb"\s+" if self.keeps_spaces else b""
        return space.join(any_case(word) for word in words)


def spell(tokenizer: tokenizers.Tokenizer) -> Spelling:
    """Return what the ids of a tokenizer spell."""
    table = byte_table(tokenizer)
    pieces: list[bytes] = _decode_each(tokenizer) if table is None else table.to_pylist()
    added = tokenizer.get_added_tokens_decoder()
    codes = {number: _code(number) for number, token in added.items() if token.special}
    for number, code in codes.items():
        pieces[number] = code
    lowered = pl.Series([*(piece.lower() for piece in pieces), b""], dtype=pl.Binary)
    specials = {added[number].content: code for number, code in codes.items()}
    return Spelling(lowered.to_arrow().cast("large_binary"), specials, table is not None, tokenizer.normalizer)


def _code(number: int) -> bytes:
    return bytes(0xF8 + (number >> (3 * place) & 7) for place in reversed(range(_DIGITS)))


def _decode_each(tokenizer: tokenizers.Tokenizer) -> list[bytes]:
    """Return what each id adds to a text behind another token, without white space."""
    size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    alone = tokenizer.decode_batch([[number] for number in range(size)], skip_special_tokens=False)
    first = next((number for number, text in enumerate(alone) if text.isascii() and text.isalpha()), 0)
    behind = tokenizer.decode_batch([[first, number] for number in range(size)], skip_special_tokens=False)
    names = (tokenizer.id_to_token(number) or "" for number in range(size))
    return [_piece(name, text, alone[first]) for name, text in zip(names, behind, strict=True)]


def _piece(name: str, text: str, before: str) -> bytes:
    if byte := _BYTE.fullmatch(name):
        return b"" if (sign := bytes.fromhex(byte[1])).isspace() else sign
    added = text.removeprefix(before) if text.startswith(before) else name
    return "".join(added.split()).encode()


def any_case(text: str) -> bytes:
    """Return a pattern for the bytes of a text whose ASCII letters are small, and the others small or capital."""
    return b"".join(one_of(cases(sign)) for sign in text)


def cases(sign: str) -> set[str]:
    """Return a character and those that differ from it in case alone: of `σ` also `Σ` and `ς`."""
    return {sign, sign.lower(), sign.upper(), *(() if sign.isascii() else _letters().get(sign.casefold(), ()))}


@cache
def _letters() -> dict[str, list[str]]:
    """Return the letters beyond ASCII that have cases, by what they are where case does not count."""
    found: dict[str, list[str]] = {}
    for sign in map(chr, range(0x80, 0x1E944)):  # the last letter with cases is of Adlam
        if sign.lower() != sign or sign.upper() != sign:
            found.setdefault(sign.casefold(), []).append(sign)
    return found


def one_of(texts: Iterable[str]) -> bytes:
    """Return a pattern that finds any of some texts, as bytes with small ASCII letters."""
    forms = sorted({re.escape(text.encode(errors="replace").lower()) for text in texts})
    return forms[0] if len(forms) == 1 else b"(?:" + b"|".join(forms) + b")"


def find_rows(
    spelling: Spelling, pattern: re.Pattern[bytes], ids: NDArray[np.int32], starts: NDArray[np.int64], most: int
) -> list[Hit]:
    """Return the first rows that hold a text, each with the tokens that spell it first.

    Args:
        spelling: of the dataset's tokenizer.
        pattern: what `Spelling.compile` gave.
        ids: the tokens of all rows end to end, shape `[tokens]`.
        starts: the first token of each row, and the end, shape `[rows + 1]`.
        most: hits that are enough.
    """
    offsets, data = spelling.write(ids)
    edges = offsets[starts]
    hits: list[Hit] = []
    at = 0
    while len(hits) < most and (match := pattern.search(data, at)):
        row = int(np.searchsorted(edges, match.start(), side="right")) - 1
        if match.end() > edges[row + 1]:  # it begins in one row and ends in another
            at = match.start() + 1
            continue
        first = int(np.searchsorted(offsets, match.start(), side="right")) - 1
        last = int(np.searchsorted(offsets, match.end(), side="left"))
        hits.append(Hit(row, first - int(starts[row]), last - int(starts[row])))
        at = int(edges[row + 1])
    return hits
