"""Read all sources and check their rows, one chunk at a time."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from sftdata.engine import map_chunks
from sftdata.records import reject
from sftdata.rejections import Rejected, describe_origin
from sftdata.schema import Schema
from sftdata.sources import Chunk, read_chunks
from sftdata.sources.parsing import Fault
from sftdata.sources.source import Source
from sftdata.stages.validation import find_invalid
from sftdata.uniqueness import Keys, make_keys

READ_STAGE = "read"

THREADS = 3
"""Chunks that one process screens at the same time: while one waits for a single-threaded step, the other works."""


@dataclass(frozen=True)
class Screened:
    """What became of one chunk.

    Attributes:
        source: name of the file.
        found: what was found out about the file, for people.
        read: records in the chunk.
        bytes: how much of the file it covers.
        rejected: rejected rows, in order of record.
        keys: what must not stand in two rows, for a verdict at the end.
    """

    source: str
    found: Mapping[str, str]
    read: int
    bytes: int
    rejected: list[Rejected]
    keys: Keys | None


def screen(sources: Iterable[Source], schema: Schema, workers: int = 1) -> Generator[Screened]:
    """Read all sources and check their rows, in order."""
    return map_chunks(partial(_screen_chunk, schema=schema), all_chunks(sources), workers, THREADS)


def all_chunks(sources: Iterable[Source]) -> Iterator[Chunk]:
    """Yield the chunks of all sources, in order."""
    for source in sources:
        yield from read_chunks(source)


def _screen_chunk(chunk: Chunk, schema: Schema) -> Screened:
    rows, _, rejected = check_chunk(chunk, schema)
    return describe_screened(chunk, rejected, make_keys(rows, rejected, schema.uniques))


def check_chunk(chunk: Chunk, schema: Schema) -> tuple[pl.DataFrame, list[int], pl.DataFrame]:
    """Parse a chunk and check its rows.

    Returns:
        The rows that could be parsed, with provenance and the schema's columns; the positions of those that break the
        schema; and all that are rejected, those that could not be parsed among them, with the columns of `REJECTED`.
    """
    parsed = chunk.parse(schema.columns)
    start, positions = chunk.first_record, parsed.positions
    if isinstance(positions, range):
        records = pl.int_range(start, start + len(positions), dtype=pl.Int64, eager=True)
    else:
        records = pl.Series(positions, dtype=pl.Int64) + start
    rows = parsed.frame.with_columns_seq(records.alias("@record"), pl.lit(chunk.source.name).alias("@source"))
    bad, rejected = find_invalid(rows, schema)
    if parsed.faults:
        rejected = pl.concat([_reject_faults(parsed.faults, chunk), rejected]).sort("record")
    return rows, bad, rejected


def describe_screened(chunk: Chunk, rejected: pl.DataFrame, keys: Keys | None) -> Screened:
    """Say what became of a chunk, with the rejected records as they stood."""
    start = chunk.first_record
    lines = [{**row, **describe_origin(chunk, row["record"] - start)} for row in rejected.iter_rows(named=True)]
    return Screened(chunk.source.name, chunk.found, len(chunk), chunk.bytes, lines, keys)


def _reject_faults(faults: list[Fault], chunk: Chunk) -> pl.DataFrame:
    of_row: dict[int, list[Fault]] = {}
    for fault in faults:
        of_row.setdefault(fault.position, []).append(fault)
    rows = pl.DataFrame({"record": [position + chunk.first_record for position in of_row]}, schema={"record": pl.Int64})
    rows = rows.with_columns(pl.lit(chunk.source.name).alias("source"))
    reasons = [[fault.reason for fault in found] for found in of_row.values()]
    return reject(rows, READ_STAGE, reasons, ["; ".join(fault.detail for fault in found) for found in of_row.values()])
