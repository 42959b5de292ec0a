"""The file of rejected rows: a JSON line each, with all that is needed to mend the row and feed it in again."""

import heapq
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial, reduce
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from sftdata.errors import OutputError, SourceError
from sftdata.records import PROVENANCE, shorten
from sftdata.schema import Schema
from sftdata.sources import Chunk, read_chunks
from sftdata.sources.source import Source

Rejected = dict[str, Any]
"""One rejected row as its line has it: source, record, line, stage, reason, reasons, detail, format, original."""


def describe_origin(chunk: Chunk, position: int) -> dict[str, Any]:
    """Return where the record at `position` of a chunk stands in its file, and its content as it stood."""
    line = chunk.line(position)
    where = {} if line is None else {"line": line}
    return {**where, "format": _format_of(chunk, position), "original": chunk.original(position)}


def _format_of(chunk: Chunk, position: int) -> str:
    """Return the format of the file in which a record stood first, also where it was rejected once before."""
    kind = chunk.source.format
    if kind != "rejected":
        return kind
    from sftdata.sources.rejected import format_of

    return format_of(chunk.content, position)


def describe_rejected(sources: Sequence[Source], late: pl.DataFrame) -> Iterator[Rejected]:
    """Read again the records of rows that were rejected after reading, as `records.REJECTED`, and complete their lines.

    They come in the order of reading.
    """
    for chunk, records in _read_again(sources, late):
        here = late.filter((pl.col("source") == chunk.source.name) & pl.col("record").is_in(records))
        for row in here.sort("record", maintain_order=True).iter_rows(named=True):
            yield {**row, **describe_origin(chunk, row["record"] - chunk.first_record)}


def describe_repeated(sources: Sequence[Source], schema: Schema, repeated: pl.DataFrame) -> Iterator[Rejected]:
    """Read again the rows that `uniqueness` found, in order, and say what each shares with how many."""
    for chunk, records in _read_again(sources, repeated):
        parsed = chunk.parse(schema.columns)
        places = {position: row for row, position in enumerate(parsed.positions)}
        here = repeated.filter((pl.col("source") == chunk.source.name) & pl.col("record").is_in(records))
        for record, rows in groupby(here.iter_rows(named=True), key=lambda row: int(row["record"])):
            why = list(rows)
            position = record - chunk.first_record
            if position not in places:
                raise SourceError(f"{chunk.source.name} was changed while it was read; run it again")
            values = parsed.frame.row(places[position], named=True)
            details = [_describe_shared(row, schema.uniques[row["reason"]], values) for row in why]
            yield {
                "source": chunk.source.name,
                "record": record,
                "stage": "validate",
                "reason": why[0]["reason"],
                "reasons": [row["reason"] for row in why],
                "detail": "; ".join(details),
                **describe_origin(chunk, position),
            }


def _describe_shared(row: Mapping[str, Any], columns: Sequence[str], values: Mapping[str, Any]) -> str:
    shared = ", ".join(f"{name}: found {shorten(repr(values[name]))}" for name in columns)
    return f"{shared}, which {row['rows']} rows have"


def _read_again(sources: Sequence[Source], wanted: pl.DataFrame) -> Iterator[tuple[Chunk, list[int]]]:
    """Yield the chunks that hold the wanted records, each with the numbers of these, in order."""
    for source in sources:
        records = wanted.filter(pl.col("source") == source.name)["record"].unique().sort().to_list()
        if not records:
            continue
        for chunk in read_chunks(source):
            end = chunk.first_record + len(chunk)
            inside = records[bisect_left(records, chunk.first_record) : bisect_left(records, end)]
            if inside:
                yield chunk, inside
            if records[-1] < end:
                break
        else:
            raise SourceError(f"{source.name} was changed while it was read; run it again")


def rejected_line(row: Rejected) -> str:
    """Return the line of a rejected row. Bytes that were not text stand in it as escaped lone surrogates."""
    ordered = {name: row[name] for name in _ORDER if name in row}
    line = _UNESCAPED.encode(ordered)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(ordered)
    return line + "\n"


_UNESCAPED = json.JSONEncoder(ensure_ascii=False)  # `dumps` makes one each time, which takes longer than its work
_ORDER = (*list(PROVENANCE)[1:], "line", "stage", "reason", "reasons", "detail", "format", "original")


def add_reasons(row: Rejected, late: Rejected) -> Rejected:
    """Return a row that was rejected already with the reasons that came to light later."""
    detail = "; ".join(filter(None, (row["detail"], late["detail"])))
    return {**row, "reasons": [*row["reasons"], *late["reasons"]], "detail": detail}


def merge_rejected(file: Path, late: Iterable[Rejected], sources: Sequence[Source]) -> None:
    """Put rows that were rejected later in their places among those of a file; both are in order of reading."""
    order = {source.name: place for place, source in enumerate(sources)}
    place = partial(_place, order=order)
    with file_aside(file) as merged, file.open(encoding="utf-8") as lines, merged.open("w", encoding="utf-8") as out:
        rows = heapq.merge(map(json.loads, lines), late, key=place)
        write_rejected(out, (reduce(add_reasons, of_row) for _, of_row in groupby(rows, key=place)))


def _place(row: Rejected, order: Mapping[str, int]) -> tuple[int, int]:
    return order[row["source"]], row["record"]


@contextmanager
def file_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; the file appears under its name when the block ends well.

    Raises:
        OutputError: when it cannot be written.
    """
    aside = path.with_name(f".{path.name}.unfinished")
    try:
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} cannot be written: it is there and no file; name another for the rejected rows")
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        yield aside
        aside.replace(path)
    except OSError as cause:
        raise OutputError(f"{path} cannot be written: {cause.strerror or cause}") from None
    finally:
        with suppress(OSError):  # gone by the rename, or never made
            aside.unlink()


def write_rejected(file: TextIO, rows: Iterable[Rejected]) -> None:
    """Write the lines of rejected rows."""
    file.writelines(map(rejected_line, rows))
