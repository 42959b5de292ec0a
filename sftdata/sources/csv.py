"""Read comma- and tab-separated files, one record at a time, losing none.

The standard library's reader in strict mode finds broken quotes. A record that it cannot read is rejected by its
first line alone: the lines after it, which a stray quote would have swallowed, are read again.
"""

import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import polars as pl

from sftdata.schema import Column
from sftdata.sources.parsing import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    Fault,
    Parsed,
    cast_text,
    drop_faulty,
    open_binary,
    require_columns,
)

MAX_FIELD = CHUNK_BYTES
"""Most characters of one field: a quote that is never closed must not take in the whole file."""


@dataclass(frozen=True)
class Broken:
    """A record that is not valid CSV: its first line as it stands, and what is wrong with it."""

    text: str
    problem: str


@dataclass(frozen=True)
class Rows:
    """A slice of a file: the header and some records after it."""

    header: list[str]
    records: Sequence[list[str] | Broken]

    def __len__(self) -> int:
        return len(self.records)


def read(path: Path, delimiter: str = ",") -> Iterator[tuple[Rows, int]]:
    """Yield slices of a file with a header in its first line, and the size of each in characters.

    Text that is not UTF-8 is kept byte for byte (as lone surrogates) and rejected when the slice is parsed.
    """
    csv.field_size_limit(MAX_FIELD)
    with io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        records = _read_records(file, delimiter)
        header, _ = next(records, ([], 0))
        names = [header.text] if isinstance(header, Broken) else header
        while block := list(islice(_until_full(records), CHUNK_ROWS)):
            yield Rows(names, [record for record, _ in block]), sum(size for _, size in block)


def read_tabs(path: Path) -> Iterator[tuple[Rows, int]]:
    """Yield slices of a tab-separated file."""
    return read(path, "\t")


def parse(rows: Rows, columns: Mapping[str, Column], source: str) -> Parsed:
    """Turn records into columns; an empty cell is null."""
    require_columns(rows.header, columns, source)
    faults = [
        fault for position, record in enumerate(rows.records) if (fault := _find_fault(position, record, rows.header))
    ]
    bad = {fault.position for fault in faults}
    positions = [position for position in range(len(rows)) if position not in bad]
    good = [record for position in positions if not isinstance(record := rows.records[position], Broken)]
    frame = pl.DataFrame({name: _column(name, rows.header, good) for name in columns})
    frame, misfits = cast_text(frame, columns)
    faults += [fault._replace(position=positions[fault.position]) for fault in misfits]
    return drop_faulty(frame, positions, faults)


def original(rows: Rows, position: int) -> Any:
    """Return a record as a mapping of column to text.

    As a list where it does not fit the header or the header has a name twice, as its line where that is not CSV.
    """
    record = rows.records[position]
    if isinstance(record, Broken):
        return record.text
    fits = len(record) == len(set(rows.header)) == len(rows.header)
    return dict(zip(rows.header, record, strict=True)) if fits else record


def _read_records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[list[str] | Broken, int]]:
    pending: deque[str] = deque()
    used: list[str] = []

    def feed() -> Iterator[str]:
        while (line := pending.popleft() if pending else next(lines, None)) is not None:
            used.append(line)
            yield line

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        used.clear()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            yield Broken(used[0], str(problem)), len(used[0])
            pending.extendleft(reversed(used[1:]))
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
            continue
        if record:  # an empty line is no record
            yield record, sum(map(len, used))


def _until_full(records: Iterator[tuple[Any, int]]) -> Iterator[tuple[Any, int]]:
    total = 0
    for item in records:
        yield item
        total += item[1]
        if total >= CHUNK_BYTES:
            return


def _find_fault(position: int, record: list[str] | Broken, header: list[str]) -> Fault | None:
    if isinstance(record, Broken):
        return Fault(position, "csv:quoting", record.problem)
    if not all(map(_is_utf8, record)):
        return Fault(position, "encoding:utf-8", f"bytes that are not UTF-8 in {_where(record, header)}")
    if len(record) != len(header):
        return Fault(position, "csv:field_count", f"found {len(record)} fields, expected {len(header)}{_lines(record)}")
    return None


def _lines(record: list[str]) -> str:
    count = 1 + sum(cell.count("\n") for cell in record)
    return f"; the record goes over {count} lines, is there a stray quote in it?" if count > 1 else ""


def _is_utf8(cell: str) -> bool:
    return cell.isascii() or cell.encode("utf-8", "replace").decode() == cell


def _where(record: list[str], header: list[str]) -> str:
    names = chain(header, (f"field {number}" for number in range(len(header) + 1, len(record) + 1)))
    return ", ".join(name for name, cell in zip(names, record, strict=False) if not _is_utf8(cell))


def _column(name: str, header: list[str], records: list[list[str]]) -> pl.Series:
    if name not in header:
        return pl.Series(name, [None] * len(records), dtype=pl.String)
    place = header.index(name)
    return pl.Series(name, [record[place] or None for record in records], dtype=pl.String)
