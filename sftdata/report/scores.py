"""Evaluations and predictions for the terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sftdata.errors import make_printable

MOST_LINES = 30
"""Classes that a table shows, those with most rows; `--json` has all."""
MOST_CONFUSIONS = 10


def scores_view(scores: dict[str, Any]) -> Group:
    """Show an evaluation: the scores, each entity or class, what is taken for what, and what has no value."""
    per_class = scores.get("per_entity", scores.get("per_class"))
    parts: list[RenderableType] = [_scores_table(scores)]
    if per_class:
        parts += ["", _classes_table(per_class, "entity" if "per_entity" in scores else "class")]
        parts += _tell_more(per_class)
    if confused := list(_find_confusions(scores)):
        parts += ["", _confusions_table(confused)]
    for why in dict.fromkeys(scores.get("undefined", {}).values()):
        names = [name.replace("_", " ") for name, reason in scores["undefined"].items() if reason == why]
        parts.append(Text(f"\nnot defined here: {', '.join(names)} ({make_printable(why)})"))
    return Group(*parts)


def folds_table(result: Any) -> Table:
    """Show the mean and standard deviation of each metric over the folds."""
    table = Table(box=None, pad_edge=False)
    for name in ("score", "mean", "deviation"):
        table.add_column(name, justify="left" if name == "score" else "right")
    for name, mean in result.scores.items():
        table.add_row(name.replace("_", " "), _number(mean), _number(result.deviations.get(name, 0.0)))
    return table


def _scores_table(scores: dict[str, Any]) -> Table:
    """Show each score, beside that of always giving the answer that fits the training split best."""
    baseline = scores.get("baseline", {})
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    table.add_column("model", justify="right")
    if baseline:
        table.add_column(Text(f"always {_say_answer(baseline['answer'])}"), justify="right")
    for name, value in scores.items():
        if isinstance(value, int | float):
            cells = [name.replace("_", " "), _number(value)]
            table.add_row(*cells, *([_number(baseline[name]) if name in baseline else ""] if baseline else []))
    return table


def _say_answer(answer: str | float | list[str]) -> str:
    if isinstance(answer, list):
        return make_printable(", ".join(answer)) or "no label"
    return make_printable(answer) if isinstance(answer, str) else _number(answer)


def _classes_table(per_class: dict[str, dict[str, Any]], kind: str) -> Table:
    columns = list(dict.fromkeys(name for scores in per_class.values() for name in scores))
    table = Table(box=None, pad_edge=False)
    table.add_column(kind, overflow="fold")
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for label, scores in sorted(per_class.items(), key=lambda item: -item[1]["rows"])[:MOST_LINES]:
        table.add_row(
            Text(make_printable(label)), *(_number(scores[name]) if name in scores else "" for name in columns)
        )
    return table


def _tell_more(per_class: dict[str, Any]) -> list[str]:
    more = len(per_class) - MOST_LINES
    return [f"and {more} with fewer rows: --json has all"] if more > 0 else []


def _find_confusions(scores: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Yield how often a class was taken for another, and both; the most frequent first."""
    names = list(scores.get("per_class", ()))
    lines = scores.get("confusion_matrix", [])
    found = [
        (count, names[line], names[place])
        for line, counts in enumerate(lines)
        for place, count in enumerate(counts)
        if count and line != place
    ]
    yield from sorted(found, key=lambda confusion: -confusion[0])[:MOST_CONFUSIONS]


def _confusions_table(confused: Sequence[tuple[int, str, str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("times", justify="right")
    table.add_column("is", overflow="fold")
    table.add_column("taken for", overflow="fold")
    for count, label, found in confused:
        table.add_row(_number(count), Text(make_printable(label)), Text(make_printable(found)))
    return table


def predictions_table(predictions: Sequence[dict[str, Any]]) -> Table:
    """Show predictions, one a row."""
    rows = [_shorten(prediction) for prediction in predictions]
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(make_printable(cell)) for cell in row.values()))
    return table


def _shorten(prediction: dict[str, Any]) -> dict[str, str]:
    """Put what belongs together into one cell: labels with their probabilities, words with their tags."""
    if "tags" in prediction:
        pairs = zip(prediction["tokens"], prediction["tags"], strict=True)
        return {"tagged": " ".join(word if tag == "O" else f"{word}/{tag}" for word, tag in pairs)}
    cells = {name: value for name, value in prediction.items() if name != "probabilities"}
    if "probabilities" in prediction:
        likely = (f"{label} {_number(prediction['probabilities'][label])}" for label in prediction["labels"])
        cells["labels"] = ", ".join(likely)
    return {name: _number(value) if isinstance(value, int | float) else value for name, value in cells.items()}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
