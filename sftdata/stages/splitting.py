"""Divide rows into parts and folds that do not leak.

Wishes can be in each other's way, and this is their order: nothing leaks (units stay whole); of each label that is
stratified by, training has a unit; sizes; shares of the strata. What does not fit into a part goes to training.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import random_keys
from sftdata.settings.splitting import SplitSettings, plan_sizes
from sftdata.stages.apportioning import apportion_units
from sftdata.stages.split_report import SplitReport, report_split
from sftdata.stages.stable import place_stably
from sftdata.stages.strata import find_strata
from sftdata.stages.units import find_units

Indexes = NDArray[np.int64]


@dataclass(frozen=True)
class Assignment:
    """Where each row goes.

    Attributes:
        names: the parts, the training part first.
        parts: position in `names` of each row, shape `[rows]`, dtype int8.
        fold: fold of each row, -1 outside the training part, shape `[rows]`, dtype int32; None without folds.
        report: how near the sizes and shares came to what was wished.
    """

    names: tuple[str, ...]
    parts: NDArray[np.int8]
    fold: NDArray[np.int32] | None
    report: SplitReport

    @property
    def sides(self) -> pl.DataFrame:
        """What tells the sides of the rows apart, for `audit_split`."""
        columns = {"part": self.parts} if self.fold is None else {"part": self.parts, "fold": self.fold}
        return pl.DataFrame(columns)


def split_slim(slim: pl.DataFrame, settings: SplitSettings) -> Assignment:
    """Assign each row to a part, and to a fold where there are folds.

    The sides depend on the settings and on the row ids, groups, clusters and strata; not on the order of rows, but for
    clusters in the method `stable` (see `place_stably`).

    Args:
        slim: `row_id` (distinct strings); the column that `settings.stratify` names, `length` being numbers; and where
            there are any, `group` (any dtype) and `cluster` (integers) of rows that belong together, null for none.
        settings: what is wished.

    Raises:
        ValueError: when numbers of rows leave none for training.
    """
    rows, folds, names = len(slim), settings.folds, settings.part_names()
    group, cluster = (slim[name] if name in slim.columns else None for name in ("group", "cluster"))
    units = find_units(group, cluster, rows)
    sizes = plan_sizes(settings, rows)
    wishes = [sizes[0] // (folds or 1) + (fold < sizes[0] % (folds or 1)) for fold in range(folds or 1)] + sizes[1:]
    strata = find_strata(slim, settings.stratify, settings.bins)
    if settings.method == "stable":
        shares = [float(getattr(settings, name)) for name in names]
        parts, fold = place_stably(slim, units, shares, settings.seed, folds)
        places = parts if fold is None else np.where(parts == 0, fold, parts + len(wishes) - len(names))
    else:
        keys = random_keys(slim["row_id"], settings.seed)
        places = apportion_units(units, keys, strata, wishes, folds or 1)[units]
    of_folds = [f"fold {fold}" for fold in range(folds)] if folds else ["train"]
    told = settings.stratify or next((name for name in ("label", "labels") if name in slim.columns), None)
    of_told = strata if told == settings.stratify else find_strata(slim, told, settings.bins)
    report = report_split(units, places, [*of_folds, *names[1:]], wishes, of_told, told)
    beyond = np.maximum(places - len(of_folds) + 1, 0)
    of_fold = np.where(beyond == 0, places, -1).astype(np.int32)
    return Assignment(names, beyond.astype(np.int8), of_fold if folds else None, report)
