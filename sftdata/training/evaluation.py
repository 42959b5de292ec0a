"""Score a finished run on a split, beside what always giving one answer would score."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.engine import Watch
from sftdata.manifest import Manifest
from sftdata.records import IGNORE_INDEX, Task
from sftdata.report.run_page import add_run_report
from sftdata.shards.reader import Split, load_split
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.examples import Examples, require_targets
from sftdata.training.findings import count_confusions, tell_scores, write_findings
from sftdata.training.finished import find_weights, load_run
from sftdata.training.fit import check_run
from sftdata.training.generation import write_texts
from sftdata.training.isolation import prepare_packing
from sftdata.training.metrics import (
    GENERATED,
    Scores,
    classification_scores,
    majority_class,
    score_labels,
    score_numbers,
    score_tags,
    score_texts,
)
from sftdata.training.models import choose_device, quiet_transformers, uses_bf16
from sftdata.training.run import RunRecord, read_run, refuse_folds
from sftdata.training.scoring import Outputs, run_model, score
from sftdata.training.worst import describe_worst


def evaluate(
    run: str | Path, data: str | Path, split: str, *, batch_size: int, device: str, watch: Watch
) -> dict[str, Any]:
    """Do what `sftdata.training.evaluate` says."""
    directory, record, part = Path(run), read_run(Path(run)), load_split(data, split)
    refuse_folds(directory, record)
    place, names, thresholds = choose_device(device), record.label_names or (), list_thresholds(record)
    with quiet_transformers():
        check_run(data, split, run, record, find_weights(directory, record))
        model, config = load_run(directory, record, place)
        examples = Examples(part, pad_id=config.get_text_config().pad_token_id or 0)
        require_targets(examples, f"{data}: the {split} split")
        how: Any = {"batch_size": batch_size, "bf16": uses_bf16(record.settings.precision, place)}
        prepare_packing(model, record.task, bf16=how["bf16"], dense=False)
        outputs = run_model(model, examples, watch=lambda done: watch("evaluate", done, len(examples)), **how)
        texts = _write(directory, record.task, model, examples, how)
        written = texts[1] if texts else None
        worst = describe_worst(model, examples, outputs, names, thresholds=thresholds, written=written, **how)
    scores = score(outputs, names, thresholds) | _score_texts(directory, record.task, texts)
    baseline = score_baseline(load_split(data, "train"), outputs, names)
    told = tell_scores(record.task, outputs.counts, scores) | ({"baseline": baseline} if baseline else {})
    confusions = count_confusions(record.task, outputs.targets, outputs.found, len(names))
    found = {"step": record.best_step, "scores": told, "confusions": confusions, "worst": worst}
    _leave(directory, part.manifest, split, found)
    return told


def _leave(run: Path, manifest: Manifest, split: str, found: dict[str, Any]) -> None:
    """Write what was found into the run, and its report anew; a run that cannot be written to is no fault."""
    try:
        write_findings(run, manifest, split, found)
    except OSError as cause:
        warnings.warn(f"{run} was not written to: {cause}", RuntimeWarning, stacklevel=2)
        return
    add_run_report(run)


def list_thresholds(record: RunRecord) -> NDArray[np.float32] | None:
    """Return the thresholds of a run in the order of its labels, float32; None where it has none of its own."""
    if record.thresholds is None:
        return None
    return np.array([record.thresholds[name] for name in record.label_names or ()], dtype=np.float32)


def _write(
    run: Path, task: Task, model: Any, examples: Examples, how: dict[str, Any]
) -> tuple[list[str], list[str]] | None:
    """Return references and what a seq2seq model writes; None for others, and where nothing decodes what it writes."""
    if task != Task.SEQ2SEQ or not (run / "tokenizer.json").is_file():
        return None
    return write_texts(model, load_tokenizer(str(run)), examples, **how)


def _score_texts(run: Path, task: Task, texts: tuple[list[str], list[str]] | None) -> Scores:
    if texts:
        return score_texts(*texts)
    missing = GENERATED if task == Task.SEQ2SEQ else ()
    return Scores.make(dict.fromkeys(missing, f"{run} has no tokenizer.json, which decodes what is written"))


def score_baseline(train: Split, outputs: Outputs, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Score the answer that fits the training split best, given to every example; None for tasks that write.

    Returns:
        `answer`: the most frequent class, the labels that at least half of the rows have, the mean score, or `O` for
        tags (the most frequent one where there is no `O`); and the scores of giving it.
    """
    targets = outputs.targets
    match outputs.task:
        case Task.TEXT_CLASSIFICATION:
            label = majority_class(np.concatenate(list(_read_labels(train))))
            always = np.full(len(targets), label)
            return {"answer": names[label], **classification_scores(targets, always, len(names))}
        case Task.MULTILABEL:
            shares = np.mean(np.concatenate(list(_read_labels(train))).reshape(-1, len(names)), axis=0)
            always = np.broadcast_to((shares >= 0.5).astype(np.float32), targets.shape)
            given = [name for name, share in zip(names, shares, strict=True) if share >= 0.5]
            return {"answer": given, **score_labels(targets, always, names).values}
        case Task.REGRESSION:
            mean = float(np.mean(np.concatenate(list(_read_labels(train))), dtype=np.float64))
            return {"answer": mean, **score_numbers(targets, np.full(len(targets), mean)).values}
        case Task.TOKEN_CLASSIFICATION:
            tag = names.index("O") if "O" in names else _most_frequent_tag(train, len(names))
            found = np.full(len(targets), tag)
            return {"answer": names[tag], **score_tags(targets, found, names, outputs.counts).values}
    return None


def _most_frequent_tag(train: Split, tags: int) -> int:
    counts = np.zeros(tags, dtype=np.int64)
    for labels in _read_labels(train):
        counts += np.bincount(labels[labels != IGNORE_INDEX], minlength=tags)
    return int(counts.argmax())


def _read_labels(split: Split) -> Iterator[NDArray[Any]]:
    """Yield the labels of each shard, those in lists end to end."""
    for number in range(len(split.shards)):
        split.check_shard(number)
        for chunk in split.shard(number)["labels"].chunks:
            yield to_numpy(chunk.flatten() if pa.types.is_list(chunk.type) else chunk)
