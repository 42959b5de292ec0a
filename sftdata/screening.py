"""The first pass: read, validate and bring to the task's fields, one chunk at a time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from sftdata.engine import map_chunks
from sftdata.records import reject
from sftdata.rejections import Rejected, describe_origin
from sftdata.schema import Schema
from sftdata.sources import Chunk, read_chunks
from sftdata.sources.conversations import to_fields
from sftdata.sources.parsing import Fault
from sftdata.sources.source import Source
from sftdata.stages.validation import drop_rows, find_invalid
from sftdata.uniqueness import Keys, make_keys

READ_STAGE = "read"

THREADS = 2
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


@dataclass(frozen=True)
class Spilled:
    """The kept rows of a chunk, which lie in a file; `slim` holds what later steps need of them all."""

    file: Path
    slim: pl.DataFrame

    def without(self, fallen: pl.Series) -> "Spilled":
        """Take rows away, by row id."""
        if not self.slim["row_id"].is_in(fallen.implode()).any():
            return self
        rows = pl.read_ipc(self.file).filter(~pl.col("row_id").is_in(fallen.implode()))
        fewer = self.file.with_suffix(".fewer.arrow")  # not in place: the old file may be mapped into memory
        rows.write_ipc(fewer, compression="uncompressed")
        return Spilled(fewer, _slim(rows))


def check_chunk(chunk: Chunk, schema: Schema) -> tuple[Screened, pl.DataFrame, list[int]]:
    """Parse a chunk and check its rows; also return these with their provenance, and which of them are bad."""
    parsed = chunk.parse(schema.columns)
    start, positions = chunk.first_record, parsed.positions
    if isinstance(positions, range):
        records = pl.int_range(start, start + len(positions), dtype=pl.Int64, eager=True)
    else:
        records = pl.Series(positions, dtype=pl.Int64) + start
    rows = parsed.frame.with_columns_seq(records.alias("@record"), pl.lit(chunk.source.name).alias("@source"))
    bad, invalid = find_invalid(rows, schema)
    rejected = pl.concat([_reject_faults(parsed.faults, chunk), invalid]).sort("record") if parsed.faults else invalid
    lines = [{**row, **describe_origin(chunk, row["record"] - start)} for row in rejected.iter_rows(named=True)]
    keys = make_keys(rows, invalid, schema.uniques)
    return Screened(chunk.source.name, chunk.found, len(chunk), chunk.bytes, lines, keys), rows, bad


def screen(sources: Iterable[Source], schema: Schema, workers: int = 1) -> Iterator[Screened]:
    """Screen all sources, in order."""
    return map_chunks(partial(_screen_chunk, schema=schema), _all_chunks(sources), workers, THREADS)


def spill(
    sources: Iterable[Source], schema: Schema, folder: Path, workers: int = 1
) -> Iterator[tuple[Screened, Spilled]]:
    """Screen all sources, in order, and keep the rows in files, so that memory stays bounded."""
    return map_chunks(partial(_spill_chunk, schema=schema, folder=folder), _all_chunks(sources), workers, THREADS)


def _all_chunks(sources: Iterable[Source]) -> Iterator[Chunk]:
    for source in sources:
        yield from read_chunks(source)


def _screen_chunk(chunk: Chunk, schema: Schema) -> Screened:
    return check_chunk(chunk, schema)[0]


def _spill_chunk(chunk: Chunk, schema: Schema, folder: Path) -> tuple[Screened, Spilled]:
    screened, rows, bad = check_chunk(chunk, schema)
    row_id = pl.concat_str(pl.lit(chunk.source.id + ":"), pl.col("@record")).alias("@row_id")
    fields = to_fields(drop_rows(rows, bad).with_columns(row_id), schema)
    file = folder / f"rows-{chunk.source.id}-{chunk.first_record:012d}.arrow"
    fields.write_ipc(file, compression="uncompressed")
    return screened, Spilled(file, _slim(fields))


def _slim(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(*(name for name in ("row_id", "label") if name in rows.columns))


def _reject_faults(faults: list[Fault], chunk: Chunk) -> pl.DataFrame:
    of_row: dict[int, list[Fault]] = {}
    for fault in faults:
        of_row.setdefault(fault.position, []).append(fault)
    rows = pl.DataFrame({"record": [position + chunk.first_record for position in of_row]}, schema={"record": pl.Int64})
    rows = rows.with_columns(pl.lit(chunk.source.name).alias("source"))
    reasons = [[fault.reason for fault in found] for found in of_row.values()]
    return reject(rows, READ_STAGE, reasons, ["; ".join(fault.detail for fault in found) for found in of_row.values()])
