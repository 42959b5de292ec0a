"""Read all sources and check their rows, one chunk at a time."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import NamedTuple

import polars as pl

from sftdata.engine import map_chunks
from sftdata.rejections import Rejected, describe_origin
from sftdata.schema import Schema
from sftdata.sources import Chunk, read_chunks
from sftdata.sources.parsing import Fault
from sftdata.sources.source import Source
from sftdata.stages.validation import STAGE, find_failures, sum_up
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
    checked = check_chunk(chunk, schema)
    keys = make_keys(checked.named(chunk), checked.rejected, schema.uniques) if schema.uniques else None
    return describe_screened(chunk, checked.rejected, keys)


class Checked(NamedTuple):
    """The rows of a chunk that could be parsed, and what is wrong with some and with the others.

    Attributes:
        frame: the schema's columns.
        records: the record number of each row, rising.
        bad: the positions of rows that break the schema, rising.
        rejected: these and the records that could not be parsed, in order, with the keys of `REJECTED`.
    """

    frame: pl.DataFrame
    records: Sequence[int]
    bad: list[int]
    rejected: list[Rejected]

    def named(self, chunk: Chunk) -> pl.DataFrame:
        """Return the rows with where they come from, as `@record` and `@source`."""
        if isinstance(self.records, range):
            records = pl.int_range(self.records.start, self.records.stop, dtype=pl.Int64, eager=True)
        else:
            records = pl.Series(self.records, dtype=pl.Int64)
        return self.frame.with_columns_seq(records.alias("@record"), pl.lit(chunk.source.name).alias("@source"))


def check_chunk(chunk: Chunk, schema: Schema) -> Checked:
    """Parse a chunk and check its rows."""
    parsed = chunk.parse(schema.columns)
    first, positions = chunk.first_record, parsed.positions
    if isinstance(positions, range):
        records: Sequence[int] = range(first + positions.start, first + positions.stop)
    else:
        records = [first + position for position in positions]
    failures = find_failures(parsed.frame, schema)
    rejected = [_reject(chunk, records[row], STAGE, why) for row, why in failures.items()]
    if parsed.faults:
        rejected = sorted([*_reject_faults(parsed.faults, chunk), *rejected], key=itemgetter("record"))
    return Checked(parsed.frame, records, list(failures), rejected)


def describe_screened(chunk: Chunk, rejected: list[Rejected], keys: Keys | None) -> Screened:
    """Say what became of a chunk, with the rejected records as they stood."""
    start = chunk.first_record
    lines = [row | describe_origin(chunk, row["record"] - start) for row in rejected]
    return Screened(chunk.source.name, chunk.found, len(chunk), chunk.bytes, lines, keys)


def _reject_faults(faults: list[Fault], chunk: Chunk) -> Iterator[Rejected]:
    of_record: dict[int, list[tuple[str, str]]] = {}
    for position, reason, detail in faults:
        of_record.setdefault(position, []).append((reason, detail))
    for position, why in of_record.items():
        yield _reject(chunk, chunk.first_record + position, READ_STAGE, why)


def _reject(chunk: Chunk, record: int, stage: str, why: list[tuple[str, str]]) -> Rejected:
    reasons, detail = sum_up(why)
    told = {"reason": reasons[0], "reasons": reasons, "detail": detail}
    return {"source": chunk.source.name, "record": int(record), "stage": stage, **told}  # of numpy, it may be
