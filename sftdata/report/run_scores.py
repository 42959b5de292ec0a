"""What evaluations of a run found, as the report shows it: scores, classes, and what is taken for what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.records import shorten
from sftdata.report.run_curves import order_metrics, say_metric
from sftdata.training.run import RunRecord

CLASSES = 400
"""Lines of a table of classes, those with most rows."""

SHOWN = 40
"""Classes of a matrix; of more, those that take part in most mistakes."""

CONFUSIONS = 100
"""Pairs of classes that are listed, the most frequent."""

NAME_CHARACTERS, HEADING_CHARACTERS = 120, 28

LEVELS = (0.005, 0.05, 0.15, 0.35, 0.6)
"""Shares of a class from which a cell of the matrix is darker."""


def describe_scores(record: RunRecord, evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return a table: a line a score, of each evaluation the value, and that of always giving one answer.

    Args:
        record: of the run.
        evaluations: as `name_evaluations` has them.
    """
    if not evaluations:
        return None
    known = [name for one in evaluations for name, value in one["scores"].items() if _is_number(value)]
    order = ["rows", "words", "trained_tokens", *order_metrics(record)]
    names = sorted(dict.fromkeys(known), key=lambda name: order.index(name) if name in order else len(order))
    lines = [
        {
            "name": name if name in order[:3] else say_metric(name),
            "chose": name == record.metric,
            "cells": [
                {"value": one["scores"].get(name), "baseline": one["scores"].get("baseline", {}).get(name)}
                for one in evaluations
            ],
        }
        for name in names
    ]
    undefined = [
        {"evaluation": one["title"], "why": shorten(f"{say_metric(name)}: {why}", 300)}
        for one in evaluations
        for name, why in one["scores"].get("undefined", {}).items()
        if name != "confusion_matrix"
    ]
    return {
        "columns": [
            {"title": one["title"], "answer": _say_answer(one["scores"].get("baseline"))} for one in evaluations
        ],
        "lines": lines,
        "undefined": undefined,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _say_answer(baseline: Mapping[str, Any] | None) -> str | None:
    """Say which answer is always given; None where there is no such baseline."""
    if not baseline:
        return None
    answer = baseline["answer"]
    if isinstance(answer, list):
        return shorten(", ".join(answer), NAME_CHARACTERS) or "no label"
    return shorten(answer, NAME_CHARACTERS) if isinstance(answer, str) else f"{answer:.4g}"


def describe_classes(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return tables of classes, labels or tags, and of entities where tags spell some; those with most rows first."""
    scores = evaluation["scores"]
    tables = [
        ("entity", scores.get("per_entity")),
        ("tag" if "per_entity" in scores else "class", scores.get("per_class")),
    ]
    return [_describe_table(kind, classes) for kind, classes in tables if classes]


def _describe_table(kind: str, classes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    columns = list(dict.fromkeys(name for scores in classes.values() for name in scores if name != "rows"))
    ordered = sorted(classes.items(), key=lambda item: -item[1]["rows"])
    lines = [
        {
            "name": shorten(name, NAME_CHARACTERS),
            "rows": scores["rows"],
            "values": [scores.get(column) for column in columns],
            "f1": scores["f1"],
        }
        for name, scores in ordered[:CLASSES]
    ]
    return {
        "kind": kind,
        "columns": [say_metric(name) for name in columns],
        "lines": lines,
        "more": len(ordered) - len(lines),
    }


def describe_confusions(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the matrix of what is taken for what, and the pairs that are so most often; None without such."""
    pairs, classes = evaluation.get("confusions"), evaluation["scores"].get("per_class")
    if pairs is None or not classes:
        return None
    names = [shorten(name, NAME_CHARACTERS) for name in classes]
    rows = [scores["rows"] for scores in classes.values()]
    hits = [round(scores["recall"] * scores["rows"]) for scores in classes.values()]
    shown = _choose(pairs, len(names))
    listed = [
        {"is": names[of], "for": names[to], "times": times, "share": times / max(1, rows[of])}
        for of, to, times in pairs[:CONFUSIONS]
    ]
    most = max((pair["times"] for pair in listed), default=1)
    return {
        "names": [names[place] for place in shown],
        "headings": [shorten(names[place], HEADING_CHARACTERS) for place in shown],
        "lines": _fill_matrix(pairs, shown, names, rows, hits),
        "classes": len(names),
        "listed": [pair | {"bar": pair["times"] / most} for pair in listed],
        "more": len(pairs) - len(listed),
        "right": sum(hits),
        "wrong": sum(rows) - sum(hits),
    }


def _choose(pairs: Sequence[Sequence[int]], classes: int) -> list[int]:
    """Return the classes that a matrix shows, in their order."""
    if classes <= SHOWN:
        return list(range(classes))
    involved: Counter[int] = Counter()
    for of, to, times in pairs:
        involved[of] += times
        involved[to] += times
    rest = (place for place in range(classes) if place not in involved)
    return sorted([*(place for place, _ in involved.most_common(SHOWN)), *rest][:SHOWN])


def _fill_matrix(
    pairs: Sequence[Sequence[int]], shown: Sequence[int], names: Sequence[str], rows: Sequence[int], hits: Sequence[int]
) -> list[dict[str, Any]]:
    """Return a line for each class that is shown; behind its cells stand those taken for a class that is not."""
    counts = {(of, to): times for of, to, times in pairs} | {(place, place): hits[place] for place in shown}
    lines = []
    for of in shown:
        times = [counts.get((of, to), 0) for to in shown]
        cells = [_describe_cell(count, rows[of], to == of) for to, count in zip(shown, times, strict=True)]
        other = rows[of] - sum(times)
        lines.append(
            {"name": names[of], "rows": rows[of], "cells": cells, "other": _describe_cell(other, rows[of], False)}
        )
    return lines


def _describe_cell(count: int, rows: int, is_right: bool) -> dict[str, Any]:
    """Return a count, and how dark it is: by its share of the class."""
    share = count / max(1, rows)
    level = sum(share >= least for least in LEVELS)
    return {"count": count, "shade": f"{'r' if is_right else 'w'}{max(level, 1)}" if count else ""}
