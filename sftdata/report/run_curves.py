"""The figures of a run's report: losses and scores over steps, by source, and how the computation went."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftdata.records import shorten
from sftdata.report.curves import Figure, Series, draw_figure, find_span, read_journal
from sftdata.training.journal import JOURNAL_NAME
from sftdata.training.metrics import LOWER_IS_BETTER, METRICS
from sftdata.training.run import RUN_NAME, RunRecord, fold_path, read_record

SCORES, FOLDS, SOURCES = 8, 10, 32
"""Most of each that have a figure, or a line in one."""

NAME_CHARACTERS = 80

EVALUATIONS = 200
"""Lines of the table of evaluations, the last ones."""

_COURSE = {
    "learning_rate": ("Learning rate", ""),
    "grad_norm": ("Gradient norm", "of the last step of each interval, before it is scaled down"),
    "tokens_per_second": ("Tokens a second", "real tokens of all processes, without padding"),
    "mfu": ("MFU", "model FLOPs utilization"),
    "memory_gib": ("Memory", "GiB"),
}
"""What is logged of the course of a run: the title of its figure, and what it means."""

Journal = dict[str, dict[str, Series]]


def describe_curves(run: Path, record: RunRecord) -> dict[str, Any] | None:
    """Return the figures of a run, of a cross-validation with a line for each fold; None where nothing was logged."""
    if record.folds is not None:
        return _describe_folds(run, record)
    journal = read_journal(run / JOURNAL_NAME)
    end = _find_end([journal])
    if not end:
        return None
    best = record.best_step if record.metric else None
    train, validation = journal["train"], journal["validation"]
    return {
        "end": end,
        "main": [*_draw_loss(journal, end, best), *_draw_scores(validation, record, end, best)],
        "course": [
            draw_figure(title, [train[name]], end, note=note)
            for name, (title, note) in _COURSE.items()
            if name in train
        ],
        "sources": _draw_sources(train, end),
        "table": _list_evaluations(validation, record),
    }


def _describe_folds(run: Path, record: RunRecord) -> dict[str, Any] | None:
    places = [fold_path(run, number) for number in range(record.folds or 0)][:FOLDS]
    journals, best = [read_journal(place / JOURNAL_NAME) for place in places], [_find_best(place) for place in places]
    end = _find_end(journals)
    if not end:
        return None
    losses = _draw_folds(journals, "train", "loss", best)
    figures = [draw_figure("Training loss", losses, end, note="a line a fold")] if losses else []
    seen: set[bytes] = set()  # some metrics are the same number for some tasks
    for name in order_metrics(record):
        lines = _draw_folds(journals, "validation", name, best)
        key = b"".join(line.values.tobytes() for line in lines)
        if lines and key not in seen:
            seen.add(key)
            figures.append(draw_figure(say_metric(name), lines, end, note="of the rows that each fold holds out"))
    return {"end": end, "main": figures[: SCORES + 1], "course": [], "sources": [], "table": None}


def _find_best(place: Path) -> int | None:
    return read_record(place).best_step if (place / RUN_NAME).is_file() else None


def _draw_folds(journals: Sequence[Journal], part: str, name: str, best: Sequence[int | None]) -> list[Series]:
    """Return a line for each fold that has this value."""
    return [
        replace(journal[part][name], name=f"fold {number}", dotted=part == "validation", best=best[number])
        for number, journal in enumerate(journals)
        if name in journal[part]
    ]


def _find_end(journals: Sequence[Journal]) -> int:
    """Return the last step that was logged; 0 where there is none."""
    series = (one for journal in journals for part in journal.values() for one in part.values())
    return max((int(one.steps[-1]) for one in series), default=0)


def _draw_loss(journal: Journal, end: int, best: int | None) -> Iterator[Figure]:
    train, validation = journal["train"].get("loss"), journal["validation"].get("loss")
    lines = [replace(train, name="training")] if train else []
    lines += [replace(validation, name="validation", dotted=True, best=best)] if validation else []
    if lines:
        yield draw_figure("Loss", lines, end, note="nats a target, less is better", best=best)


def _draw_scores(validation: Mapping[str, Series], record: RunRecord, end: int, best: int | None) -> Iterator[Figure]:
    firsts: dict[bytes, str] = {}  # some metrics are the same number for some tasks
    for name in order_metrics(record):
        is_course = name in validation and (len(validation[name].steps) > 1 or name == record.metric)
        if is_course and name != "loss":  # a single point is no curve, and stands in the table of scores
            firsts.setdefault(validation[name].values.tobytes(), name)
    for name in list(firsts.values())[:SCORES]:
        series = replace(validation[name], name="validation", dotted=True, best=best)
        chose = "it chose the checkpoint, " if name == record.metric else ""
        note = f"{chose}{'less' if name in LOWER_IS_BETTER else 'more'} is better"
        yield draw_figure(say_metric(name), [series], end, note=note, best=best)


def _draw_sources(train: Mapping[str, Series], end: int) -> list[Figure]:
    """Draw the loss of each source, all on one scale."""
    found = {name.removeprefix("loss/"): one for name, one in train.items() if name.startswith("loss/")}
    if not found:
        return []
    span = find_span(list(found.values()))
    return [
        draw_figure(shorten(name, NAME_CHARACTERS), [replace(one, name="loss")], end, span=span)
        for name, one in list(found.items())[:SOURCES]
    ]


def _list_evaluations(validation: Mapping[str, Series], record: RunRecord) -> dict[str, Any] | None:
    """Return all evaluations as a table, for whoever does not see the figures."""
    names = [name for name in order_metrics(record) if name in validation]
    if not names:
        return None
    steps = sorted({int(step) for name in names for step in validation[name].steps})
    found = {
        name: dict(zip(validation[name].steps.tolist(), validation[name].values.tolist(), strict=True))
        for name in names
    }
    rows = [
        {"step": step, "is_best": step == record.best_step, "values": [found[name].get(float(step)) for name in names]}
        for step in steps[-EVALUATIONS:]
    ]
    return {"names": [say_metric(name) for name in names], "rows": rows, "more": len(steps) - len(rows)}


def order_metrics(record: RunRecord) -> list[str]:
    """Return the metrics of the task, that which chooses the checkpoint first."""
    return list(dict.fromkeys([*([record.metric] if record.metric else []), *METRICS[record.task]]))


def say_metric(name: str) -> str:
    """Return what a metric is called."""
    known = {"mse": "MSE", "mae": "MAE", "r2": "R²", "bleu": "BLEU", "chrf": "chrF", "roc_auc": "ROC-AUC", "f1": "F1"}
    said = known.get(name) or name.replace("_", " ").replace("f1", "F1")
    return said[0].upper() + said[1:] if name not in known else said
