"""Clean the texts of rows, and reject those that are not to be kept; docs/cleaning.md has the order of the steps."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from pydantic import ValidationError

from sftdata.documents import hint
from sftdata.errors import UsageError
from sftdata.records import reject, shorten
from sftdata.settings.cleaning import CleanSettings
from sftdata.stages.cleaning_filters import FAULTS, filter_texts
from sftdata.stages.cleaning_texts import SAMPLES, CleanedTexts, clean_texts, make_plan
from sftdata.text.cleaner import Cleaner, CountTokens, find_counting_faults, load_cleaner
from sftdata.text.fields import has_roles, holds_text, join_texts, map_texts, text_rows

STAGE = "clean"

_STEPS = tuple(CleanSettings.model_fields)

SAMPLE_LENGTH = 200
"""Most characters of a text that a sample shows."""


@dataclass(frozen=True)
class Sample:
    """A text before and after a step, cut to where the two differ. In a conversation it is one turn."""

    step: str
    row_id: str
    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Cleaned:
    """What cleaning made of a chunk: every row that came in is in exactly one of `kept` and `rejected`.

    Attributes:
        kept: rows that go on, in the order in which they came, with cleaned texts.
        rejected: rows that do not, with the columns of `records.REJECTED`, in the same order.
        changed: for each step that changed a row, how many it changed; rejected rows count too.
        samples: a few texts before and after each step, of the first rows that it changed.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    changed: dict[str, int]
    samples: list[Sample]


def clean_rows(rows: pl.DataFrame, cleaner: Cleaner) -> Cleaned:
    """Clean the fields of `rows` that `cleaner` names, and reject what its filters do not let through.

    A row is also rejected when a text of it becomes blank by cleaning (`empty:FIELD`; of a conversation, any turn), or
    finds no rest (`unstable:FIELD`). All reasons of a row are told.

    Args:
        rows: with `row_id`, `source`, `record` and the fields.
        cleaner: what to do (`text.cleaner.make_cleaner`).
    """
    columns = [_clean_column(rows[name], cleaner) for name in cleaner.fields]
    lost = _find_lost(columns, cleaner)
    return Cleaned(
        kept=_keep(rows, columns, lost),
        rejected=reject(rows[lost["row"]], STAGE, lost["reasons"].to_list(), lost["detail"].to_list()),
        changed=_count_rows(columns),
        samples=_take_samples(columns, rows["row_id"]),
    )


def clean(
    frame: pl.DataFrame,
    *,
    fields: str | Sequence[str],
    row_id: str | None = None,
    count_tokens: CountTokens | None = None,
    **settings: Any,
) -> Cleaned:
    """Clean columns of any data frame, which itself does not change.

    Args:
        frame: with columns of your own.
        fields: those to clean: String, List(String) for tokens, or lists of turns with `role` and `content`.
        row_id: a column that names rows in `rejected` and `samples`; row numbers from 0 are used when it is not given.
        count_tokens: takes a String series and returns lengths in tokens; needed for `tokens`.
        settings: the keys of `CleanSettings`, such as `html=True`, `urls="replace"`, `characters={"min": 5}`. Paths
            are relative to the working directory.

    Returns:
        What `clean_rows` returns, but `rejected` has the columns `row_id` (String), `row` (UInt32, from 0), `reason`,
        `reasons` and `detail`.

    Raises:
        UsageError: with all faults of fields and settings at once.
    """
    names = [fields] if isinstance(fields, str) else list(fields)
    checked = _check_settings(frame, names, row_id, count_tokens, settings)
    cleaner = load_cleaner(checked, tuple(names), ".", count_tokens=count_tokens)
    ids = frame[row_id].cast(pl.String) if row_id else pl.int_range(len(frame), eager=True).cast(pl.String)
    columns = [_clean_column(frame[name], cleaner) for name in cleaner.fields]
    lost = _find_lost(columns, cleaner)
    reason = pl.col("reasons").list.first().alias("reason")
    rejected = lost.select(ids.gather(lost["row"]).alias("row_id"), "row", reason, "reasons", "detail")
    return Cleaned(_keep(frame, columns, lost), rejected, _count_rows(columns), _take_samples(columns, ids))


def _check_settings(
    frame: pl.DataFrame,
    names: Sequence[str],
    row_id: str | None,
    count_tokens: CountTokens | None,
    settings: Mapping[str, Any],
) -> CleanSettings:
    wanted = [*names, *([row_id] if row_id else [])]
    faults = [f"found no column {name!r}; {hint(name, frame.columns)}" for name in wanted if name not in frame.columns]
    for name in names:
        dtype = frame.schema.get(name)
        if dtype is not None and not holds_text(dtype):
            faults.append(f"column {name!r}: found {dtype}, expected String, List(String) or a list of turns")
    try:
        checked = CleanSettings(**settings)
        faults += [] if names else ["fields: found none, expected at least one column"]
        faults += find_counting_faults(checked, count_tokens)
        if checked.roles and not any(has_roles(frame.schema[name]) for name in names if name in frame.columns):
            faults.append("roles: no column holds turns with a role; leave it out")
    except ValidationError as cause:
        faults += dict.fromkeys(_explain(dict(fault)) for fault in cause.errors())
    if faults:
        raise UsageError("clean: " + "; ".join(faults))
    return checked


