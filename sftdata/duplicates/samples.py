"""What is told of dropped duplicates: how many, and some of the largest clusters with their texts."""

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from sftdata.records import Task, shorten
from sftdata.text.fields import join_texts, text_fields

CLUSTERS = {"near": 8, "exact": 4}
"""Clusters that are shown: those with near-duplicates tell more, for one wants to see how alike their texts are."""

MEMBERS = 3
"""Dropped rows that are shown of a cluster."""

LENGTH = 300
"""Most characters of a text that is shown."""

Rows = tuple[pl.Series, Callable[[], pl.DataFrame]]
"""The ids of the rows of a chunk, and what reads the rows."""


def describe_duplicates(duplicates: pl.DataFrame, chunks: Sequence[Rows], task: Task) -> dict[str, Any] | None:
    """Tell of dropped duplicates what a manifest says; None where there are none.

    Args:
        duplicates: as `finding.DUPLICATES`.
        chunks: all rows, those that were dropped among them.
        task: which fields hold text.

    Returns:
        `exact` and `near`: rows dropped; `clusters`: rows that were kept for them; `largest`: rows of the largest
        cluster; `samples`: the largest clusters of each kind, of which only near-duplicates show a text of their own.
    """
    if not len(duplicates):
        return None
    near = (pl.col("kind") == "near").sum()
    clusters = duplicates.group_by("kept_row_id", maintain_order=True).agg(pl.len().alias("rows"), near.alias("near"))
    clusters = clusters.sort("rows", descending=True, maintain_order=True)
    has_near = pl.col("near") > 0
    chosen = pl.concat(
        [clusters.filter(has_near).head(CLUSTERS["near"]), clusters.filter(~has_near).head(CLUSTERS["exact"])]
    )
    members = duplicates.filter(pl.col("kept_row_id").is_in(chosen["kept_row_id"].implode()))
    members = members.filter(pl.int_range(pl.len()).over("kept_row_id") < MEMBERS)
    texts = _read_texts(pl.concat([chosen["kept_row_id"], members["row_id"]]), chunks, task)
    of_cluster = members.partition_by("kept_row_id", as_dict=True)
    return {
        "exact": int((duplicates["kind"] == "exact").sum()),
        "near": int((duplicates["kind"] == "near").sum()),
        "clusters": len(clusters),
        "largest": int(clusters["rows"][0]) + 1,
        "samples": [
            {
                "row_id": kept,
                "text": texts.get(kept, ""),
                "dropped": rows,
                "members": [_describe(member, texts) for member in of_cluster[(kept,)].to_dicts()],
            }
            for kept, rows, _ in chosen.iter_rows()
        ],
    }


def _describe(member: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    told = {"row_id": member["row_id"], "kind": member["kind"], "similarity": round(member["similarity"], 4)}
    return told | ({"text": texts.get(member["row_id"], "")} if member["kind"] == "near" else {})


def _read_texts(wanted: pl.Series, chunks: Sequence[Rows], task: Task) -> dict[str, str]:
    """Return the texts of some rows, cut, by id; only the chunks that hold them are read."""
    found: dict[str, str] = {}
    for ids, read in chunks:
        here = ids.is_in(wanted.implode())
        if here.any():
            rows = read().filter(here)
            fields = [name for name in text_fields(task, has_pairs=True) if name in rows.columns]
            texts = rows.select(
                pl.concat_str([join_texts(rows[name]) for name in fields], separator="\n", ignore_nulls=True)
            )
            found |= {
                row_id: shorten(text, LENGTH) for row_id, text in zip(rows["row_id"], texts.to_series(), strict=True)
            }
    return found
