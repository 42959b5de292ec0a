"""Divide the rows of any polars frame: `sftdata.split`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from sftdata.documents import hint, make_settings
from sftdata.errors import UsageError
from sftdata.settings.splitting import SplitSettings
from sftdata.stages.audit import audit_split
from sftdata.stages.split_report import SplitReport
from sftdata.stages.splitting import split_slim


@dataclass(frozen=True)
class Split:
    """A frame whose rows know their part.

    Attributes:
        rows: the frame that was given with the column `split` (String) and, with folds, `fold` (Int32, null outside
            the training part).
        report: how near the sizes and shares came to what was wished.
        crossing: how many groups and clusters have rows on two sides: 0 each, by an independent count.
    """

    rows: pl.DataFrame
    report: SplitReport
    crossing: dict[str, int]

    def __getitem__(self, part: str) -> pl.DataFrame:
        """Return the rows of `train`, `validation` or `test`, without the column `split`."""
        return self.rows.filter(pl.col("split") == part).drop("split")

    def folds(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Hold out each fold in turn: yield the rows to train on and those held out; a fold without rows is left out.

        Raises:
            ValueError: when the split has no folds.
        """
        if "fold" not in self.rows.columns:
            raise ValueError("found a split without folds, expected one made with `folds`")
        train = self["train"]
        for fold in train["fold"].unique().sort():
            held_out = pl.col("fold") == fold
            yield train.filter(~held_out).drop("fold"), train.filter(held_out).drop("fold")


def split(
    frame: pl.DataFrame,
    *,
    train: float | None = None,
    validation: float | None = None,
    test: float | None = None,
    folds: int | None = None,
    stratify: str | pl.Expr | None = None,
    bins: int | None = None,
    group: str | None = None,
    cluster: str | None = None,
    method: Literal["exact", "stable"] = "exact",
    seed: int = 0,
    row_id: str | None = None,
) -> Split:
    """Divide the rows of a frame so that nothing leaks.

    Args:
        frame: any columns; it is not changed.
        train: share of the training part; what the shares of the others leave of 1 when it is not given.
        validation: share of the validation part, or (a whole number from 2 on) its number of rows; 0.05 when it is not
            given, none beside `folds`.
        test: the same for the test part; beside `folds` none when it is not given.
        folds: divide the training part into so many folds.
        stratify: a column, or an expression, whose values all parts are to have in the same shares: labels, lists of
            labels, or numbers, of which quantiles count when they are floats or `bins` is given.
        bins: the number of quantiles; 10 when it is not given.
        group: a column whose values must not stand on two sides; null shares nothing.
        cluster: the same for clusters of near-duplicates, which may tie groups together.
        method: `exact` meets the sizes; with `stable`, new rows move no old one.
        seed: changes the draw.
        row_id: a column of distinct values that name the rows, whatever their order; without one, rows are named by
            their numbers.

    Raises:
        UsageError: when the wishes contradict each other or the data, the message says how; when row ids are null or
            repeated; or when the frame already has a column `split` or `fold`.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    slim, kind = _make_slim(frame, stratify, bins, group, cluster, row_id)
    given |= {"folds": folds, "stratify": kind, "bins": bins or 10, "method": method, "seed": seed}
    settings = make_settings(SplitSettings, given, "split")
    try:
        made = split_slim(slim, settings)
    except ValueError as cause:
        raise UsageError(f"split: {cause}") from None
    parts = pl.Series("split", made.names, dtype=pl.String).gather(made.parts)
    rows = frame.with_columns(parts)
    if made.fold is not None:
        rows = rows.with_columns(pl.Series("fold", made.fold).replace(-1, None))
    keys = {name: slim[column] for name, column in (("groups", "group"), ("clusters", "cluster")) if column in slim}
    return Split(rows, made.report, audit_split(made.sides, keys))


def _make_slim(
    frame: pl.DataFrame,
    stratify: str | pl.Expr | None,
    bins: int | None,
    group: str | None,
    cluster: str | None,
    row_id: str | None,
) -> tuple[pl.DataFrame, Literal["label", "labels", "score"] | None]:
    """Bring the columns that count to the names that `split_slim` knows; also tell what kind of strata there are."""
    if taken := {"split", "fold"} & set(frame.columns):
        raise UsageError(
            f"split: found a column {' and '.join(sorted(taken))} already, expected none; rename or drop it"
        )
    columns = {"row_id": name_rows(frame, row_id)}
    columns |= {name: take_column(frame, column) for name, column in (("group", group), ("cluster", cluster)) if column}
    if stratify is None:
        return pl.DataFrame(columns), None
    values = take_column(frame, stratify) if isinstance(stratify, str) else frame.select(stratify).to_series()
    kind: Literal["label", "labels", "score"] = "label"
    if values.dtype == pl.List:
        kind = "labels"
    elif values.dtype.is_float() or bins is not None:
        kind = "score"
    return pl.DataFrame(columns | {kind: values}), kind


def name_rows(frame: pl.DataFrame, row_id: str | None) -> pl.Series:
    """Return the row ids of a frame as strings: its column `row_id`, or else row numbers.

    Raises:
        UsageError: when ids are null or repeated, or there is no such column.
    """
    if row_id is None:
        return pl.int_range(len(frame), eager=True).cast(pl.String)
    names = take_column(frame, row_id).cast(pl.String)
    if names.null_count() or names.is_duplicated().any():
        raise UsageError(f"found nulls or repeated values in the row ids '{row_id}', expected distinct ones")
    return names


def take_column(frame: pl.DataFrame, name: str) -> pl.Series:
    """Return a column.

    Raises:
        UsageError: when there is none of this name.
    """
    if name not in frame.columns:
        raise UsageError(f"found no column {name!r}; {hint(name, frame.columns)}")
    return frame[name]
