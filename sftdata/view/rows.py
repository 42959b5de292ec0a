"""Look through the rows of a split from a place on, for so long and so many, and say where to go on."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.arrays import to_arrow, to_numpy
from sftdata.errors import VerificationError
from sftdata.records import Task
from sftdata.shards.reader import Split
from sftdata.shards.streams import StreamError, validate
from sftdata.view.spelling import Spelling, find_rows

ROWS, TOKENS = 65_536, 1_000_000
"""Rows that are looked at together, and tokens of them that are spelled at once, a single longer row apart."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a row must be like; None asks for nothing.

    Attributes:
        row_id: a regular expression of its id.
        text: finds a text in what its tokens spell.
        label: the class that it has, or that one of its tokens has.
        least, most: bounds of its number of tokens.
        low, high: bounds of its score.
        fold: its fold.
        kind: `rows` as they were read, changed or repeated `copies`, or `parts` of rows that were split.
    """

    row_id: str | None = None
    text: re.Pattern[bytes] | None = None
    label: int | None = None
    least: int | None = None
    most: int | None = None
    low: float | None = None
    high: float | None = None
    fold: int | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Place:
    """A row that was found, counted from 0 in its split, and the tokens of a column that spell the text."""

    row: int
    first: int = 0
    last: int = 0
    column: str = "input_ids"


@dataclass(frozen=True)
class Found:
    """Rows that were found, and the row from which to go on; None at the end of the split."""

    places: list[Place]
    go_on: int | None


def id_pattern(row_id: str, sources: Iterable[str] | None = None) -> str:
    """Return a regular expression for a row, its copies and its parts.

    Args:
        row_id: an id, a number of a record, or nothing.
        sources: the sources that it may be of; any where it is None.
    """
    source, _, record = row_id.rpartition(":")
    names = "|".join(map(re.escape, sources)) if sources is not None else ""
    before = re.escape(source) if source else f"(?:{names})" if sources is not None else "[^:]*"
    return f"^{before}:{re.escape(record)}(?:[+*/]|$)" if record else f"^{before}:"


def find_wanted(split: Split, spelling: Spelling, wanted: Wanted, start: int, most: int, seconds: float) -> Found:
    """Look through a split from a row on, until enough rows are found or the time is over.

    Raises:
        VerificationError: a shard is missing or damaged.
    """
    end_of_time = time.monotonic() + seconds
    places: list[Place] = []
    for first, batch in read_windows(split, start):
        kept = np.flatnonzero(_choose(batch, wanted, split.manifest.task))
        found = _search(batch, kept, spelling, wanted, split.manifest.task, most - len(places))
        places += [Place(first + place.row, place.first, place.last, place.column) for place in found]
        after = first + batch.num_rows
        if len(places) >= most:
            return Found(places, _within(split, places[-1].row + 1))
        if time.monotonic() > end_of_time:
            return Found(places, _within(split, after))
    return Found(places, None)


def _within(split: Split, row: int) -> int | None:
    return row if row < len(split) else None


def locate(splits: Iterable[Split], row_ids: Iterable[str], seconds: float) -> tuple[dict[str, tuple[str, int]], bool]:
    """Return split and place of rows by id, as many as the time allows, and whether everything was looked at."""
    end_of_time = time.monotonic() + seconds
    missing, found = set(row_ids), dict[str, tuple[str, int]]()
    for split in splits:
        for first, batch in read_windows(split, 0, tokens=None):
            if not missing:
                return found, True
            if time.monotonic() > end_of_time:
                return found, False
            ids = batch["row_id"]
            asked = pl.Series(list(missing), dtype=pl.String).to_arrow().cast(ids.type)
            for place in np.flatnonzero(to_numpy(pc.is_in(ids, value_set=asked))).tolist():
                row_id = ids[place].as_py()
                found.setdefault(row_id, (split.name, first + place))
                missing.discard(row_id)
    return found, True


def read_windows(split: Split, start: int, tokens: int | None = TOKENS) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows from `start` on in sound pieces, each with the place of its first row; shards stay on the disk.

    Args:
        split: what to read.
        start: a row of it.
        tokens: most tokens of a piece; any number where it is None.
    """
    for number in range(int(np.searchsorted(split.starts, start, side="right")) - 1, len(split.shards)):
        place = int(split.starts[number])
        for batch in split.shard(number).to_batches():
            for begin in range(max(0, start - place), batch.num_rows, ROWS):
                piece = _sound(split, number, batch.slice(begin, ROWS))
                for first, last in _cut(piece, tokens):
                    yield place + begin + first, piece.slice(first, last - first)
            place += batch.num_rows


