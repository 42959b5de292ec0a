"""Rows whose label the predictions contradict: confident learning. No torch.

Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70), with what
cleanlab 2.9 settled in its code, so that both find the same rows: calibration, rounding, a tolerance, one row that
stays in each class, and no finding where the given label is as probable as any other. Where values tie, earlier
rows come first; cleanlab leaves that to the sort of the machine.

The probabilities must be out-of-fold: a model has seen the labels of its own training rows.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sftdata.errors import TrainingError
from sftdata.manifest import replacing

Probabilities = NDArray[np.floating]
"""Of each class, shape `[rows, classes]`; rows need not add up to one."""

Labels = NDArray[np.signedinteger]
"""The class that each row was given, shape `[rows]`."""

Prune = Literal["noise_rate", "class", "both"]
Rank = Literal["normalized_margin", "self_confidence"]

_TOLERANCE = 1e-6
"""Probabilities that are closer than this are equal, as in cleanlab."""

_BLOCK = 1 << 21
"""Probabilities that are looked at together, so that memory beside the arguments is a few numbers a row."""


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Rows whose label is probably wrong, the surest first; all of shape `[found]`.

    Attributes:
        positions: of the rows among those that were given, int64.
        given: their labels, int64.
        suggested: the most probable class, int64.
        given_probability: of the given label, float64.
        suggested_probability: of the suggested one, float64.
        score: the quality of the given label, float64, ascending: the lower, the surer that it is wrong.
    """

    positions: NDArray[np.int64]
    given: NDArray[np.int64]
    suggested: NDArray[np.int64]
    given_probability: NDArray[np.float64]
    suggested_probability: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions)


def find_label_errors(
    labels: Labels, probabilities: Probabilities, *, prune: Prune = "noise_rate", rank: Rank = "normalized_margin"
) -> LabelErrors:
    """Find rows whose label the predictions contradict, cleanlab's `find_label_issues`.

    Args:
        labels: given classes, shape `[rows]`, integers.
        probabilities: out-of-fold, shape `[rows, classes]`, floats.
        prune: how many rows of a class are taken, and which. `noise_rate`: for each other class as many as the
            confident joint counts, with the largest margins towards it. `class`: as many as it counts in all, with
            the least probable labels. `both`: rows that both name.
        rank: the score, see `measure_quality`.

    Returns:
        The rows, the surest first, earlier rows first among equals.

    Raises:
        ValueError: shapes or dtypes do not fit, or a label is of no class.
        TrainingError: there are values that are no probabilities.
    """
    counts = _keep_one(confident_joint(labels, probabilities))
    own, (rivals, rival) = _own(labels, probabilities), _strongest_rivals(labels, probabilities)
    found = rival > own + _TOLERANCE
    if prune != "class":
        found &= _prune_by_noise_rate(labels, probabilities, counts)
    if prune != "noise_rate":
        found &= _prune_by_class(labels, own, counts)
    positions = np.flatnonzero(found)
    scores = _quality(own[positions], rival[positions], rank)
    order = np.argsort(scores, kind="stable")
    best = positions[order]
    return LabelErrors(best, labels[best].astype(np.int64), rivals[best], own[best], rival[best], scores[order])


def measure_quality(
    labels: Labels, probabilities: Probabilities, rank: Rank = "normalized_margin"
) -> NDArray[np.float64]:
    """Return how well each label agrees with the predictions, from 0 (contradicted) to 1; shape `[rows]`, float64.

    `self_confidence` is the probability of the label; `normalized_margin` is (that - the largest of another class
    + 1) / 2, which does not blame a label for being one of many that are improbable.
    """
    _check(labels, probabilities)
    return _quality(_own(labels, probabilities), _strongest_rivals(labels, probabilities)[1], rank)


