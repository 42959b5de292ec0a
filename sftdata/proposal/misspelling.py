"""Labels that may be one label, written in two ways."""

import difflib
import re
from collections.abc import Iterator, Mapping

from sftdata.proposal.parts import Doubt

FREQUENT = 20
"""Rows from which a label is surely meant."""
FEW = 2
"""Rows that a slip of the hand may have; of a label with more than 200 rows, a hundredth."""


def find_misspelt(counts: Mapping[str, int]) -> dict[str, str]:
    """Return labels that are probably another one misspelt, with that one: much alike, and next to none of its rows.

    Args:
        counts: how many rows each label has, the most frequent first.
    """
    alike = find_alike(counts)
    return {
        label: other
        for label, other in alike.items()
        if counts[other] >= FREQUENT and counts[label] <= max(FEW, counts[other] // 100)
    }


def find_alike(counts: Mapping[str, int]) -> dict[str, str]:
    """Return labels that differ from a more frequent one by case and space alone, or are rare and differ by little."""
    frequent = [label for label, count in counts.items() if count >= FREQUENT]
    spelt: dict[str, str] = {}
    alike: dict[str, str] = {}
    for label, count in counts.items():
        same = spelt.setdefault(label.strip().casefold(), label)
        if same != label:
            alike[label] = same
        elif count <= FEW and len(label) > 4:
            others = [other for other in frequent if _may_slip(label, other)]
            if close := difflib.get_close_matches(label, others, n=1, cutoff=0.85):
                alike[label] = close[0]
    return alike


def _may_slip(label: str, other: str) -> bool:
    """Tell whether two labels could be one: other numbers are meant, and so are the letters that tags begin with."""
    if re.sub(r"\d", "", label) == re.sub(r"\d", "", other):
        return False
    return label[:2] == other[:2] or "-" not in (label[1:2], other[1:2])


def doubt_labels(about: str, counts: Mapping[str, int], left_out: Mapping[str, str]) -> Iterator[Doubt]:
    """Ask about each label that may be another one, or say that it was left out."""
    for label, other in find_alike(counts).items():
        count = f"{counts[label]:,}"
        if label in left_out:
            rows = f"{count} row" + "s" * (counts[label] != 1)
            text = (
                f"{label!r} ({rows}) may be {other!r} misspelt: left out, so rejected; if it is right, take away its #"
            )
            yield Doubt(about, text)
        else:
            yield Doubt(about, f"is {label!r} ({count}) the same as {other!r}?")
