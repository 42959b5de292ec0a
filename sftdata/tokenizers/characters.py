"""The characters that a fast encoder may see: those that it was seen to treat as the reference does."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import polars as pl

NEVER = frozenset(("Cn", "Co", "Cc", "Cs"))
"""Categories that are never tried: unassigned, private, control, surrogate. New Unicode versions assign the first."""


def candidate_characters(texts: pl.Series) -> list[str]:
    """Return the characters of `texts` that are worth trying, in order: line breaks, tabs, and what is not `NEVER`."""
    codes = np.frombuffer("".join(texts.to_list()).encode("utf-32-le"), dtype=np.uint32)
    seen = np.zeros(0x110000, dtype=np.bool_)
    seen[codes] = True
    found = map(chr, np.flatnonzero(seen).tolist())
    return [c for c in found if c in "\t\n\r" or unicodedata.category(c) not in NEVER]


def in_contexts(characters: Sequence[str]) -> pl.Series:
    """Put each character after a letter, a space, a digit, a line break and itself, shape `[characters]`."""
    return pl.Series([f"a{c} {c}{c}1{c}\n{c}" for c in characters], dtype=pl.String)


def find_doubtful(characters: Sequence[str], tokens: Sequence[str]) -> str:
    """Return a regular expression that finds any other character than `characters`, or one of `tokens`."""
    codes = np.array(sorted(map(ord, characters)), dtype=np.int64)
    runs = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    ranges = "".join(rf"\x{{{run[0]:x}}}-\x{{{run[-1]:x}}}" for run in runs if len(run))
    literals = ["".join(rf"\x{{{ord(c):x}}}" for c in token) for token in tokens]
    return "|".join([f"[^{ranges}]" if ranges else "(?s:.)", *literals])
