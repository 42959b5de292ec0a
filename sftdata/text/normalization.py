"""Bring texts to one form: broken encodings, Unicode, width, invisible characters, Chinese script, white space.

Every function takes a String series without nulls and returns one of the same length. Beside each stands a regular
expression of polars that matches in every text that the function changes, so that it is called for few others.
"""

import re
from functools import lru_cache
from typing import Any, Literal

import polars as pl

from sftdata.text.protection import MARKS, MASK

HALF_OF = {full: chr(ord(full) - 0xFEE0) for full in map(chr, range(0xFF01, 0xFF5F))} | {"　": " "}
"""Full-width signs and what they are in half width (Unicode block "Halfwidth and Fullwidth Forms")."""

_MOJIBAKE_SIGN = (
    "[\u00a1-\u017e\u0192\u02c6-\u02dd\u0384-\u0491\u2018\u201a-\u201e\u2020-\u2022\u2030\u2039\u203a\u2044\u20a7\u20ac"
    "\u2116\u2122\u2202-\u2265\u2310\u2502-\u2593\u25ca\uf8ff\ufb01\ufb02\ufffd]"
)
MOJIBAKE = rf"[\u0080-\u009fÃÂÎÐØÙŒœ]|{_MOJIBAKE_SIGN}[-\sA-Za-z.]?{_MOJIBAKE_SIGN}"
"""What every text has in which ftfy sees mojibake: its signs of it, two near each other; `ftfy.badness` lists them."""

_CONTROL = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
_ESCAPE = r"\x1b\[[0-9;?]*[A-Za-z]"
_LINE_END = r"[\x0b\x0c\x85]"

_INVISIBLE = (
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    r"\u3164\ufeff\uffa0\x{E0000}-\x{E007F}]"
)
_FLAG = r"\x{1F3F4}[\x{E0020}-\x{E007F}]+"
_JOINED = (
    r"\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af\u200c\u200d\ufb50-\ufdcf\ufdf0-\ufdff\ufe0f\ufe70-\ufeff"
)
_PICTURES = "\u2190-\u2bff\U0001f000-\U0001faff"
_JOINER = re.compile(rf"(?<![{_JOINED}{_PICTURES}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}{_PICTURES}])")


NOT_ASCII = r"[^\x00-\x7f]"
CHINESE = r"\p{Han}"
FULL_WIDTH = "[" + "".join(HALF_OF) + "]"
CONTROL = f"{_CONTROL}|{_LINE_END}"
ZERO_WIDTH = f"{_INVISIBLE}|[\u200c\u200d]"
CASED = {"lower": r"\p{Changes_When_Lowercased}", "upper": r"\p{Changes_When_Uppercased}"}
SPACED = {"words": r"[\s--[ ]]|  |^ | $", "lines": r"[\s--[ \n]]|  |^\s|\s$|\n\n\n| \n"}


def repair_encoding(texts: pl.Series) -> pl.Series:
    """Undo text that was decoded with the wrong encoding (`schÃ¶n`), as ftfy finds it.

    Only the encoding: entities, quotes, widths and line ends, which ftfy can change too, are steps of their own.
    """
    from ftfy import fix_encoding

    # Piece by piece: one protected span, which no encoding knows, would hide the mojibake around it.
    repaired = [MASK.join(fix_encoding(piece) for piece in text.split(MASK)) for text in texts]
    return pl.Series(repaired, dtype=pl.String)


def normalize_unicode(texts: pl.Series, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> pl.Series:
    """Bring texts to a Unicode normalization form (Unicode Standard Annex 15)."""
    return texts.str.normalize(form)


def narrow(texts: pl.Series, which: Literal["alphanumeric", "all"]) -> pl.Series:
    """Turn full-width signs into half-width ones: letters and digits, or punctuation and the wide space too."""
    signs = {full: half for full, half in HALF_OF.items() if which == "all" or half.isalnum()}
    return texts.str.replace_many(list(signs), list(signs.values()))


def remove_control_characters(texts: pl.Series) -> pl.Series:
    """Remove control characters and terminal escapes; vertical tab, form feed and next line become line breaks."""
    cleaned = texts.str.replace_all(f"{_ESCAPE}|{_CONTROL}", "")
    return cleaned.str.replace_all(_LINE_END, "\n")


def remove_zero_width(texts: pl.Series) -> pl.Series:
    """Remove characters that take no room: zero-width spaces, soft hyphens, marks of direction, byte order marks, tags.

    Joiners stay between letters of scripts that join, and inside emoji; tags stay in flags, which are made of them.
    """
    cleaned = texts.str.replace_all(f"({_FLAG})|{_INVISIBLE}", "${1}")
    if not cleaned.str.contains("[\u200c\u200d]").any():
        return cleaned
    return pl.Series([_JOINER.sub("", text) for text in cleaned], dtype=pl.String)


def convert_chinese(texts: pl.Series, script: Literal["simplified", "traditional"]) -> pl.Series:
    """Write Chinese in simplified or traditional characters, by the phrase tables of OpenCC.

    No text may hold the last of `protection.MARKS`, which stands between them: one call is twice as fast as many.
    """
    if texts.is_empty():
        return texts
    converter = _load_opencc("t2s" if script == "simplified" else "s2t")
    return pl.Series(converter.convert(MARKS[-1].join(texts)).split(MARKS[-1]), dtype=pl.String)


@lru_cache
def _load_opencc(configuration: str) -> Any:
    from opencc import OpenCC

    return OpenCC(configuration)


def fold_case(texts: pl.Series, case: Literal["lower", "upper"]) -> pl.Series:
    """Write texts in lower or upper case."""
    return texts.str.to_lowercase() if case == "lower" else texts.str.to_uppercase()


def normalize_whitespace(texts: pl.Series, keep: Literal["lines", "words"]) -> pl.Series:
    r"""Leave one kind of space and one kind of line break, no more of them than needed, and none at the ends.

    `lines`: spaces of all kinds become a space and runs of them one, except at the start of a line, where they indent;
    every line break becomes `\n`, and at most one empty line stays. `words`: every run of white space is one space.
    """
    if keep == "words":
        return texts.str.replace_all(r"\s+", " ").str.strip_chars()
    texts = texts.str.replace_all(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n")
    texts = texts.str.replace_all(r"[\s--[\n\t]]", " ")
    texts = texts.str.replace_all(r"(\S)[ \t]+", "${1} ")
    texts = texts.str.replace_all(r"[ \t]+\n", "\n").str.replace_all(r"\n{3,}", "\n\n")
    return texts.str.strip_chars()
