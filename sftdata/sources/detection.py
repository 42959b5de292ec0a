"""Tell the encoding of a text from its bytes.

Naive Bayes over characters. Each hypothesis is an encoding and the characters that are common in a language written in
it; it says what a character costs in bits: kana are cheap in Japanese, `é` is cheap in French, a Chinese character of
the rarer half of GB 2312 is dear, a byte that does not decode is dearest. A bit less is twice as likely. Encodings in
which the sample is the same text share what they have. "None of these" is a hypothesis too: there all bytes are equal.

The shares are rounded from running text. They decide between a few words; from a paragraph on the encodings are so far
apart that nothing hangs on them. Encodings of languages that nobody asked for are there because text in them would
otherwise be taken, in silence, for something else.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

UNKNOWN = "unknown"
"""The encoding of what is no text in any known one."""


class Guess(NamedTuple):
    """An encoding, and how likely it is."""

    encoding: str
    confidence: float


class Class(NamedTuple):
    """Characters with codes (first two bytes, or the only one) from `first` to `last`.

    `share` is the part of the running text that they make up, `size` how many of them share it.
    """

    first: int
    last: int
    share: float
    size: int


class Wide(NamedTuple):
    """An encoding with more than one byte for a character beyond ASCII; the last class holds all other characters."""

    encoding: str
    codec: str
    prior: float
    classes: tuple[Class, ...]


class Narrow(NamedTuple):
    """An encoding with one byte for a character, and for some languages the letters that they have beyond ASCII.

    `stay` is how often such a letter is followed by another: seldom in Latin, mostly in a script of its own.
    """

    encoding: str
    prior: float
    stay: float
    languages: tuple[str, ...]


def _wide(encoding: str, codec: str, prior: float, *classes: tuple[int, int, float, int]) -> Wide:
    return Wide(encoding, codec, prior, tuple(Class(*one) for one in classes))


WIDE = (
    _wide(
        "utf-8",
        "utf-8",
        0.4,
        (0xC280, 0xDFBF, 0.4, 400),  # Latin, Greek, Cyrillic, ...
        (0xE4B8, 0xE9BF, 0.3, 6000),  # Chinese
        (0xE380, 0xE383, 0.1, 200),  # kana and Chinese punctuation
        (0xEAB0, 0xED9E, 0.1, 2000),  # Hangul
        (0xE280, 0xE281, 0.05, 30),  # dashes and quotation marks
        (0xEFBC, 0xEFBD, 0.04, 60),  # full-width forms
        (0, 0xFFFF, 0.01, 30000),
    ),
    _wide(
        "gb18030",
        "gb18030",
        0.2,
        (0xB0A1, 0xD7F9, 0.84, 3755),  # level 1
        (0xD8A1, 0xF7FE, 0.03, 3008),  # level 2
        (0xA1A1, 0xA3FE, 0.11, 60),  # punctuation and signs
        (0, 0xFFFF, 0.01, 18000),
    ),
    _wide(
        "big5",
        "big5hkscs",
        0.08,
        (0xA440, 0xC67E, 0.84, 5401),  # level 1
        (0xC940, 0xF9D5, 0.03, 7652),  # level 2
        (0xA140, 0xA3BF, 0.11, 60),  # punctuation and signs
        (0, 0xFFFF, 0.01, 5000),
    ),
    _wide(
        "shift_jis",
        "cp932",
        0.08,
        (0x829F, 0x82F1, 0.42, 83),  # hiragana
        (0x8340, 0x8396, 0.17, 86),  # katakana
        (0x889F, 0x9872, 0.30, 2965),  # level 1
        (0x989F, 0xEAA4, 0.01, 3390),  # level 2
        (0x8140, 0x829A, 0.08, 60),  # punctuation and signs
        (0x00A1, 0x00DF, 0.01, 63),  # half-width katakana
        (0, 0xFFFF, 0.01, 2500),
    ),
    _wide(
        "euc_jp",
        "euc_jp",
        0.015,
        (0xA4A1, 0xA4F3, 0.42, 83),  # hiragana
        (0xA5A1, 0xA5F6, 0.17, 86),  # katakana
        (0xB0A1, 0xCFD3, 0.30, 2965),  # level 1
        (0xD0A1, 0xF4A6, 0.01, 3390),  # level 2
        (0xA1A1, 0xA3FE, 0.08, 60),  # punctuation and signs
        (0, 0xFFFF, 0.01, 6000),
    ),
    _wide(
        "cp949",
        "cp949",
        0.02,
        (0xB0A1, 0xC8FE, 0.92, 2350),  # Hangul
        (0xCAA1, 0xFDFE, 0.01, 4888),  # Chinese characters
        (0xA1A1, 0xA3FE, 0.06, 60),  # punctuation and signs
        (0, 0xFFFF, 0.01, 8800),
    ),
)

_POLISH, _CZECH, _HUNGARIAN = "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áéíóöőúüű"
_RUSSIAN, _UKRAINIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюя", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя"
_WESTERN = (
    "’“”‘–—…é",  # English
    "éèàêçâîôûùëïœ«»",  # French
    "äöüß»«",  # German
    "áéíóúñ¿¡ü«»",  # Spanish
    "ãçáéíóõâêàú«»",  # Portuguese
    "àèéìòù«»",  # Italian
    "éëïóöüè",  # Dutch
    "åäöé",  # Swedish
    "æøåé",  # Danish, Norwegian
    "àéèíòóúïüç·",  # Catalan
    "áéíóúýþæöð",  # Icelandic
    "õäöüšž",  # Estonian
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýœß",  # any other
)

NARROW = (
    Narrow("cp1252", 0.3, 0.05, _WESTERN),
    Narrow("cp1250", 0.024, 0.05, (_POLISH, _CZECH, _HUNGARIAN, "ăâîșțşţ", "áäčďéíľňóôšťúýž", "čćšžđ")),
    Narrow("iso8859-2", 0.006, 0.05, (_POLISH, _CZECH, _HUNGARIAN)),
    Narrow("cp1251", 0.013, 0.85, (_RUSSIAN, _UKRAINIAN)),
    Narrow("koi8-r", 0.003, 0.85, (_RUSSIAN,)),
    Narrow("cp1253", 0.005, 0.85, ("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώ",)),
    Narrow("cp1254", 0.005, 0.05, ("çğıöşü",)),
)
_SIGNS = "’“”‘–—…•€«»°£§©®·º\xa0ª„"


def _bits(probability: float) -> float:
    return -math.log2(probability)


_UNKNOWN_PRIOR = 0.01
_WIDE_STAY = 0.9
_ENTER = _bits(0.1)
"""Bits for the step from ASCII to a character beyond it."""
_ASCII = 5.5
"""Bits of an ASCII character: they count where an encoding takes such bytes for the second half of a character."""
_BROKEN_RUN, _BROKEN_BYTE = 5, 8
"""Bits for damage, and for each byte of it."""

_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_RUN = re.compile("[^\0-\x7f\udc80-\udcff]+")
_BROKEN = re.compile("[\udc80-\udcff]+")


def rank_encodings(sample: bytes) -> list[Guess]:
    """Return the encodings that a sample may be in, the likeliest first; their confidences sum to 1.

    Encodings that give the same text are one guess, under the name of the likeliest. Takes about 0.1 s for 64 KiB.
    """
    weighed = sorted([*_weigh_wide(sample), *_weigh_narrow(sample), _weigh_unknown(sample)], key=lambda found: found[0])
    least = weighed[0][0]
    shares: dict[str | None, tuple[str, float]] = {}
    for bits, encoding, text in weighed:
        name, share = shares.get(text, (encoding, 0.0))
        shares[text] = name, share + 2 ** (least - bits)
    total = sum(share for _, share in shares.values())
    return sorted((Guess(name, share / total) for name, share in shares.values()), key=lambda guess: -guess.confidence)


def _weigh_wide(sample: bytes) -> Iterator[tuple[float, str, str | None]]:
    for encoding, codec, prior, classes in WIDE:
        text = sample.decode(codec, "surrogateescape")
        counts = {character: count for character, count in Counter(text).items() if character >= "\x80"}
        broken = sum(count for character, count in counts.items() if "\udc80" <= character <= "\udcff")
        beyond = sum(counts.values()) - broken
        bits = _bits(prior) + _ASCII * (len(text) - beyond - broken)
        bits += _BROKEN_BYTE * broken + _BROKEN_RUN * len(_BROKEN.findall(text))
        bits += sum(count * _bits_in_classes(character, codec, classes) for character, count in counts.items())
        yield bits + _bits_of_runs(len(_RUN.findall(text)), beyond, _WIDE_STAY), encoding, text


def _bits_in_classes(character: str, codec: str, classes: tuple[Class, ...]) -> float:
    if "\udc80" <= character <= "\udcff":
        return 0
    code = int.from_bytes(character.encode(codec, "ignore")[:2])
    found = next(one for one in classes if one.first <= code <= one.last)
    return _bits(found.share / found.size)


def _weigh_narrow(sample: bytes) -> Iterator[tuple[float, str, str | None]]:
    counts = Counter(sample.translate(None, bytes(range(128))))
    beyond, runs = sum(counts.values()), len(_HIGH_RUN.findall(sample))
    for encoding, prior, stay, languages in NARROW:
        text = sample.decode(encoding, "surrogateescape")
        characters = [(bytes([byte]).decode(encoding, "surrogateescape"), count) for byte, count in counts.items()]
        for letters in languages:
            bits = _bits(prior / len(languages)) + _ASCII * (len(sample) - beyond)
            bits += sum(count * _bits_in_language(character, letters) for character, count in characters)
            yield bits + _bits_of_runs(runs, beyond, stay), encoding, text


def _bits_in_language(character: str, letters: str) -> float:
    if character < "\xa0" or "\udc80" <= character <= "\udcff":
        return _BROKEN_RUN + _BROKEN_BYTE
    if character in letters:
        return _bits(0.82 / len(letters))
    if character.lower() in letters:
        return _bits(0.05 / len(letters))
    return _bits(0.1 / len(_SIGNS)) if character in _SIGNS else _bits(0.01 / 70)


def _weigh_unknown(sample: bytes) -> tuple[float, str, str | None]:
    beyond, runs = sum(byte >= 128 for byte in sample), len(_HIGH_RUN.findall(sample))
    bits = _bits(_UNKNOWN_PRIOR) + _ASCII * (len(sample) - beyond) + _bits(1 / 128) * beyond
    return bits + _bits_of_runs(runs, beyond, 0.5), UNKNOWN, None


def _bits_of_runs(runs: int, beyond: int, stay: float) -> float:
    """Say what it costs that `beyond` characters beyond ASCII come in so many runs."""
    return runs * (_ENTER + _bits(1 - stay)) + (beyond - runs) * _bits(stay)
