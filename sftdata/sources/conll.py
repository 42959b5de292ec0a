"""Read CoNLL-like files: lines of `token TAG` or of more columns, a blank line between sentences.

A sentence is a record. The first column is called `tokens` and the last `tags` unless `header` names them all. Lines
that begin with `-DOCSTART-`, and before the first token of a sentence such as begin with `#` and have not the columns
of a token, are comments: a `#` may be a token.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.records import STRINGS
from sftdata.sources import parsing
from sftdata.sources.encodings import open_text
from sftdata.sources.parsing import Fault, Parsed, cast_text, drop_faulty, require_columns
from sftdata.sources.source import Slice, Source

BLOCK = 2**20
"""Bytes that are read at a time."""
SAMPLE_LINES = 1000
"""Lines from which the number of columns is told."""
DOCUMENT = b"-DOCSTART-"
MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Layout:
    """How a line is divided.

    Attributes:
        header: the names of the columns.
        delimiter: what stands between them; None for blanks and tabs, any number of them.
        encoding: what the file is encoded in.
    """

    header: tuple[str, ...]
    delimiter: str | None
    encoding: str

    @property
    def pattern(self) -> str:
        """A regular expression of a whole line, with one group a column."""
        if self.delimiter is None:
            return r"[ \t]*" + r"[ \t]+".join([r"([^ \t\r]+)"] * len(self.header)) + r"[ \t]*"
        gap = re.escape(self.delimiter)
        return gap.join([rf"([^{gap}\r]+)"] * len(self.header))

    def count(self, line: bytes) -> int:
        """Return the number of columns of a line."""
        return len(line.split(self.delimiter.encode()) if self.delimiter else line.replace(b"\t", b" ").split())


class Sentence(NamedTuple):
    """A record.

    Attributes:
        text: its lines without comments, at most `MAX_RECORD` bytes of them.
        line: the line of the file in which it begins.
        size: how many bytes it truly has.
    """

    text: bytes
    line: int
    size: int


@dataclass(frozen=True)
class Sentences:
    """A slice of a file, and how its lines are divided."""

    layout: Layout
    records: list[Sentence]

    def __len__(self) -> int:
        return len(self.records)


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a file and the size of each in bytes.

    Raises:
        SourceError: when `header` does not name the columns that the file has.
    """
    with open_text(source) as text:
        blocks = _read_blocks(text.file)
        first = next(blocks, b"")
        layout = _find_layout(first, source, text.encoding)
        found = dict(text.found) | ({"columns": ", ".join(layout.header)} if len(layout.header) > 2 else {})
        sentences = _read_sentences(chain([first], blocks), layout, source.settings.comment)
        while records := list(_until_full(sentences)):
            yield Slice(Sentences(layout, records), sum(record.size for record in records), found)


def parse(sentences: Sentences, columns: Mapping[str, Column], source: str) -> Parsed:
    """Turn each column of a sentence into a list of text."""
    layout = sentences.layout
    require_columns(list(layout.header), columns, source)
    found = [_find_fault(record, layout.encoding) for record in sentences.records]
    positions = [position for position, fault in enumerate(found) if fault is None]
    lists = _divide([sentences.records[position].text for position in positions], layout)
    frame = pl.DataFrame({name: lists.get(name, pl.Series([None] * len(positions), dtype=STRINGS)) for name in columns})
    frame, misfits = cast_text(frame, columns)
    faults = [Fault(position, *fault) for position, fault in enumerate(found) if fault]
    faults += [_misdivided(sentences, positions[row]) for row in lists[layout.header[0]].is_null().arg_true()]
    faults += [fault._replace(position=positions[fault.position]) for fault in misfits]
    return drop_faulty(frame, positions, faults)


def original(sentences: Sentences, position: int) -> Any:
    """Return a sentence as a mapping of column to list of text, as its lines where they are not so divided."""
    record, layout = sentences.records[position], sentences.layout
    text = record.text.decode("utf-8", "surrogateescape")
    lines = [re.fullmatch(layout.pattern, line) for line in text.split("\n")]
    if record.size > len(record.text):
        return f"{text} [the beginning of {record.size:,} bytes]"
    if not all(lines):
        return text
    return {name: [found[place] for found in lines if found] for place, name in enumerate(layout.header, start=1)}


def line(sentences: Sentences, position: int) -> int:
    """Return the line of the file, counted from 1, in which a sentence begins."""
    return sentences.records[position].line


def _divide(texts: list[bytes], layout: Layout) -> dict[str, pl.Series]:
    """Return each column as lists, null for a sentence with a line that is not so divided."""
    lines = pl.Series([b"\n".join(texts).decode()] if texts else [], dtype=pl.String).str.split("\n").explode()
    groups = pl.col("line").str.extract_groups(f"^(?:{layout.pattern})$")
    cells = lines.to_frame("line").select(groups).unnest("line").rechunk()
    ends = np.cumsum([0, *(text.count(b"\n") + 1 for text in texts)])
    torn = cells["1"].is_null().to_numpy()
    mask = pa.array(np.logical_or.reduceat(torn, ends[:-1]) if texts else [], pa.bool_())
    offsets = pa.array(ends, pa.int64())
    return {
        name: pl.Series(pa.LargeListArray.from_arrays(offsets, cells.to_series(place).to_arrow(), mask=mask))
        for place, name in enumerate(layout.header)
    }


