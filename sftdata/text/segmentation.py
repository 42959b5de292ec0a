"""Cut text into pieces that join to the text again: words, numbers, punctuation, spaces; Chinese words by jieba.

One regular expression cuts everything but runs of Han characters, in polars, for a whole column at once. jieba sees
the runs alone, and each distinct one once a column, so that it is not even loaded where there is no Chinese.
"""

import re
import threading
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.documents import MOST_FAULTS
from sftdata.errors import FaultsError
from sftdata.records import shorten

HAN = r"\p{Han}"
"""A Chinese character, as a class of a polars regular expression."""

WORD = r"[\p{L}\p{N}]"
"""What makes a piece a word, as a polars regular expression: a letter or a digit (a Chinese character is a letter)."""

_START, _INNER = r"[[\p{L}\p{N}_]--\p{Han}]", r"[[\p{L}\p{N}\p{M}_]--\p{Han}]"
_PICTURE = r"\p{Extended_Pictographic}[\p{M}\p{Emoji_Modifier}]*"
PIECE = "|".join(
    [
        rf"{HAN}+",
        r"\p{Nd}+(?:[.,:/]\p{Nd}+)+",  # 3.14, 1,000, 12:30, 2024/5/1
        rf"{_START}{_INNER}*(?:['’‐‑-]{_START}{_INNER}*)*",  # don't, state-of-the-art
        r"\r\n|[\r\n]",
        r"[\s--[\r\n]]+",
        r"\p{Regional_Indicator}{2}",  # a flag
        rf"{_PICTURE}(?:\u{{200D}}{_PICTURE})*",  # a family is several people and joiners
        r"(?s:.)\p{M}*",
    ]
)
"""Any piece but a Chinese word. Some alternative matches every character, so that nothing falls between two."""

UserWord = tuple[str, int | None]
"""A word and how often it occurs, or None: often enough to be cut as one."""


class DictionaryError(FaultsError):
    """A user dictionary that is none."""

    kind = "dictionary"


@dataclass(frozen=True)
class Segmenter:
    """Cuts text into pieces. It pickles, and loads jieba only when there is Chinese to cut, once a process.

    Attributes:
        words: what a user adds to jieba's dictionary (`read_dictionary`); words with other than Chinese characters
            have no effect, for those are cut without jieba.
    """

    words: tuple[UserWord, ...] = ()

    def split_pieces(self, text: str) -> list[str]:
        """Cut one text; the pieces join to the text. `split_column` is the faster way for many."""
        pieces: list[str] = self.split_column(pl.Series([text], dtype=pl.String))[0].to_list()
        return pieces

    def split_column(self, texts: pl.Series) -> pl.Series:
        """Cut each text.

        Args:
            texts: strings, shape `[rows]`; a null stays null.

        Returns:
            List(String), shape `[rows]`, of the name of `texts`: pieces in order, none of them empty. Line breaks,
            other white space, and each sign of punctuation are pieces of their own; Latin words keep their inner
            apostrophes and hyphens, numbers their points, and emoji what is joined to them.
        """
        pieces = texts.str.extract_all(PIECE)
        flat = pieces.explode(empty_as_null=False, keep_nulls=False)
        runs = flat.filter(flat.str.contains(rf"^{HAN}{HAN}")).unique(maintain_order=True)
        return pieces if runs.is_empty() else _regroup(pieces, flat, runs, self._cut_runs(runs))

    def _cut_runs(self, runs: pl.Series) -> pl.Series:
        cut = _load_jieba(self.words).lcut
        return pl.Series([cut(run) for run in runs], dtype=pl.List(pl.String))

    @staticmethod
    def is_word(piece: str) -> bool:
        """Whether a piece is a word or number, not space, punctuation or a picture."""
        return any(sign.isalnum() for sign in piece)

    def count_words(self, texts: pl.Series) -> pl.Series:
        """Count the pieces that are words: UInt32, shape `[rows]`; a null stays null."""
        words = self.split_column(texts).list.eval(pl.element().str.contains(WORD).cast(pl.UInt32))
        return words.list.sum().cast(pl.UInt32)


def _regroup(pieces: pl.Series, flat: pl.Series, runs: pl.Series, cuts: pl.Series) -> pl.Series:
    """Put the `cuts` of `runs` into `pieces`, whose entries one after the other are `flat`."""
    known = pl.DataFrame({"piece": runs, "cuts": cuts})
    table = flat.to_frame("piece").join(known, on="piece", how="left", maintain_order="left")
    parts = table.select(pl.coalesce("cuts", pl.concat_list("piece"))).to_series()
    ends = np.concatenate([[0], parts.list.len().cum_sum().to_numpy()])
    offsets = np.concatenate([[0], ends[pieces.list.len().fill_null(0).cum_sum().to_numpy()]])
    values = parts.explode(empty_as_null=False).to_arrow()
    mask = pieces.is_null().to_arrow() if pieces.null_count() else None
    grouped = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, mask=mask)
    return pl.Series(pieces.name, grouped)


_LOADING = threading.Lock()


def _load_jieba(words: tuple[UserWord, ...]) -> Any:
    with _LOADING:  # two threads that start together load it once
        return _build_tokenizer(words)


@lru_cache(maxsize=4)
def _build_tokenizer(words: tuple[UserWord, ...]) -> Any:
    """Build a private tokenizer in memory, as `Tokenizer.initialize` does through a cache file that all users share.

    Not calling `initialize` also keeps jieba from logging to stderr. Its hidden Markov model stays on: it joins single
    characters that are left over to words that no dictionary has. On the MSRA test sentences 80 % of the names of
    persons are then one piece, against 56 % without, and so are not torn by an edit; words of the dictionary, which
    alone have synonyms, are cut the same.
    """
    with warnings.catch_warnings():
        # jieba 0.42 compiles with invalid escape sequences, and imports pkg_resources where setuptools still has it,
        # which warns that it will go.
        warnings.simplefilter("ignore")
        from jieba import Tokenizer
    tokenizer = Tokenizer()
    tokenizer.FREQ, tokenizer.total = Tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    for word, frequency in words:
        tokenizer.add_word(word, frequency)
    return tokenizer


def read_dictionary(path: Path) -> tuple[UserWord, ...]:
    """Read a dictionary as jieba takes it: a word a line, then perhaps how often it occurs, then perhaps its tag.

    Raises:
        DictionaryError: the file cannot be read as UTF-8 text, or lines of it are not such; all at once.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as cause:
        raise DictionaryError(str(path), [f"cannot be read as UTF-8 text: {cause}"]) from None
    found = [(number, _ENTRY.fullmatch(line.strip())) for number, line in enumerate(lines, 1) if line.strip()]
    faults = [
        f"line {number}: found {shorten(lines[number - 1].strip(), 40)!r}, expected a word, then at most a whole "
        "number above 0 and a tag of small letters"
        for number, entry in found
        if entry is None
    ]
    if faults:
        more = [f"and {len(faults) - MOST_FAULTS:,} more"] if len(faults) > MOST_FAULTS else []
        raise DictionaryError(str(path), faults[:MOST_FAULTS] + more)
    return tuple((entry[1], int(entry[2]) if entry[2] else None) for _, entry in found if entry)


_ENTRY = re.compile(r"(\S+)(?:\s+(0*[1-9][0-9]*))?(?:\s+[a-z]+)?")