def _sound(split: Split, number: int, piece: pa.RecordBatch) -> pa.RecordBatch:
    try:
        validate(piece)
    except StreamError as cause:
        path = split.directory / split.shards[number].file
        raise VerificationError(f"{path} {cause}. Run `sftdata verify {split.directory}`.") from None
    return piece


def _cut(piece: pa.RecordBatch, tokens: int | None) -> Iterator[tuple[int, int]]:
    """Yield first and last row of parts of at most so many tokens, but at least one row."""
    first, rows = 0, piece.num_rows
    edges = to_numpy(piece["input_ids"].offsets).astype(np.int64)
    while first < rows:
        last = rows if tokens is None else int(np.searchsorted(edges, edges[first] + tokens, side="right")) - 1
        last = min(max(last, first + 1), rows)
        yield first, last
        first = last


def _choose(batch: pa.RecordBatch, wanted: Wanted, task: Task) -> Flags:
    """Tell which rows of a piece fit all that does not need their text, shape `[rows]`."""
    fits = np.ones(batch.num_rows, dtype=np.bool_)
    if wanted.row_id is not None:
        fits &= to_numpy(pc.match_substring_regex(batch["row_id"], wanted.row_id))
    if wanted.least is not None or wanted.most is not None:
        fits &= _between(np.diff(to_numpy(batch["input_ids"].offsets)), wanted.least, wanted.most)
    if wanted.label is not None:
        fits &= _has_label(batch["labels"], wanted.label, task)
    if (wanted.low is not None or wanted.high is not None) and task == Task.REGRESSION:
        fits &= _between(to_numpy(batch["labels"]), wanted.low, wanted.high)
    if wanted.fold is not None and "fold" in batch.schema.names:
        fits &= to_numpy(batch["fold"]) == wanted.fold
    return fits if wanted.kind is None else fits & _is_kind(batch, wanted.kind)


def _between(values: NDArray[Any], low: float | None, high: float | None) -> Flags:
    inside = np.ones(len(values), dtype=np.bool_)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values <= high
    return inside


def _has_label(labels: pa.Array, label: int, task: Task) -> Flags:
    if not pa.types.is_list(labels.type):
        same: Flags = to_numpy(labels) == label
        return same
    edges, values = _flat(labels)
    if task == Task.MULTILABEL:
        position = np.arange(len(values)) - np.repeat(edges[:-1], np.diff(edges))
        flags = (position == label) & (values != 0)
    else:
        flags = values == label
    counts = np.concatenate([[0], np.cumsum(flags)])
    has: Flags = counts[edges[1:]] > counts[edges[:-1]]
    return has


def _is_kind(batch: pa.RecordBatch, kind: str) -> Flags:
    if "parent_id" not in batch.schema.names:
        return np.full(batch.num_rows, kind == "rows")
    read = to_numpy(pc.is_null(batch["parent_id"]))
    part = to_numpy(pc.match_substring(batch["row_id"], "/"))
    of_kind: Flags = read if kind == "rows" else ~read & part if kind == "parts" else ~read & ~part
    return of_kind


def _search(
    batch: pa.RecordBatch, kept: NDArray[np.int64], spelling: Spelling, wanted: Wanted, task: Task, most: int
) -> list[Place]:
    """Return the first rows among `kept` that hold the text, each once, in order."""
    if wanted.text is None:
        return [Place(row) for row in kept[:most].tolist()]
    part = batch if len(kept) == batch.num_rows else batch.take(to_arrow(kept))
    found: dict[int, Place] = {}
    for column in ("input_ids", "labels") if task == Task.SEQ2SEQ else ("input_ids",):
        edges, ids = _flat(part[column])
        for hit in find_rows(spelling, wanted.text, ids, edges, most):
            found.setdefault(hit.row, Place(int(kept[hit.row]), hit.first, hit.last, column))
    return [found[row] for row in sorted(found)[:most]]


def _flat(lists: pa.ListArray) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return where lists begin and the last ends, shape `[rows + 1]`, and their values end to end."""
    edges = to_numpy(lists.offsets).astype(np.int64)
    return edges - edges[0], to_numpy(lists.values.slice(edges[0], edges[-1] - edges[0]))
