"""The first pass: read, validate and bring to the task's fields, one chunk at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from sftdata.engine import map_chunks
from sftdata.records import REJECTED, reject
from sftdata.schema import Schema
from sftdata.sources import Chunk, Source, read_chunks
from sftdata.sources.conversations import to_fields
from sftdata.sources.parsing import Fault
from sftdata.stages.validation import validate_rows

READ_STAGE = "read"


@dataclass(frozen=True)
class Screened:
    """What became of one chunk.

    Attributes:
        source: name of the file.
        read: records in the chunk.
        bytes: how much of the file it covers.
        kept: rows with provenance and the task's fields.
        rejected: as `records.REJECTED`, in order of record.
        originals: for each rejected row its record as it stood.
    """

    source: str
    read: int
    bytes: int
    kept: pl.DataFrame
    rejected: pl.DataFrame
    originals: list[Any]


@dataclass(frozen=True)
class Spilled:
    """The kept rows of a chunk, which lie in a file; `slim` holds what the split needs of them."""

    file: Path
    slim: pl.DataFrame


def screen_chunk(chunk: Chunk, schema: Schema) -> Screened:
    """Parse a chunk, check its rows, and bring them to the task's fields."""
    parsed = chunk.parse(schema.columns)
    source = chunk.source
    records = pl.Series("record", parsed.positions, dtype=pl.Int64) + chunk.first_record
    rows = parsed.frame.with_columns(records, pl.lit(source.name).alias("source"))
    rows = rows.with_columns(pl.concat_str(pl.lit(source.id + ":"), pl.col("record")).alias("row_id"))
    result = validate_rows(rows, schema)
    rejected = pl.concat([_reject_faults(parsed.faults, chunk), result.rejected]).sort("record")
    originals = [chunk.original(record - chunk.first_record) for record in rejected["record"]]
    return Screened(source.name, len(chunk), chunk.bytes, to_fields(result.kept, schema), rejected, originals)


def screen(sources: Iterable[Source], schema: Schema, workers: int = 1) -> Iterator[Screened]:
    """Screen all sources, in order."""
    return map_chunks(partial(screen_chunk, schema=schema), _all_chunks(sources), workers)


def spill(
    sources: Iterable[Source], schema: Schema, folder: Path, workers: int = 1
) -> Iterator[tuple[Screened, Spilled]]:
    """Screen all sources, in order, and keep the rows in files, so that memory stays bounded."""
    return map_chunks(partial(_spill_chunk, schema=schema, folder=folder), _all_chunks(sources), workers)


def rejection_line(row: Mapping[str, Any], original: Any) -> str:
    """Return one line of `rejected.jsonl`. Bytes that were not UTF-8 stand in it as escaped lone surrogates."""
    document = {**row, "original": original}
    line = json.dumps(document, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(document)
    return line + "\n"


def _all_chunks(sources: Iterable[Source]) -> Iterator[Chunk]:
    for source in sources:
        yield from read_chunks(source)


def _spill_chunk(chunk: Chunk, schema: Schema, folder: Path) -> tuple[Screened, Spilled]:
    screened = screen_chunk(chunk, schema)
    file = folder / f"rows-{chunk.source.id}-{chunk.first_record:012d}.arrow"
    screened.kept.write_ipc(file, compression="uncompressed")
    slim = screened.kept.select(*(name for name in ("row_id", "label") if name in screened.kept.columns))
    return replace(screened, kept=screened.kept.clear()), Spilled(file, slim)


def _reject_faults(faults: list[Fault], chunk: Chunk) -> pl.DataFrame:
    if not faults:
        return pl.DataFrame(schema=REJECTED)
    of_row: dict[int, list[Fault]] = {}
    for fault in faults:
        of_row.setdefault(fault.position, []).append(fault)
    rows = pl.DataFrame({"record": [position + chunk.first_record for position in of_row]}, schema={"record": pl.Int64})
    rows = rows.with_columns(pl.lit(chunk.source.name).alias("source"))
    reasons = [[fault.reason for fault in found] for found in of_row.values()]
    return reject(rows, READ_STAGE, reasons, ["; ".join(fault.detail for fault in found) for found in of_row.values()])
