"""Cut a whole column of texts into words, protected spans, spaces and signs at once.

Texts are cut at their spaces first, which is fast, and a regular expression cuts every distinct part once. A text that
may hold a protected span with spaces in it is one part.
"""

import re
import string
from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.text.pieces import (
    BYTES,
    HAN,
    LATIN,
    OTHER,
    SPACE,
    Bools,
    Ints,
    Pieces,
    exchange,
    ranges,
    strings_at,
    sum_up,
)
from sftdata.text.protection import PATTERNS
from sftdata.text.segmentation import Segmenter
from sftdata.text.shingles import Buffer, to_buffer

_SIGN = r"[[\p{L}\p{M}\p{N}_]--\p{Han}]"
_LETTER = r"[[\p{L}\p{M}]--\p{Han}]"

_PLAIN = (
    rf"{_SIGN}+(?:-{_SIGN}+)*(?:\.{_SIGN}+(?:-{_SIGN}+)*)+",  # an-example.com, U.S, object.method
    rf"(?:{_LETTER}+-)*{_LETTER}*[\p{{N}}_]{_SIGN}*(?:[.,:/-]{_SIGN}*\p{{N}}{_SIGN}*)*",  # numbers, snake_case, B-52
)
"""Protected spans without any of the signs in `_RARE`; much the faster ones to look for."""

_SIGNED = r"[$\\{<%\[&@#]|:/|www\."

PROTECTED = (
    *(pattern for name, pattern in PATTERNS.items() if name != "placeholders"),  # code, formulas
    r"\\[A-Za-z]+|\$?\{[^{}\n]*\}|\{\{[^{}\n]*\}\}|\[[A-Z][A-Z0-9_]*\]|\$[A-Za-z_]\w*",  # \alpha ${x} {{ x }} [URL]
    rf"%(?:\(\w+\)|\d+\$)?[-+#0]*\d*(?:\.\d+)?[A-Za-z]{_SIGN}*",  # %s %(x)d, also where letters follow
    r"<[|/!?]?[A-Za-z][^<>\n]*>|&#?\w+;",  # <NAME>, <|name|>, tags, entities
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://|www\.)[^\s<>\p{Han}，。！？；：）】》」]+",
    rf"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[@#]{_SIGN}+",  # e-mail addresses, @names, #tags
    *_PLAIN,
)
"""What is never cut, as polars regular expressions; of placeholders more than cleaning protects, and faster to find."""

_IN_ASCII = {
    r"\p{L}": "[A-Za-z]",
    r"\p{N}": "[0-9]",
    r"\p{M}": r"\x{300}",  # one that is not in ASCII, as all of them
    r"\p{Han}": r"\x{4e00}",
    r"\d": "[0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\s": r"[\t-\r ]",
}
"""What finds the same in ASCII as classes of Unicode, whose many ranges cost time to search for."""

_RARE = (
    ("[`~]", (PATTERNS["code_fences"], PATTERNS["inline_code"], *_PLAIN)),
    (_SIGNED, tuple(pattern for pattern in PROTECTED if pattern != PATTERNS["latex"])),
    (r"(?s)\\|\$.*\$", PROTECTED),
)
"""Signs, and what is looked for in parts of texts that have them: each pattern costs time, formulas most of all. They
begin with a backslash, or stand between two dollar signs."""

_ASCII = np.full(256, HAN, dtype=np.uint8)
_ASCII[list(b"!\"'()*+,-.:;=>?]^|}")] = OTHER
_ASCII[ord(" ")] = SPACE
_ASCII[list(string.ascii_letters.encode())] = LATIN
"""The kinds of bytes that `_cut_simple` cuts at; HAN for what it leaves to the regular expressions."""

_LOAD = np.array([0, 0, 1, 2])
"""What of each kind of bytes makes a part hard: below two it is simple, for there is one word and nothing unknown."""

_STARTERS = r"`~$\\{\[%<&@#"
"""Signs with which something protected may begin: a run of punctuation stops before them."""

WORD = rf"{_LETTER}+(?:['’‐‑-]{_LETTER}+)*"


