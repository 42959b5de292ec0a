"""What each page shows, read from the files in bounded time and memory."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sftdata.errors import UsageError
from sftdata.records import shorten
from sftdata.report.facts import NAME_CHARACTERS, REASONS, describe_splits
from sftdata.shards.reader import Split
from sftdata.view import query, showing
from sftdata.view.dataset import Dataset
from sftdata.view.lines import find_lines, previous
from sftdata.view.rows import Found, Place, find_wanted, locate

ROWS, LINES, CLUSTER_LINES = 20, 20, 30
"""Rows, rejected rows, and dropped duplicates of a page."""

SECONDS = 0.5
"""How long a request looks for what is asked for; then the page says how far it came, and goes on from there."""

FILTERS = {
    "rows": ("split", "q", "label", "id", "source", "least", "most", "low", "high", "fold", "kind"),
    "rejected": ("q", "reason", "stage", "source", "record"),
    "duplicates": ("id", "kind"),
}
"""What each page can be asked for, beside where to begin."""

OFFERED = 300
"""Labels, reasons and sources that are offered to choose from."""

Facts = dict[str, Any]
Page = Callable[[Dataset, query.Given], Facts]


def _overview(dataset: Dataset, given: query.Given) -> Facts:
    counted = _by_count(dataset.manifest.rejected_by_reason)
    most = counted[0][1] if counted else 1
    reasons = [
        {"reason": reason, "said": shorten(reason, NAME_CHARACTERS), "rows": rows, "share": rows / most}
        for reason, rows in counted[:REASONS]
    ]
    return {"splits": describe_splits(dataset.manifest), "reasons": reasons, "more": len(counted) - len(reasons)}


def _rows(dataset: Dataset, given: query.Given) -> Facts:
    split = _choose_split(dataset, given)
    start, found_before = (query.whole(given, "at", 1) or 1) - 1, query.whole(given, "found") or 0
    wanted = {name: given[name] for name in FILTERS["rows"] if name in given}
    is_filtered = bool(wanted.keys() - {"split"})
    if is_filtered:
        rows = query.choose_rows(dataset, wanted)
        found = find_wanted(split, dataset.spelling, rows, start, max(1, ROWS - found_before), SECONDS)
    else:
        after = min(start + ROWS, len(split))
        found = Found([Place(row) for row in range(start, after)], after if after < len(split) else None)
    return {
        "wanted": wanted,
        "split": split,
        "start": start,
        "is_filtered": is_filtered,
        "found": found_before + len(found.places),
        "is_full": found_before + len(found.places) >= ROWS,
        "looked_at": len(split) if found.go_on is None else found.go_on,
        "go_on": found.go_on,
        "columns": split.shard(0).column_names,
        "splits": [(name, name) for name in dataset.manifest.splits],
        "labels": [(name, name) for name in (dataset.manifest.label_names or ())[:OFFERED]],
        "sources": _sources(dataset),
        "examples": [showing.show_example(dataset, split, place) for place in found.places],
        "step": ROWS,
    }


def _row(dataset: Dataset, given: query.Given) -> Facts:
    split = _choose_split(dataset, given)
    number = query.whole(given, "at", 1) or 1
    if number > len(split):
        raise UsageError(f"at: found {number}, but split '{split.name}' has {len(split)} rows")
    begin = query.whole(given, "token") or 0
    example = showing.show_example(dataset, split, Place(number - 1), showing.WHOLE, begin)
    ends = [each["last"] for each in example["sequences"] if each["last"] < each["tokens"]]
    source, _, record = example["row_id"].partition(":")
    return {
        "example": example,
        "rows": len(split),
        "origin": f"{source}:{re.split('[+*/]', record)[0]}",
        "before": max(0, begin - showing.WHOLE) if begin else None,
        "after": min(ends) if ends else None,
    }


def _find(dataset: Dataset, given: query.Given) -> Facts:
    row_id = given.get("id", "").strip()
    found, is_all = locate(dataset.splits(), [row_id] if row_id else [], 4 * SECONDS)
    return {"row_id": row_id, "place": found.get(row_id), "is_all": is_all, "splits": list(dataset.manifest.splits)}


def _rejected(dataset: Dataset, given: query.Given) -> Facts:
    wanted = {name: given[name] for name in FILTERS["rejected"] if name in given}
    path = dataset.directory / "rejected.jsonl"
    facts = _look_through(path, given, wanted, query.choose_rejected(wanted), LINES)
    return {
        **facts,
        "rejections": [showing.show_rejected(line) for line in facts["lines"].lines],
        "reasons": _options(dataset.manifest.rejected_by_reason),
        "stages": _options(dataset.manifest.rejected_by_stage),
        "sources": _sources(dataset),
    }


def _rejection(dataset: Dataset, given: query.Given) -> Facts:
    at = query.whole(given, "at") or 0
    lines = find_lines(dataset.directory / "rejected.jsonl", at, 1, SECONDS)
    if not lines.lines:
        raise UsageError(f"at: found {at}, but rejected.jsonl has {lines.size} bytes")
    return {"each": showing.show_rejected(lines.lines[0], showing.LONGEST, showing.LONGEST)}


def _duplicates(dataset: Dataset, given: query.Given) -> Facts:
    wanted = {name: given[name] for name in FILTERS["duplicates"] if name in given}
    path = dataset.directory / "duplicates.jsonl"
    facts = _look_through(path, given, wanted, query.choose_duplicates(wanted), CLUSTER_LINES)
    clusters = showing.show_clusters(dataset, facts["lines"].lines)
    kept, _ = locate(dataset.splits(), [cluster["row_id"] for cluster in clusters], SECONDS)
    for cluster in clusters:
        if place := kept.get(cluster["row_id"]):
            cluster["kept"] = showing.show_example(dataset, dataset.split(place[0]), Place(place[1]), showing.BRIEF)
    return {**facts, "clusters": clusters}


def _look_through(
    path: Path, given: query.Given, wanted: query.Given, lines: query.LineFilter | None, most: int
) -> Facts:
    start, found_before = query.whole(given, "at") or 0, query.whole(given, "found") or 0
    fits, pattern = (lines.fits, lines.pattern) if lines else (None, None)
    found = find_lines(path, start, max(1, most - found_before), SECONDS, fits, pattern)
    count = found_before + len(found.lines)
    return {
        "wanted": wanted,
        "lines": found,
        "start": start,
        "is_filtered": lines is not None,
        "found": count,
        "is_full": count >= most,
        "looked_at": found.size if found.go_on is None else found.go_on,
        "go_on": found.go_on,
        "before": previous(path, start, most) if start and lines is None else None,
    }


def _choose_split(dataset: Dataset, given: query.Given) -> Split:
    return dataset.split(given.get("split") or next(iter(dataset.manifest.splits)))


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _options(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{shorten(name, NAME_CHARACTERS)} ({rows:,})") for name, rows in _by_count(counts)[:OFFERED]]


def _sources(dataset: Dataset) -> list[str]:
    return [source.path for source in dataset.manifest.inputs[:OFFERED]]


PAGES: dict[str, Page] = {
    "overview": _overview,
    "rows": _rows,
    "row": _row,
    "find": _find,
    "rejected": _rejected,
    "rejection": _rejection,
    "duplicates": _duplicates,
}
"""By the name in the address: what a page shows of a dataset, asked for in this way."""
