"""Texts as they are compared: brought to one form, then hashed whole, word by word and in shingles.

All hashing is numpy over the flat UTF-8 of many texts, without a Python object a word, and gives the same numbers on
every machine. A word is a run of letters, digits and marks. In scripts that are written without spaces (Chinese,
Japanese, Thai, ...) every character is a word of its own, so that mixed text needs no special case.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

SEPARATOR, WORD, CHARACTER, UNKNOWN = 0, 1, 2, 255

UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3041, 0x312F),  # kana, bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x9FFF),  # Chinese characters
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Ranges of the scripts whose words are not parted by spaces; Korean parts them."""

COMMON = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF))
"""Ranges of these that hold nothing else, so that no character of them is looked up."""

FOLDED = {
    letter: letter.casefold()
    for letter in map(chr, (0xDF, 0x345, 0x3C2, *range(0x1C80, 0x1C89), *range(0x1F80, 0x2000)))
    if letter == letter.lower() != letter.casefold()
}
"""Small letters that case folding changes once more and NFKC does not, such as the German sharp s."""

TO_FOLD = f"[{''.join(FOLDED)}]"

MAY_BE_CAPITAL = r"[^\x00-@\[-\x7f\u{2000}-\u{206f}\u{3000}-\u{9fff}]"
"""All but some ranges of frequent signs without small forms, so that most Chinese is not looked up sign by sign."""

BLANK = r"[\s\x1c-\x1f]"
"""White space as Python has it."""

OTHER_BLANK = r"[\t-\r\x1c-\x1f\x85\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}]"
"""White space other than a space."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Buffer(NamedTuple):
    """Many texts as one piece of UTF-8.

    Attributes:
        data: the bytes, and eight zero bytes after them; uint8.
        offsets: where each text begins, and where the last one ends; int64, shape `[texts + 1]`.
    """

    data: NDArray[np.uint8]
    offsets: Places


class Tokens(NamedTuple):
    """The words of many texts.

    Attributes:
        hashes: uint64, shape `[words]`.
        starts: first byte of each word, int64, shape `[words]`.
        ends: the byte after it.
        offsets: the first word of each text, and the number of all; int64, shape `[texts + 1]`.
        unspaced: whether at least half of the words of a text are single characters; bool, shape `[texts]`.
    """

    hashes: Hashes
    starts: Places
    ends: Places
    offsets: Places
    unspaced: NDArray[np.bool_]


class Shingles(NamedTuple):
    """The shingles of many texts, repeated ones too: `hashes` of shape `[shingles]`, `offsets` of `[texts + 1]`."""

    hashes: Hashes
    offsets: Places


def normalize_texts(texts: pl.Series) -> pl.Series:
    """Bring texts to the form in which they are compared; nulls become empty.

    Unicode NFKC, case folded, every run of white space one space, none at the ends.
    """
    texts = texts.fill_null("")
    wide = texts.str.len_bytes() != texts.str.len_chars()
    texts = _change(texts, wide, lambda some: some.str.normalize("NFKC"))
    if wide.any():
        texts = _change(texts, texts.str.contains(MAY_BE_CAPITAL), lambda some: some.str.to_lowercase())
        texts = _change(texts, texts.str.contains(TO_FOLD), lambda some: some.str.replace_many(FOLDED))
        untidy = texts.str.contains(rf"{BLANK}{BLANK}|{OTHER_BLANK}|^ | $")
    else:  # ASCII is written small as fast as it is searched, and case folding changes no more
        texts = texts.str.to_lowercase()
        untidy = _is_untidy(texts)
    return _change(
        texts, untidy, lambda some: some.str.replace_all(rf"{OTHER_BLANK}{BLANK}*| {BLANK}+", " ").str.strip_chars(" ")
    )


def _is_untidy(texts: pl.Series) -> pl.Series:
    """Tell which texts, all ASCII, may hold white space other than single spaces between words.

    Bytes tell in a fraction of the time of a regular expression. Other control characters count too.
    """
    data, offsets = to_buffer(texts)
    space, odd = data == ord(" "), data < ord(" ")
    odd[1:] |= space[1:] & space[:-1]
    for edges in (offsets[:-1], offsets[1:] - 1):  # that of an empty text belongs to another one, or to what pads them
        odd[edges] |= space[edges]
    found = np.zeros(len(texts), dtype=np.bool_)
    found[np.searchsorted(offsets, np.flatnonzero(odd[: offsets[-1]]), side="right") - 1] = True
    return pl.Series(found, dtype=pl.Boolean)


def _change(texts: pl.Series, which: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a function to some of the texts."""
    if not which.any():
        return texts
    changed = function(texts.filter(which))
    if which.all():
        return changed
    places = np.argsort(np.argsort(~which.to_numpy(), kind="stable"), kind="stable")
    return pl.concat([changed, texts.filter(~which)]).gather(places)


def to_buffer(texts: pl.Series) -> Buffer:
    """Lay texts without nulls side by side."""
    arrow = texts.cast(pl.Binary).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offset_buffer, data_buffer = arrow.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64, count=len(arrow) + 1 + arrow.offset)[arrow.offset :]
    padded = np.zeros(offsets[-1] - offsets[0] + 8, dtype=np.uint8)
    if data_buffer:
        padded[:-8] = np.frombuffer(data_buffer, dtype=np.uint8)[offsets[0] : offsets[-1]]
    return Buffer(padded, offsets - offsets[0])


def hash_texts(buffer: Buffer) -> Hashes:
    """Hash every text whole to 128 bits, shape `[2, texts]`."""
    return _hash_spans(buffer.data, buffer.offsets[:-1], np.diff(buffer.offsets))


