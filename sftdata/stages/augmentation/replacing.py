"""Edits that replace words or put some in: synonyms, typing errors, homophones, punctuation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix
from sftdata.stages.augmentation.choosing import (
    Keys,
    WordLists,
    choose,
    count_words,
    is_han,
    is_word,
    keys_of,
    previous,
    share_of,
)
from sftdata.text.pieces import HAN, LATIN, SPACE, Bools, Ints, Pieces, Replacement, exchange
from sftdata.text.typing_noise import SHORTEST, mistype, sound_alike

SENTENCE_END = r"[.!?:;…。！？：；\r\n]['\"”’」』)\]）】]*\s*$"
"""A piece after which a sentence begins, so that a capital there does not make a name."""

SIGNS = pl.Series([".", ";", "?", ":", "!", ",", "。", "；", "？", "：", "！", "，"])
"""What AEDA inserts: six signs, and the same of Chinese."""

DRAWS = 4
"""How often another synonym is drawn where `a` or `an` stands before it and does not fit."""


@dataclass(frozen=True)
class _Replaceable:
    """Words for which there are synonyms, all of shape `[words]`.

    Attributes:
        places: of the pieces, ascending.
        rows: of the table of synonyms.
        title: whether the first letter alone is a capital.
        upper: whether all letters are.
        article: 0, or 1 where `a` stands before it, 2 where `an` does.
    """

    places: Ints
    rows: Ints
    title: Bools
    upper: Bools
    article: NDArray[np.int8]


def replace_synonyms(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Replacement:
    """Replace words by synonyms, in their case; a capitalised one only where a sentence begins: it may be a name."""
    words = pieces.remember(("replaceable", lists), lambda: _find_replaceable(pieces, lists))
    chosen, keys = _choose(pieces, words.places, unit_keys, rate)
    drawn = _draw(words.article[chosen], keys, words.rows[chosen], lists)
    chosen, drawn = chosen[drawn >= 0], drawn[drawn >= 0]
    new = lists.synonyms.synonyms.gather(drawn)
    new = _write_large(new, words.title[chosen], lambda one: one.str.slice(0, 1).str.to_uppercase() + one.str.slice(1))
    new = _write_large(new, words.upper[chosen], lambda one: one.str.to_uppercase())
    return Replacement(words.places[chosen], new)


def _find_replaceable(pieces: Pieces, lists: WordLists) -> _Replaceable:
    rows = _synonym_rows(pieces, lists)
    upper = pieces.match(r"^\p{Lu}{5,}$")  # a shorter one is an abbreviation
    title = pieces.match(r"^\p{Lu}[^\p{Lu}]*$")
    fit = (rows >= 0) & (upper | title | ~pieces.match(r"\p{Lu}"))
    able = np.flatnonzero(is_word(pieces) & fit[pieces.code])
    before, there = previous(pieces, able)
    code = pieces.code[able]
    opens = ~there | pieces.match(SENTENCE_END)[pieces.code[before]]
    article = pieces.match("^[Aa]$") + 2 * pieces.match("^[Aa][Nn]$").astype(np.int8)
    article = there * article[pieces.code[before]]
    kept = ~title[code] | opens
    code = code[kept]
    return _Replaceable(able[kept], rows[code], title[code], upper[code], article[kept])


def _write_large(words: pl.Series, chosen: Bools, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    return exchange(words, chosen, change(words.filter(pl.Series(chosen)))) if chosen.any() else words


def insert_synonyms(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Pieces:
    """Insert synonyms of words of the text behind random words of the same script."""
    rows = _synonym_rows(pieces, lists)
    words = np.flatnonzero(is_word(pieces))
    named = pieces.match(r"\p{Lu}")  # Rock may be a name
    known = words[((rows >= 0) & ~named)[pieces.code[words]]]
    sources, keys = _choose_words(pieces, known, unit_keys, rate)
    article = pieces.match("^[Aa][Nn]?$")
    open_places = words[~article[pieces.code[words]] & _may_follow(pieces, words)]
    places, _ = _choose_words(pieces, open_places, mix(unit_keys), rate)
    sources, places, keys = _pair(pieces, sources, places, keys)
    drawn = lists.synonyms.draw(rows[pieces.code[sources]], _uniform(keys))
    order = np.argsort(places, kind="stable")
    places, new = places[order], lists.synonyms.synonyms.gather(drawn[order])
    return pieces.insert(places, _spaced(pieces, places, new))


def insert_punctuation(pieces: Pieces, unit_keys: Keys, rate: float) -> Pieces:
    """Insert signs behind random words; their number is drawn from one up to `rate` of the words."""
    words = np.flatnonzero(is_word(pieces))
    most = share_of(count_words(pieces), rate).astype(np.uint64)
    counts = (1 + mix(unit_keys) % most).astype(np.int64)
    words = words[_may_follow(pieces, words)]
    keys = keys_of(pieces, words, unit_keys)
    at = np.sort(choose(pieces.unit[words], keys, counts))
    places = words[at]
    drawn = (mix(keys[at]) % np.uint64(6)).astype(np.int64) + 6 * is_han(pieces, places)
    return pieces.insert(places, _spaced(pieces, places, SIGNS.gather(drawn)))


def mistype_words(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Replacement:
    """Mistype words of ASCII letters; stopwords and short words stay."""
    fit = pieces.match(rf"^[A-Za-z]{{{SHORTEST},}}$") & (pieces.kind == LATIN) & ~_is_stopword(pieces, lists)
    chosen, keys = _choose_words(pieces, np.flatnonzero(is_word(pieces) & fit[pieces.code]), unit_keys, rate)
    return Replacement(chosen, mistype(pieces.distinct.gather(pieces.code[chosen]), keys))


def replace_homophones(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Replacement:
    """Replace one character of Chinese words by another that sounds like it; stopwords stay."""
    fit = (pieces.kind == HAN) & ~_is_stopword(pieces, lists)
    chosen, keys = _choose_words(pieces, np.flatnonzero(is_word(pieces) & fit[pieces.code]), unit_keys, rate)
    return Replacement(chosen, sound_alike(pieces.distinct.gather(pieces.code[chosen]), keys, lists.homophones))


def _synonym_rows(pieces: Pieces, lists: WordLists) -> Ints:
    """Return the row of each distinct word in the table; -1 where there is none, or where it is a stopword."""
    return pieces.remember(("synonyms", lists), lambda: _find_synonyms(pieces, lists))


def _find_synonyms(pieces: Pieces, lists: WordLists) -> Ints:
    words = np.flatnonzero(pieces.kind >= LATIN)
    found = lists.synonyms.find(pieces.distinct.gather(words))
    words, found = words[found >= 0], found[found >= 0]
    rows = np.full(len(pieces.distinct), -1, dtype=np.int64)
    rows[words] = np.where(lists.is_stopword(pieces.distinct.gather(words)), -1, found)
    return rows


def _is_stopword(pieces: Pieces, lists: WordLists) -> Bools:
    return pieces.remember(("stopwords", lists), lambda: lists.is_stopword(pieces.distinct))


def _choose_words(pieces: Pieces, able: Ints, unit_keys: Keys, rate: float) -> tuple[Ints, Keys]:
    """Choose `rate` of the words of each text among the pieces `able`; return them in order, and a key for each."""
    chosen, keys = _choose(pieces, able, unit_keys, rate)
    return able[chosen], keys


def _choose(pieces: Pieces, able: Ints, unit_keys: Keys, rate: float) -> tuple[Ints, Keys]:
    """Do the same, but return where those chosen stand in `able`."""
    keys = keys_of(pieces, able, unit_keys)
    chosen = np.sort(choose(pieces.unit[able], keys, share_of(count_words(pieces), rate)))
    return chosen, mix(keys[chosen])


def _uniform(keys: Keys) -> NDArray[np.float64]:
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _draw(article: NDArray[np.int8], keys: Keys, rows: Ints, lists: WordLists) -> Ints:
    """Draw a synonym from each of `rows` that goes with the article before it; -1 where none was found."""
    drawn = np.full(len(rows), -1, dtype=np.int64)
    wanting = np.arange(len(rows))
    for _ in range(DRAWS):
        found = lists.synonyms.draw(rows[wanting], _uniform(keys[wanting]))
        takes_an = lists.synonyms.takes_an[found]
        fits = article[wanting] != np.where(takes_an, 1, 2)
        drawn[wanting[fits]] = found[fits]
        wanting, keys = wanting[~fits], mix(keys)
    return drawn


def _may_follow(pieces: Pieces, words: Ints) -> Bools:
    """Tell whether something may stand behind a word: not where a sign is written on to it, as in `and/or`."""
    last = words == len(pieces) - 1
    following = np.minimum(words + 1, len(pieces) - 1)
    same = ~last & (pieces.unit[following] == pieces.unit[words])
    open_behind: Bools = ~same | (pieces.kind[pieces.code[following]] == SPACE) | is_han(pieces, words)
    return open_behind


def _pair(pieces: Pieces, sources: Ints, places: Ints, keys: Keys) -> tuple[Ints, Ints, Keys]:
    """Put the first source of a text and script with its first place, the second with the second, and so on."""
    tables = [
        pl.DataFrame({"at": at, "group": 2 * pieces.unit[at] + is_han(pieces, at)}).with_columns(
            rank=pl.int_range(pl.len()).over("group")
        )
        for at in (sources, places)
    ]
    table = tables[0].with_columns(key=keys).join(tables[1], on=["group", "rank"], maintain_order="left")
    return table["at"].to_numpy(), table["at_right"].to_numpy(), table["key"].to_numpy()


def _spaced(pieces: Pieces, places: Ints, new: pl.Series) -> pl.Series:
    """Put a space before what is inserted into text other than Chinese; tokens have none."""
    if not pieces.spaced:
        return new
    return pl.select(pl.when(pl.lit(pl.Series(is_han(pieces, places)))).then(new).otherwise(" " + new)).to_series()
