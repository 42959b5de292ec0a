"""What a prepared dataset looks like in numbers: lengths, padding, what was cut, and how well the vocabulary fits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.records import IGNORE_INDEX

Ints = NDArray[np.int64]

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Which lengths are told; 0 is the shortest example, 1 the longest."""

SCRIPTS = (
    "Latin",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Cyrillic",
    "Greek",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Thai",
)
"""The scripts that are told apart. To find the language itself would take longer than all other work together."""


@dataclass
class SplitCounts:
    """Counts over the examples of one split; its size depends on how many lengths there are, not on the rows.

    Attributes:
        lengths: how many examples have each number of tokens.
        trained: how many examples have each number of trained tokens; empty where labels are no tokens.
        truncated: examples that were cut.
        split: rows that were split into several examples.
        parts: the further examples that they became.
        labels: how many examples, or tokens, have each class, by its index; empty where labels are no classes.
    """

    lengths: Counter[int] = field(default_factory=Counter)
    trained: Counter[int] = field(default_factory=Counter)
    truncated: int = 0
    split: int = 0
    parts: int = 0
    labels: Counter[int] = field(default_factory=Counter)

    def add(self, lengths: Ints, trained: Ints | None, truncated: NDArray[np.bool_], parts: Ints) -> None:
        """Count examples; `truncated` and `parts` are as in `stages.tokenization.Tokenized`."""
        self.lengths.update(_count(lengths))
        if trained is not None:
            self.trained.update(_count(trained))
        self.truncated += int(truncated.sum())
        self.split += int((parts == 1).sum())
        self.parts += int((parts > 0).sum())

    def add_labels(self, labels: pa.Array) -> None:
        """Count classes in the column `labels` of examples: one a row, one a token, or a number for each class."""
        kind = labels.type
        if kind == pa.int64():
            self.labels.update(_count(to_numpy(labels)))
        elif kind == pa.list_(pa.int64()):
            of_tokens = to_numpy(labels.flatten())
            self.labels.update(_count(of_tokens[of_tokens != IGNORE_INDEX]))
        elif kind == pa.list_(pa.float32()) and len(labels):
            self.labels.update(_count(np.nonzero(to_numpy(labels.flatten()).reshape(len(labels), -1))[1]))

    def describe(self, max_length: int, label_names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the counts as the manifest tells them."""
        rows, tokens = self.lengths.total(), sum(length * count for length, count in self.lengths.items())
        told: dict[str, Any] = {"tokens_per_example": _quantiles(self.lengths)}
        if self.trained:
            told["trained_tokens_per_example"] = _quantiles(self.trained)
        told["padding_at_max_length"] = round(1 - tokens / (rows * max_length), 4) if rows else None
        told |= {"truncated": self.truncated, "split_rows": self.split, "further_parts": self.parts}
        if label_names and self.labels:
            told["labels"] = {label_names[index]: count for index, count in sorted(self.labels.items())}
        return told


class VocabularyUse:
    """Which ids stand in the examples that are counted.

    Args:
        size: of the vocabulary.
        unknown: the id that stands for what the vocabulary has not, if there is one.
    """

    def __init__(self, size: int, unknown: int | None = None) -> None:
        self._seen = np.zeros(size, dtype=np.bool_)
        self._unknown, self._unknown_tokens, self._tokens = unknown, 0, 0

    def add(self, examples: pa.RecordBatch) -> None:
        """Note the ids of examples."""
        ids = to_numpy(examples["input_ids"].flatten())
        self._seen[ids] = True
        self._tokens += len(ids)
        if self._unknown is not None:
            self._unknown_tokens += int((ids == self._unknown).sum())

    def describe(self) -> dict[str, int | float]:
        """Return how many ids there are, how many no example has, and which share of the tokens is unknown."""
        told: dict[str, int | float] = {"size": len(self._seen), "never_used": int((~self._seen).sum())}
        if self._unknown is not None:
            told["unknown"] = round(self._unknown_tokens / max(1, self._tokens), 4)
        return told


def characters_per_token(texts: pl.Series, lengths: Ints) -> dict[str, dict[str, float | int]]:
    """Tell how many characters a token stands for, by the script of most letters of a text.

    Args:
        texts: some texts of the data, String without nulls.
        lengths: how many tokens each has, shape `[texts]`.

    Returns:
        For each script that is there `texts` and `characters_per_token`, the most frequent first.
    """
    letters = [texts.str.count_matches(rf"\p{{{script}}}").alias(script) for script in SCRIPTS]
    most = pl.DataFrame(letters).select(
        pl.when(pl.max_horizontal(pl.all()) > 0)
        .then(pl.concat_list(pl.all()).list.arg_max())
        .otherwise(pl.lit(len(SCRIPTS)))
        .alias("script")
    )
    measured = most.with_columns(pl.Series("tokens", lengths), texts.str.len_chars().alias("characters"))
    found = measured.group_by("script").agg(pl.len().alias("texts"), pl.sum("tokens", "characters"))
    named = [*SCRIPTS, "other"]
    return {
        named[row["script"]]: {
            "texts": row["texts"],
            "characters_per_token": round(row["characters"] / row["tokens"], 2),
        }
        for row in found.sort("texts", "script", descending=[True, False]).to_dicts()
        if row["tokens"]
    }


def _count(numbers: NDArray[Any]) -> dict[int, int]:
    values, counts = np.unique(numbers, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _quantiles(counts: Counter[int]) -> dict[str, float]:
    """Return the mean, and for each of `QUANTILES` the smallest length that so many examples do not exceed."""
    if not counts:
        return {}
    values = np.array(sorted(counts), dtype=np.int64)
    total = np.cumsum([counts[value] for value in values.tolist()])
    places = np.searchsorted(total, np.ceil(np.array(QUANTILES) * total[-1]), side="left")
    named = {f"{quantile:g}": int(values[place]) for quantile, place in zip(QUANTILES, places, strict=True)}
    mean = sum(value * count for value, count in counts.items()) / int(total[-1])
    return {"mean": round(mean, 2), **named}
