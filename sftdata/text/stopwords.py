"""Lists of stopwords, and taking them out of texts."""

import re
from pathlib import Path

import polars as pl

from sftdata.errors import UsageError
from sftdata.settings.cleaning import StopwordSettings
from sftdata.text.fields import nest
from sftdata.text.segmentation import Segmenter

FEW = 100
"""Most words that are looked for one by one before a text is cut."""


def load_stopwords(settings: StopwordSettings, base: Path) -> frozenset[str]:
    """Return all words that `settings` names, in lower case; `file` is relative to `base`.

    Raises:
        UsageError: if the file cannot be read, or holds no word.
    """
    words = set(settings.words)
    if settings.languages:
        from stopwordsiso import stopwords

        words |= stopwords(settings.languages)
    if settings.file is not None:
        words |= _read_words(base / settings.file)
    return frozenset(_key(pl.Series(sorted(words), dtype=pl.String)))


def _read_words(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as cause:
        raise UsageError(f"{path}: cannot be read as UTF-8 text with one stopword a line: {cause}") from None
    if words := {line.strip() for line in lines} - {""}:
        return words
    raise UsageError(f"{path}: found no stopword, expected one a line")


def _key(words: pl.Series) -> pl.Series:
    return words.str.to_lowercase().str.replace_all("’", "'")


def make_guard(words: frozenset[str]) -> str:
    """Return a polars regular expression that matches in every text that `remove_stopwords` changes.

    With a few words it spares most texts the cutting; with many it would match in nearly all and spare nothing.
    """
    if len(words) > FEW:
        return "(?s)."
    own = [re.escape(word).replace("'", "['’]") for word in sorted(words)]
    return f"(?i:{'|'.join(own)})"


def remove_stopwords(texts: pl.Series, words: frozenset[str], segmenter: Segmenter) -> pl.Series:
    """Take out the pieces of texts that are in `words`, and of the spaces around one the second.

    A word is a piece as `segmenter` cuts it: `don't` is one, and Chinese words are those of jieba. Nulls stay.
    """
    pieces = segmenter.split_column(texts)
    table = pieces.to_frame("piece").with_row_index("text").explode("piece", empty_as_null=False)
    distinct = table["piece"].unique()  # a piece is looked up as it is, so that only distinct ones are brought to a key
    stop = table["piece"].is_in(distinct.filter(_key(distinct).is_in(sorted(words))).implode()).fill_null(False)
    if not stop.any():
        return texts
    row, space = (
        table["text"],
        table["piece"].is_in(distinct.filter(distinct.str.contains(r"^\s+$")).implode()).fill_null(False),
    )
    follows = stop.shift(1).fill_null(False) & (row.shift(1) == row).fill_null(False)
    opened = space.shift(2).fill_null(True) | (row.shift(2) != row).fill_null(True)
    kept = table.select(
        pl.when(stop | ((table["piece"] == " ") & follows & opened)).then(pl.lit("")).otherwise("piece")
    )
    return nest(kept.to_series().filter(table["piece"].is_not_null()), pieces).list.join("")
