"""Which Chinese characters sound alike, for the slips of someone who types with a pinyin keyboard: 在 for 再."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

MOST = 12
"""Most characters that one is mistaken for: a keyboard shows few before its user has to page on."""


@cache
def homophones() -> Mapping[str, str]:
    """Return for each common character others of the same syllable, tones left out, the commonest first.

    Made from `data/homophones.txt`, which was written by hand for this project. A character that stands under two
    syllables has the characters of both.
    """
    text = resources.files("sftdata").joinpath("data/homophones.txt").read_text(encoding="utf-8")
    lines = [line.partition(": ")[2] for line in text.splitlines() if line and not line.startswith("#")]
    found: dict[str, str] = {}
    for line in lines:
        for character in line:
            found[character] = found.get(character, "") + line.replace(character, "")[:MOST]
    return MappingProxyType({one: "".join(dict.fromkeys(others)) for one, others in found.items() if others})
