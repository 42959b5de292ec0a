"""Decide, once all rows are known, which go on and where: duplicates, the split, the balance of labels, the audit."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.duplicates.crossing import audit_rows, find_crossing
from sftdata.duplicates.finding import DUPLICATES, find_duplicates
from sftdata.duplicates.spill import Chunk
from sftdata.engine import Watch
from sftdata.errors import LeakError, NothingToWrite, RecipeError
from sftdata.ledger import UNDERSAMPLED
from sftdata.recipe import Recipe
from sftdata.records import Task, no_rejections, reject
from sftdata.settings.balancing import BalanceSettings
from sftdata.settings.splitting import SplitSettings
from sftdata.spilling import Spilled
from sftdata.stages.audit import audit_split
from sftdata.stages.balancing import Balanced, balance_rows
from sftdata.stages.deduplication import Comparison
from sftdata.stages.splitting import Assignment, split_slim
from sftdata.text.fields import flatten

ROUNDS = 3
"""How often a split is made again when the audit finds near-duplicates that the search has missed."""


@dataclass(frozen=True)
class Selection:
    """What becomes of the rows, all of them in the order of the chunks.

    Attributes:
        names: the splits, the training part first.
        parts: position in `names`, -1 for rows that do not go on; int8, shape `[rows]`.
        fold: the fold of each row of the training part, else -1; int32, shape `[rows]`. None without folds.
        copies: how often a row stands in its split; int32, shape `[rows]`.
        labels: the labels or tags of the training part, sorted; None where rows have none.
        duplicates: dropped rows, as `duplicates.finding.DUPLICATES`.
        rejected: rows in conflict, or left out of the balance, as `records.REJECTED`.
        split: how near the split came to what was wished, and what crosses it.
        balance: shares of the labels before and after, and the weights of classes.
    """

    names: tuple[str, ...]
    parts: NDArray[np.int8]
    fold: NDArray[np.int32] | None
    copies: NDArray[np.int32]
    labels: tuple[str, ...] | None
    duplicates: pl.DataFrame
    rejected: pl.DataFrame
    split: dict[str, Any] = field(default_factory=dict)
    balance: dict[str, Any] | None = None


def select_rows(
    chunks: Sequence[Spilled],
    recipe: Recipe,
    comparison: Comparison | None,
    folder: Path,
    watch: Watch = lambda stage, done, total: None,
) -> Selection:
    """Drop duplicates, divide what is left, and balance the training part.

    Args:
        chunks: all rows.
        recipe: what is wished.
        comparison: how duplicates are found; None when nobody needs to know.
        folder: for files, which the caller removes.
        watch: told about progress.

    Raises:
        RecipeError: when the split asks for more rows than there are.
        LeakError: when the audit finds rows that belong together in different parts.
        NothingToWrite: when no row is left.
    """
    slim = pl.concat([chunk.slim for chunk in chunks])
    kept, duplicates, rejected = np.ones(len(slim), np.bool_), pl.DataFrame(schema=DUPLICATES), no_rejections()
    if comparison:
        signed = [Chunk(chunk.signed, chunk.rows) for chunk in chunks]
        tell = partial(watch, "find duplicates")
        found = find_duplicates(signed, comparison, recipe.deduplicate, _make(folder / "search"), tell)
        kept, duplicates, rejected = found.kept, found.duplicates, found.rejected
        slim = slim.filter(pl.Series(kept)).with_columns(pl.Series("cluster", found.cluster))
    if not len(slim):
        raise NothingToWrite("every row was rejected; nothing is left to split")
    tell = partial(watch, "split and audit")
    assignment, crossing = _split(slim, chunks, kept, recipe.split, comparison, folder, tell)
    of_train = slim.filter(pl.Series(assignment.parts == 0))
    has_tags, trained = recipe.task == Task.TOKEN_CLASSIFICATION, _spread(assignment.parts == 0, kept, False)
    labels = _find_tags(chunks, trained) if has_tags else _find_labels(of_train)
    copies, told = _balance(slim, assignment, recipe.balance, recipe.split.seed)
    return Selection(
        names=assignment.names,
        parts=_spread(np.where(copies > 0, assignment.parts, -1).astype(np.int8), kept, -1),
        fold=None if assignment.fold is None else _spread(assignment.fold, kept, -1),
        copies=_spread(copies, kept, 0),
        labels=labels,
        duplicates=duplicates,
        rejected=pl.concat([rejected, _reject_left_out(chunks, _spread(copies == 0, kept, False))]),
        split={**asdict(assignment.report), "crossing": crossing},
        balance=told,
    )


def _find_labels(of_train: pl.DataFrame) -> tuple[str, ...] | None:
    """Return the labels of the training part, sorted; None where rows have none.

    Raises:
        NothingToWrite: when rows have lists of labels, and those of the training part are all empty.
    """
    if "label" in of_train.columns:
        return tuple(of_train["label"].unique().sort())
    if "labels" not in of_train.columns:
        return None
    labels = of_train["labels"].explode(empty_as_null=False).drop_nulls().unique().sort()
    if not len(labels):
        raise NothingToWrite("no row of the training part has a label, so there is none to learn")
    return tuple(labels)


def _find_tags(chunks: Sequence[Spilled], of_train: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return the tags of the training part, sorted, but `O` first, so that 0 is no entity, as in CoNLL-2003.

    Only the names stay in memory: `slim` rows have no tags, and each chunk is read again.
    """
    found: set[str] = set()
    for read in _reads(chunks, of_train):
        found.update(flatten(read()["tags"]).drop_nulls().unique())
    return tuple(sorted(found, key=lambda tag: (tag != "O", tag)))


