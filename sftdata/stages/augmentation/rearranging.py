"""Edits that move words or sentences, or leave words out; what stands between them stays where it is."""

import numpy as np

from sftdata.stages.augmentation.choosing import (
    Keys,
    choose,
    choose_pairs,
    count_share,
    count_words,
    is_han,
    is_word,
    keys_of,
    share_of,
)
from sftdata.text.pieces import LATIN, SPACE, Bools, Ints, Pieces, ranges

NEGATION = (
    r"(?i)^(?:no|not|nor|none|never|nobody|nothing|neither|without|cannot|.*n['’]t|[不没无未别非勿莫否].*|并非|从不)$"
)
"""Words without which a text says the opposite."""

ABBREVIATION = r"(?i)^(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|cf|al|no|vol|fig|dept|inc|ltd|co|\p{L})$"
"""Words whose full stop ends no sentence."""


def swap_words(pieces: Pieces, unit_keys: Keys, rate: float) -> Pieces:
    """Let pairs of words of the same script change places."""
    words = np.flatnonzero(is_word(pieces))
    groups = 2 * pieces.unit[words] + is_han(pieces, words)
    counts = count_share(groups, rate, 2 * pieces.units)
    left, right = choose_pairs(groups, keys_of(pieces, words, unit_keys), counts)
    return pieces.pick(_exchange(len(pieces), words[left], words[right]))


def delete_words(pieces: Pieces, unit_keys: Keys, rate: float) -> Pieces:
    """Delete words, each with one space beside it. No negation, and of neighbours only the first.

    A word goes only where another one that may be changed too stands beside it: one between two commas, or between
    two named entities, keeps them apart.
    """
    words = np.flatnonzero(is_word(pieces))
    step = 2 * (pieces.kind[pieces.code] == SPACE)
    negation = pieces.match(NEGATION)
    before, after = _beside(pieces, words, -1), _beside(pieces, words, 1)
    able = words[((before >= 0) | (after >= 0)) & ~negation[pieces.code[words]]]
    counts = share_of(count_words(pieces), rate)
    keys = keys_of(pieces, able, unit_keys)
    gone = np.zeros(len(pieces), dtype=np.bool_)
    chosen = able[np.sort(choose(pieces.unit[able], keys, counts))]
    gone[chosen] = True
    before, after = _beside(pieces, chosen, -1), _beside(pieces, chosen, 1)
    lonely = (before >= 0) & gone[before]
    gone[chosen[lonely]] = False
    chosen, before, after = chosen[~lonely], before[~lonely], after[~lonely]
    spaces = np.where(before >= 0, chosen - 1, chosen + 1)
    spaces = spaces[step[spaces] > 0]
    gone[spaces] = True
    return pieces.pick(np.flatnonzero(~gone))


def reorder_sentences(pieces: Pieces, unit_keys: Keys, rate: float) -> Pieces:
    """Let pairs of sentences of one paragraph change places; the space between sentences stays where it is."""
    if not len(pieces):
        return pieces
    starts, paragraph, body = _cut_sentences(pieces)
    sentences = np.flatnonzero(body)
    groups = paragraph[sentences]
    counts = count_share(groups, rate, int(paragraph.max(initial=0)) + 1)
    left, right = choose_pairs(groups, keys_of(pieces, starts[sentences], unit_keys), counts)
    order = _exchange(len(starts), sentences[left], sentences[right])
    lengths = np.diff(np.append(starts, len(pieces)))
    return pieces.pick(ranges(starts[order], lengths[order]))


def _cut_sentences(pieces: Pieces) -> tuple[Ints, Ints, Bools]:
    """Cut the pieces into segments: sentences, and the white space between them.

    Returns:
        Where each segment starts, its paragraph, and whether it is a sentence.
    """
    new_unit = np.concatenate([[True], pieces.unit[1:] != pieces.unit[:-1]])
    ends = _end_sentence(pieces)
    blank = _flags(pieces, r"^\s+$")
    line_break = blank & _flags(pieces, r"[\r\n]")
    # white space at the start of a text or behind a sentence, or with a line break in it, stands between sentences
    run = np.cumsum(new_unit | (blank != _shift(pieces, blank)))
    apart = np.bincount(run, weights=(blank & (new_unit | line_break | _shift(pieces, ends))))[run] > 0
    between = blank & apart
    starts = np.flatnonzero(new_unit | (between != _shift(pieces, between)) | _shift(pieces, ends & ~between))
    paragraph = np.cumsum(new_unit | line_break)[starts] - 1
    # what a line begins with may be the sign of a list, which stays where it is
    begins = _flags(pieces, r"^[\"'“‘(（「『《]$") | (pieces.kind[pieces.code] >= LATIN)
    return starts, paragraph, (~between & begins)[starts]


def _end_sentence(pieces: Pieces) -> Bools:
    """Tell of each piece whether a sentence ends with it."""
    words = (pieces.kind >= LATIN) & ~pieces.match(ABBREVIATION)
    blank_next = np.append(_flags(pieces, r"^\s")[1:] | (pieces.unit[1:] != pieces.unit[:-1]), True)
    stop = _flags(pieces, r"^[.!?…]+['\"”’)\]]*$") & _shift(pieces, words[pieces.code]) & blank_next
    found: Bools = stop | _flags(pieces, r"[。！？…][”’」』）】]*$")
    return found


def _flags(pieces: Pieces, pattern: str) -> Bools:
    """Tell of each piece whether the regular expression is found in it."""
    return pieces.match(pattern)[pieces.code]


def _shift(pieces: Pieces, flags: Bools) -> Bools:
    """Tell of each piece what `flags` says of the one before it in the same text; false where there is none."""
    same: Bools = pieces.unit[1:] == pieces.unit[:-1]
    return np.concatenate([[False], flags[:-1] & same])


def _exchange(count: int, left: Ints, right: Ints) -> Ints:
    """Return the numbers below `count` with each of `left` and its partner in `right` exchanged."""
    order = np.arange(count, dtype=np.int64)
    order[left], order[right] = right, left
    return order


def _beside(pieces: Pieces, words: Ints, direction: int) -> Ints:
    """Return the word next to each of `words`, with a single space between them or none; -1 where there is none."""
    last = len(pieces) - 1
    near = np.clip(words + direction, 0, last)
    spaced = pieces.kind[pieces.code[near]] == SPACE
    found = np.clip(near + direction * spaced, 0, last)
    valid: Bools = is_word(pieces)[found] & (found != words) & (pieces.unit[found] == pieces.unit[words])
    return np.where(valid, found, -1)
