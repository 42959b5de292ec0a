"""Duplicates of any polars DataFrame, with its own columns, apart from recipes and chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import polars as pl

from sftdata.documents import make_settings
from sftdata.duplicates.finding import find_duplicates
from sftdata.duplicates.spill import Chunk
from sftdata.errors import UsageError
from sftdata.records import PROVENANCE
from sftdata.settings.deduplication import DecontaminateSettings, DeduplicateSettings
from sftdata.stages.decontamination import decontaminate_rows, index_evaluation, unfold_texts
from sftdata.stages.deduplication import Comparison, sign_rows

CHUNK_ROWS = 50_000


@dataclass(frozen=True)
class Deduplicated:
    """A frame without its duplicates.

    Attributes:
        kept: the rows that stay, in order.
        cluster: for each of them the number of its cluster, Int64; a split must not part rows with the same number.
        duplicates: `row_id`, `kept_row_id`, `kind` (`exact` or `near`), `similarity` of each row that was dropped.
        rejected: `row_id`, `row` (from 0), `reason`, `reasons`, `detail` of each row that others contradict.
    """

    kept: pl.DataFrame
    cluster: pl.Series
    duplicates: pl.DataFrame
    rejected: pl.DataFrame


@dataclass(frozen=True)
class Decontaminated:
    """A frame without the rows that repeat evaluation texts.

    Attributes:
        kept: the rows that stay, in order.
        rejected: `row_id`, `row` (from 0), `reason`, `reasons`, `detail` of each that does not.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame


def deduplicate(
    frame: pl.DataFrame,
    fields: str | Sequence[str],
    *,
    label: str | None = None,
    row_id: str | None = None,
    exact: bool = True,
    near: Mapping[str, Any] | Literal[False] = {"action": "drop"},
    conflicts: Literal["reject", "majority", "keep"] = "keep",
) -> Deduplicated:
    """Drop the duplicates of a frame; the first row of each cluster is kept.

    Args:
        frame: any columns; it is not changed.
        fields: the columns that are compared: text, lists of text, or conversations.
        label: the column that must not differ between rows with the same text.
        row_id: a column that names rows in the result; row numbers from 0 are used when it is not given.
        exact: drop rows that are equal, letter case, width of characters and blanks apart.
        near: `False`, or what `deduplicate.near` of a recipe takes: `threshold`, `action`, `words`, `characters`.
        conflicts: what happens to rows with the same text and another label.

    Raises:
        UsageError: when an option is wrong or a column is missing.
    """
    fields = [fields] if isinstance(fields, str) else fields
    given = {"exact": exact, "near": near, "fields": tuple(fields), "conflicts": conflicts}
    settings = make_settings(DeduplicateSettings, given, "deduplicate")
    rows, names = _with_provenance(frame, [*fields, *([label] if label else [])], row_id)
    compared = tuple(names[name] for name in fields)
    comparison = Comparison(compared, compared, names[label] if label else None, settings.near or None)
    chunks = [_chunk(rows[start : start + CHUNK_ROWS], comparison) for start in range(0, max(len(rows), 1), CHUNK_ROWS)]
    with TemporaryDirectory() as folder:
        found = find_duplicates(chunks, comparison, settings, Path(folder))
    cluster = pl.Series("cluster", found.cluster, dtype=pl.Int64)
    return Deduplicated(frame.filter(pl.Series(found.kept)), cluster, found.duplicates, _tell(found.rejected, rows))


def decontaminate(
    frame: pl.DataFrame,
    against: pl.DataFrame,
    fields: str | Sequence[str],
    *,
    against_fields: str | Sequence[str] | None = None,
    row_id: str | None = None,
    ngram: int = 13,
) -> Decontaminated:
    """Take away the rows that share a run of words with an evaluation text.

    Args:
        frame: any columns; it is not changed.
        against: the evaluation rows; `rejected` names them by their number, from 0.
        fields: the columns of `frame` to look into: text, lists of text, or conversations.
        against_fields: the columns of `against` with the texts; `fields` when it is not given.
        row_id: a column that names rows in the result; row numbers from 0 are used when it is not given.
        ngram: words in a run, at least 2; a Chinese character counts as one. Shorter texts are compared whole.

    Raises:
        UsageError: when an option is wrong or a column is missing.
    """
    fields = [fields] if isinstance(fields, str) else fields
    against_fields = [against_fields] if isinstance(against_fields, str) else against_fields or fields
    make_settings(
        DecontaminateSettings, {"files": ("frame",), "fields": tuple(fields), "ngram": ngram}, "decontaminate"
    )
    rows, names = _with_provenance(frame, fields, row_id)
    theirs, their_names = _with_provenance(against, against_fields, None, "against")
    texts = unfold_texts(theirs, [their_names[name] for name in against_fields])
    result = decontaminate_rows(rows, index_evaluation(texts, ngram), [names[name] for name in fields])
    kept = frame[result.kept["record"]]
    return Decontaminated(kept, _tell(result.rejected, rows))


def _with_provenance(
    frame: pl.DataFrame, wanted: Sequence[str], row_id: str | None, source: str = "frame"
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the wanted columns with provenance, and what each is called in there; `record` counts from 0."""
    missing = [name for name in (*wanted, *([row_id] if row_id else [])) if name not in frame.columns]
    if missing:
        raise UsageError(f"found no column {', '.join(missing)}, expected some of: {', '.join(frame.columns)}")
    names = {name: f"column {name}" if name in PROVENANCE else name for name in wanted}
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    rows = frame.select(
        (pl.col(row_id) if row_id else number).cast(pl.String).alias("row_id"),
        pl.lit(source).alias("source"),
        number.alias("record"),
        *(pl.col(name).alias(alias) for name, alias in names.items()),
    )
    return rows, names


def _chunk(rows: pl.DataFrame, comparison: Comparison) -> Chunk:
    return Chunk(lambda: sign_rows(rows, comparison), lambda: rows)


def _tell(rejected: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    ids = rows["row_id"].gather(rejected["record"])
    return rejected.select(ids, pl.col("record").cast(pl.UInt32).alias("row"), "reason", "reasons", "detail")
