"""Rows that have the same input and different targets."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from sftdata.duplicates.spill import Chunk, Spill, group_equal
from sftdata.records import no_rejections, reject, shorten
from sftdata.settings.deduplication import DeduplicateSettings
from sftdata.stages.deduplication import Comparison, show_targets
from sftdata.stages.forest import Rows

STAGE, REASON = "deduplicate", "conflict"

SHOWN = 3
"""Targets of a conflict that are told, and rows of each."""


def find_conflicts(
    spill: Spill, chunks: Sequence[Chunk], comparison: Comparison, settings: DeduplicateSettings
) -> tuple[Rows, pl.DataFrame]:
    """Return the rows that are rejected because others contradict them, ascending, and how that is told.

    Of equal inputs with different targets, `reject` loses all rows, and `majority` those whose target is not the one
    that most rows have; all when two targets have as many.
    """
    every = np.ones(spill.starts[-1], dtype=np.bool_)
    rows, groups = group_equal(spill, "input", every) if settings.conflicts != "keep" else (np.arange(0), np.arange(0))
    if comparison.target is None or not len(rows):
        return np.arange(0), no_rejections()
    members = pl.DataFrame({"row": rows, "group": groups, "target": spill.map("target", np.uint64)[rows, 0]})
    members = members.filter(pl.col("target").n_unique().over("group") > 1).sort("row")
    if not len(members):
        return np.arange(0), no_rejections()
    members = members.with_columns(pl.len().over("group", "target").alias("count"))
    wins = pl.col("count") == pl.col("count").max().over("group")
    tied = pl.col("target").filter(wins).n_unique().over("group") > 1
    lost = ~wins | tied if settings.conflicts == "majority" else pl.lit(True)
    told = _look_up(members, spill, chunks, comparison).with_columns(lost.alias("lost"))
    details = told.group_by("group").agg(_tell(comparison).alias("detail"))
    fallen = told.filter("lost").join(details, on="group", how="left", maintain_order="left")
    reasons = [[REASON]] * len(fallen)
    return fallen["row"].to_numpy(), reject(fallen, STAGE, reasons, fallen["detail"].to_list())


def _look_up(members: pl.DataFrame, spill: Spill, chunks: Sequence[Chunk], comparison: Comparison) -> pl.DataFrame:
    """Add where the rows come from and what their targets are."""
    rows = members["row"].to_numpy()
    found = []
    for chunk, place in spill.by_chunk(rows):
        here = chunks[chunk].rows()[rows[place] - spill.starts[chunk]]
        shown = show_targets(here, comparison).alias("shown")
        found.append(here.select("row_id", "source", "record").with_columns(shown))
    return members.hstack(pl.concat(found))


def _tell(comparison: Comparison) -> pl.Expr:
    """Say of a group which targets it has and in which rows."""
    start = f"rows with the same {' and '.join(comparison.inputs)} differ in {comparison.target}: "
    return pl.struct("shown", "row_id", "target").map_batches(
        lambda group: start + _list_targets(group), return_dtype=pl.String, returns_scalar=True
    )


def _list_targets(group: pl.Series) -> str:
    by_target: dict[int, list[dict[str, str]]] = {}
    for row in group:
        by_target.setdefault(row["target"], []).append(row)
    told = [_tell_target(rows) for rows in list(by_target.values())[:SHOWN]]
    more = len(by_target) - SHOWN
    return "; ".join(told + ([f"and {more:,} more"] if more > 0 else []))


def _tell_target(rows: list[dict[str, str]]) -> str:
    ids = ", ".join(row["row_id"] for row in rows[:SHOWN]) + (", ..." if len(rows) > SHOWN else "")
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return f"{shorten(rows[0]['shown'])!r} in {count} ({ids})"
