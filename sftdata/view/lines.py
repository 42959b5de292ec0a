"""Look through a file of JSON lines from a byte on, for so long and so many, and say where to go on."""

import json
import mmap
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.view.spelling import cases, one_of

BLOCK = 2**22
"""Bytes that are looked at together, up to the end of the last line."""

_SPACE = rb"(?: |\\[nrtf]|\\u[0-9a-f]{4}|[\xc2-\xe3][\x80-\xbf]{1,2})+"
"""White space, as JSON may write it; what this finds beyond is sorted out by reading the line."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line by the byte at which it begins; `row` is None where it is no JSON object."""

    at: int
    row: Row | None


@dataclass(frozen=True)
class Lines:
    """Lines that were found; the byte from which to go on, None at the end; and the size of the file."""

    lines: list[Line]
    go_on: int | None
    size: int


def find_lines(
    path: Path,
    start: int,
    most: int,
    seconds: float,
    fits: Callable[[Row], bool] | None = None,
    pattern: re.Pattern[bytes] | None = None,
) -> Lines:
    """Look through a file from a byte on, until enough lines are found or the time is over.

    Args:
        path: the file; one that is not there has no lines.
        start: where to begin; within a line, at the next one.
        most: lines that are enough.
        seconds: the time that is enough.
        fits: tells whether a line is wanted; all are, where it is None.
        pattern: is found in every wanted line written with small ASCII letters; only such lines are read.
    """
    size = path.stat().st_size if path.is_file() else 0
    end_of_time = time.monotonic() + seconds
    lines: list[Line] = []
    if start >= size:
        return Lines(lines, None, size)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = _align(data, start)
        while at < len(data):
            end = _end_of_line(data, min(at + BLOCK, len(data)) - 1)
            for line, after in _read_block(data[at:end], at, pattern):
                if fits is None or (line.row is not None and fits(line.row)):
                    lines.append(line)
                    if len(lines) == most:
                        return Lines(lines, after if after < len(data) else None, size)
            at = end
            if time.monotonic() > end_of_time:
                break
        return Lines(lines, at if at < len(data) else None, size)


def previous(path: Path, start: int, count: int) -> int:
    """Return where the line begins that stands so many lines before a byte, or the first."""
    if not start or not path.is_file() or not path.stat().st_size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = min(start, len(data))
        for _ in range(count):
            at = data.rfind(b"\n", 0, max(at - 1, 0)) + 1
        return at


def _align(data: mmap.mmap, start: int) -> int:
    return start if start == 0 or data[start - 1 : start] == b"\n" else _end_of_line(data, start)


def _end_of_line(data: mmap.mmap, at: int) -> int:
    return data.find(b"\n", at) + 1 or len(data)


def _read_block(block: bytes, first: int, pattern: re.Pattern[bytes] | None) -> Iterator[tuple[Line, int]]:
    """Yield the lines of a block in which a pattern is found, each with the byte behind it."""
    searched = block.lower() if pattern else block
    at = 0
    while at < len(block):
        match = pattern.search(searched, at) if pattern else None
        if pattern and not match:
            return
        begin = block.rfind(b"\n", at, match.start()) + 1 if match else at
        begin = max(begin, at)
        at = block.find(b"\n", match.end() - 1 if match else at) + 1 or len(block)
        if content := block[begin:at].strip():
            yield Line(first + begin, _parse(content)), first + at


def _parse(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def json_pattern(text: str) -> re.Pattern[bytes]:
    """Return what finds a text in JSON, whatever its case, its white space and how its characters are escaped."""
    return re.compile(_SPACE.join(b"".join(one_of(_spellings(sign)) for sign in word) for word in text.split()))


def _spellings(sign: str) -> set[str]:
    return {json.dumps(each, ensure_ascii=escaped)[1:-1] for each in cases(sign) for escaped in (True, False)}


def text_pattern(text: str) -> re.Pattern[str]:
    """Return what finds a text in another, whatever its case and its white space."""
    return re.compile(r"\s+".join(map(re.escape, text.split())), re.IGNORECASE)


def texts_of(value: Any) -> Iterator[str]:
    """Yield all texts inside of a JSON value, names and numbers too."""
    inner = [value]
    while inner:
        each = inner.pop()
        if isinstance(each, dict):
            yield from each
            inner += each.values()
        elif isinstance(each, list):
            inner += each
        elif each is not None:
            yield str(each)
