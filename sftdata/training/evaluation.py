"""Score a finished run on a split, beside what always giving one answer would score."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.reader import Split, load_split
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.examples import Examples, require_targets
from sftdata.training.finished import find_weights, load_run
from sftdata.training.fit import check_run
from sftdata.training.generation import score_writing
from sftdata.training.isolation import prepare_packing
from sftdata.training.metrics import (
    GENERATED,
    Scores,
    classification_scores,
    majority_class,
    score_labels,
    score_numbers,
    score_tags,
)
from sftdata.training.models import choose_device, quiet_transformers, uses_bf16
from sftdata.training.run import RunRecord, read_run, refuse_folds
from sftdata.training.scoring import Outputs, run_model, score

_COUNTED = {
    Task.TOKEN_CLASSIFICATION: "words",
    Task.SEQ2SEQ: "trained_tokens",
    Task.CAUSAL_LM: "trained_tokens",
}
"""What the targets of a row are called, where it has several."""


def evaluate(run: str | Path, data: str | Path, split: str, *, batch_size: int, device: str) -> dict[str, Any]:
    """Do what `sftdata.training.evaluate` says."""
    record, part = read_run(Path(run)), load_split(data, split)
    refuse_folds(Path(run), record)
    place, names = choose_device(device), record.label_names or ()
    with quiet_transformers():
        check_run(data, split, run, record, find_weights(Path(run), record))
        model, config = load_run(Path(run), record, place)
        examples = Examples(part, pad_id=config.get_text_config().pad_token_id or 0)
        require_targets(examples, f"{data}: the {split} split")
        bf16 = uses_bf16(record.settings.precision, place)
        prepare_packing(model, record.task, bf16=bf16, dense=False)
        outputs = run_model(model, examples, batch_size=batch_size, bf16=bf16)
        scores = score(outputs, names, list_thresholds(record))
        if record.task == Task.SEQ2SEQ:
            scores |= _score_writing(Path(run), model, examples, batch_size=batch_size, bf16=bf16)
    counted = {_COUNTED[record.task]: int(examples.targets.sum())} if record.task in _COUNTED else {}
    baseline = score_baseline(load_split(data, "train"), outputs, names)
    return {"rows": len(examples), **counted, **scores.to_json(), **({"baseline": baseline} if baseline else {})}


def list_thresholds(record: RunRecord) -> NDArray[np.float32] | None:
    """Return the thresholds of a run in the order of its labels, float32; None where it has none of its own."""
    if record.thresholds is None:
        return None
    return np.array([record.thresholds[name] for name in record.label_names or ()], dtype=np.float32)


def _score_writing(run: Path, model: Any, examples: Examples, *, batch_size: int, bf16: bool) -> Scores:
    if not (run / "tokenizer.json").is_file():
        return Scores.make(dict.fromkeys(GENERATED, f"{run} has no tokenizer.json, which decodes what is written"))
    return score_writing(model, load_tokenizer(str(run)), examples, batch_size=batch_size, bf16=bf16)


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