def cut_texts(texts: pl.Series, segmenter: Segmenter, protect: Collection[str] = ()) -> Pieces:
    """Cut texts into words, protected spans, single spaces, and what stands between them.

    Args:
        texts: strings, shape `[units]`; a null has no pieces.
        segmenter: cuts Chinese into words.
        protect: terms that stay whole, together with the letters that are written on to them, in any case.
    """
    terms = _order(protect)
    buffer = to_buffer(texts.fill_null(""))
    flat, offsets = _split(texts, buffer, terms)
    encoded = flat.dictionary_encode()
    parts = pl.Series("part", encoded.dictionary, dtype=pl.String)
    lists, place = _extract(parts, terms)
    part, part_code, distinct = _cut_parts(lists, terms, segmenter)
    starts = sum_up(np.bincount(part, minlength=len(lists)))
    cuts = pa.LargeListArray.from_arrays(pa.array(starts), pa.array(part_code.astype(np.int32))).take(
        place[encoded.indices.to_numpy()]
    )
    code = cuts.flatten().to_numpy()
    free = np.ones(len(code), dtype=np.bool_)
    pieces = Pieces(cuts.offsets.to_numpy()[offsets], code, distinct, _kinds(distinct, terms), free)
    pieces.remember(BYTES, lambda: buffer)
    return pieces


def cut_lists(lists: pl.Series, free: pl.Series) -> Pieces:
    """Take the tokens of each row as its pieces.

    Args:
        lists: List(String), shape `[units]`, without nulls in the lists.
        free: List(Boolean) of the same lengths: whether a token may be changed.
    """
    code, distinct = _number(_flatten(lists)[0])
    offsets = sum_up(lists.list.len().fill_null(0).to_numpy().astype(np.int64))
    return Pieces(offsets, code, distinct, _kinds(distinct, []), _flatten(free)[0].to_numpy(), spaced=False)


def protected_pattern(protect: Collection[str]) -> str:
    """Return the regular expression that finds protected spans, line breaks and the terms `protect`."""
    return "|".join([*map(_term, _order(protect)), *PROTECTED, r"\s*[\r\n]\s*"])


def _order(protect: Collection[str]) -> list[str]:
    """Put long terms before short ones, which may be parts of them."""
    return sorted({term.strip() for term in protect} - {""}, key=lambda term: (-len(term), term))


def _pattern(terms: list[str], protected: Sequence[str]) -> str:
    """Join what may be a piece; whatever stands first wins where several begin at the same place."""
    starters = _STARTERS + "".join(sorted({re.escape(term[0]) for term in terms if not term[0].isalnum()}))
    signs = rf"[^\s\p{{L}}\p{{M}}\p{{N}}_{starters}]+"
    return "|".join([*map(_term, terms), *protected, WORD, r"\p{Han}+", " ", r"[\s--[ ]]+", signs, r"(?s:.)"])


def _narrow(pattern: str) -> str:
    """Return a pattern that finds the same in ASCII, in a fraction of the time."""
    return re.sub(r"\\(?:p\{\w+\}|.)", lambda escape: _IN_ASCII.get(escape[0], escape[0]), pattern)


def _split(texts: pl.Series, buffer: Buffer, terms: list[str]) -> tuple[pa.LargeStringArray, Ints]:
    """Cut texts before each space, but for those with protected spans that may hold spaces.

    Returns:
        The parts of all texts, and where those of each text begin, then where the last ones end.
    """
    data, offsets = buffer.data, buffer.offsets
    begins = data[:-7] == ord(" ")  # with one more byte, where the last part ends
    spaced = "|".join([r"[`~$\\{<]", *(_term(term) for term in terms if " " in term)])
    whole = texts.str.contains(spaced).fill_null(False).to_numpy()
    if whole.any():
        begins[:-1] &= ~np.repeat(whole, np.diff(offsets))
    begins[offsets] = True
    starts = np.flatnonzero(begins)
    return strings_at(starts, data), np.searchsorted(starts, offsets)


