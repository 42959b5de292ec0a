"""Make the copies of a chunk of rows, and drop those that say nothing new."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.records import Task, random_keys
from sftdata.stages.augmentation.choosing import Keys, WordLists
from sftdata.stages.augmentation.columns import Column, change_column, cut_column
from sftdata.stages.augmentation.rearranging import delete_words, reorder_sentences, swap_words
from sftdata.stages.augmentation.replacing import (
    insert_punctuation,
    insert_synonyms,
    mistype_words,
    replace_homophones,
    replace_synonyms,
)
from sftdata.stages.deduplication import INPUTS, compared_texts
from sftdata.text.fields import text_fields
from sftdata.text.nlpaug import Foreign, augment_texts
from sftdata.text.pieces import Bools, Ints, Pieces
from sftdata.text.segmentation import Segmenter
from sftdata.text.shingles import hash_texts, to_buffer

ROLES = {"input": ("user",), "all": ("system", "user", "assistant")}
"""Whose turns are changed; what a tool returns never is."""

OUTCOMES = ("made", "unchanged", "duplicate")
"""What can become of a copy."""


@dataclass(frozen=True)
class Step:
    """One step of augmentation, with what it needs.

    Attributes:
        name: as the recipe has it.
        settings: a subclass of `CopySettings`.
        first: number of its first copy; those of all steps of a recipe are distinct.
        lists: what it knows about words.
        foreign: the augmenter of nlpaug that it runs.
    """

    name: str
    settings: Any
    first: int
    lists: WordLists
    foreign: Foreign | None


@dataclass(frozen=True)
class Augmenter:
    """What makes the copies; it pickles. `sftdata.augmentation.make_augmenter` makes one."""

    task: Task
    steps: tuple[Step, ...]
    segmenter: Segmenter


@dataclass(frozen=True)
class Augmented:
    """The copies of a chunk.

    Attributes:
        rows: with the columns of the chunk, and `parent_id`: the row that each is a copy of. The copies of one row
            stand together, in the order of the rows.
        keys: what `text_keys` says of them, shape `[copies]`.
        counts: of each step how many copies were `made`, and how many dropped for being `unchanged` or a `duplicate`.
    """

    rows: pl.DataFrame
    keys: NDArray[np.uint64]
    counts: dict[str, dict[str, int]]


def text_keys(rows: pl.DataFrame, fields: Sequence[str]) -> NDArray[np.uint64]:
    """Hash the text of each row, in the form in which duplicates are found: shape `[rows]`, dtype uint64.

    Args:
        rows: a frame with the columns `fields`.
        fields: columns of texts, tokens or turns; for copies `INPUTS[task]`.
    """
    hashes: NDArray[np.uint64] = hash_texts(to_buffer(compared_texts(rows, fields)))[0]
    return hashes


def augment_rows(
    rows: pl.DataFrame, augmenter: Augmenter, seed: int, taken: NDArray[np.uint64] | None = None
) -> Augmented:
    """Make copies of rows and change their texts.

    A copy is dropped if nothing changed, or if its text is that of a row in `taken` or of an earlier copy of the same
    row. What two rows' copies have in common is seen only by whoever has all copies (`Augmented.keys`).

    Args:
        rows: a chunk of the training part, with `row_id` and the fields of the task.
        augmenter: what is to be done.
        seed: changes every random choice.
        taken: `text_keys` of all rows of the run, ascending.

    Returns:
        The copies; `row_id` is that of the parent, `+`, and the number of the copy.
    """
    made: list[pl.DataFrame] = []
    columns: dict[tuple[Any, ...], list[Column]] = {}
    for step in augmenter.steps:
        key = (step.settings.side, step.settings.protect)
        if key not in columns:
            columns[key] = _cut_columns(rows, augmenter, step)
        counts = _count_copies(rows, step, seed)
        made += [_copy(rows, step, copy, counts > copy, columns[key], seed) for copy in range(counts.max(initial=0))]
    if not made:
        made = [_copy(rows.clear(), step, 0, np.zeros(0, dtype=np.bool_), [], seed) for step in augmenter.steps[:1]]
    return _sift(pl.concat(made).sort("@parent", "@number"), rows.columns, augmenter, taken)


def _cut_columns(rows: pl.DataFrame, augmenter: Augmenter, step: Step) -> list[Column]:
    side = step.settings.side
    names = INPUTS[augmenter.task] if side == "input" else text_fields(augmenter.task)
    return [cut_column(rows, name, ROLES[side], augmenter.segmenter, step.settings.protect) for name in names]


def most_copies(settings: Any) -> int:
    """Return how many copies of one row the settings may ask for."""
    largest: float = max([1.0, *settings.factors.values()])
    copies: int = settings.copies
    return math.ceil(copies * largest)


def _count_copies(rows: pl.DataFrame, step: Step, seed: int) -> Ints:
    """Return how many copies each row has; a fraction is one more for as large a share of the rows."""
    settings = step.settings
    if not settings.factors:
        return np.full(len(rows), settings.copies, dtype=np.int64)
    labels, factors = list(settings.factors), list(settings.factors.values())
    name = "label" if "label" in rows.columns else "labels"
    factor = pl.element() if name == "labels" else pl.col(name)
    factor = factor.replace_strict(labels, factors, default=1.0, return_dtype=pl.Float64)
    factor = pl.col(name).list.eval(factor).list.max() if name == "labels" else factor
    wanted = settings.copies * rows.select(factor.fill_null(1.0)).to_series().to_numpy()
    chance = (random_keys(rows["row_id"] + f"+{step.first}?", seed) >> np.uint64(11)) * 2.0**-53
    counts: Ints = np.floor(wanted + chance).astype(np.int64)
    return counts


def _copy(rows: pl.DataFrame, step: Step, copy: int, chosen: Bools, columns: list[Column], seed: int) -> pl.DataFrame:
    """Make one copy of each chosen row."""
    number = step.first + copy
    copies = rows.filter(pl.Series(chosen, dtype=pl.Boolean))
    parents = copies["row_id"]
    copies = copies.with_columns(row_id=parents + f"+{number}")
    keys = random_keys(copies["row_id"], seed)
    changed = np.zeros(len(copies), dtype=np.bool_)
    for column in columns:
        copies, of_column = change_column(column, copies, chosen, keys, partial(_edit, step))
        changed |= of_column
    return copies.with_columns(
        parents.alias("parent_id"),
        pl.lit(step.name).alias("@step"),
        pl.lit(number, pl.Int64).alias("@number"),
        pl.Series("@parent", np.flatnonzero(chosen), dtype=pl.Int64),
        pl.Series("@changed", changed, dtype=pl.Boolean),
    )


def _edit(step: Step, pieces: Pieces, texts: pl.Series, keys: Keys) -> Pieces | pl.Series:
    rate, lists = getattr(step.settings, "rate", 0.0), step.lists
    match step.name:
        case "synonym_replacement":
            return replace_synonyms(pieces, keys, rate, lists)
        case "random_insertion":
            return insert_synonyms(pieces, keys, rate, lists)
        case "random_swap":
            return swap_words(pieces, keys, rate)
        case "random_deletion":
            return delete_words(pieces, keys, rate)
        case "punctuation_insertion":
            return insert_punctuation(pieces, keys, rate)
        case "sentence_reordering":
            return reorder_sentences(pieces, keys, rate)
        case "typing_noise":
            return mistype_words(pieces, keys, rate, lists)
        case "homophone_noise":
            return replace_homophones(pieces, keys, rate, lists)
    return augment_texts(texts, keys, step.foreign, step.settings.protect)


def find_repeated(row_ids: pl.Series, keys: NDArray[np.uint64]) -> Bools:
    """Tell which copies have the text of another copy whose id comes first: shape `[copies]`."""
    table = pl.DataFrame({"row_id": row_ids, "key": keys})
    return table.select(pl.col("row_id") != pl.col("row_id").min().over("key")).to_series().to_numpy()


def _sift(
    copies: pl.DataFrame, columns: list[str], augmenter: Augmenter, taken: NDArray[np.uint64] | None
) -> Augmented:
    """Drop the copies that say nothing new, and count them."""
    changed = copies["@changed"].to_numpy()
    keys = np.zeros(len(copies), dtype=np.uint64)
    keys[changed] = text_keys(copies.filter(pl.col("@changed")), INPUTS[augmenter.task])
    known = copies.select("@parent", "@changed", key=pl.Series(keys))
    again = known.with_columns(again=~pl.struct("@parent", "@changed", "key").is_first_distinct())["again"].to_numpy()
    if taken is not None and len(taken):
        again |= taken[np.minimum(np.searchsorted(taken, keys), len(taken) - 1)] == keys
    outcome = np.where(changed, np.where(again, 2, 0), 1)
    counted = copies.group_by("@step", pl.Series("outcome", outcome)).len()
    counts = {step.name: dict.fromkeys(OUTCOMES, 0) for step in augmenter.steps}
    for name, place, count in counted.iter_rows():
        counts[name][OUTCOMES[place]] += count
    return Augmented(copies.filter(pl.Series(outcome == 0)).select(*columns, "parent_id"), keys[outcome == 0], counts)
