"""Excerpts of what is too much to show: rejected rows, and the places where two texts differ."""

import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from sftdata.records import shorten

WINDOWS, WINDOW = 16, 2**19
"""A larger file is looked at in so many windows of so many bytes, spread evenly over it."""

EXAMPLES = 5
"""Rejected rows that are shown of a reason."""

ORIGINAL, DETAIL, NAME = 1000, 300, 150
"""Most characters that are shown of an original, of a detail, and of the name of a file or of a further reason."""

Difference = list[tuple[bool, str]]
"""A text in pieces, and of each whether the other text lacks it."""

_WORD = re.compile(r"\w+|\s+|.", re.ASCII)


def find_rejected(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return some rejected rows of each reason, in the order of the file; of a large file only a part is looked at."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in sample_lines(path):
        try:
            row = json.loads(line)
            of_reason = found.setdefault(row["reason"], [])
        except (ValueError, KeyError, TypeError):  # a foreign file; `verify` tells more
            continue
        if len(of_reason) < EXAMPLES:
            of_reason.append(_shorten(row))
    return found


def sample_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; of one larger than all windows together the whole lines in each window."""
    if not path.is_file():
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WINDOWS * WINDOW:
            yield from file
            return
        for number in range(WINDOWS):
            start = (size - WINDOW) * number // (WINDOWS - 1)
            file.seek(start)
            _, *lines = ([b""] if start == 0 else []) + file.read(WINDOW).split(b"\n")
            yield from lines[:-1]


def _shorten(row: dict[str, Any]) -> dict[str, Any]:
    original = row.get("original", "")
    text = original if isinstance(original, str) else json.dumps(original, ensure_ascii=False, indent=2)
    told = {name: shorten(str(row.get(name, "")), NAME) for name in ("source", "record", "line", "stage")}
    reasons = [shorten(str(reason), NAME) for reason in row.get("reasons", ())[:4]]
    return {
        **told,
        "detail": shorten(str(row.get("detail", "")), DETAIL),
        "reasons": reasons,
        "original": shorten(text, ORIGINAL),
    }


def compare(before: str, after: str) -> tuple[Difference, Difference]:
    """Cut two texts into what both have and what only one of them has, by words."""
    left, right = _WORD.findall(before), _WORD.findall(after)
    removed: Difference = []
    added: Difference = []
    for kind, start, end, other_start, other_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        _append(removed, kind != "equal", left[start:end])
        _append(added, kind != "equal", right[other_start:other_end])
    return removed, added


def _append(pieces: Difference, differs: bool, words: list[str]) -> None:
    if words:
        pieces.append((differs, "".join(words)))
