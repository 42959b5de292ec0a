"""What cleaning needs beside the rows: its settings, and what has to be read for them once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from sftdata.errors import UsageError
from sftdata.settings.cleaning import CleanSettings, find_field_faults
from sftdata.text.segmentation import Segmenter
from sftdata.text.stopwords import load_stopwords

CountTokens = Callable[[pl.Series], pl.Series]
"""Takes texts, a String series without nulls, and returns their lengths in tokens as an integer series."""


@dataclass(frozen=True)
class Cleaner:
    """Everything that `stages.cleaning.clean_rows` needs; it pickles.

    Attributes:
        settings: what to do.
        fields: the columns to clean, in order.
        stopwords: the words to take out, in lower case.
        segmenter: cuts text into words.
        count_tokens: measures texts in tokens, where `settings.tokens` asks for it.
    """

    settings: CleanSettings
    fields: tuple[str, ...]
    stopwords: frozenset[str] = frozenset()
    segmenter: Segmenter = field(default_factory=Segmenter)
    count_tokens: CountTokens | None = None


def make_cleaner(
    settings: CleanSettings,
    fields: Sequence[str],
    base: str | Path,
    *,
    segmenter: Segmenter | None = None,
    count_tokens: CountTokens | None = None,
) -> Cleaner:
    """Read what `settings` asks for.

    Args:
        settings: what to do.
        fields: the columns of the rows that hold text (`text.fields.text_fields`).
        base: the folder that paths in the settings start from.
        segmenter: cuts text into words; one without words of a user when it is not given.
        count_tokens: measures texts in tokens; needed where `settings.tokens` is given. It must pickle where rows
            are cleaned in worker processes.

    Raises:
        UsageError: the settings do not fit the fields, or a file cannot be read; all faults of the former at once.
    """
    if faults := find_field_faults(settings, fields) + find_counting_faults(settings, count_tokens):
        raise UsageError("clean: " + "; ".join(faults))
    chosen = tuple(name for name in fields if name in (settings.fields or fields))
    return load_cleaner(settings, chosen, base, segmenter=segmenter, count_tokens=count_tokens)


def find_counting_faults(settings: CleanSettings, count_tokens: CountTokens | None) -> list[str]:
    """Say that `settings` ask for a length in tokens, which nothing counts."""
    unmet = settings.tokens is not None and count_tokens is None
    return ["tokens: there is no tokenizer to count with; give one, or leave it out"] if unmet else []


def load_cleaner(
    settings: CleanSettings,
    fields: tuple[str, ...],
    base: str | Path,
    *,
    segmenter: Segmenter | None = None,
    count_tokens: CountTokens | None = None,
) -> Cleaner:
    """Read what `settings`, which fit the fields, ask for; as `make_cleaner`, which also checks them."""
    words = load_stopwords(settings.stopwords, Path(base)) if settings.stopwords else frozenset()
    return Cleaner(settings, fields, words, segmenter or Segmenter(), count_tokens)