def _extract(parts: pl.Series, terms: list[str]) -> tuple[pl.Series, Ints]:
    """Cut distinct parts of texts; return lists of pieces, and which of them is that of each part."""
    lists, simple = _cut_simple(parts)
    if terms:
        simple[:] = False
    rest = np.flatnonzero(~simple)
    others = parts.gather(rest)
    way = np.zeros(len(rest), dtype=np.int64)
    for number, (signs, _) in enumerate(_RARE, start=1):
        way[others.str.contains(signs).to_numpy()] = number
    way = 2 * way + (others.str.len_bytes() != others.str.len_chars()).to_numpy()
    found, order = [lists.filter(simple)], [np.flatnonzero(simple)]
    for number in np.unique(way):
        protected = (_PLAIN, *(protected for _, protected in _RARE))[number // 2]
        pattern = _pattern(terms, protected)
        found.append(others.filter(way == number).str.extract_all(pattern if number % 2 else _narrow(pattern)))
        order.append(rest[way == number])
    place = np.empty(len(parts), dtype=np.int64)
    place[np.concatenate(order)] = np.arange(len(parts))
    return pl.concat(found), place


def _cut_simple(parts: pl.Series) -> tuple[pl.Series, Bools]:
    """Cut parts at their spaces, and where a letter stands beside a sign, without a search for pieces.

    Returns:
        Lists of pieces, and whether these are right: most parts of English are a space, a word, and signs about it,
        all of them ASCII and none of them one with which something protected begins.
    """
    data, offsets = to_buffer(parts)
    kinds = _ASCII[data[:-8]]
    kinds[(data[:-8] == ord("w")) & (data[1:-7] == ord("."))] = HAN  # www.
    begins = np.ones(len(kinds) + 1, dtype=np.bool_)  # with one more byte, where the last part ends
    np.not_equal(kinds[1:], kinds[:-1], out=begins[1:-1])
    begins[:-1] |= kinds == SPACE
    begins[offsets] = True
    starts = np.flatnonzero(begins)
    bounds = (np.cumsum(begins) - 1)[offsets]
    simple: Bools = np.diff(sum_up(_LOAD[kinds[starts[:-1]]])[bounds]) < 2
    return pl.Series(parts.name, pa.LargeListArray.from_arrays(pa.array(bounds), strings_at(starts, data))), simple


def _cut_parts(lists: pl.Series, terms: list[str], segmenter: Segmenter) -> tuple[Ints, Ints, pl.Series]:
    """Cut the Chinese among the pieces of parts; return the part of each piece, codes, and distinct pieces."""
    flat, part = _flatten(lists)
    code, distinct = _number(flat)
    runs = distinct.str.contains(r"^\p{Han}{2}")
    return _cut_runs(part, code, distinct, runs, segmenter, terms) if runs.any() else (part, code, distinct)


def _term(term: str) -> str:
    return f"(?i:{re.escape(term)}){_SIGN}*"


def _flatten(lists: pl.Series) -> tuple[pl.Series, Ints]:
    lengths = lists.list.len().fill_null(0).to_numpy()
    unit = np.repeat(np.arange(len(lists), dtype=np.int64), lengths)
    return lists.explode(empty_as_null=False, keep_nulls=False), unit


def _number(flat: pl.Series) -> tuple[Ints, pl.Series]:
    """Return the place of each piece among the distinct ones, and these, in the order in which they come."""
    encoded = pa.chunked_array([flat.rechunk().to_arrow()]).combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return code, pl.Series("piece", encoded.dictionary, dtype=pl.String)


def _kinds(distinct: pl.Series, terms: list[str]) -> NDArray[np.int8]:
    piece = pl.col("piece")
    latin = piece.str.contains(f"^{WORD}$") & ~piece.str.contains(r"\p{Ll}\p{Lu}")  # no camelCase
    han = piece.str.contains(r"^\p{Han}+$")
    kind = pl.when(latin).then(LATIN).when(han).then(HAN).when(piece == " ").then(SPACE).otherwise(OTHER)
    if terms:
        kind = pl.when(piece.str.contains(f"^(?:{'|'.join(map(_term, terms))})$")).then(OTHER).otherwise(kind)
    return distinct.to_frame("piece").select(kind.cast(pl.Int8)).to_series().to_numpy()


def _cut_runs(
    unit: Ints, code: Ints, distinct: pl.Series, runs: pl.Series, segmenter: Segmenter, terms: list[str]
) -> tuple[Ints, Ints, pl.Series]:
    """Cut the runs of Chinese among the distinct pieces into words."""
    han = "|".join(re.escape(term) for term in terms if re.search(r"[^\x00-\u2E7F]", term))
    if han:
        cuts = pl.Series([_cut_around(run, han, segmenter) for run in distinct.filter(runs)], dtype=pl.List(pl.String))
    else:
        cuts = segmenter.split_column(distinct.filter(runs))
    parts = distinct.to_frame("piece").select(pl.concat_list("piece")).to_series()
    parts = exchange(parts, runs.to_numpy(), cuts)
    lengths = parts.list.len().to_numpy().astype(np.int64)
    part_code, distinct = _number(parts.explode(empty_as_null=False, keep_nulls=False))
    starts, counts = (np.cumsum(lengths) - lengths)[code], lengths[code]
    return np.repeat(unit, counts), part_code[ranges(starts, counts)], distinct


def _cut_around(run: str, terms: str, segmenter: Segmenter) -> list[str]:
    parts = [part for part in re.split(f"({terms})", run) if part]
    return [word for part in parts for word in ([part] if re.fullmatch(terms, part) else segmenter.split_pieces(part))]
