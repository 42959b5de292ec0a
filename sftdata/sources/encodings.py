"""Open a text file in whatever encoding it is, and give it as UTF-8."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sftdata.errors import SourceError
from sftdata.sources.compression import open_binary
from sftdata.sources.detection import UNKNOWN, Guess, rank_encodings
from sftdata.sources.source import Source
from sftdata.sources.transcoding import transcode

SAMPLE = 2**20
"""Bytes from the start of a file that its encoding is told by."""
PIECE, PIECES = 2**16, 8
"""Bytes and number of further pieces, evenly from the rest of a file that is not packed."""
SCORED = 2**14
"""Bytes of lines beyond ASCII that are weighed; more changes nothing."""
SURE = 0.5
"""The confidence from which on a detected encoding is used."""
RARE = 10_000
"""With fewer than one byte in so many beyond ASCII, a file is ASCII with damage: that is rejected, not guessed at."""
HANDFUL = 8
"""So many bytes that are nothing in particular are damage, however small the file; in a larger one 1 in 100."""

JSON = {"jsonl", "json", "rejected"}
"""Formats that RFC 8259 wants in UTF-8."""
OF_JSON = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "gb18030", "big5", "shift_jis")
"""What is met in JSON all the same, and hardly mistaken for anything else; a stray byte in JSON is damage."""

MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-32-le": codecs.BOM_UTF32_LE,  # before UTF-16, whose mark it begins with
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "gb18030": b"\x84\x31\x95\x33",
}
"""The byte order marks that a file may begin with."""

ENCODINGS = (
    *MARKS,
    *("utf-16", "utf-32", "big5", "cp950", "shift_jis", "euc_jp", "cp949"),
    *(f"cp{page}" for page in (437, 850, 852, 855, 858, 860, 861, 863, 865, 866, 874, *range(1250, 1259))),
    *(f"iso8859-{part}" for part in range(1, 17) if part != 12),
    *("koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "tis-620"),
)
"""What may be given, also by any other name that Python knows it by; each has ASCII where ASCII has it, or is UTF-16
or UTF-32, and none switches tables in the middle of a text, so that damage stays where it is."""

SUPERSETS = {
    "ascii": "utf-8",
    "utf-8-sig": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5hkscs": "big5",
    "cp932": "shift_jis",
    "euc_kr": "cp949",
}
"""Encodings that are read as one that has all that they have, and what files under their name have besides."""


@dataclass(frozen=True)
class TextSource:
    """A text file, opened; a context manager that closes it.

    Attributes:
        file: its text as UTF-8, without a byte order mark at the start. What does not decode stays in its place as
            bytes that are not UTF-8, so that it spoils its own record only; see `transcode`.
        encoding: its encoding in lower case, such as `utf-8`, `gb18030`, `utf-16-le`.
        found: `{}` for UTF-8, else the encoding and how it is known.
    """

    file: BinaryIO
    encoding: str
    found: Mapping[str, str]

    def __enter__(self) -> "TextSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def open_text(source: Source) -> TextSource:
    """Open a text file, packed or not, in the encoding that the settings give, or else in the one it seems to have.

    Raises:
        SourceError: when the encoding that is given is not known or contradicts the file's byte order mark; when none
            is given and none can be told; and as `open_binary` does.
    """
    encoding, note = _find_encoding(source)
    file = open_binary(source.path)
    mark = MARKS.get(encoding)
    if mark and file.peek(len(mark)).startswith(mark):  # type: ignore[attr-defined]  # open_binary's files have it
        file.read(len(mark))
    if encoding != "utf-8":
        file = transcode(file, encoding)
    return TextSource(file, encoding, {"encoding": f"{encoding} ({note})"} if note else {})


def _find_encoding(source: Source) -> tuple[str, str]:
    """Return the encoding, and how it is known; nothing where it is UTF-8 beyond doubt."""
    head, rest = _read_sample(source.path)
    marked = next((encoding for encoding, mark in MARKS.items() if head.startswith(mark)), None)
    if source.settings.encoding is not None:
        encoding = _take_given(source, head, marked)
        return encoding, "given" if encoding != "utf-8" else ""
    if marked:
        return marked, "confidence 1.00" if marked != "utf-8" else ""
    guesses = detect_encoding(head, rest)
    best, other = (*guesses, Guess(UNKNOWN, 0.0))[:2]
    if source.format in JSON and best.encoding not in OF_JSON:
        return "utf-8", f"as JSON is, and not {best.encoding} unless you say so"
    if best.encoding == UNKNOWN or best.confidence < SURE:
        raise SourceError(_refuse(source.name, guesses))
    if best.encoding == "utf-8" and best.confidence > 0.9:
        return "utf-8", ""
    doubt = f", or {other.encoding}" if best.confidence < 0.9 and other.encoding != UNKNOWN else ""
    return best.encoding, f"confidence {min(best.confidence, 0.99):.2f}{doubt}"


def _read_sample(path: Path) -> tuple[bytes, bytes]:
    """Return the start of a file, and whole lines from further on where the file can be read from anywhere."""
    with open_binary(path) as file:
        head = file.read(SAMPLE)
        step = (path.stat().st_size - SAMPLE - PIECE) // PIECES
        if not file.seekable() or step < PIECE or b"\n" not in head:
            return head, b""
        pieces = []
        for number in range(1, PIECES + 1):
            file.seek(SAMPLE + number * step)
            pieces.append(file.read(PIECE).partition(b"\n")[2].rpartition(b"\n")[0])
    return head, b"\n".join(pieces)


def _take_given(source: Source, head: bytes, marked: str | None) -> str:
    given = str(source.settings.encoding)
    try:
        encoding = codecs.lookup(given).name
    except (LookupError, ValueError):
        encoding = ""
    encoding = SUPERSETS.get(encoding, encoding)
    if encoding not in ENCODINGS:
        raise SourceError(f"{source.name}: the encoding {given!r} is not known; known: {', '.join(ENCODINGS)}")
    if encoding in ("utf-16", "utf-32"):
        fits = marked is not None and marked.startswith(encoding)
        encoding = str(marked) if fits else f"{encoding}-{_find_byte_order(head)}"
    if marked and not head.startswith(MARKS.get(encoding, b"no mark")):
        raise SourceError(
            f"{source.name}: begins with the byte order mark of {marked}, but its encoding is given as {given}; "
            "leave `encoding` out, or correct it"
        )
    return encoding


def _find_byte_order(head: bytes) -> str:
    return "be" if head[::2].count(0) > head[1::2].count(0) else "le"


def detect_encoding(head: bytes, rest: bytes = b"") -> list[Guess]:
    """Guess the encoding of a file without a byte order mark; the likeliest first.

    Args:
        head: the start of the file, or all of it.
        rest: lines from further on, not of UTF-16.
    """
    if guess := _find_utf16(head):
        return [guess]
    sample = head[: head.rfind(b"\n") + 1] + rest if rest else head
    broken = _count_broken(sample, whole=bool(rest) or len(head) < SAMPLE)
    if not broken:
        return [Guess("utf-8", 1.0)]
    guesses = rank_encodings(_pick_lines(sample))
    nothing_else = guesses[0].encoding == UNKNOWN or guesses[0].confidence < SURE
    damage = broken <= len(sample) / RARE or (nothing_else and broken <= max(HANDFUL, len(sample) / 100))
    if damage or _is_mixed(sample):
        others = [guess for guess in guesses if guess.encoding != "utf-8"]
        return [Guess("utf-8", max(SURE, 1 - sum(guess.confidence for guess in others))), *others]
    return guesses


def _find_utf16(head: bytes) -> Guess | None:
    """Find UTF-16 by the zeros of ASCII, all on one side, or by line feeds in what is UTF-16 in one order only."""
    if 0 not in head:
        return None
    zeros, others = sorted((head[::2].count(0), head[1::2].count(0)), reverse=True)
    least = 0.9 if head.isascii() else 0.2  # ASCII alone with some zeros is ASCII, with every second byte zero UTF-16
    if zeros >= 4 and others * 20 <= zeros and zeros > least * (len(head) // 2):
        return Guess(f"utf-16-{_find_byte_order(head)}", 0.99)
    if _count_broken(head, whole=True) > max(HANDFUL, len(head) / 10):  # in Chinese UTF-16 it is 1 in 4
        fits = [encoding for encoding in ("utf-16-le", "utf-16-be") if _has_lines(head, encoding)]
        return Guess(fits[0], 0.9) if len(fits) == 1 else None
    return None


def _has_lines(head: bytes, encoding: str) -> bool:
    """Tell whether it is UTF-16 without exception, in which many of the bytes of line feeds are line feeds."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return 0 < head.count(b"\n") <= 4 * text.count("\n")


