"""What is asked for in an address, and what is looked for because of it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sftdata.errors import UsageError
from sftdata.manifest import Manifest
from sftdata.view.dataset import Dataset
from sftdata.view.lines import Row, json_pattern, text_pattern, texts_of
from sftdata.view.rows import Wanted, id_pattern

KINDS = ("rows", "copies", "parts")
"""Rows as they were read, changed or repeated copies, and parts of rows that were split."""

Given = Mapping[str, str]
"""The parameters of an address; what is empty is not given."""


@dataclass(frozen=True)
class LineFilter:
    """What lines of a file must be like: a test, and a pattern that all lines have which pass it."""

    fits: Callable[[Row], bool]
    pattern: re.Pattern[bytes] | None


def whole(given: Given, name: str, least: int = 0) -> int | None:
    """Return a whole number of an address; None where it is not given.

    Raises:
        UsageError: it is none, or too small.
    """
    text = given.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        raise UsageError(f"{name}: found {text!r}, expected a whole number from {least} on")
    return int(text)


def _number(given: Given, name: str) -> float | None:
    try:
        return float(given[name]) if given.get(name, "").strip() else None
    except ValueError:
        raise UsageError(f"{name}: found {given[name]!r}, expected a number") from None


def choose_rows(dataset: Dataset, given: Given) -> Wanted:
    """Return what rows are asked for.

    Raises:
        UsageError: a number is none, or there is no such label.
    """
    names, label = dataset.manifest.label_names or (), given.get("label")
    if label and label not in names:
        raise UsageError(f"label: found {label!r}, expected one of the {len(names)} labels of the dataset")
    row_id, source = given.get("id", "").strip(), given.get("source", "").strip()
    sources = None if not source else find_sources(dataset.manifest, source)
    return Wanted(
        row_id=id_pattern(row_id, sources) if row_id or sources is not None else None,
        text=dataset.spelling.compile(given["q"]) if given.get("q", "").strip() else None,
        label=names.index(label) if label else None,
        least=whole(given, "least"),
        most=whole(given, "most"),
        low=_number(given, "low"),
        high=_number(given, "high"),
        fold=whole(given, "fold"),
        kind=given["kind"] if given.get("kind") in KINDS else None,
    )


def find_sources(manifest: Manifest, part: str) -> list[str]:
    """Return the ids of the sources whose path has a part, upper and lower case alike."""
    return [source.id for source in manifest.inputs if part.lower() in source.path.lower()]


def choose_rejected(given: Given) -> LineFilter | None:
    """Return which rejected rows are asked for; None for all.

    Raises:
        UsageError: the record is no number.
    """
    record = whole(given, "record", 1)
    names = [name for name in ("q", "reason", "source", "stage") if given.get(name, "").strip()]
    if not names and record is None:
        return None
    text = text_pattern(given["q"]) if "q" in names else None
    source = given.get("source", "").strip().lower()

    def fits(row: Row) -> bool:
        return (
            (record is None or row.get("record") == record)
            and ("reason" not in names or given["reason"] in _reasons(row))
            and ("stage" not in names or row.get("stage") == given["stage"])
            and (not source or source in str(row.get("source", "")).lower())
            and (text is None or any(map(text.search, _contents(row))))
        )

    if record is not None:
        return LineFilter(fits, re.compile(rb'"record": ?%d\b' % record))
    return LineFilter(fits, json_pattern(given[names[0]]))


def _reasons(row: Row) -> list[Any]:
    reasons = row.get("reasons")
    return [*(reasons if isinstance(reasons, list) else ()), row.get("reason")]


def _contents(row: Row) -> list[str]:
    """Return what a text is looked for in: content and detail, not the names that all rows have."""
    return [*texts_of(row.get("original")), str(row.get("detail", "")), str(row.get("source", ""))]


def choose_duplicates(given: Given) -> LineFilter | None:
    """Return which dropped rows are asked for: of a kind, or a row and those that were dropped for it."""
    row_id, kind = given.get("id", "").strip(), given.get("kind", "").strip()
    if not row_id and not kind:
        return None
    ids = re.compile(id_pattern(row_id)) if row_id else None

    def fits(row: Row) -> bool:
        if kind and row.get("kind") != kind:
            return False
        return ids is None or any(ids.search(str(row.get(name, ""))) for name in ("row_id", "kept_row_id"))

    return LineFilter(fits, json_pattern(f":{row_id.rpartition(':')[2]}" if row_id else kind))
