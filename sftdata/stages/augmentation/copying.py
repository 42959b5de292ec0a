"""Make the copies of a chunk of rows, and drop those that say nothing new."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import random_keys
from sftdata.records import Task
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
from sftdata.stages.deduplication import blocks_of, compared_texts, input_fields, join_texts
from sftdata.text.fields import text_fields
from sftdata.text.nlpaug import Foreign, augment_texts
from sftdata.text.pieces import Bools, Ints, Pieces, Replacement
from sftdata.text.segmentation import Segmenter
from sftdata.text.shingles import hash_texts, normalize_texts, to_buffer

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
    has_pairs: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The fields that a model is given, by which copies are told apart."""
        return input_fields(self.task, has_pairs=self.has_pairs)


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
        fields: columns of texts, tokens or turns; for copies `Augmenter.inputs`.
    """
    return _hash(compared_texts(rows, fields))


def _hash(texts: pl.Series) -> NDArray[np.uint64]:
    """Hash texts in slices that fit the processor's cache."""
    hashes = [hash_texts(to_buffer(block))[0] for block in blocks_of(texts)]
    return np.concatenate([np.zeros(0, dtype=np.uint64), *hashes])


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
    total: dict[str, int] = {}
    columns: dict[tuple[Any, ...], list[Column]] = {}
    for step in augmenter.steps:
        key = (step.settings.side, step.settings.protect)
        if key not in columns:
            columns[key] = _cut_columns(rows, augmenter, step)
        counts = _count_copies(rows, step, seed)
        total[step.name] = total.get(step.name, 0) + int(counts.sum())
        made += [_copy(rows, step, copy, counts > copy, columns[key], seed) for copy in range(counts.max(initial=0))]
    if not made:
        made = [_copy(rows.clear(), step, 0, np.zeros(0, dtype=np.bool_), [], seed) for step in augmenter.steps[:1]]
    return _sift(pl.concat(made), rows.columns, augmenter, total, taken)


def _cut_columns(rows: pl.DataFrame, augmenter: Augmenter, step: Step) -> list[Column]:
    side = step.settings.side
    names = augmenter.inputs if side == "input" else text_fields(augmenter.task, has_pairs=augmenter.has_pairs)
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
    """Make one copy of each chosen row; return those that changed."""
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
        pl.Series("@parent", np.flatnonzero(chosen), dtype=pl.Int64),
    ).filter(pl.Series(changed, dtype=pl.Boolean))


def _edit(step: Step, pieces: Pieces, texts: pl.Series, keys: Keys) -> Pieces | Replacement | pl.Series:
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
    copies: pl.DataFrame, columns: list[str], augmenter: Augmenter, total: dict[str, int], taken: Keys | None
) -> Augmented:
    """Drop the copies that say nothing new, and count them.

    Args:
        copies: those that changed, in the order of their numbers, with the row of each parent.
        columns: of the rows.
        augmenter: what made them.
        total: how many copies of each step there are, with those that did not change.
        taken: as `augment_rows` has it.
    """
    new, keys = _find_new(copies["@parent"], join_texts(copies, augmenter.inputs), taken)
    counts = {name: {"made": 0, "unchanged": copies_made, "duplicate": 0} for name, copies_made in total.items()}
    flagged = copies.select("@step", new=pl.Series(new))
    found = flagged.group_by("@step").agg(changed=pl.len(), made=pl.col("new").sum())
    for name, changed, made in found.iter_rows():
        counts[name] = {"made": made, "unchanged": total[name] - changed, "duplicate": changed - made}
    kept = np.flatnonzero(new)
    kept = kept[np.argsort(copies["@parent"].to_numpy()[kept], kind="stable")]
    return Augmented(copies.select(*columns, "parent_id")[kept], keys[kept], counts)


def _find_new(parents: pl.Series, texts: pl.Series, taken: Keys | None) -> tuple[Bools, Keys]:
    """Tell which texts are neither taken nor those of an earlier copy of the same row; return their keys too."""
    keys, new = np.zeros(len(texts), dtype=np.uint64), np.zeros(len(texts), dtype=np.bool_)
    if _all_rise(parents):  # one copy of each row
        keys, new = _hash(normalize_texts(texts)), ~new
    else:
        places = np.flatnonzero(_is_first(parents, texts.hash()))  # what repeats byte for byte needs no key
        keys[places] = _hash(normalize_texts(texts.gather(places)))
        new[places] = _is_first(parents.gather(places), pl.Series(keys[places]))
    if taken is not None and len(taken):
        new &= taken[np.minimum(np.searchsorted(taken, keys), len(taken) - 1)] != keys
    return new, keys


def _all_rise(parents: pl.Series) -> bool:
    return bool((np.diff(parents.to_numpy()) > 0).all())


def _is_first(parents: pl.Series, keys: pl.Series) -> Bools:
    """Tell of each copy whether it is the first of its row with its key."""
    frame = pl.DataFrame({"parent": parents, "key": keys})
    return frame.select(pl.struct("parent", "key").is_first_distinct()).to_series().to_numpy()