def _misdivided(sentences: Sentences, position: int) -> Fault:
    layout = sentences.layout
    lines = sentences.records[position].text.decode().split("\n")
    wrong = next(line for line in lines if not re.fullmatch(layout.pattern, line))
    shown = repr(wrong) if len(wrong) <= 80 else repr(wrong[:77]) + "..."
    expected = f"{len(layout.header)} columns: {', '.join(layout.header)}"
    return Fault(position, "conll:columns", f"found the line {shown}, expected {expected}")


def _read_blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        block += file.read(1) if block.endswith(b"\r") else b""
        yield block.replace(b"\r\n", b"\n")


def _find_layout(sample: bytes, source: Source, encoding: str) -> Layout:
    """Tell columns and delimiter from the first lines, as most of them have them."""
    settings = source.settings
    lines = [line for line in sample.split(b"\n")[:SAMPLE_LINES] if line.strip() and not _begins_like_comment(line)]
    tabs = sum(b"\t" in line for line in lines)
    delimiter = settings.delimiter or ("\t" if 2 * tabs > len(lines) else None)
    layout = Layout((), None if delimiter == " " else delimiter, encoding)
    counts = Counter(layout.count(line) for line in lines)
    width = max(counts, key=lambda width: (counts[width], width), default=2)
    return replace(layout, header=_name_columns(settings.header, width, source.name))


def _name_columns(header: int | tuple[str, ...] | None, width: int, name: str) -> tuple[str, ...]:
    if isinstance(header, int):
        raise SourceError(f"{name}: header: found {header}, expected the names of the columns, such as [tokens, tags]")
    if header is None:
        return ("tokens", *(f"column_{place}" for place in range(2, width)), "tags")[:width]
    if len(header) != width:
        raise SourceError(f"{name}: header: found {len(header)} names, but the lines have {width} columns; name each")
    return header


def _begins_like_comment(line: bytes) -> bool:
    return line.startswith((b"#", DOCUMENT))


def _read_sentences(blocks: Iterable[bytes], layout: Layout, comment: str | None) -> Iterator[Sentence]:
    number = 1
    for text, size, lines in _split_sentences(blocks):
        kept, skipped = _drop_comments(text, layout, comment)
        if kept:
            yield Sentence(kept, number + skipped, len(kept) + size - len(text))
        number += lines


def _split_sentences(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield what stands between blank lines: at most `MAX_RECORD` bytes of it, its bytes, its lines and blank lines."""
    head, size, lines, rest = b"", 0, 0, b""
    for block in blocks:
        rest, start = rest + block, 0
        for blank in _BLANK.finditer(rest):
            text = rest[start : blank.start()]
            yield (head + text)[: parsing.MAX_RECORD], size + len(text), lines + rest.count(b"\n", start, blank.end())
            head, size, lines, start = b"", 0, 0, blank.end()
        rest = rest[start:]
        if len(rest) > parsing.MAX_RECORD:
            end = open_end.start() if (open_end := _OPEN_END.search(rest)) else len(rest)
            head = (head + rest[:end])[: parsing.MAX_RECORD]
            size, lines, rest = size + end, lines + rest.count(b"\n", 0, end), rest[end:]
    text = _OPEN_END.sub(b"", rest)
    yield (head + text)[: parsing.MAX_RECORD], size + len(text), lines


_BLANK = re.compile(rb"\n(?:[ \t]*\n)+")
_OPEN_END = re.compile(rb"\n[ \t]*\Z")


def _drop_comments(text: bytes, layout: Layout, comment: str | None) -> tuple[bytes, int]:
    """Leave out comments; also return the number of lines before the first token."""
    if comment is None and text[:1] not in (b"#", b"-", b"\n", b" ", b"\t"):
        return text, 0
    mark = None if comment is None else comment.encode()
    lines = text.split(b"\n")
    skipped = next((place for place, line in enumerate(lines) if not _is_comment(line, layout, mark)), len(lines))
    kept = [line for line in lines[skipped:] if mark is None or not line.startswith(mark)]
    return b"\n".join(kept), skipped


def _is_comment(line: bytes, layout: Layout, mark: bytes | None) -> bool:
    if mark is not None and line.startswith(mark):
        return True
    if not line.strip(b" \t") or line.startswith(DOCUMENT):
        return True
    return mark is None and line.startswith(b"#") and layout.count(line) != len(layout.header)


def _until_full(sentences: Iterator[Sentence]) -> Iterator[Sentence]:
    size = 0
    for sentence in islice(sentences, parsing.CHUNK_ROWS):
        yield sentence
        size += len(sentence.text)
        if size >= parsing.CHUNK_BYTES:
            return


def _find_fault(record: Sentence, encoding: str) -> tuple[str, str] | None:
    if record.size > len(record.text):
        expected = f"expected at most {parsing.MAX_RECORD:,}; is a blank line missing?"
        return "conll:record_size", f"found a sentence of {record.size:,} bytes, {expected}"
    if record.text.startswith(MARK):
        return "encoding:bom", "found a byte order mark inside the file; are these two files in one?"
    try:
        record.text.decode()
    except UnicodeDecodeError as problem:
        return f"encoding:{encoding}", f"byte {record.text[problem.start]:#04x} is not {encoding}"
    return None
