"""Tables of synonyms in flat arrays, so that the synonyms of many words are drawn at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyarrow import compute

Ints = NDArray[np.int64]

STARTS_WITH_VOWEL = r"^(?:[aeiou]|hour|hono|honest|heir)"
SOUNDS_OTHERWISE = r"^(?:eu|ew|one$|once|uni(?:[^nm]|$)|unim?$|u[st][aeiu]|ubi|ur[aei]n)"
"""Words that begin with a vowel but have `a` before them, not `an`: unit, use, European."""


@dataclass(frozen=True)
class SynonymTable:
    """Synonyms of words, all in small letters.

    Attributes:
        words: distinct words, shape `[words]`, String.
        starts: where the synonyms of each word begin, then where the last ones end, shape `[words + 1]`.
        synonyms: the synonyms, shape `[synonyms]`, String.
        reach: the weights of the synonyms summed up from the first on, shape `[synonyms]`, float64.
        takes_an: whether `an`, not `a`, stands before each synonym, shape `[synonyms]`.
    """

    words: pl.Series
    starts: Ints
    synonyms: pl.Series
    reach: NDArray[np.float64]
    takes_an: NDArray[np.bool_]

    def find(self, words: pl.Series) -> Ints:
        """Return the row of each word, in any case; -1 where there is none."""
        rows = compute.index_in(words.str.to_lowercase().to_arrow(), self.words.to_arrow())
        found: Ints = rows.fill_null(-1).to_numpy().astype(np.int64)
        return found

    def draw(self, rows: Ints, uniform: NDArray[np.float64]) -> Ints:
        """Draw a synonym for each of `rows`, by weight, with numbers from 0 to below 1; return places in `synonyms`."""
        first, last = self.starts[rows], self.starts[rows + 1] - 1
        below = np.where(first > 0, self.reach[first - 1], 0.0)
        wanted = below + uniform * (self.reach[last] - below)
        return np.clip(np.searchsorted(self.reach, wanted, side="right"), first, last)


def make_table(words: pl.Series, synonyms: pl.Series, weights: pl.Series) -> SynonymTable:
    """Make a table.

    Args:
        words: distinct words, shape `[words]`.
        synonyms: List(String), shape `[words]`, none of them empty.
        weights: lists of positive numbers, as long as those of `synonyms`.
    """
    lengths = synonyms.list.len().to_numpy().astype(np.int64)
    flat = synonyms.explode(empty_as_null=False, keep_nulls=False)
    sounds = flat.str.contains(STARTS_WITH_VOWEL) & ~flat.str.contains(SOUNDS_OTHERWISE)
    reach = np.cumsum(weights.explode(empty_as_null=False, keep_nulls=False).cast(pl.Float64).to_numpy())
    return SynonymTable(words, np.concatenate([[0], np.cumsum(lengths)]), flat, reach, sounds.to_numpy())


@lru_cache(maxsize=1)
def read_english() -> pl.DataFrame:
    """Read the English table that `make_synonyms` made: `word`, `synonyms`, `weights`."""
    with as_file(files("sftdata") / "data" / "english_synonyms.arrow") as path:
        return pl.read_ipc(path)


def synonym_table(*chinese: Mapping[str, tuple[str, ...]], without: frozenset[str] = frozenset()) -> SynonymTable:
    """Put the English table and Chinese ones together.

    Args:
        chinese: words and their synonyms; of a word that stands in several, the first counts.
        without: words that are neither replaced nor put in, such as stopwords.
    """
    merged = {word: found for mapping in reversed(chinese) for word, found in mapping.items()}
    kept = {
        word: [one for one in found if one not in without and one != word]
        for word, found in merged.items()
        if word not in without
    }
    rows = [(word, found, [1] * len(found)) for word, found in kept.items() if found]
    english = read_english()
    table = pl.concat([english, pl.DataFrame(rows, schema=english.schema, orient="row")])
    return make_table(table["word"], table["synonyms"], table["weights"])
