"""How a file of separated values is written, given or found: delimiter, quoting, comments, and where the header is."""

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings

SAMPLE = 2**20
"""Bytes at the start of a file that tell how it is written."""
SCORED = 2**16
"""Bytes of the sample that tell the delimiter."""
OTHERS = "\t;|"
"""Delimiters that are looked for besides the comma."""


@dataclass(frozen=True)
class Dialect:
    """How a file of separated values is written.

    Attributes:
        delimiter: the ASCII character between two fields.
        quoting: whether a field may stand in double quotes.
        comment: how lines begin that are no records; empty for none.
        newline: how lines end: a line feed, alone or after a carriage return; or a carriage return, as on old Macs.
        header: the names of the columns; None before they are known.
        encoding: what the text was encoded in before it became UTF-8.
    """

    delimiter: str = ","
    quoting: bool = True
    comment: bytes = b""
    newline: bytes = b"\n"
    header: tuple[str, ...] | None = None
    encoding: str = "utf-8"

    @property
    def width(self) -> int | None:
        """The number of fields of a record, once it is known."""
        return None if self.header is None else len(self.header)

    def read(self, lines: Iterable[str], *, strict: bool = True) -> Iterator[list[str]]:
        """Read lines with the standard library's reader, which is the judge of what CSV is."""
        csv.field_size_limit(sys.maxsize)  # records are bounded where lines are fed
        if not self.quoting:
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE, strict=strict)
        return csv.reader(lines, delimiter=self.delimiter, strict=strict)


class Place(NamedTuple):
    """Where records begin.

    Attributes:
        offset: the first byte of the header, or of the first record where the names are given.
        line: its line, counted from 1.
    """

    offset: int
    line: int


def find_dialect(
    sample: bytes | bytearray, final: bool, settings: SourceSettings, *, tabs: bool
) -> tuple[Dialect, Place, dict[str, str]]:
    """Tell from the settings, and where they leave it open from the start of a file, how it is written.

    Args:
        sample: the first bytes, at most `SAMPLE`, without a byte order mark.
        final: whether that is the whole file.
        settings: what the recipe says.
        tabs: whether the name says that tabs stand between fields.

    Returns:
        The dialect, the place of the header, and what was found and is not the plain case.

    Raises:
        SourceError: when the settings do not fit the file or each other.
    """
    text = sample.decode("utf-8", "surrogateescape")
    place, skipped = _find_start(text, settings)
    body = text[place.offset :]
    found = {"comment": f"'#' ({skipped} line{'s' * (skipped > 1)} before the header)"} if skipped else {}
    delimiter = settings.delimiter or ("\t" if tabs else _find_delimiter(body[:SCORED], final and len(body) <= SCORED))
    _check_delimiter(delimiter)
    if not settings.delimiter and delimiter != ("\t" if tabs else ","):
        found["delimiter"] = repr(delimiter)
    quoting = settings.quoting
    if quoting is None:
        quoting = delimiter != "\t" or '"' not in body or not _quotes_are_text(body, final)
        found |= {} if quoting else {"quoting": "off"}
    if settings.header is None and place.line > 1:
        found["header"] = f"line {place.line}"
    dialect = Dialect(delimiter, quoting, (settings.comment or "").encode())
    return dialect, Place(len(text[: place.offset].encode("utf-8", "surrogateescape")), place.line), found


_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|\Z)")


def _find_start(text: str, settings: SourceSettings) -> tuple[Place, int]:
    """Find where the header or, where it is given, the first record begins; count the comments before it."""
    if isinstance(settings.header, int):
        return _find_line(text, settings.header), 0
    places = [Place(0, 1)]
    begin, hashes = settings.comment or "#", []
    while (line := _LINE.match(text, places[-1].offset)) and line.end() > line.start():
        if line[0].startswith(begin) and (settings.comment or not settings.header):
            hashes.append((line[0], places[-1]))
        elif line[0].strip("\r\n"):
            break
        places.append(Place(line.end(), places[-1].line + 1))
    if settings.comment or not hashes or not line:
        return places[-1], 0
    if not line[0]:
        return Place(0, 1), 0  # nothing but such lines: the first is the header
    last, its_place = hashes[-1]
    if _is_header(last, line[0]):
        return its_place, len(hashes) - 1
    return places[-1], len(hashes)


def _find_line(text: str, number: int) -> Place:
    offset = 0
    for _ in range(number - 1):
        line = _LINE.match(text, offset)
        if not line or not line[0]:
            raise SourceError(f"header: {number}, but the first {SAMPLE:,} bytes have fewer lines")
        offset = line.end()
    return Place(offset, number)


def _is_header(hashed: str, first: str) -> bool:
    """Tell whether a line that begins with `#` is a header like `#id,text`, by the line after it."""
    widths = [{sign: line.count(sign) for sign in "," + OTHERS if sign in line} for line in (hashed, first)]
    return not hashed.startswith(("# ", "##")) and bool(widths[0]) and widths[0] == widths[1]


def _check_delimiter(delimiter: str) -> None:
    if not delimiter.isascii() or delimiter in '"\r\n\0':
        raise SourceError(f"delimiter: found {delimiter!r}, expected one ASCII character, and no quote or line break")


def _find_delimiter(text: str, final: bool) -> str:
    """Take the comma, unless another delimiter divides the records into equally many fields and the comma does not."""
    width, share = _score(text, final, ",")
    if width > 1 and share >= 0.9:
        return ","
    scores = [(other, *_score(text, final, other)) for other in OTHERS]
    fitting = [score for score in scores if score[1] > 1 and score[2] >= 0.9 and (width == 1 or score[2] > share + 0.2)]
    return max(fitting, key=lambda score: (score[2], score[1]))[0] if fitting else ","


def _score(text: str, final: bool, delimiter: str) -> tuple[int, float]:
    """Return how many fields the first record has, and the share of the others that have as many."""
    records = [record for record in Dialect(delimiter).read(io.StringIO(text, newline=""), strict=False) if record]
    widths = [len(record) for record in (records if final or len(records) < 2 else records[:-1])]
    if not widths:
        return 1, 0.0
    return widths[0], widths[1:].count(widths[0]) / len(widths[1:]) if len(widths) > 1 else 1.0


def _quotes_are_text(text: str, final: bool) -> bool:
    """Tell whether quotes in a tab-separated text are text: every line fits as it is, few quoted fields are closed."""
    lines = [line for line in re.split(r"\r\n?|\n", text) if line]
    lines = lines if final else lines[:-1]
    if len({line.count("\t") for line in lines}) != 1:
        return False
    fields = [field for line in lines if '"' in line for field in line.split("\t") if field.startswith('"')]
    closed = sum(_CLOSED.fullmatch(field) is not None for field in fields)
    return len(fields) > 2 * closed


_CLOSED = re.compile(r'"(?:[^"]|"")*"')