def class_thresholds(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """Return the mean probability of each class among the rows labelled so (equation 2 of the paper).

    Returns:
        Shape `[classes]`, float64, above 0; infinite for a class without rows, so that no row is confident of it.
    """
    _check(labels, probabilities)
    classes = probabilities.shape[1]
    sums = np.bincount(labels, weights=_own(labels, probabilities), minlength=classes)
    counts = np.bincount(labels, minlength=classes)
    means = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    thresholds: NDArray[np.float64] = np.maximum(means, 2 * _TOLERANCE)
    return thresholds


def confident_joint(labels: Labels, probabilities: Probabilities, *, calibrate: bool = True) -> NDArray[np.int64]:
    """Count rows by given label and by the class that they confidently belong to (equation 1 of the paper).

    A row is confident of the classes whose probability reaches their threshold; of several, cleanlab takes the most
    probable of all classes, and so do we. No class is without a right row: the diagonal is at least 1 before it is
    calibrated.

    Args:
        labels: shape `[rows]`.
        probabilities: shape `[rows, classes]`.
        calibrate: scale each line to the number of rows labelled so, in whole numbers (equation 3).

    Returns:
        Shape `[classes, classes]`, int64; a line a given label, a column a likely true one.
    """
    guesses, classes = (
        _confident_classes(probabilities, class_thresholds(labels, probabilities)),
        probabilities.shape[1],
    )
    sure = guesses >= 0
    cells = np.bincount(labels[sure].astype(np.int64) * classes + guesses[sure], minlength=classes * classes)
    joint: NDArray[np.int64] = cells.reshape(classes, classes)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    return _calibrate(joint, np.bincount(labels, minlength=classes)) if calibrate else joint


def write_label_errors(
    path: Path, errors: LabelErrors, names: Sequence[str], row_ids: Sequence[str], files: Mapping[str, str]
) -> None:
    """Write a JSON line a row, the surest first; at any moment the file is whole, or not there.

    A line has `row_id`, `source` and `record` (where the row was read), `given` and `suggested` (label names),
    `given_probability`, `suggested_probability` and `score`, in six digits.

    Args:
        path: of the file.
        errors: what `find_label_errors` found.
        names: of the classes.
        row_ids: of the rows found, in the order of `errors`.
        files: paths of the source files by the part of a row id before the colon, as in `manifest.inputs`.
    """
    with replacing(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.writelines(_lines(errors, names, row_ids, files))


def _lines(
    errors: LabelErrors, names: Sequence[str], row_ids: Sequence[str], files: Mapping[str, str]
) -> Iterator[str]:
    columns = (errors.given, errors.suggested, errors.given_probability, errors.suggested_probability, errors.score)
    for row_id, given, suggested, *numbers in zip(row_ids, *columns, strict=True):
        source, record = re.findall(r"^(.*):(\d+)", row_id)[0]  # behind the number stands which copy or part it is
        figures = zip(("given_probability", "suggested_probability", "score"), numbers, strict=True)
        line = {
            "row_id": row_id,
            "source": files[source],
            "record": int(record),
            "given": names[given],
            "suggested": names[suggested],
            **{name: float(f"{number:.6g}") for name, number in figures},
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _check(labels: Labels, probabilities: Probabilities) -> None:
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise ValueError(
            f"found labels of shape {labels.shape} and probabilities of shape {probabilities.shape}, expected [rows] "
            "and [rows, classes]"
        )
    if labels.dtype.kind != "i" or probabilities.dtype.kind != "f":
        raise ValueError(f"found {labels.dtype} labels and {probabilities.dtype} probabilities, expected int and float")
    if not len(labels):
        return
    low, high, classes = int(labels.min()), int(labels.max()), probabilities.shape[1]
    if low < 0 or high >= classes:
        raise ValueError(f"found labels from {low} to {high}, expected them from 0 to {classes - 1}")
    least, most = float(probabilities.min()), float(probabilities.max())
    if not (least >= -_TOLERANCE and most <= 1 + _TOLERANCE):  # NaN is not either
        raise TrainingError(
            f"found predictions from {least:g} to {most:g}, expected probabilities from 0 to 1; wrong labels are found "
            "from the probabilities of a model that was trained well"
        )


def _blocks(probabilities: Probabilities) -> Iterator[slice]:
    rows, classes = probabilities.shape
    size = max(1, _BLOCK // max(1, classes))
    return (slice(start, start + size) for start in range(0, rows, size))


def _own(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """Return the probability of each row's label, shape `[rows]`."""
    return np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=1)[:, 0].astype(np.float64)


def _strongest_rivals(labels: Labels, probabilities: Probabilities) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the most probable class that is not the label, the first of equals, and its probability; `[rows]` each."""
    classes, values = np.zeros(len(labels), dtype=np.int64), np.zeros(len(labels))
    for block in _blocks(probabilities):
        part = probabilities[block].copy()
        rows = np.arange(len(part))
        part[rows, labels[block]] = -1
        classes[block] = part.argmax(axis=1)
        values[block] = part[rows, classes[block]]
    return classes, np.maximum(values, 0)  # where there is one class, the others have none


def _confident_classes(probabilities: Probabilities, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the class that each row confidently belongs to, -1 for none; shape `[rows]`."""
    found = np.full(len(probabilities), -1, dtype=np.int64)
    for block in _blocks(probabilities):
        part = probabilities[block]
        confident = part >= thresholds - _TOLERANCE
        several = np.count_nonzero(confident, axis=1)
        guesses = np.where(several > 1, part.argmax(axis=1), confident.argmax(axis=1))
        found[block] = np.where(several > 0, guesses, -1)
    return found


def _calibrate(joint: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scale each line to the count of its label, shape `[classes, classes]`; the order of operations is cleanlab's."""
    scaled = joint.T / joint.sum(axis=1) * counts
    scaled = scaled / max(float(scaled.sum()), np.finfo(float).tiny) * counts.sum()
    return _round(np.ascontiguousarray(scaled.T))


def _round(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to whole numbers so that lines keep their rounded sums: where the rounding took most, one is added."""
    whole = np.round(values)
    missing = (np.round(values.sum(axis=1)) - whole.sum(axis=1))[:, None]
    place = np.argsort(np.argsort(values - whole, axis=1, kind="stable"), axis=1)
    whole += place >= values.shape[1] - missing
    whole -= place < -missing
    return whole.astype(np.int64)


def _keep_one(joint: NDArray[np.int64]) -> NDArray[np.int64]:
    """Raise the diagonal to at least 1; where it was 0, all else in the line counts one row less, as in cleanlab."""
    kept: NDArray[np.int64] = np.maximum(joint - (joint.diagonal() == 0)[:, None], 0)
    np.fill_diagonal(kept, np.maximum(joint.diagonal(), 1))
    return kept


def _rows_by_class(labels: Labels, classes: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Return each class and its rows, ascending."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=classes))])
    return ((label, order[starts[label] : starts[label + 1]]) for label in range(classes))


def _prune_by_noise_rate(labels: Labels, probabilities: Probabilities, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark for each pair of classes as many rows as it counts, with the largest margins; shape `[rows]`."""
    marked = np.zeros(len(labels), dtype=bool)
    for label, rows in _rows_by_class(labels, len(counts)):
        own = probabilities[rows, label].astype(np.float64)
        for other in np.flatnonzero(counts[label]):
            if other != label:
                marked[rows[_largest(probabilities[rows, other] - own, int(counts[label, other]))]] = True
    return marked


def _prune_by_class(labels: Labels, own: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the rows of each class whose label is least probable, as many as are likely wrong; shape `[rows]`."""
    marked = np.zeros(len(labels), dtype=bool)
    for label, rows in _rows_by_class(labels, len(counts)):
        marked[rows[_largest(-own[rows], len(rows) - int(counts[label, label]))]] = True
    return marked


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return where the `count` largest values stand, the first of equals, in linear time."""
    if count < 1:
        return np.zeros(0, dtype=np.int64)
    last = np.partition(values, -count)[-count]
    above = np.flatnonzero(values > last)
    return np.concatenate([above, np.flatnonzero(values == last)[: count - len(above)]])


def _quality(own: NDArray[np.float64], rival: NDArray[np.float64], rank: Rank) -> NDArray[np.float64]:
    return own if rank == "self_confidence" else (own - rival + 1) / 2
