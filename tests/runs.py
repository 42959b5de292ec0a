"""Directories of training runs, made from code without training anything."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

import sftdata
from sftdata.records import Task
from sftdata.settings.training import TrainSettings
from sftdata.training.run import RunRecord, write_run

DIGEST = "sha256:" + "ab12" * 16


def write_record(directory: Path, task: Task = Task.TEXT_CLASSIFICATION, **others: Any) -> RunRecord:
    """Write `sftdata_run.json` of a finished run, or of what `others` says."""
    names = ("ant", "bee", "cat") if task in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL) else None
    values: dict[str, Any] = {
        "version": sftdata.__version__,
        "status": "finished",
        "task": task,
        "label_names": names,
        "base_model": "models/some",
        "settings": TrainSettings(model="models/some", output_dir=str(directory), epochs=2),
        "data": str(directory / "no-data"),
        "data_digest": DIGEST,
        "tokenizer_digest": DIGEST,
        "steps": 100,
        "best_step": 80,
        "metric": "macro_f1" if task == Task.TEXT_CLASSIFICATION else "loss",
        "seconds": 3723.0,
        "environment": {"device": "CPU", "python": "3.11"},
    }
    record = RunRecord(**(values | others))
    write_run(directory, record)
    return record


def write_journal(directory: Path, steps: int = 100, every: int = 10, **more: float) -> list[dict[str, Any]]:
    """Write `metrics.jsonl`: a falling loss, and an evaluation every 20 steps; return its lines."""
    lines: list[dict[str, Any]] = []
    for step in range(every, steps + 1, every):
        values = {"loss": 4 / step**0.5, "learning_rate": 1e-4, "grad_norm": 1.0, "tokens_per_second": 1500.0}
        lines.append({"part": "train", "step": step, **values, **more})
        if step % 20 == 0:
            scores = {"loss": 5 / step**0.5, "macro_f1": step / 200, "accuracy": step / 150}
            lines.append({"part": "validation", "step": step, **scores})
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def write_evaluation(directory: Path, split: str = "test", digest: str = DIGEST, **others: Any) -> dict[str, Any]:
    """Write what an evaluation of a classifier found, or what `others` says; return it."""
    per_class = {
        name: {"precision": 0.5, "recall": hits / rows, "f1": hits / rows, "rows": rows}
        for name, rows, hits in (("ant", 40, 30), ("bee", 20, 5), ("cat", 10, 10))
    }
    scores = {"rows": 70, "loss": 1.5, "macro_f1": 0.61, "accuracy": 45 / 70, "per_class": per_class}
    scores["baseline"] = {"answer": "ant", "macro_f1": 0.2, "accuracy": 4 / 7}
    found = {
        "version": sftdata.__version__,
        "split": split,
        "data_digest": digest,
        "step": 80,
        "scores": scores,
        "confusions": [[1, 0, 12], [0, 2, 10], [1, 2, 3]],
        "worst": [make_example(number) for number in range(6)],
    } | others
    path = directory / "evaluations" / f"{split}-{digest.removeprefix('sha256:')[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


def make_example(number: int, **others: Any) -> dict[str, Any]:
    """Make one of the worst examples of a classifier; the first has the highest loss, the last is the surest error."""
    values = {
        "row_id": f"aa:{number}",
        "source": "texts.csv",
        "record": str(number),
        "loss": 6.0 - number,
        "targets": 1,
    }
    answer = {"expected": "ant", "predicted": "bee", "confidence": 0.5 + number / 20}
    return values | answer | {"sequences": [make_sequence([2, 20 + number, 30, 3])]} | others


def make_sequence(ids: list[int], losses: list[float | None] | None = None, **others: Any) -> dict[str, Any]:
    """Make the tokens of an example, with losses where they are trained; the model would rather say token 7."""
    stretch: dict[str, Any] = {"start": 0, "ids": ids}
    if losses:
        stretch |= {"losses": losses, "likeliest": [None if loss is None else 7 for loss in losses]}
    return {"name": "tokens", "tokens": len(ids), "stretches": [stretch]} | others


def give_tokenizer(directory: Path, tokenizer: Path) -> tokenizers.Tokenizer:
    """Put a tokenizer into a run; return it."""
    shutil.copy(tokenizer / "tokenizer.json", directory)
    return tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))


def write_large_run(directory: Path, tokenizer: Path) -> None:
    """Write a run of which everything that its report shows is as large as it gets."""
    source, name = np.random.default_rng(0), "a long name of a class, ".ljust(300, "x")
    names = tuple(f"{name}{number}" for number in range(3000))
    write_record(directory, label_names=names, task=Task.TEXT_CLASSIFICATION)
    write_journal(directory, 1000, 1, **{f"loss/source-{number}": number for number in range(40)})
    size = give_tokenizer(directory, tokenizer).get_vocab_size()
    per_class = {one: {"precision": 0.123, "recall": 0.5, "f1": 1 / 3, "roc_auc": 0.7, "rows": 12} for one in names}
    confusions = [[int(of), int(to), 3] for of, to in source.integers(0, 3000, (10_000, 2)) if of != to]
    ids = source.integers(0, size, 400).tolist()
    for number in range(7):
        losses = source.random(400).tolist()
        plain = [make_example(place, sequences=[make_sequence(ids)]) for place in range(40)]
        trained = [make_example(place, sequences=[make_sequence(ids, losses)] * 2) for place in range(12)]
        scores = {"rows": 36_000, "loss": 1.0, "macro_f1": 0.5, "per_class": per_class}
        kinds = {"worst": plain if number % 2 else trained, "doubtful": plain}
        write_evaluation(directory, f"part-{number}", scores=scores, confusions=confusions, **kinds)
