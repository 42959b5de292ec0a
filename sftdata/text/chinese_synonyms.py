"""Which Chinese words can stand for each other: our own list, and any file in the format of Cilin."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from sftdata.documents import MOST_FAULTS
from sftdata.errors import FaultsError
from sftdata.records import shorten

Synonyms = Mapping[str, tuple[str, ...]]
"""The words that may take a word's place, the best first."""


class CilinError(FaultsError):
    """A file that is not in the format of Cilin."""

    kind = "synonym file"


@cache
def chinese_synonyms() -> Synonyms:
    """Return the list written for this project, `data/chinese_synonyms.txt`, whose head says how it is written."""
    text = resources.files("sftdata").joinpath("data/chinese_synonyms.txt").read_text(encoding="utf-8")
    groups = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return _collect(
        ([word.removesuffix("*") for word in group], [word for word in group if not word.endswith("*")])
        for group in groups
    )


def load_cilin(path: Path) -> Synonyms:
    """Read a synonym file in the format of Cilin, encoded in UTF-8 or GB18030.

    A line is a code, a sign and words: `Aa01A02= 人类 生人 全人类`. Words of a line with `=` are synonyms; those
    with `#` are only related, and one with `@` stands alone: both are left out.

    Raises:
        CilinError: the file cannot be read, or lines of it are not such; all at once.
    """
    groups, faults = [], []
    for number, line in enumerate(_read_lines(path), 1):
        entry = _ENTRY.fullmatch(line.strip())
        if entry is None and line.strip():
            faults.append(f"line {number}: found {shorten(line.strip(), 40)!r}, expected {_EXPECTED}")
        elif entry and entry[1] == "=":
            groups.append(entry[2].split())
    if faults:
        more = [f"and {len(faults) - MOST_FAULTS:,} more"] if len(faults) > MOST_FAULTS else []
        raise CilinError(str(path), faults[:MOST_FAULTS] + more)
    if not groups:
        raise CilinError(str(path), ["found no line with '=', so no synonyms; is it the right file?"])
    return _collect((group, group) for group in groups)


_ENTRY = re.compile(r"[A-Z][a-z][0-9]{2}[A-Z][0-9]{2}([=#@])((?:\s+\S+)+)")
_EXPECTED = "a code, a sign and words, as 'Aa01A02= 人类 生人 全人类'"


def _read_lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise CilinError(str(path), [f"cannot be read: {cause.strerror}"]) from None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding).splitlines()
        except UnicodeDecodeError:
            continue
    raise CilinError(str(path), ["found bytes that are neither UTF-8 nor GB18030; save it as UTF-8"])


def _collect(groups: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Synonyms:
    """Give each word that a group replaces the other words of its groups, in order."""
    found: dict[str, dict[str, None]] = {}
    for words, replaced in groups:
        for word in replaced:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return MappingProxyType({word: tuple(others) for word, others in found.items() if others})