def needs_comparison(recipe: Recipe) -> bool:
    """Tell whether duplicates matter: where some are dropped or rejected, or could stand on two sides."""
    settings = recipe.deduplicate
    several = len(recipe.split.part_names()) > 1 or recipe.split.folds is not None
    return settings.drops or settings.conflicts != "keep" or several


def _split(
    slim: pl.DataFrame,
    chunks: Sequence[Spilled],
    kept: NDArray[np.bool_],
    settings: SplitSettings,
    comparison: Comparison | None,
    folder: Path,
    watch: Callable[[int, int], None],
) -> tuple[Assignment, dict[str, int | None]]:
    """Divide rows, and have the result audited; what the audit ties together is put together, and divided again."""
    for number in range(ROUNDS):
        watch(0, 0)
        try:
            assignment = split_slim(slim, settings)
        except ValueError as cause:
            raise RecipeError("split", [str(cause)]) from None
        groups = audit_split(assignment.sides, {"groups": slim["group"]} if "group" in slim.columns else {})
        if comparison is None:
            return assignment, {**groups, "exact_duplicates": 0, "near_duplicates": 0}
        parts, fold = assignment.parts, assignment.fold
        sides = parts if fold is None else np.where(fold < 0, -parts, fold)  # a fold is a side of its own
        audited = [Chunk(partial(_audit, read, comparison), read) for read in _reads(chunks, kept)]
        crossing = find_crossing(audited, sides, comparison, _make(folder / f"audit-{number}"), watch)
        near = crossing.near if comparison.near else None
        counts = {**groups, "exact_duplicates": crossing.exact, "near_duplicates": near}
        if not any(counts.values()):
            return assignment, counts
        slim = slim.with_columns(pl.Series("cluster", crossing.merge(slim["cluster"].to_numpy())))
    raise LeakError(counts)


def _reads(chunks: Sequence[Spilled], kept: NDArray[np.bool_]) -> list[partial[pl.DataFrame]]:
    edges = np.cumsum([0, *(len(chunk.slim) for chunk in chunks)])
    return [
        partial(_read_kept, chunk, kept[start:end])
        for chunk, start, end in zip(chunks, edges[:-1], edges[1:], strict=True)
    ]


def _audit(read: Callable[[], pl.DataFrame], comparison: Comparison) -> pl.DataFrame:
    return audit_rows(read(), comparison)


def _read_kept(chunk: Spilled, kept: NDArray[np.bool_]) -> pl.DataFrame:
    return chunk.rows().filter(pl.Series(kept, dtype=pl.Boolean))


def _balance(
    slim: pl.DataFrame, assignment: Assignment, settings: BalanceSettings | None, seed: int
) -> tuple[NDArray[np.int32], dict[str, Any] | None]:
    """Return how often each row is to stand, 0 for those that are left out, and what is told of it."""
    copies, train = np.ones(len(slim), dtype=np.int32), assignment.parts == 0
    if settings is None:
        return copies, None
    try:
        balanced = balance_rows(slim.filter(pl.Series(train)), settings, seed)
    except ValueError as cause:
        raise RecipeError("balance", [str(cause)]) from None
    copies[train] = balanced.copies
    return copies, _describe(balanced)


def _describe(balanced: Balanced) -> dict[str, Any]:
    shares = {
        name: {label: asdict(share) for label, share in found.items()}
        for name, found in (("before", balanced.before), ("after", balanced.after))
    }
    return {**shares, "weights": balanced.weights}


def _reject_left_out(chunks: Sequence[Spilled], left_out: NDArray[np.bool_]) -> pl.DataFrame:
    found = [no_rejections()]
    for read in _reads(chunks, left_out) if left_out.any() else []:
        rows = read()
        detail = [f"'{label}' has more rows than `balance` wants of a label" for label in rows["label"]]
        found.append(reject(rows, "balance", [[UNDERSAMPLED]] * len(rows), detail))
    return pl.concat(found)


def _spread(values: NDArray[Any], kept: NDArray[np.bool_], nothing: Any) -> NDArray[Any]:
    """Return `values`, which are of the kept rows, for all rows."""
    spread = np.full(len(kept), nothing, dtype=values.dtype)
    spread[kept] = values
    return spread


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