def _count_broken(sample: bytes, *, whole: bool) -> int:
    """Count the bytes that are not UTF-8; those of a character cut off at the end only where the sample is `whole`."""
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    text = decoder.decode(sample, final=whole)
    return len(sample) - len(decoder.getstate()[0]) - len(text.encode())


def _is_mixed(sample: bytes) -> bool:
    """Tell whether more than one line in a hundred is UTF-8, which another encoding would take, for nonsense."""
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    mixed = sum(map(_is_surely_utf8, lines))
    return mixed >= 3 and mixed * 100 >= len(lines)


def _is_surely_utf8(line: bytes) -> bool:
    try:
        return len(line) - len(line.decode()) >= 6  # three Chinese characters, which cannot be by chance
    except UnicodeDecodeError:
        return False


_BEYOND_ASCII = re.compile(rb"[\x80-\xff][^\n]{0,1000}")


def _pick_lines(sample: bytes) -> bytes:
    """Return what stands beyond ASCII in a sample, from all over it."""
    lines = _BEYOND_ASCII.findall(sample)
    return b"\n".join(lines[:: sum(map(len, lines)) // SCORED + 1])[:SCORED]


def _refuse(name: str, guesses: list[Guess]) -> str:
    named = [f"{guess.encoding} ({guess.confidence:.2f})" for guess in guesses if guess.encoding != UNKNOWN]
    return (
        f"{name}: its encoding cannot be told; the best guesses are {' and '.join(named[:2])}. "
        "Give `encoding`, such as `encoding: gb18030`, or convert the file to UTF-8."
    )
