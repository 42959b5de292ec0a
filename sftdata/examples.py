"""The second pass of `prepare`: make the copies of training rows, tokenise everything, and write it to its splits."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_arrow
from sftdata.engine import map_chunks
from sftdata.keys import mix
from sftdata.manifest import SplitRecord
from sftdata.records import no_rejections
from sftdata.screening import THREADS
from sftdata.selection import Selection
from sftdata.shards.layout import FOLD, PARENT, WEIGHT, example_schema
from sftdata.shards.writer import SplitWriter
from sftdata.spilling import Spilled
from sftdata.stages.tokenization import Tokenization, tokenize_rows
from sftdata.statistics import SplitCounts, VocabularyUse

if TYPE_CHECKING:
    from sftdata.stages.augmentation import Augmenter

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class SecondPass:
    """What makes examples out of rows; it pickles.

    Attributes:
        tokenization: turns rows into tokens.
        names: the splits, the training part first.
        seed: of random choices.
        has_weights: whether rows have weights.
        has_folds: whether examples say in which fold they are.
        has_copies: whether examples say of which row they are a copy or a further part.
        augmenter: makes changed copies of training rows.
        taken: `text_keys` of all rows, ascending; no copy may say the same.
    """

    tokenization: Tokenization
    names: tuple[str, ...]
    seed: int = 0
    has_weights: bool = False
    has_folds: bool = False
    has_copies: bool = False
    augmenter: "Augmenter | None" = None
    taken: Keys | None = None

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the examples."""
        ours = [WEIGHT] * self.has_weights + [PARENT] * self.has_copies + [FOLD] * self.has_folds
        extra = [*self.tokenization.extra_fields, *ours]
        return example_schema(self.tokenization.task, self.tokenization.label_names, extra)


@dataclass(frozen=True)
class Placed:
    """The rows of a chunk and what was decided of each, as `Selection` has it."""

    file: Path
    parts: NDArray[np.int8]
    fold: NDArray[np.int32] | None
    copies: NDArray[np.int32]


@dataclass(frozen=True)
class Examples:
    """Examples of one split, and what is to be known of each; all of shape `[examples]`.

    Attributes:
        batch: the examples.
        keys: `text_keys` of copies, 0 for others.
        truncated: whether it was cut.
        parts: which part of its row it is, from 0.
    """

    batch: pa.RecordBatch
    keys: Keys
    truncated: NDArray[np.bool_]
    parts: NDArray[np.int64]

    def take(self, chosen: NDArray[np.int64]) -> "Examples":
        """Return the examples at these positions."""
        batch = self.batch if len(chosen) == len(self.keys) else self.batch.take(to_arrow(chosen))
        return Examples(batch, self.keys[chosen], self.truncated[chosen], self.parts[chosen])


@dataclass(frozen=True)
class Made:
    """What became of a chunk.

    Attributes:
        examples: by split.
        rejected: rows that are no examples, as `records.REJECTED`.
        rows: how many rows the chunk had.
        steps: what augmentation counted.
        dropped: why copies became no examples.
    """

    examples: dict[str, Examples]
    rejected: pl.DataFrame
    rows: int
    steps: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class Written:
    """What was written.

    Attributes:
        splits: by name.
        rejected: rows that are no examples, as `records.REJECTED`, in order of reading.
        copies: how many of the examples are copies.
        steps: for each step of augmentation how many copies were `made`, `unchanged`, or a `duplicate`.
        dropped: why copies that were made are no examples.
        counts: what is to be told of the lengths in each split.
        vocabulary: which ids the training part has.
    """

    vocabulary: VocabularyUse
    splits: dict[str, SplitRecord] = field(default_factory=dict)
    rejected: pl.DataFrame = field(default_factory=no_rejections)
    copies: int = 0
    steps: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    counts: dict[str, SplitCounts] = field(default_factory=dict)


def write_examples(
    work: Path,
    chunks: Sequence[Spilled],
    selection: Selection,
    second: SecondPass,
    shard_size: int,
    workers: int,
    watch: Callable[[int], None],
) -> Written:
    """Make the examples of every chunk and append them to their splits; `watch` is told how many rows are done."""
    used = [name for place, name in enumerate(second.names) if (selection.parts == place).any()]
    tokenizer = second.tokenization.tokenizer
    written = Written(VocabularyUse(tokenizer.vocab_size, tokenizer.unknown_id))
    rejected, seen, done = [no_rejections()], np.zeros(0, dtype=np.uint64), 0
    with ExitStack() as files:
        writers = {
            name: files.enter_context(SplitWriter(work, name, second.tokenization.task, second.schema, shard_size))
            for name in used
        }
        making = map_chunks(partial(make_examples, second=second), _place(chunks, selection), workers, THREADS)
        for made in files.enter_context(closing(making)):
            examples, seen = _drop_seen(made, second.names[0], seen, written)
            for name, found in examples.items():
                counts = writers[name].write(found.batch)
                written.copies += _count_copies(found.batch)
                told = written.counts.setdefault(name, SplitCounts())
                told.add(counts.tokens, counts.trained, found.truncated, found.parts)
                told.add_labels(found.batch["labels"])
                if name == second.names[0]:
                    written.vocabulary.add(found.batch)
            rejected.append(made.rejected)
            _add_counts(written, made)
            done += made.rows
            watch(done)
        written.splits = {name: writer.close() for name, writer in writers.items()}
    written.rejected = pl.concat(rejected)
    return written


