"""Letters changed as people mistype them: a neighbouring key, two letters in the wrong order; or a sound-alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix

Keys = NDArray[np.uint64]

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""The letters of a QWERTY keyboard; each row stands half a key to the right of the one above."""

SHORTEST = 4
"""A word has at least so many letters to be mistyped: a shorter one is often no longer understood."""


def neighbours() -> dict[str, str]:
    """Return the keys that touch the key of each letter."""
    found: dict[str, str] = {}
    for row, letters in enumerate(ROWS):
        for column, letter in enumerate(letters):
            places = [(row, column - 1), (row, column + 1), (row - 1, column), (row - 1, column + 1)]
            places += [(row + 1, column - 1), (row + 1, column)]
            found[letter] = "".join(ROWS[r][c] for r, c in places if 0 <= r < len(ROWS) and 0 <= c < len(ROWS[r]))
    return found


@dataclass(frozen=True)
class Alternatives:
    """What may stand for a letter or character, by code point.

    Attributes:
        starts: where the alternatives of each code point begin in `others`, shape `[code points + 1]`.
        others: code points, shape `[alternatives]`.
    """

    starts: NDArray[np.int64]
    others: NDArray[np.uint32]

    def count(self, points: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return how many alternatives each code point has."""
        inside = np.minimum(points.astype(np.int64), len(self.starts) - 2)
        found: NDArray[np.int64] = self.starts[inside + 1] - self.starts[inside]
        return np.where(points < len(self.starts) - 1, found, 0)

    def draw(self, points: NDArray[np.uint32], keys: Keys) -> NDArray[np.uint32]:
        """Draw an alternative for each code point, all of which have some."""
        chosen = (keys % self.count(points).astype(np.uint64)).astype(np.int64)
        found: NDArray[np.uint32] = self.others[self.starts[points] + chosen]
        return found


def alternatives(of: Mapping[str, str]) -> Alternatives:
    """Make the arrays out of the alternatives of each character, which are characters one after the other."""
    lengths = np.zeros(max(map(ord, of), default=0) + 1, dtype=np.int64)
    for character, others in of.items():
        lengths[ord(character)] = len(others)
    joined = "".join(of[character] for character in sorted(of))
    return Alternatives(np.concatenate([[0], np.cumsum(lengths)]), _points(joined))


def mistype(words: pl.Series, keys: Keys) -> pl.Series:
    """Mistype one letter of each word, or change the order of two; never the first, and capitals stay capitals.

    Args:
        words: of ASCII letters (an inner hyphen or apostrophe is left), at least `SHORTEST` of them, shape `[words]`.
        keys: random keys, shape `[words]`.

    Returns:
        The words, shape `[words]`, of the same lengths. A word stays as it is where an inner sign was hit.
    """
    points, starts, lengths = _spread(words)
    key, swaps = mix(keys), (keys & np.uint64(1)).astype(bool)
    at = starts + 1 + (key % (lengths - 1).astype(np.uint64)).astype(np.int64)
    at -= swaps & (at == starts + lengths - 1)  # the last letter changes places with the one before it
    letters, following = points[at], points[np.minimum(at + 1, len(points) - 1)]
    swaps &= (letters != following) & _is_letter(letters) & _is_letter(following)
    capital = (letters < ord("a")) & _is_letter(letters)
    typed = np.flatnonzero(~swaps & _is_letter(letters))
    result = points.copy()
    result[at[swaps]], result[at[swaps] + 1] = following[swaps], letters[swaps]
    small = letters[typed] | np.uint32(32)
    result[at[typed]] = _NEIGHBOURS.draw(small, mix(key)[typed]) - np.uint32(32) * capital[typed].astype(np.uint32)
    return _gather(result, starts, lengths)


def sound_alike(words: pl.Series, keys: Keys, homophones: Alternatives) -> pl.Series:
    """Replace one character of each word by another that sounds like it.

    Args:
        words: shape `[words]`; each needs a character that has a homophone, others stay as they are.
        keys: random keys, shape `[words]`.
        homophones: those of each character.
    """
    points, starts, lengths = _spread(words)
    able = homophones.count(points) > 0
    counted = np.concatenate([[0], np.cumsum(able)])
    count = counted[starts + lengths] - counted[starts]
    some = np.flatnonzero(count)
    nth = (keys[some] % count[some].astype(np.uint64)).astype(np.int64)
    at = np.flatnonzero(able)[counted[starts[some]] + nth]
    result = points.copy()
    result[at] = homophones.draw(points[at], mix(keys)[some])
    return _gather(result, starts, lengths)


def _is_letter(points: NDArray[np.uint32]) -> NDArray[np.bool_]:
    small = points | np.uint32(32)
    return (small >= ord("a")) & (small <= ord("z"))


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _spread(words: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the code points of all words, where each word starts, and how long it is."""
    lengths = words.str.len_chars().to_numpy().astype(np.int64)
    return _points("".join(words.to_list())), np.cumsum(lengths) - lengths, lengths


def _gather(points: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> pl.Series:
    text = points.tobytes().decode("utf-32-le")
    pairs = zip(starts.tolist(), lengths.tolist(), strict=True)
    return pl.Series([text[start : start + length] for start, length in pairs], dtype=pl.String)


_NEIGHBOURS = alternatives(neighbours())
