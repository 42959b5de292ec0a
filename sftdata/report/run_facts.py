"""What the report of a run says, read from its record, its journal, and what its evaluations found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import yaml

from sftdata.errors import SftdataError
from sftdata.manifest import Manifest, digest_file, read_manifest
from sftdata.records import shorten
from sftdata.report.run_curves import describe_curves, order_metrics, say_metric
from sftdata.report.run_examples import describe_examples
from sftdata.report.run_scores import describe_classes, describe_confusions, describe_scores
from sftdata.training.findings import read_findings
from sftdata.training.folds import FOLDS_NAME
from sftdata.training.metrics import LOWER_IS_BETTER
from sftdata.training.run import RunRecord, digest_data, fold_path, read_record

EVALUATIONS = 6
"""Evaluations that are shown, the newest."""

INPUTS, NAME_CHARACTERS, SETTINGS_CHARACTERS = 50, 200, 20_000


def gather_run_facts(run: Path) -> dict[str, Any]:
    """Return all that the page says, by section; what a run does not have is empty or None.

    Raises:
        TrainingError: it is no run, or its record is damaged.
    """
    record = read_record(run)
    evaluations = name_evaluations(run, record)
    tokenizer = _find_tokenizer(run, record)
    names = record.label_names or ()
    return {
        "record": record,
        "evaluations": [
            {
                "title": one["title"],
                "about": one["about"],
                "classes": describe_classes(one),
                "confusions": describe_confusions(one),
                "worst": describe_examples(one.get("worst", ()), tokenizer, names),
                "doubtful": describe_examples(one.get("doubtful", ()), tokenizer, names),
            }
            for one in evaluations
        ],
        "headline": _find_headline(record, evaluations),
        "scores": describe_scores(record, evaluations),
        "curves": describe_curves(run, record),
        "folds": _describe_folds(run, record),
        "data": _describe_data(record),
        "settings": _describe_settings(record),
    }


def name_evaluations(run: Path, record: RunRecord) -> list[dict[str, Any]]:
    """Return what the newest evaluations found, with a `title` each, and `about`: of which weights and data it is.

    A cross-validation whose rows have no single answer has none of its own, but those of its folds.
    """
    found = [(one, f"{one['split']}") for one in read_findings(run)]
    if not found and record.folds is not None:
        folds = range(record.folds)
        found = [(one, f"fold {number}") for number in folds for one in read_findings(fold_path(run, number))[:1]]
    named = [
        one | {"title": shorten(title, 40), "about": _say_about(one, record)} for one, title in found[:EVALUATIONS]
    ]
    titles = [one["title"] for one in named]
    for one in named:
        if titles.count(one["title"]) > 1:
            one["title"] += f" of {one['data_digest'].removeprefix('sha256:')[:8]}"
    return named


def _say_about(found: Mapping[str, Any], record: RunRecord) -> str:
    """Say which weights were evaluated, where they are not those that were saved."""
    step = found["step"]
    if step is None:
        return "each row by the model that has not seen it"
    if record.best_step is not None and step != record.best_step and record.folds is None:
        return f"weights after step {step:,}, which are not those that were saved"
    return f"weights after step {step:,}"


def _find_headline(record: RunRecord, evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the score that stands at the top: of the newest evaluation, by the metric that chose the weights."""
    for one in evaluations:
        for name in order_metrics(record):
            if name in one["scores"]:
                better = "less is better" if name in LOWER_IS_BETTER else "more is better"
                told = {"name": say_metric(name), "value": one["scores"][name], "note": better, "of": one["title"]}
                return told | {"baseline": one["scores"].get("baseline", {}).get(name)}
    return None


def _find_tokenizer(run: Path, record: RunRecord) -> tokenizers.Tokenizer | None:
    """Return the tokenizer that a run was saved with, or that of its data; None where both are gone."""
    places = [run, fold_path(run, 0), Path(record.data) / "tokenizer"]
    for path in (place / "tokenizer.json" for place in places):
        if path.is_file() and (path.parent != places[-1] or digest_file(path) == record.tokenizer_digest):
            try:
                return tokenizers.Tokenizer.from_file(str(path))
            except Exception:  # noqa: S112  # tokenizers raises plain Exception; ids are shown instead
                continue
    return None


def _describe_folds(run: Path, record: RunRecord) -> dict[str, Any] | None:
    """Return the scores of each fold, their means and deviations; None for other runs, and until all are trained."""
    path = run / FOLDS_NAME
    if record.folds is None or not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        {
            "name": say_metric(name),
            "chose": name == record.metric,
            "worst": told["worst_fold"].get(name),
            **{key: score[key] for key in ("mean", "deviation", "values")},
        }
        for name, score in sorted(told["scores"].items(), key=lambda item: _rank(item[0], record))
    ]
    return {"count": told["folds"], "lines": lines, "label_errors": told["label_errors"]}


def _rank(name: str, record: RunRecord) -> int:
    order = order_metrics(record)
    return order.index(name) if name in order else len(order)


def _describe_data(record: RunRecord) -> dict[str, Any]:
    """Return what a run was trained on: from the dataset, where it is still the one that the run has seen."""
    manifest, why = _read_data(record)
    if manifest is None:
        return {"why": why, "splits": [], "inputs": [], "more": 0, "version": None}
    splits = [(name, split.rows, split.tokens, split.trained_tokens) for name, split in manifest.splits.items()]
    inputs = [(shorten(entry.path, NAME_CHARACTERS), entry.digest) for entry in manifest.inputs]
    more = max(0, len(inputs) - INPUTS)
    return {"why": None, "splits": splits, "inputs": inputs[:INPUTS], "more": more, "version": manifest.version}


def _read_data(record: RunRecord) -> tuple[Manifest | None, str]:
    others = record.settings.mix.datasets if record.settings.mix else ()
    try:
        manifest, mixed = read_manifest(record.data), [read_manifest(other.data) for other in others]
    except SftdataError:
        return None, "is not there any more"
    if digest_data(manifest, mixed) != record.data_digest:
        return None, "has changed since"
    return manifest, ""


def _describe_settings(record: RunRecord) -> dict[str, str]:
    """Return the settings that differ from the defaults, and all of them, as YAML."""
    given, everything = (
        yaml.safe_dump(
            record.settings.model_dump(mode="json", exclude_defaults=few),
            sort_keys=False,
            allow_unicode=True,
            width=100,
        )
        for few in (True, False)
    )
    return {"given": shorten(given, SETTINGS_CHARACTERS), "all": shorten(everything, SETTINGS_CHARACTERS)}
