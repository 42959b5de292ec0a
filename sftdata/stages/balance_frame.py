"""Bring the labels of any polars frame into balance: `sftdata.balance`."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from sftdata.documents import make_settings
from sftdata.errors import UsageError
from sftdata.settings.balancing import BalanceSettings
from sftdata.stages.balancing import LabelShare, balance_rows
from sftdata.stages.split_frame import name_rows, take_column


@dataclass(frozen=True)
class BalancedFrame:
    """A frame with its labels in balance.

    Attributes:
        kept: rows that stay, in their order, each as often as it is copied; the column `copy` (Int32) numbers the
            copies of a row from 0, which is the row itself.
        rejected: rows that were left out.
        weights: weight of each label in the loss, None where none were asked for.
        before: the labels as they were.
        after: the labels of `kept`.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    weights: dict[str, float] | None
    before: dict[str, LabelShare]
    after: dict[str, LabelShare]


def balance(
    frame: pl.DataFrame,
    *,
    label: str = "label",
    oversample: Literal["largest", "median"] | float | None = None,
    undersample: Literal["smallest", "median"] | float | None = None,
    weights: Literal["balanced", "effective"] | None = None,
    beta: float = 0.999,
    seed: int = 0,
    row_id: str | None = None,
) -> BalancedFrame:
    """Copy rows of small labels, leave out rows of large ones, or weigh them. Only ever do so after the split.

    Args:
        frame: the rows to train on; any columns; it is not changed.
        label: the column of the labels; with lists of labels only `weights: balanced` can be had.
        oversample: copy rows until each label has as many as the largest or the median one, or this share of the
            largest.
        undersample: leave out rows until each label has as many as the smallest or the median one, or this many times
            the smallest.
        weights: `balanced` (n / (k * count)) or `effective` (effective number of samples).
        beta: for `effective`.
        seed: changes the draw.
        row_id: a column of distinct values that name the rows, whatever their order; without one, rows are named by
            their numbers.

    Raises:
        UsageError: when the wishes contradict each other, when labels are null, or when row ids are null or repeated.
    """
    given = {"oversample": oversample, "undersample": undersample, "weights": weights, "beta": beta}
    settings = make_settings(BalanceSettings, given, "balance")
    labels = take_column(frame, label)
    if labels.null_count():
        raise UsageError(f"found {labels.null_count():,} nulls in '{label}', expected a label in every row")
    kind = "labels" if labels.dtype == pl.List else "label"
    slim = pl.DataFrame({"row_id": name_rows(frame, row_id), kind: labels})
    try:
        made = balance_rows(slim, settings, seed)
    except ValueError as cause:
        raise UsageError(f"balance: {cause}") from None
    rounds = pl.Series("copy", made.copies)
    copied = frame.with_columns(pl.int_ranges(0, rounds, dtype=pl.Int32, eager=True).alias("copy"))
    kept = copied.filter(rounds > 0).explode("copy", empty_as_null=True)
    return BalancedFrame(kept, frame.filter(rounds == 0), made.weights, made.before, made.after)
