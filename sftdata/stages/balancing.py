"""Bring the labels of the training part into balance: copy rows, leave rows out, or weigh the loss."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix, random_keys
from sftdata.settings.balancing import BalanceSettings

Indexes = NDArray[np.int64]

_DRAW = np.uint64(0x62616C616E636521)
"""Keeps this draw apart from that of the split, which has the same seed and row ids."""


@dataclass(frozen=True)
class LabelShare:
    """How many rows a label has, and which share of all; for several labels a row the shares add up to more than 1."""

    rows: int
    share: float


@dataclass(frozen=True)
class Balanced:
    """What becomes of the rows.

    Attributes:
        copies: how often each row is to stand in the training part: 0 is left out, 1 as it was; shape `[rows]`, int32.
        weights: weight of each label in the loss, None where none were asked for.
        before: the labels as they were.
        after: the labels with `copies`.
    """

    copies: NDArray[np.int32]
    weights: dict[str, float] | None
    before: dict[str, LabelShare]
    after: dict[str, LabelShare]


def balance_rows(slim: pl.DataFrame, settings: BalanceSettings, seed: int) -> Balanced:
    """Decide how often each row of the training part is to stand in it, and what each label weighs.

    Copies go round: all rows of a label once more, and so on; the rows of the last, partial round, and those that stay
    when rows are left out, are drawn by `(seed, row id)`. The weights are those of the rows as they then are.

    Args:
        slim: rows of the training part: `row_id` (distinct strings), and `label` without nulls or `labels` (lists).
        settings: what is wished.
        seed: changes the draw.

    Raises:
        ValueError: when rows with several labels are to be copied or left out.
    """
    if "label" not in slim.columns:
        return _weigh_lists(slim["labels"], settings)
    names = slim["label"].unique().sort().cast(pl.String).to_list()
    codes = slim["label"].cast(pl.String).cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()
    counts = np.bincount(codes, minlength=len(names))
    targets = plan_counts(counts, settings)
    places = _rank_within(codes, mix(random_keys(slim["row_id"], seed) ^ _DRAW), counts)
    copies = targets[codes] // counts[codes] + (places < targets[codes] % counts[codes])
    weights = weigh_labels(targets, settings.weights, settings.beta) if settings.weights else None
    return Balanced(
        copies.astype(np.int32),
        None if weights is None else dict(zip(names, weights.tolist(), strict=True)),
        _describe(names, counts, len(slim)),
        _describe(names, targets, int(targets.sum())),
    )


def plan_counts(counts: Indexes, settings: BalanceSettings) -> Indexes:
    """Return how many rows each label is to have.

    Args:
        counts: rows of each label, above zero, shape `[labels]`.
        settings: `oversample` raises small counts, `undersample` lowers large ones; the median is that of the labels,
            rounded up.
    """
    targets = counts.copy()
    if not len(counts):
        return targets
    goals = {"largest": counts.max(), "smallest": counts.min(), "median": np.ceil(np.median(counts))}
    if (over := settings.oversample) is not None:
        goal = goals[over] if isinstance(over, str) else np.ceil(over * counts.max() - 1e-9)
        targets = np.maximum(targets, int(goal))
    if (under := settings.undersample) is not None:
        goal = goals[under] if isinstance(under, str) else np.floor(under * counts.min() + 1e-9)
        targets = np.minimum(targets, int(goal))
    return targets


def weigh_labels(counts: Indexes, scheme: Literal["balanced", "effective"], beta: float) -> NDArray[np.float64]:
    """Return the weight of each label.

    `balanced` is n / (k * count), as scikit-learn's `compute_class_weight` has it. `effective` is the inverse of the
    effective number of samples, (1 - beta^count) / (1 - beta), scaled so that the weights add up to the number of
    labels (Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples).

    Args:
        counts: rows of each label, above zero, shape `[labels]`.
        scheme: which of the two.
        beta: from 0 (all alike) to below 1.
    """
    inverse = 1 / counts if scheme == "balanced" else (1 - beta) / (1 - beta**counts)
    whole = counts.sum() / max(len(counts), 1) if scheme == "balanced" else len(counts) / max(inverse.sum(), 1e-300)
    weights: NDArray[np.float64] = inverse * whole
    return weights


def _weigh_lists(labels: pl.Series, settings: BalanceSettings) -> Balanced:
    """Weigh labels of which a row may have several: rows without it for each row with it, 1 where all have it.

    That is what scikit-learn's formula makes of the question whether a row has the label, as the weight of a yes.
    """
    if settings.oversample is not None or settings.undersample is not None or settings.weights == "effective":
        raise ValueError("found rows with several labels, expected `weights: balanced` alone; they share their rows")
    each = labels.list.unique().explode(empty_as_null=True).drop_nulls().value_counts().sort(labels.name)
    names, counts = each[labels.name].to_list(), each["count"].to_numpy().astype(np.int64)
    shares = _describe(names, counts, len(labels))
    of_yes = np.where(counts < len(labels), (len(labels) - counts) / counts, 1.0)
    weights = dict(zip(names, of_yes.tolist(), strict=True)) if settings.weights else None
    return Balanced(np.ones(len(labels), dtype=np.int32), weights, shares, shares)


def _rank_within(codes: Indexes, keys: NDArray[np.uint64], counts: Indexes) -> Indexes:
    """Number the rows of each label from 0 on in the order of their keys."""
    order = np.lexsort((keys, codes))
    places = np.empty(len(codes), dtype=np.int64)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _describe(names: list[str], counts: Indexes, rows: int) -> dict[str, LabelShare]:
    return {name: LabelShare(count, count / rows) for name, count in zip(names, counts.tolist(), strict=True)}
