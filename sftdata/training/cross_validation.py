"""Train one model a fold from one set of shards, and put together what each says of the rows that it has not seen."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sftdata.manifest import write_aside
from sftdata.records import Task
from sftdata.report.run_page import add_run_report
from sftdata.settings.training import TrainSettings
from sftdata.shards.reader import Split, load_split
from sftdata.training.distributed import Ranks, first_does, join
from sftdata.training.evaluation import list_thresholds
from sftdata.training.examples import Examples
from sftdata.training.findings import count_confusions, tell_scores, write_findings
from sftdata.training.finished import load_run
from sftdata.training.folds import (
    FOLDS_NAME,
    FoldScore,
    average_folds,
    count_folds,
    find_originals,
    join_predictions,
    select_fold,
)
from sftdata.training.isolation import prepare_packing
from sftdata.training.label_errors import LabelErrors, find_label_errors, write_label_errors
from sftdata.training.metrics import LOWER_IS_BETTER, Scores
from sftdata.training.models import choose_device, quiet_transformers, uses_bf16
from sftdata.training.out_of_fold import write_predictions
from sftdata.training.run import RunRecord, TrainResult, check_output_dir, digest_data, fold_path, read_run, write_run
from sftdata.training.scoring import Outputs, run_model, score
from sftdata.training.session import describe_run, open_held, train_together
from sftdata.training.watching import Watching
from sftdata.training.worst import ANSWERS, describe_answers, find_worst

PREDICTIONS_NAME = "out_of_fold.parquet"
ERRORS_NAME = "label_errors.jsonl"

_TOLD = (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION)
"""Tasks with one answer a row, which is kept."""


def train(data: str | Path, settings: TrainSettings, *, resume: bool, watching: Watching) -> TrainResult:
    """Do what `sftdata.training.train` says."""
    with join(choose_device(settings.device)) as ranks, quiet_transformers():
        if settings.fold is None and load_split(data).has_folds:
            return cross_validate(Path(data), settings, ranks, resume=resume, watching=watching)
        return train_together(Path(data), settings, ranks, resume=resume, watching=watching)


def cross_validate(
    data: Path, settings: TrainSettings, ranks: Ranks, *, resume: bool, watching: Watching
) -> TrainResult:
    """Train every fold into a directory of its own, and write what they say of their held-out rows."""
    started, directory, split = time.monotonic(), Path(settings.output_dir), load_split(data)
    count = count_folds(split.folds())
    first_does(ranks, lambda: check_output_dir(directory, resume=resume))
    record = describe_run(data, split.manifest, settings, digest_data(split.manifest), ranks)
    record = record.model_copy(update={"folds": count})
    first_does(ranks, lambda: write_run(directory, record))
    results = [
        train_together(data, fold_settings(settings, number), ranks, resume=resume, watching=watching)
        for number in range(count)
    ]
    scores = first_does(ranks, lambda: summarize(split, record, directory))
    means = {name: one.mean for name, one in scores.items() if one.mean is not None}
    return TrainResult(
        output_dir=str(directory),
        steps=sum(result.steps for result in results),
        best_step=results[0].best_step,
        metric=results[0].metric,
        scores=means,
        stopped_early=any(result.stopped_early for result in results),
        resumed_from=None,
        seconds=time.monotonic() - started,
        deviations={name: one.deviation for name, one in scores.items() if one.deviation is not None},
    )


def fold_settings(settings: TrainSettings, number: int) -> TrainSettings:
    """Return the settings of the run of one fold, which stands in `output_dir/fold-NUMBER`."""
    return settings.model_copy(update={"fold": number, "output_dir": str(fold_path(settings.output_dir, number))})


def summarize(split: Split, record: RunRecord, directory: Path) -> dict[str, FoldScore]:
    """Score each fold's model on the rows it has not seen, and write scores, predictions and doubtful labels."""
    count = record.folds or 0
    runs = [read_run(fold_path(directory, number)) for number in range(count)]
    outputs = [_run_fold(split, run, fold_path(directory, number), number) for number, run in enumerate(runs)]
    names = record.label_names or ()
    scores = [score(one, names, list_thresholds(run)) for one, run in zip(outputs, runs, strict=True)]
    average, doubtful = average_folds(scores), None
    thresholds = [run.thresholds for run in runs if run.thresholds]
    outcome = {
        "status": "finished",
        "metric": runs[0].metric,
        "scores": {name: one.mean for name, one in average.items() if one.mean is not None},
        "thresholds": _mean_thresholds(thresholds, names) if thresholds else None,
    }
    record = record.model_copy(update=outcome)
    if record.task in _TOLD:
        doubtful = _write_predictions(split, record, directory, outputs)
    _write_summary(directory, average, scores, doubtful)
    write_run(directory, record)
    add_run_report(directory)
    return average


