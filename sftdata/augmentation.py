"""Augment rows: make an augmenter out of a recipe's settings, or augment any frame from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sftdata.documents import make_settings
from sftdata.errors import UsageError
from sftdata.records import Task
from sftdata.settings.augmentation import AugmentationStep, CopySettings
from sftdata.stages.augmentation import Augmented, Augmenter, Step, augment_rows, find_repeated, text_keys
from sftdata.stages.augmentation.choosing import WordLists
from sftdata.stages.augmentation.copying import most_copies
from sftdata.stages.deduplication import INPUTS
from sftdata.text.chinese_synonyms import chinese_synonyms, load_cilin
from sftdata.text.fields import flatten, map_texts
from sftdata.text.homophones import homophones
from sftdata.text.nlpaug import make_foreign
from sftdata.text.pieces import Bools
from sftdata.text.segmentation import Segmenter
from sftdata.text.synonyms import synonym_table
from sftdata.text.typing_noise import alternatives


@dataclass(frozen=True)
class Augmentation:
    """What became of a frame.

    Attributes:
        rows: the copies, with the columns of the frame, and `row_id` and `parent_id`.
        counts: of each step how many copies were `made`, and how many dropped for being `unchanged` or a `duplicate`.
    """

    rows: pl.DataFrame
    counts: dict[str, dict[str, int]]


def make_augmenter(
    settings: Sequence[AugmentationStep],
    task: Task,
    base: Path,
    segmenter: Segmenter | None = None,
    *,
    has_pairs: bool = False,
) -> Augmenter:
    """Load what the steps need.

    Args:
        settings: the steps, at least one.
        task: what the rows are for.
        base: the folder that paths in the settings are relative to.
        segmenter: cuts Chinese into words; without words of a user when it is not given.
        has_pairs: whether rows have a second text, `text_pair`, which is changed as the first is.

    Raises:
        UsageError: a step does not go with the task, or an augmenter of nlpaug does not run.
        CilinError: a file of Chinese synonyms cannot be read.
    """
    steps: list[Step] = []
    first = 1
    for step in settings:
        _check_task(step, task)
        foreign = make_foreign(step.nlpaug.augmenter, step.nlpaug.arguments) if step.nlpaug else None
        cilin = getattr(step.settings, "cilin", None)
        lists = _word_lists(base / cilin if cilin else None)
        steps.append(Step(step.name, step.settings, first, lists, foreign))
        first += most_copies(step.settings)
    return Augmenter(task, tuple(steps), segmenter or Segmenter(), has_pairs)


def augment(
    frame: pl.DataFrame,
    steps: Sequence[Mapping[str, Mapping[str, Any] | None]],
    *,
    seed: int = 0,
    text: str = "text",
    text_pair: str | None = None,
    label: str | None = None,
    tags: str | None = None,
    row_id: str | None = None,
) -> Augmentation:
    """Make changed copies of the rows of a frame, which should be the training part alone.

    Args:
        frame: rows with a column of text. It is not changed.
        steps: as in a recipe, such as `[{"synonym_replacement": {"rate": 0.1, "copies": 2}}]`.
        seed: changes every random choice.
        text: the column of text: strings, messages (lists of `role` and `content`), or tokens.
        text_pair: the column of second texts, if each row has two strings; both are changed.
        label: the column of labels, strings or lists of strings, that `factors` speak of.
        tags: the column of tags, if `text` holds tokens; only tokens with the tag O are changed.
        row_id: a column of distinct ids, on which the random choices depend; row numbers when it is not given.

    Returns:
        The copies. None of them equals a row of the frame or another copy, letter case and blanks apart.

    Raises:
        UsageError: a step is not as it should be, a column is missing, or ids repeat.
    """
    task = _find_task(frame, text, text_pair, tags)
    settings = [make_settings(AugmentationStep, step, f"augment, step {n}") for n, step in enumerate(steps, start=1)]
    rows = _as_rows(frame, task, text, label, tags, row_id)
    rows = rows.with_columns(frame[text_pair].alias("text_pair")) if text_pair else rows
    augmenter = make_augmenter(settings, task, Path(), has_pairs=text_pair is not None)
    made = augment_rows(rows, augmenter, seed, np.sort(text_keys(rows, augmenter.inputs)))
    repeated = find_repeated(made.rows["row_id"], made.keys)
    kept = made.rows.filter(pl.Series(~repeated, dtype=pl.Boolean))
    copies = _as_given(frame, kept, task, text, tags)
    copies = copies.with_columns(kept["text_pair"].alias(text_pair)) if text_pair else copies
    return Augmentation(copies, _recount(made, repeated, augmenter))


def _find_task(frame: pl.DataFrame, text: str, text_pair: str | None, tags: str | None) -> Task:
    for name in (text, text_pair, tags):
        if name is not None and name not in frame.columns:
            raise UsageError(f"found no column {name!r}, expected it among {', '.join(frame.columns)}")
    if text_pair is not None and (tags is not None or {frame.schema[text], frame.schema[text_pair]} != {pl.String()}):
        raise UsageError("text_pair: found beside tags, or one of the two columns holds no strings; expected two texts")
    if tags is not None:
        return Task.TOKEN_CLASSIFICATION
    return Task.CAUSAL_LM if isinstance(frame.schema[text], pl.List) else Task.TEXT_CLASSIFICATION


def _check_task(step: AugmentationStep, task: Task) -> None:
    """Refuse what would have no meaning."""
    settings: CopySettings = step.settings
    if task == Task.TOKEN_CLASSIFICATION and step.name in ("sentence_reordering", "nlpaug"):
        raise UsageError(f"augment: found {step.name} for a {task} task, expected a step that keeps tokens and tags")
    if settings.factors and task not in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL):
        raise UsageError(f"augment: found factors for a {task} task, expected them where rows have labels")


@cache
def _word_lists(cilin: Path | None) -> WordLists:
    """Load the word lists, once for all steps that want the same."""
    from stopwordsiso import stopwords

    stops = frozenset(stopwords(["en", "zh"]))
    chinese = [load_cilin(cilin)] if cilin else []
    table = synonym_table(chinese_synonyms(), *chinese, without=stops)
    return WordLists(table, pl.Series(sorted(stops)), alternatives(homophones()))


def _as_rows(
    frame: pl.DataFrame, task: Task, text: str, label: str | None, tags: str | None, row_id: str | None
) -> pl.DataFrame:
    """Give a frame the columns that rows of the task have."""
    ids = frame[row_id].cast(pl.String) if row_id else pl.int_range(1, len(frame) + 1, eager=True).cast(pl.String)
    if ids.null_count() or ids.is_duplicated().any():
        raise UsageError(f"column {row_id!r}: found ids that are null or repeat, expected a distinct id for each row")
    columns = {"row_id": ids, "@index": pl.int_range(len(frame), eager=True)}
    column = frame[text]
    if task == Task.CAUSAL_LM:
        turn = pl.element().struct
        absent = [pl.lit(None, pl.Float64).alias("weight"), pl.lit(None, pl.String).alias("details")]
        column = column.list.eval(pl.struct(turn.field("role"), turn.field("content"), *absent))
    columns[INPUTS[task][0]] = column
    if tags:
        columns["tags"] = frame[tags]
    if label:
        columns["labels" if isinstance(frame.schema[label], pl.List) else "label"] = frame[label]
    return pl.DataFrame(columns)


def _as_given(frame: pl.DataFrame, made: pl.DataFrame, task: Task, text: str, tags: str | None) -> pl.DataFrame:
    """Give copies the columns of the frame that they come from."""
    rows, new = frame[made["@index"].to_numpy()], made[INPUTS[task][0]]
    if task == Task.CAUSAL_LM:
        contents = flatten(new).struct.field("content")
        new = map_texts(rows[text], lambda _: contents)
    columns = [new.alias(text), made["row_id"], made["parent_id"]]
    return rows.with_columns(*columns, *([made["tags"].alias(tags)] if tags else []))


def _recount(made: Augmented, repeated: Bools, augmenter: Augmenter) -> dict[str, dict[str, int]]:
    """Count copies that equal another one as duplicates."""
    counts = {name: dict(of_step) for name, of_step in made.counts.items()}
    numbers = made.rows["row_id"].filter(pl.Series(repeated, dtype=pl.Boolean)).str.extract(r"(\d+)$").cast(pl.Int64)
    firsts = [step.first for step in augmenter.steps]
    for place in np.searchsorted(firsts, numbers.to_numpy(), side="right") - 1:
        of_step = counts[augmenter.steps[place].name]
        of_step["made"] -= 1
        of_step["duplicate"] += 1
    return counts
