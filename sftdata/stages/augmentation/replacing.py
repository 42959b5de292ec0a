"""Edits that replace words or put some in: synonyms, typing errors, homophones, punctuation."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.records import mix
from sftdata.stages.augmentation.choosing import (
    Keys,
    WordLists,
    choose,
    count_share,
    is_han,
    is_word,
    keys_of,
    previous,
)
from sftdata.text.pieces import HAN, LATIN, SPACE, Bools, Ints, Pieces
from sftdata.text.typing_noise import SHORTEST, mistype, sound_alike

SENTENCE_END = r"[.!?:;…。！？：；\r\n]['\"”’」』)\]）】]*\s*$"
"""A piece after which a sentence begins, so that a capital there does not make a name."""

SIGNS = pl.Series([".", ";", "?", ":", "!", ",", "。", "；", "？", "：", "！", "，"])
"""What AEDA inserts: six signs, and the same of Chinese."""

DRAWS = 4
"""How often another synonym is drawn where `a` or `an` stands before it and does not fit."""


def replace_synonyms(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Pieces:
    """Replace words by synonyms, in their case; a capitalised one only where a sentence begins: it may be a name."""
    rows = _synonym_rows(pieces, lists)
    upper = pieces.distinct.str.contains(r"^\p{Lu}{5,}$").to_numpy()  # a shorter one is an abbreviation
    title = pieces.distinct.str.contains(r"^\p{Lu}[^\p{Lu}]*$").to_numpy()
    plain = ~pieces.distinct.str.contains(r"\p{Lu}").to_numpy()
    able = np.flatnonzero(is_word(pieces) & ((rows >= 0) & (upper | title | plain))[pieces.code])
    able = able[~title[pieces.code[able]] | _opens_sentence(pieces, able)]
    chosen, keys = _choose_words(pieces, able, unit_keys, rate)
    drawn = _draw(pieces, chosen, keys, rows[pieces.code[chosen]], lists)
    chosen, drawn = chosen[drawn >= 0], drawn[drawn >= 0]
    frame = pl.DataFrame(
        {
            "new": lists.synonyms.synonyms.gather(drawn),
            "title": title[pieces.code[chosen]],
            "upper": upper[pieces.code[chosen]],
        }
    )
    capital = pl.col("new").str.slice(0, 1).str.to_uppercase() + pl.col("new").str.slice(1)
    cased = pl.when("title").then(capital).when("upper").then(pl.col("new").str.to_uppercase()).otherwise("new")
    return pieces.put(chosen, frame.select(cased).to_series())


def insert_synonyms(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Pieces:
    """Insert synonyms of words of the text behind random words of the same script."""
    rows = _synonym_rows(pieces, lists)
    words = np.flatnonzero(is_word(pieces))
    named = pieces.distinct.str.contains(r"\p{Lu}").to_numpy()  # Rock may be a name
    known = words[((rows >= 0) & ~named)[pieces.code[words]]]
    sources, keys = _choose_words(pieces, known, unit_keys, rate)
    article = pieces.distinct.str.to_lowercase().is_in(["a", "an"]).to_numpy()
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
    most = count_share(pieces.unit[words], rate, pieces.units).astype(np.uint64)
    counts = (1 + mix(unit_keys) % most).astype(np.int64)
    words = words[_may_follow(pieces, words)]
    keys = keys_of(pieces, words, unit_keys)
    at = np.sort(choose(pieces.unit[words], keys, counts))
    places = words[at]
    drawn = (mix(keys[at]) % np.uint64(6)).astype(np.int64) + 6 * is_han(pieces, places)
    return pieces.insert(places, _spaced(pieces, places, SIGNS.gather(drawn)))


def mistype_words(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Pieces:
    """Mistype words of ASCII letters; stopwords and short words stay."""
    fit = pieces.distinct.str.contains(rf"^[A-Za-z]{{{SHORTEST},}}$").to_numpy()
    fit &= (pieces.kind == LATIN) & ~lists.is_stopword(pieces.distinct)
    chosen, keys = _choose_words(pieces, np.flatnonzero(is_word(pieces) & fit[pieces.code]), unit_keys, rate)
    return pieces.put(chosen, mistype(pieces.distinct.gather(pieces.code[chosen]), keys))


def replace_homophones(pieces: Pieces, unit_keys: Keys, rate: float, lists: WordLists) -> Pieces:
    """Replace one character of Chinese words by another that sounds like it; stopwords stay."""
    fit = (pieces.kind == HAN) & ~lists.is_stopword(pieces.distinct)
    chosen, keys = _choose_words(pieces, np.flatnonzero(is_word(pieces) & fit[pieces.code]), unit_keys, rate)
    return pieces.put(chosen, sound_alike(pieces.distinct.gather(pieces.code[chosen]), keys, lists.homophones))


def _synonym_rows(pieces: Pieces, lists: WordLists) -> Ints:
    """Return the row of each distinct word in the table; -1 where there is none, or where it is a stopword."""
    rows = lists.synonyms.find(pieces.distinct)
    return np.where((pieces.kind >= LATIN) & ~lists.is_stopword(pieces.distinct), rows, -1)


def _choose_words(pieces: Pieces, able: Ints, unit_keys: Keys, rate: float) -> tuple[Ints, Keys]:
    """Choose `rate` of the words of each text among the pieces `able`; return them in order, and a key for each."""
    keys = keys_of(pieces, able, unit_keys)
    counts = count_share(pieces.unit[is_word(pieces)], rate, pieces.units)
    chosen = np.sort(choose(pieces.unit[able], keys, counts))
    return able[chosen], mix(keys[chosen])


def _uniform(keys: Keys) -> NDArray[np.float64]:
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _opens_sentence(pieces: Pieces, places: Ints) -> Bools:
    ends = pieces.distinct.str.contains(SENTENCE_END).to_numpy()
    before, there = previous(pieces, places)
    opens: Bools = ~there | ends[pieces.code[before]]
    return opens


def _draw(pieces: Pieces, places: Ints, keys: Keys, rows: Ints, lists: WordLists) -> Ints:
    """Draw a synonym for each of `places` that goes with the article before it; -1 where none was found."""
    lower = pieces.distinct.str.to_lowercase()
    before, there = previous(pieces, places)
    article = [there & (lower == word).to_numpy()[pieces.code[before]] for word in ("a", "an")]
    drawn = np.full(len(places), -1, dtype=np.int64)
    wanting = np.arange(len(places))
    for _ in range(DRAWS):
        found = lists.synonyms.draw(rows[wanting], _uniform(keys[wanting]))
        takes_an = lists.synonyms.takes_an[found]
        fits = ~np.where(takes_an, article[0][wanting], article[1][wanting])
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
