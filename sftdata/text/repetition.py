"""How much a text repeats itself, measured as for Gopher.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", table A1. Over a
whole column at once: the lines or words of all texts lie one after the other, with the number of their text beside.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix


def measure_repeated_lines(texts: pl.Series) -> pl.DataFrame:
    """Return how much of each text stands in lines that stood before in it; lines are stripped, empty ones left out.

    Returns:
        Columns `lines` and `line_characters`, Float64 shares, shape `[rows]`; 0 for a text without a line, or null.
    """
    lines = texts.str.split("\n").to_frame("line").with_row_index("text").explode("line").drop_nulls()
    lines = lines.with_columns(pl.col("line").str.strip_chars()).filter(pl.col("line") != "")
    lines = lines.with_columns(
        again=~pl.struct("text", "line").is_first_distinct(), length=pl.col("line").str.len_chars()
    )
    shares = lines.group_by("text").agg(
        lines=pl.col("again").mean(),
        line_characters=pl.col("length").filter("again").sum() / pl.col("length").sum(),
    )
    rows = pl.DataFrame({"text": pl.int_range(len(texts), dtype=pl.get_index_type(), eager=True)})
    return rows.join(shares, on="text", how="left", maintain_order="left").drop("text").fill_null(0.0)


def measure_repeated_ngrams(words: pl.Series, size: int) -> pl.DataFrame:
    """Return how much of each text its repeated n-grams make up, in characters of words.

    Args:
        words: the words of each text, List(String), shape `[rows]`; null counts as none.
        size: words of an n-gram.

    Returns:
        Columns `top`, the share of the n-gram that occurs most often (at least twice; the longest of several), and
        `duplicate`, the share of all n-grams that stood before in the text, each character counted once. Float64,
        shape `[rows]`; 0 where nothing repeats.
    """
    table = words.to_frame("word").with_row_index("text").explode("word").drop_nulls()
    text, length = table["text"].to_numpy(), table["word"].str.len_chars().to_numpy().astype(np.int64)
    starts = np.flatnonzero(text[size - 1 :] == text[: len(text) - size + 1]) if len(text) >= size else text[:0]
    ends = np.concatenate([[0], np.cumsum(length)])
    grams = pl.DataFrame(
        {
            "text": text[starts],
            "gram": _hash_ngrams(table["word"].hash().to_numpy(), size)[starts],
            "length": ends[starts + size] - ends[starts],
        }
    )
    again = starts[~grams.select(pl.struct("text", "gram").is_first_distinct()).to_series().to_numpy()]
    total = np.maximum(np.bincount(text, weights=length, minlength=len(words)), 1)
    covered = np.bincount(text, weights=length * _cover(again, size, len(text)), minlength=len(words))
    return pl.DataFrame({"top": _measure_top(grams, len(words)) / total, "duplicate": covered / total}).with_columns(
        pl.col("top").clip(upper_bound=1.0)  # n-grams that overlap, as in "ha ha ha", add up to more than there is
    )


def _hash_ngrams(words: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Hash the `size` words from each position on; the last positions, which have fewer, mean nothing."""
    hashes = np.zeros(len(words), dtype=np.uint64)
    for place in range(min(size, len(words))):
        hashes[: len(words) - place] = mix(hashes[: len(words) - place] ^ words[place:])
    return hashes


def _cover(starts: NDArray[np.int64], size: int, count: int) -> NDArray[np.bool_]:
    """Mark the positions that lie in a run of `size` from one of `starts`."""
    edges = np.bincount(starts, minlength=count + 1) - np.bincount(starts + size, minlength=count + 1)
    return np.cumsum(edges[:count]) > 0


def _measure_top(grams: pl.DataFrame, count: int) -> NDArray[np.float64]:
    """Return the characters in the n-gram of each text that occurs most often."""
    counts = grams.group_by("text", "gram").agg(pl.len(), pl.col("length").first()).filter(pl.col("len") > 1)
    top = counts.sort("len", "length", descending=True).unique("text", keep="first", maintain_order=True)
    characters = np.zeros(count)
    characters[top["text"].to_numpy()] = (top["len"] * top["length"]).to_numpy()
    return characters
