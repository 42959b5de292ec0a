"""Read a JSON array of records in slices, however large it is; a broken record costs no other.

Records are found by parsing them one after the other. Where one does not parse, it ends where its brackets and quotes
close; where they never do, the next record is found by the first key that records have.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from sftdata.errors import SourceError
from sftdata.sources import jsonl, parsing
from sftdata.sources.encodings import open_text
from sftdata.sources.json_block import Block, cut_block, make_block
from sftdata.sources.jsonl import line as line
from sftdata.sources.jsonl import original as original
from sftdata.sources.jsonl import parse as parse
from sftdata.sources.parsing import MAX_RECORD
from sftdata.sources.source import Slice, Source

WINDOW = 4 * 2**20
"""Bytes that are read at a time, and about as many make a slice."""


class _Record(NamedTuple):
    text: str
    line: int
    dropped: int = 0


class _Window:
    """The part of a file that is looked at, as text; what does not decode is in it as lone surrogates.

    `is_cut` tells that the file ended before its array did; `mark` matches how records begin, once one was found.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text, self.place, self.line, self.at_end = "", 0, 1, False
        self.is_cut = False
        self.mark: re.Pattern[str] | None = None
        self.read_on()

    def read_on(self) -> None:
        """Read more, and forget what lies before `place`."""
        data = self._file.read(WINDOW)
        self.text = self.text[self.place :] + self._decoder.decode(data, not data)
        self.place, self.at_end = 0, not data

    def advance(self, place: int) -> None:
        """Go on to `place`, counting lines."""
        self.line += self.text.count("\n", self.place, place)
        self.place = place

    def next_character(self) -> str:
        """Pass over white space and return what comes then, nothing at the end of the file."""
        while True:
            self.advance(_skip_space(self.text, self.place))
            if self.place < len(self.text) or self.at_end:
                return self.text[self.place : self.place + 1]
            self.read_on()

    def find_end(self, place: int) -> int | None:
        """Return where the value at `place` ends, if it is one and a comma, a bracket or nothing comes after it."""
        try:
            end = _DECODER.raw_decode(self.text, place)[1]
        except (ValueError, RecursionError):
            return None
        after = _skip_space(self.text, end)
        return end if self.text[after : after + 1] in (("", ",", "]") if self.at_end else (",", "]")) else None


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file that holds an array of records, an object with such an array, or JSON Lines after all.

    Raises:
        SourceError: when it holds something else.
    """
    with open_text(source) as text:
        window = _Window(text.file)
        if window.next_character() and not _holds_lines(window.text):
            key = _enter_array(window, source.name)
            found = {**text.found, "records": f"under the key {key!r}"} if key else text.found
            for block in _make_blocks(_read_records(window, alone=not key), text.encoding):
                end = {"end": "the array is not closed: was the file cut off?"} if window.is_cut else {}
                yield Slice(block, block.full_size or len(block.content), {**found, **end})
            if key:
                _refuse_another(window, source.name, key)
            return
    yield from jsonl.read(source)


def _holds_lines(text: str) -> bool:
    """Tell whether one of the first two lines is a whole record; a lone line may be an object with an array too."""
    lines = [line for line in text.split("\n", 100)[:100] if line.strip()][:2]
    alone = len(lines) == 1 and _find_array(text) is not None
    return text.lstrip()[:1] != "[" and not alone and any(_is_object(line) for line in lines)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _enter_array(window: _Window, name: str) -> str:
    """Go to the first record; return the key of the array that it stands in, if it has one.

    Raises:
        SourceError: when there is no array.
    """
    begin, key = (window.place + 1, "") if window.next_character() == "[" else _find_array(window.text) or (0, "")
    if not begin:
        raise SourceError(
            f"{name}: found {window.text[window.place :][:40]!r}, expected an array of records, [{{...}}, {{...}}], "
            "alone or as a value in an object; or one record on each line, and then `format: jsonl`"
        )
    window.advance(begin)
    return key


def _find_array(text: str) -> tuple[int, str] | None:
    """Find in an object the first array of objects that are no turns of a conversation: its place and its key."""
    place = _skip_space(text, 0) + 1
    while text.lstrip()[:1] == "{" and (member := _MEMBER.match(text, place)):
        array = _ARRAY.match(text, member.end())
        if array and not _is_turn(text, array.end()):
            return member.end() + 1, str(json.loads(member[1]))
        try:
            place = _skip_space(text, _DECODER.raw_decode(text, member.end())[1]) + 1
        except (ValueError, RecursionError):
            break
    return None


def _is_turn(text: str, place: int) -> bool:
    try:
        return bool(_DECODER.raw_decode(text, place)[0].keys() & {"role", "from"})
    except (ValueError, RecursionError):
        return False


def _refuse_another(window: _Window, name: str, key: str) -> None:
    """Read what follows the array in its object.

    Raises:
        SourceError: when there are records in that as well.
    """
    while not _ARRAY.search(window.text, window.place):
        if window.at_end:
            return
        window.place = max(window.place, len(window.text) - 100)
        window.read_on()
    raise SourceError(
        f"{name}: more arrays follow the one under {key!r}; write the records of each to a file of its own"
    )


def _make_blocks(records: Iterator[_Record], encoding: str) -> Iterator[Block]:
    contents: list[bytes] = []
    lines: list[int] = []
    size = 0
    for text, number, dropped in records:
        content = text.encode("utf-8", "surrogateescape")
        is_large = dropped or len(content) > MAX_RECORD
        if contents and (is_large or len(contents) == parsing.CHUNK_ROWS or size >= WINDOW):
            yield make_block(contents, lines, encoding)
            contents, lines, size = [], [], 0
        if is_large:
            kept = np.frombuffer(content[:MAX_RECORD], dtype=np.uint8)
            yield cut_block(kept, len(content) + dropped, number, encoding)
        else:
            contents.append(content)
            lines.append(number)
            size += len(content)
    if contents:
        yield make_block(contents, lines, encoding)


def _read_records(window: _Window, alone: bool) -> Iterator[_Record]:
    """Yield what stands between the commas of an array; and of more arrays after it where it stands `alone`."""
    is_open = True
    while character := window.next_character():
        if character not in ",]":
            yield _next_record(window)
            continue
        window.advance(window.place + 1)
        if character == "]":
            is_open = window.next_character() == "["
            if not alone:
                return
            if is_open:
                window.advance(window.place + 1)
    window.is_cut = is_open


def _next_record(window: _Window) -> _Record:
    while True:
        text, place, line = window.text, window.place, window.line
        if end := window.find_end(place):
            window.mark = window.mark or _find_mark(text, place)
            window.advance(end)
            return _Record(text[place:end].replace("\n", " "), line)
        end, too_large = _find_close(text, place), len(text) - place > MAX_RECORD
        if end == _NEVER or (end == _NOT_YET and (window.at_end or too_large)):
            end = _find_next(window) or (len(text) if window.at_end else _NOT_YET)
        if end > place:
            window.advance(end)
            return _Record(text[place:end].rstrip().removesuffix(",").rstrip(), line)
        if too_large:
            return _pass_over(window)
        window.read_on()


def _pass_over(window: _Window) -> _Record:
    """Look for the record after one that is too large, of which only the beginning is kept."""
    kept, line, size = window.text[window.place :][:MAX_RECORD], window.line, 0
    while True:
        end = _find_next(window)
        last = end or len(window.text) - (0 if window.at_end else MAX_RECORD // 2)
        size += len(window.text[window.place : last].encode("utf-8", "surrogateescape"))
        window.advance(last)
        if end or window.at_end:
            return _Record(kept, line, size - len(kept.encode("utf-8", "surrogateescape")))
        window.read_on()


def _find_close(text: str, place: int) -> int:
    """Return where a record ends by its brackets and quotes: before a comma or bracket that is none of its own."""
    open_brackets: list[str] = []
    for token in _TOKEN.finditer(text, place):
        sign = token[0]
        if sign in "[{":
            open_brackets.append(sign)
        elif sign in ",]" and not open_brackets:
            return token.start()
        elif sign == '"':  # one without another on its line
            return _NOT_YET if text.find("\n", token.start()) < 0 else _NEVER
        elif sign in "]}" and (not open_brackets or open_brackets.pop() + sign not in ("[]", "{}")):
            return _NEVER
    return _NOT_YET


_NEVER, _NOT_YET = -2, -1


def _find_mark(text: str, place: int) -> re.Pattern[str] | None:
    """Return what matches the beginning of a record that has the same first key as the one at `place`."""
    first = _FIRST.match(text, place)
    return re.compile(rf"\{{\s*{re.escape(first[1])}\s*:") if first else None


def _find_next(window: _Window) -> int | None:
    """Return where the next record begins, by the key that it begins with and its end."""
    mark = window.mark or _find_mark(window.text, window.place) or _OBJECT
    places = (match.start() for match in mark.finditer(window.text, window.place + 1))
    return next((place for place in places if window.find_end(place)), None)


def _skip_space(text: str, place: int) -> int:
    return _SPACE.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing as well


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
_MEMBER = re.compile(rf"\s*({_STRING})\s*:\s*")
_ARRAY = re.compile(r"\[\s*(?=\{)")
_OBJECT = re.compile(r'\{\s*"')
_FIRST = re.compile(rf"\{{\s*({_STRING})\s*:")
_TOKEN = re.compile(rf'{_STRING}|["\[\]{{}},]')