def cut_tokens(buffer: Buffer) -> Tokens:
    """Find and hash the words of every text."""
    kinds, places = _classify(buffer.data[:-8])
    texts = buffer.offsets if places is None else np.searchsorted(places, buffer.offsets)
    goes_on = np.zeros(len(kinds) + 1, dtype=np.bool_)
    np.equal(kinds[1:] & kinds[:-1], WORD, out=goes_on[1:-1])
    goes_on[texts] = False
    inside = kinds != SEPARATOR
    starts, lasts = np.flatnonzero(inside & ~goes_on[:-1]), np.flatnonzero(inside & ~goes_on[1:])
    offsets = np.searchsorted(starts, texts)
    single = np.concatenate([[0], np.cumsum(kinds[starts] == CHARACTER)])
    unspaced = 2 * np.diff(single[offsets]) >= np.maximum(np.diff(offsets), 1)
    if places is not None:
        starts, lasts = places[starts], np.append(places, len(buffer.data) - 8)[lasts + 1] - 1
    return Tokens(_hash_words(buffer.data, starts, lasts + 1 - starts), starts, lasts + 1, offsets, unspaced)


def hash_shingles(tokens: Tokens, words: int, characters: int) -> Shingles:
    """Hash every run of so many words; of `characters` many in a text that is mostly single characters.

    A text that has fewer has no shingle.
    """
    return hash_runs(tokens, np.where(tokens.unspaced, characters, words))


def hash_runs(tokens: Tokens, widths: Places) -> Shingles:
    """Hash every run of words, as many as `widths` says for each text; shape `[texts]`."""
    counts = np.maximum(np.diff(tokens.offsets) - widths + 1, 0)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    first = np.arange(offsets[-1]) + np.repeat(tokens.offsets[:-1] - offsets[:-1], counts)
    shortest, longest = int(widths.min(initial=100)), int(widths.max(initial=1))
    common = tokens.hashes[: max(len(tokens.hashes) - shortest + 1, 0)].copy()
    for place in range(1, shortest):  # of all words at once, the texts apart: cheaper than to gather each
        common *= MULTIPLIER
        common += tokens.hashes[place : place + len(common)]
    hashes = common[first]
    for place in range(shortest, longest):
        longer = np.flatnonzero(np.repeat(widths, counts) > place)
        hashes[longer] = hashes[longer] * MULTIPLIER + tokens.hashes[first[longer] + place]
    return Shingles(mix(hashes), offsets)


def _classify(data: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Places | None]:
    """Tell the kind of every character, and at which byte it begins; None when each is one byte."""
    if not len(data) or data.max() < 0x80:
        return _kinds()[data], None
    points = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), dtype=np.uint32)
    kinds = _kinds()[points]
    if kinds.max() == UNKNOWN:
        for point in np.unique(points[kinds == UNKNOWN]).tolist():
            _kinds()[point] = _kind_of(point)
        kinds = _kinds()[points]
    return kinds, np.flatnonzero((data & 0xC0) != 0x80)


@cache
def _kinds() -> NDArray[np.uint8]:
    """The kind of every code point, of most only once they were met."""
    kinds = np.full(0x110000, UNKNOWN, dtype=np.uint8)
    kinds[:0x80] = [_kind_of(point) for point in range(0x80)]
    for first, last in COMMON:
        kinds[first : last + 1] = CHARACTER
    return kinds


def _kind_of(point: int) -> int:
    if unicodedata.category(chr(point))[0] not in "LMN":
        return SEPARATOR
    return CHARACTER if any(low <= point <= high for low, high in UNSPACED) else WORD


def _hash_words(data: NDArray[np.uint8], starts: Places, lengths: Places) -> Hashes:
    hashes = _load(data, starts)
    hashes &= _MASKS[np.minimum(lengths, 8)]
    hashes *= MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    long = np.flatnonzero(lengths > 8)
    hashes[long] = _hash_spans(data, starts[long], lengths[long])[0]
    return hashes


def _load(data: NDArray[np.uint8], starts: Places) -> Hashes:
    """Read the eight bytes that begin at each start as one number, little end first on every machine."""
    at_every_byte = np.ndarray(len(data) - 7, dtype="<u8", buffer=data, strides=(1,))
    return at_every_byte[starts].astype(np.uint64, copy=False)


_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype=np.uint64)


def _hash_spans(data: NDArray[np.uint8], starts: Places, lengths: Places) -> Hashes:
    """Hash spans of bytes to 128 bits, shape `[2, spans]`: two sums over mixed blocks of eight bytes."""
    blocks = (lengths + 7) // 8
    firsts = np.cumsum(blocks) - blocks
    inside = np.arange(int(blocks.sum())) - np.repeat(firsts, blocks)
    filled = blocks > 0
    mixed = _load(data, np.repeat(starts, blocks) + 8 * inside)
    mixed[(firsts + blocks - 1)[filled]] &= _MASKS[(lengths - 8 * blocks + 8)[filled]]
    mixed ^= mix(np.arange(blocks.max(initial=0), dtype=np.uint64))[inside]
    mixed = mix(mixed)
    sums = np.zeros((2, len(lengths)), dtype=np.uint64)
    if len(mixed):
        sums[0, filled] = np.add.reduceat(mixed, firsts[filled])
        other = (mixed ^ (mixed >> np.uint64(29))) * MULTIPLIER
        sums[1, filled] = np.add.reduceat(other ^ (other >> np.uint64(32)), firsts[filled])
    return mix(sums + lengths.astype(np.uint64))
