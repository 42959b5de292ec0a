"""Choose words at random: by keys that depend on the text's key and the word's place in the text alone."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix
from sftdata.text.pieces import HAN, LATIN, SPACE, Bools, Ints, Pieces
from sftdata.text.synonyms import SynonymTable
from sftdata.text.typing_noise import Alternatives

Keys = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class WordLists:
    """What the edits know about words. It is equal to itself alone, so that `Pieces.remember` finds it.

    Attributes:
        synonyms: of English and Chinese words.
        stopwords: in small letters; never replaced nor inserted.
        homophones: of Chinese characters.
    """

    synonyms: SynonymTable
    stopwords: pl.Series
    homophones: Alternatives

    def is_stopword(self, words: pl.Series) -> Bools:
        """Tell of each word whether it is a stopword, in any case."""
        straight = words.str.to_lowercase().str.replace_all("’", "'", literal=True)
        found: Bools = straight.is_in(self.stopwords.implode()).to_numpy()
        return found


def is_word(pieces: Pieces) -> Bools:
    """Tell of each piece whether it is a word that may be changed."""
    return pieces.remember("words", lambda: (pieces.kind >= LATIN)[pieces.code] & pieces.free)


def count_words(pieces: Pieces) -> Ints:
    """Return how many words that may be changed each text has."""
    places = pieces.remember("places of words", lambda: np.flatnonzero(is_word(pieces)))
    return pieces.remember("count of words", lambda: np.diff(np.searchsorted(places, pieces.offsets)))


def is_han(pieces: Pieces, places: Ints) -> Bools:
    """Tell of the pieces at `places` whether they are Chinese words."""
    han: Bools = pieces.kind[pieces.code[places]] == HAN
    return han


def keys_of(pieces: Pieces, places: Ints, unit_keys: Keys) -> Keys:
    """Return a random key for each of `places`, out of the key of its text and where it stands in it."""
    units = pieces.unit[places]
    return mix(unit_keys[units] + (places - pieces.offsets[units]).astype(np.uint64))


def count_share(groups: Ints, rate: float, size: int) -> Ints:
    """Return `rate` of the members of each of `size` groups, rounded down but at least one."""
    return share_of(np.bincount(groups, minlength=size), rate)


def share_of(counts: Ints, rate: float) -> Ints:
    """Return `rate` of each of `counts`, rounded down but at least one."""
    share: Ints = np.floor(rate * counts + 1e-9).astype(np.int64)  # 1e-9: 0.29 * 100 must be 29, not 28
    return np.maximum(1, share)


def choose(groups: Ints, keys: Keys, counts: Ints) -> Ints:
    """Choose members of each group: those with the smallest keys.

    Args:
        groups: the group of each member, shape `[members]`.
        keys: random keys, shape `[members]`.
        counts: how many of each group, shape `[groups]`; all if there are fewer.

    Returns:
        Members, those of one group after another, in the order of their keys.
    """
    order = np.argsort((groups.astype(np.uint64) << np.uint64(32)) | (keys >> np.uint64(32)), kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return order[rank < counts[ordered]]


def choose_pairs(groups: Ints, keys: Keys, counts: Ints) -> tuple[Ints, Ints]:
    """Choose disjoint pairs of members of the same group, `counts` of each group if it has so many."""
    chosen = choose(groups, keys, 2 * counts)
    of_group = groups[chosen]
    first = np.concatenate([[True], of_group[1:] != of_group[:-1]]) if len(chosen) else np.zeros(0, dtype=np.bool_)
    starts = np.flatnonzero(first)
    rank = np.arange(len(chosen)) - np.repeat(starts, np.diff(np.append(starts, len(chosen))))
    left = np.flatnonzero((rank[:-1] % 2 == 0) & ~first[1:])
    return chosen[left], chosen[left + 1]


def previous(pieces: Pieces, places: Ints) -> tuple[Ints, Bools]:
    """Return the piece before each of `places`, a single space left out, and whether there is one in the same text."""
    spaced = (places > 0) & (pieces.kind[pieces.code[places - 1]] == SPACE)
    before = places - 1 - spaced
    return before, (before >= 0) & (pieces.unit[before] == pieces.unit[places])
