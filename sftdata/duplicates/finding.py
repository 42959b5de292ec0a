"""Find duplicates over all chunks: what is dropped, what contradicts itself, and what must stay together in a split.

Memory holds some thirty bytes a row: signatures and hashes lie in a folder and are looked at one column at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.duplicates.conflicts import find_conflicts
from sftdata.duplicates.near import Steps, find_pairs
from sftdata.duplicates.spill import Chunk, ShingleStore, Spill, group_equal, spill_signed
from sftdata.settings.deduplication import DeduplicateSettings
from sftdata.stages.deduplication import Comparison
from sftdata.stages.forest import Rows, find_roots, join

DUPLICATES: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "kept_row_id": pl.String(),
    "kind": pl.String(),
    "similarity": pl.Float64(),
}
"""A row that was dropped, the row that was kept for it, `exact` or `near`, and the Jaccard similarity of these two."""


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        kept: whether each row stays, in the order of the chunks; bool, shape `[rows]`.
        cluster: rows with the same number must stay on one side of a split; int64, shape `[kept rows]`.
        duplicates: the dropped rows in the order of reading, as `DUPLICATES`.
        rejected: rows whose label another row contradicts, in the order of reading, as `records.REJECTED`.
    """

    kept: NDArray[np.bool_]
    cluster: Rows
    duplicates: pl.DataFrame
    rejected: pl.DataFrame


def find_duplicates(
    chunks: Sequence[Chunk],
    comparison: Comparison,
    settings: DeduplicateSettings,
    folder: Path,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Duplicates:
    """Find the duplicates among all rows.

    First come conflicts: rows that they reject play no further part. Then rows are clustered, and of each cluster the
    row that was read first is kept, if clusters are dropped at all. With `conflicts: keep` the first row of each label
    is kept. Near-duplicates are connected components, so a row may fall to one that it resembles only by way of others;
    its similarity says so.

    Args:
        chunks: all rows in the order of reading; nothing depends on how they are cut.
        comparison: made from the task and `settings`.
        settings: what to do with duplicates.
        folder: an empty directory for files, which the caller removes.
        watch: told how many chunks and bands are done, and how many there are.
    """
    steps = Steps(len(chunks), comparison.bands, watch)
    spill = spill_signed(steps.read(chunk.signed() for chunk in chunks), folder)
    lost, rejected = find_conflicts(spill, chunks, comparison, settings)
    parents = np.arange(spill.starts[-1])
    alive = np.ones(len(parents), dtype=np.bool_)
    alive[lost] = False
    equal, firsts = group_equal(spill, "content", alive)
    parents[equal] = firsts
    store = ShingleStore(spill, chunks, comparison)
    _join_near(parents, alive, spill, comparison, store, steps)
    roots = find_roots(parents, np.arange(len(parents)))
    groups = _clusters(roots, alive) if settings.drops_near else (equal, firsts) if settings.exact else None
    fallen, kept_for = _choose(*groups, spill, comparison, settings) if groups else (equal[:0], equal[:0])
    alive[fallen] = False
    return Duplicates(alive, roots[alive], _describe(fallen, kept_for, spill, chunks, store), rejected)


def _join_near(
    parents: Rows,
    alive: NDArray[np.bool_],
    spill: Spill,
    comparison: Comparison,
    store: ShingleStore,
    steps: Steps,
) -> None:
    """Put near-duplicates together; of equal rows only the first is looked at."""
    if comparison.near is None or comparison.bands is None or not len(parents):
        return
    first = alive & (parents == np.arange(len(parents))) & spill.read("shingled", np.bool_)

    def apart(left: Rows, right: Rows) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = find_roots(parents, left) != find_roots(parents, right)
        return different

    threshold = comparison.near.threshold
    for left, right, _ in find_pairs(spill, np.flatnonzero(first), comparison.bands, threshold, store, apart, steps):
        join(parents, left, right)


def _clusters(roots: Rows, alive: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Return the rows that are not alone in their cluster, and their clusters."""
    rows = np.flatnonzero(alive)
    sizes = np.bincount(roots[rows], minlength=1)
    rows = rows[sizes[roots[rows]] > 1]
    return rows, roots[rows]


def _choose(
    rows: Rows, groups: Rows, spill: Spill, comparison: Comparison, settings: DeduplicateSettings
) -> tuple[Rows, Rows]:
    """Return the rows that fall, ascending, and the first row of the group of each, which is kept for it."""
    frame = pl.DataFrame({"row": rows, "group": groups})
    same = ["group"]
    if settings.conflicts == "keep" and comparison.target not in (None, *comparison.fields):
        frame = frame.with_columns(pl.Series("target", spill.map("target", np.uint64)[rows, 0]))
        same = ["group", "target"]
    fallen = frame.with_columns(pl.col("row").min().over(same).alias("kept")).filter(pl.col("row") != pl.col("kept"))
    fallen = fallen.sort("row")
    return fallen["row"].to_numpy(), fallen["kept"].to_numpy()


def _describe(fallen: Rows, kept_for: Rows, spill: Spill, chunks: Sequence[Chunk], store: ShingleStore) -> pl.DataFrame:
    if not len(fallen):
        return pl.DataFrame(schema=DUPLICATES)
    exact = np.ones(len(fallen), dtype=np.bool_)
    for name in ("content-0", "content-1"):
        hashes = spill.map(name, np.uint64)[:, 0]
        exact &= hashes[fallen] == hashes[kept_for]
    similarity = np.ones(len(fallen))
    similarity[~exact] = store.compare(fallen[~exact], kept_for[~exact])
    rows = np.unique(np.concatenate([fallen, kept_for]))
    found = [
        chunks[chunk].signed()["row_id"].gather(rows[place] - spill.starts[chunk])
        for chunk, place in spill.by_chunk(rows)
    ]
    ids = pl.concat(found)
    return pl.DataFrame(
        {
            "row_id": ids.gather(np.searchsorted(rows, fallen)),
            "kept_row_id": ids.gather(np.searchsorted(rows, kept_for)),
            "kind": pl.Series(exact).replace_strict({True: "exact", False: "near"}, return_dtype=pl.String),
            "similarity": similarity,
        },
        schema=DUPLICATES,
    )