def _explain(fault: Mapping[str, Any]) -> str:
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        return f"unknown setting {key!r}; {hint(key, CleanSettings.model_fields)}"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}"


def _find_lost(columns: Sequence["_Column"], cleaner: Cleaner) -> pl.DataFrame:
    """Return the rejected rows in order: `row`, all its `reasons`, and `detail`."""
    faults = pl.concat([pl.DataFrame(schema=FAULTS), *(part for column in columns for part in _judge(column, cleaner))])
    lost = faults.group_by("row").agg(
        pl.col("reason").unique(maintain_order=True).alias("reasons"),
        pl.col("detail").unique(maintain_order=True).str.join("; "),
    )
    return lost.sort("row")


def _keep(rows: pl.DataFrame, columns: Sequence["_Column"], lost: pl.DataFrame) -> pl.DataFrame:
    cleaned = rows.with_columns(column.values for column in columns)
    return cleaned.filter(~pl.int_range(pl.len()).is_in(lost["row"].implode())) if len(lost) else cleaned


def merge_changed(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up the counts of several chunks."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part)
    return dict(counts)


def merge_samples(parts: Iterable[Sequence[Sample]]) -> list[Sample]:
    """Take the first samples of each step from those of several chunks, given in the order of the chunks."""
    of_step: dict[str, list[Sample]] = {}
    for part in parts:
        for sample in part:
            of_step.setdefault(sample.step, []).append(sample)
    return [sample for step in _STEPS if step in of_step for sample in of_step[step][:SAMPLES]]


@dataclass(frozen=True)
class _Column:
    """A cleaned column; `rows` has the row of each of its texts."""

    values: pl.Series
    rows: pl.Series
    before: pl.Series
    done: CleanedTexts


def _clean_column(column: pl.Series, cleaner: Cleaner) -> _Column:
    column, roles = column.rechunk(), cleaner.settings.roles
    plan, rows = make_plan(cleaner, tokens=column.dtype == pl.List(pl.String)), text_rows(column, roles)
    calls: list[tuple[pl.Series, CleanedTexts]] = []

    def run(texts: pl.Series) -> pl.Series:
        calls.append((texts, clean_texts(texts, rows, plan)))
        return calls[0][1].texts

    values = map_texts(column, run, roles)
    return _Column(values, rows, *calls[0])


def _judge(column: _Column, cleaner: Cleaner) -> Iterator[pl.DataFrame]:
    """Find what rejects rows: personal data, texts that find no rest or became blank, and what the filters find."""
    field, after = column.values.name, column.done.texts
    for finding in column.done.findings:
        detail = pl.format("{}: found '{}'", pl.lit(field), _shorten(finding.found))
        yield _faults(column.rows.gather(finding.places), f"contains:{finding.kind}", detail)
    detail = pl.lit(f"{field}: every round of cleaning changes it again, or changes what is protected")
    yield _faults(column.rows.gather(column.done.unstable), f"unstable:{field}", detail)
    blank = (after != column.before) & ~after.str.contains(r"\S")
    detail = pl.format("{}: nothing is left of '{}'", pl.lit(field), _shorten(column.before.filter(blank)))
    yield _faults(column.rows.filter(blank), f"empty:{field}", detail)
    yield filter_texts(join_texts(column.values, cleaner.settings.roles), cleaner)


def _faults(rows: pl.Series, reason: str, detail: pl.Expr) -> pl.DataFrame:
    return pl.select(rows.alias("row"), pl.lit(reason).alias("reason"), detail.alias("detail")).cast(FAULTS)


def _shorten(texts: pl.Series) -> pl.Series:
    return pl.Series([shorten(text) for text in texts], dtype=pl.String)


def _count_rows(columns: Sequence[_Column]) -> dict[str, int]:
    """Count for each step the rows that it changed, in any round and field, once each."""
    rows: dict[str, list[pl.Series]] = {}
    for column in columns:
        for change in column.done.changes:
            rows.setdefault(change.step, []).append(column.rows.gather(change.places))
    return {step: pl.concat(rows[step]).n_unique() for step in _STEPS if step in rows}


def _take_samples(columns: Sequence[_Column], row_ids: pl.Series) -> list[Sample]:
    """Take for each step its first change of each of the first rows that it changed."""
    found: dict[str, dict[int, Sample]] = {}
    for column in columns:
        for change in column.done.changes:
            of_step = found.setdefault(change.step, {})
            for row, before, after in zip(column.rows.gather(change.first), change.before, change.after, strict=True):
                cut = _cut(before, after)
                of_step.setdefault(row, Sample(change.step, row_ids[row], column.values.name, *cut))
    return [found[step][row] for step in _STEPS if step in found for row in sorted(found[step])[:SAMPLES]]


def _cut(before: str, after: str) -> tuple[str, str]:
    """Cut two texts to some room around the place from which they differ."""
    same = next((place for place, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - SAMPLE_LENGTH // 4)
    dots = "..." * bool(start)
    return dots + shorten(before[start:], SAMPLE_LENGTH), dots + shorten(after[start:], SAMPLE_LENGTH)
