"""Folds: what each trains on and holds out, scores over all of them, and one prediction a row. No torch.

The model of a fold is trained on the rows of all other folds, so its predictions for the rows held out are out-of-fold:
made by a model that has not seen them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.errors import TrainingError
from sftdata.plan import Rows
from sftdata.shards.layout import PARENT
from sftdata.shards.reader import Split
from sftdata.training.metrics import Scores

FOLDS_NAME = "folds.json"

Folds = NDArray[np.integer]
"""The fold of each row, shape `[rows]`, as `Split.folds()` returns it."""


def count_folds(folds: Folds) -> int:
    """Return how many folds there are, K.

    Raises:
        TrainingError: they are not 0 to K-1 with a row in each, or fewer than two.
    """
    lowest = int(folds.min(initial=0))
    if lowest < 0:
        raise TrainingError(f"found rows of fold {lowest}, expected folds from 0; only the training part has folds")
    rows = np.bincount(folds)
    empty = ", ".join(map(str, np.flatnonzero(rows == 0)))
    if empty:
        raise TrainingError(
            f"found no row in fold {empty} of 0 to {len(rows) - 1}, expected rows in each. "
            "Prepare with fewer folds, or with smaller groups."
        )
    if len(rows) < 2:
        raise TrainingError(f"found {len(rows)} folds with rows, expected two or more. Prepare with more rows.")
    return len(rows)


def select_fold(folds: Folds, number: int) -> tuple[Rows, Rows]:
    """Return the rows that a fold trains on and those that it holds out, ascending, int64.

    Args:
        folds: of each row, shape `[rows]`.
        number: of the fold, from 0.

    Raises:
        TrainingError: there is no such fold, or the folds are not as `count_folds` wants them.
    """
    count = count_folds(folds)
    if not 0 <= number < count:
        raise TrainingError(f"found fold {number}, expected one from 0 to {count - 1}")
    held = folds == number
    return np.flatnonzero(~held), np.flatnonzero(held)


def find_originals(split: Split) -> NDArray[np.bool_]:
    """Tell which rows are no copy or part of another, shape `[rows]`."""
    columns = [split.shard(number) for number in range(len(split.shards))]
    if not columns or PARENT.name not in columns[0].column_names:
        return np.ones(len(split), dtype=np.bool_)
    return np.concatenate([to_numpy(table[PARENT.name].is_null()) for table in columns])


@dataclass(frozen=True)
class FoldScore:
    """A metric over the folds.

    Attributes:
        mean: of the folds that have a value; None where none has.
        deviation: of the sample (divided by one less than there are values); None where fewer than two have one.
        values: one a fold, None where the metric is undefined.
        missing: why, by the number of the fold.
    """

    mean: float | None
    deviation: float | None
    values: tuple[float | None, ...]
    missing: dict[int, str]

    def to_json(self) -> dict[str, Any]:
        """Return what there is of it; `missing` where a value is."""
        told = {"missing": {str(fold): why for fold, why in self.missing.items()}} if self.missing else {}
        return {"mean": self.mean, "deviation": self.deviation, "values": list(self.values), **told}


def average_folds(scores: Sequence[Scores]) -> dict[str, FoldScore]:
    """Return the mean and the deviation of every metric that at least one fold has a value or a reason for.

    Args:
        scores: of the held-out rows, one a fold, in order.
    """
    metrics = dict.fromkeys(name for one in scores for name in one.values)
    metrics |= dict.fromkeys(name for one in scores for name in one.undefined)
    return {name: _average(name, scores) for name in metrics}


def _average(metric: str, scores: Sequence[Scores]) -> FoldScore:
    values = tuple(one.values.get(metric) for one in scores)
    missing = {
        fold: one.undefined.get(metric, "the evaluation of this fold does not have it")
        for fold, one in enumerate(scores)
        if metric not in one.values
    }
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    return FoldScore(mean, float(np.std(known, ddof=1)) if len(known) > 1 else None, values, missing)


def join_predictions(rows: int, parts: Iterable[tuple[Rows, NDArray[Any]]]) -> NDArray[Any]:
    """Put the predictions for the held-out rows of all folds in their places.

    Args:
        rows: how many there are in all.
        parts: of each fold in order, the positions of rows and the predictions for them, shape `[held, ...]`; taken
            one at a time, so that no more than one need be in memory beside the result.

    Returns:
        One prediction a row, shape `[rows, ...]`, with the dtype of the parts.

    Raises:
        TrainingError: a row has no prediction or two, or is not one of `rows`, or parts differ in shape or dtype.
    """
    joined: NDArray[Any] | None = None
    seen = np.zeros(rows, dtype=bool)
    for fold, (positions, predictions) in enumerate(parts):
        joined = np.empty((rows, *predictions.shape[1:]), predictions.dtype) if joined is None else joined
        _check_part(fold, positions, predictions, joined, seen)
        joined[positions] = predictions
        seen[positions] = True
    if joined is None or not seen.all():
        holes = np.flatnonzero(~seen)
        raise TrainingError(
            f"found no prediction for {_name(holes)}, expected one a row. Train the fold of these again."
        )
    return joined


def _check_part(
    fold: int, positions: Rows, predictions: NDArray[Any], joined: NDArray[Any], seen: NDArray[np.bool_]
) -> None:
    """Refuse the predictions of a fold that do not fit those of the others."""
    again = f"Train fold {fold} again."
    if len(positions) != len(predictions):
        raise TrainingError(f"fold {fold}: found {len(predictions):,} predictions for {len(positions):,} rows. {again}")
    if (predictions.shape[1:], predictions.dtype) != (joined.shape[1:], joined.dtype):
        raise TrainingError(
            f"fold {fold}: found predictions of shape {predictions.shape[1:]} and dtype {predictions.dtype}, expected "
            f"{joined.shape[1:]} and {joined.dtype} as in fold 0. {again}"
        )
    outside = positions[(positions < 0) | (positions >= len(seen))]
    if len(outside):
        raise TrainingError(f"fold {fold}: found predictions for {_name(outside)} of {len(seen):,} rows. {again}")
    times = np.bincount(positions, minlength=len(seen))
    twice = np.flatnonzero(times + seen > 1)
    if len(twice):
        raise TrainingError(f"fold {fold}: found a second prediction for {_name(twice)}, expected one a row. {again}")


def _name(rows: NDArray[np.integer]) -> str:
    shown = ", ".join(map(str, rows[:5]))
    return f"{'row' if len(rows) == 1 else 'rows'} {shown}" + (f" and {len(rows) - 5:,} more" if len(rows) > 5 else "")