def _run_fold(split: Split, run: RunRecord, directory: Path, number: int) -> Outputs:
    place = choose_device(run.settings.device)
    model, config = load_run(directory, run, place)
    held = open_held(split, number, config.get_text_config().pad_token_id or 0)
    size = run.settings.eval_batch_size or 2 * run.settings.batch_size
    bf16 = uses_bf16(run.settings.precision, place)
    prepare_packing(model, run.task, bf16=bf16, dense=False)
    outputs = run_model(model, held, batch_size=size, bf16=bf16)
    del model
    if place.type == "cuda":
        torch.cuda.empty_cache()
    return outputs


def _write_predictions(split: Split, record: RunRecord, directory: Path, outputs: Sequence[Outputs]) -> int | None:
    """Write what was said of each row; return how many labels it contradicts, where there is one label a row."""
    originals, folds = find_originals(split), split.folds()
    joined = _join(originals, folds, outputs)
    row_ids = split.table["row_id"].filter(originals)
    path = directory / PREDICTIONS_NAME
    write_predictions(path, record, row_ids, folds[originals], joined.targets, joined.found)
    errors = None
    if record.task == Task.TEXT_CLASSIFICATION and joined.found.ndim == 2:
        errors = find_label_errors(joined.targets, joined.found, rank="self_confidence")
        files = {entry.id: entry.path for entry in split.manifest.inputs}
        ids = row_ids.take(errors.positions).to_pylist()
        write_label_errors(directory / ERRORS_NAME, errors, record.label_names or (), ids, files)
    _write_findings(split, originals, record, directory, joined, errors)
    return None if errors is None else len(errors)


def _join(originals: NDArray[np.bool_], folds: NDArray[np.int32], outputs: Sequence[Outputs]) -> Outputs:
    """Put together what the models of all folds said of their rows, in the order of the rows that are no copies."""
    numbers = np.cumsum(originals) - 1  # of each row among those that are no copies
    held = [select_fold(folds, number)[1] for number in range(len(outputs))]
    places, rows = [numbers[rows[originals[rows]]] for rows in held], int(originals.sum())
    names = ("counts", "targets", "found", "losses")
    parts = {name: [getattr(one, name) for one in outputs] for name in names}
    columns = {name: join_predictions(rows, zip(places, of_name, strict=True)) for name, of_name in parts.items()}
    return Outputs(task=outputs[0].task, loss_sum=sum(one.loss_sum for one in outputs), correct=0, **columns)


def _write_findings(
    split: Split,
    originals: NDArray[np.bool_],
    record: RunRecord,
    directory: Path,
    joined: Outputs,
    errors: LabelErrors | None,
) -> None:
    """Write down for the report what all models together, each on the rows that it has not seen, do worst."""
    examples, names = Examples(split).select(np.flatnonzero(originals)), record.label_names or ()
    thresholds = list_thresholds(record)
    found = {
        "step": None,
        "scores": tell_scores(record.task, joined.counts, score(joined, names, thresholds)),
        "confusions": count_confusions(record.task, joined.targets, joined.found, len(names)),
        "worst": describe_answers(examples, joined, find_worst(joined.losses, ANSWERS), names, thresholds),
    }
    if errors is not None:
        told = describe_answers(examples, joined, errors.positions[:ANSWERS], names)
        given = [float(f"{value:.5g}") for value in errors.given_probability[:ANSWERS]]
        found["doubtful"] = [one | {"given_probability": value} for one, value in zip(told, given, strict=True)]
    write_findings(directory, split.manifest, "out-of-fold", found)


def _write_summary(
    directory: Path, average: dict[str, FoldScore], scores: Sequence[Scores], doubtful: int | None
) -> None:
    told = {
        "folds": len(scores),
        "scores": {name: one.to_json() for name, one in average.items()},
        "worst_fold": {name: _worst(name, one) for name, one in average.items() if one.mean is not None},
        "label_errors": doubtful,
    }
    write_aside(directory / FOLDS_NAME, json.dumps(told, ensure_ascii=False, indent=2) + "\n")


def _worst(metric: str, score: FoldScore) -> int:
    """Return the fold with the worst value."""
    known = {fold: value for fold, value in enumerate(score.values) if value is not None}
    worst = max if metric in LOWER_IS_BETTER else min
    return worst(known, key=lambda fold: known[fold])


def _mean_thresholds(thresholds: Sequence[dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    return {name: float(np.mean([of_fold[name] for of_fold in thresholds])) for name in names}