def make_examples(placed: Placed, second: SecondPass) -> Made:
    """Make the examples of a chunk: its rows in order, then the copies of its training rows."""
    rows = pl.read_ipc(placed.file).with_columns(
        pl.Series("@part", placed.parts),
        pl.Series("@fold", np.full(len(placed.parts), -1, np.int32) if placed.fold is None else placed.fold),
        pl.Series("@copies", placed.copies),
        pl.lit(None, dtype=pl.String).alias("parent_id"),
        pl.lit(0, dtype=pl.UInt64).alias("@key"),
    )
    rows = rows.filter(pl.col("@part") >= 0)
    changed, steps = _augment(rows, second)
    all_rows = pl.concat([rows, _repeat(rows), changed])
    done = tokenize_rows(all_rows, second.tokenization)
    lost = np.setdiff1d(np.arange(len(all_rows)), done.kept)
    of_rows = lost < len(rows)
    known = ["@part", "@fold", "@key", "parent_id", "row_id", *["weight"] * second.has_weights]
    kept = _mark_parts(all_rows.select(known)[done.kept], done.parts)
    batch, place = _complete(done.examples, kept, second), kept["@part"].to_numpy()
    everything = Examples(batch, kept["@key"].to_numpy(), done.truncated, done.parts)
    return Made(
        examples={
            name: everything.take(np.flatnonzero(place == number))
            for number, name in enumerate(second.names)
            if (place == number).any()
        },
        rejected=done.rejected.filter(pl.Series(of_rows)),
        rows=len(placed.parts),
        steps=steps,
        dropped=Counter(done.rejected.filter(pl.Series(~of_rows))["reason"]),
    )


def _augment(rows: pl.DataFrame, second: SecondPass) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """Make changed copies of those of the rows that are for training."""
    if second.augmenter is None:
        return rows.clear(), {}
    from sftdata.stages.augmentation import augment_rows

    parents = rows.filter(pl.col("@part") == 0).drop("parent_id")
    made = augment_rows(parents, second.augmenter, second.seed, second.taken)
    return made.rows.with_columns(pl.Series("@key", made.keys, dtype=pl.UInt64)).select(rows.columns), made.counts


def _repeat(rows: pl.DataFrame) -> pl.DataFrame:
    """Repeat the rows that are to stand more than once, under ids of their own."""
    more = rows.filter(pl.col("@copies") > 1).with_columns(parent_id="row_id", number=pl.int_ranges(1, "@copies"))
    named = more.explode("number").with_columns(row_id=pl.format("{}*{}", "row_id", "number"))
    return named.select(rows.columns)


def _mark_parts(kept: pl.DataFrame, parts: NDArray[np.int64]) -> pl.DataFrame:
    """Give the further parts of a row that was split a parent and a key of their own."""
    if not parts.any():
        return kept
    further = pl.Series(parts > 0)
    key = kept["@key"].to_numpy()
    own = pl.Series(np.where((parts > 0) & (key > 0), key ^ mix(parts.astype(np.uint64)), key))
    parent = pl.when(further).then(pl.coalesce("parent_id", "row_id")).otherwise("parent_id")
    return kept.with_columns(own.alias("@key"), parent.alias("parent_id"))


def _complete(examples: pa.RecordBatch, rows: pl.DataFrame, second: SecondPass) -> pa.RecordBatch:
    columns = list(examples.columns)
    if second.has_weights:
        columns.append(rows["weight"].cast(pl.Float32).to_arrow())
    if second.has_copies:
        columns.append(rows["parent_id"].to_arrow().cast(PARENT.type))
    if second.has_folds:
        columns.append(rows["@fold"].to_arrow())
    return pa.RecordBatch.from_arrays(columns, schema=second.schema)


def _drop_seen(made: Made, train: str, seen: Keys, written: Written) -> tuple[dict[str, Examples], Keys]:
    """Drop the copies that say what a copy before them says; also return what was seen by now."""
    found = made.examples.get(train)
    if found is None or not found.keys.any():
        return made.examples, seen
    copies = np.flatnonzero(found.keys)
    keys = found.keys[copies]
    first = np.zeros(len(keys), dtype=np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    fresh = first & ~np.isin(keys, seen, kind="sort")
    written.dropped["duplicate"] += int((~fresh).sum())
    keep = np.ones(len(found.keys), dtype=np.bool_)
    keep[copies] = fresh
    return {**made.examples, train: found.take(np.flatnonzero(keep))}, np.union1d(seen, keys)


def _count_copies(batch: pa.RecordBatch) -> int:
    return batch.num_rows - batch[PARENT.name].null_count if PARENT.name in batch.schema.names else 0


def _add_counts(written: Written, made: Made) -> None:
    written.dropped.update(made.dropped)
    for step, counts in made.steps.items():
        known: Mapping[str, int] = written.steps.get(step, {})
        written.steps[step] = {outcome: known.get(outcome, 0) + count for outcome, count in counts.items()}


def _place(chunks: Sequence[Spilled], selection: Selection) -> Iterator[Placed]:
    start = 0
    for chunk in chunks:
        here: Any = slice(start, start + len(chunk.slim))
        if len(chunk.slim):
            fold = None if selection.fold is None else selection.fold[here]
            yield Placed(chunk.file, selection.parts[here], fold, selection.copies[here])
        start += len(chunk.slim)
