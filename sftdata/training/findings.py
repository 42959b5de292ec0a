"""What an evaluation leaves in a run beside its scores: what is taken for what, and the examples that cost most.

`RUN/evaluations/SPLIT-DIGEST.json` is for reports and for programs; the digest is of the data that was evaluated, so
that splits of one name from two datasets stand side by side. No torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sftdata
from sftdata.manifest import Manifest, write_aside
from sftdata.records import Task
from sftdata.training.metrics import Scores
from sftdata.training.run import digest_data

FOLDER = "evaluations"

PAIRS = 10_000
"""Most pairs of classes that are kept of those taken for each other: all of them up to 100 classes."""

_COUNTED = {
    Task.TOKEN_CLASSIFICATION: "words",
    Task.SEQ2SEQ: "trained_tokens",
    Task.CAUSAL_LM: "trained_tokens",
}
"""What the targets of a row are called, where it has several."""


def tell_scores(task: Task, counts: NDArray[np.int64], scores: Scores) -> dict[str, Any]:
    """Return `rows`, how many targets they have where that is another number, and all scores, of JSON's types.

    Args:
        task: of the run.
        counts: targets of each example, shape `[rows]`.
        scores: of them.
    """
    counted = {_COUNTED[task]: int(counts.sum())} if task in _COUNTED else {}
    return {"rows": len(counts), **counted, **scores.to_json()}


def write_findings(run: Path, manifest: Manifest, split: str, found: Mapping[str, Any]) -> None:
    """Write down an evaluation; at any moment the file is whole, or that of the one before it.

    Args:
        run: the directory of the run.
        manifest: of the dataset.
        split: that was evaluated.
        found: `step` (after which the weights were as they were; null of several models), `scores` (as `tell_scores`
            has them; their confusion matrix is left out), `confusions` (`count_confusions`), `worst`
            (`worst.describe_worst`), and what only some evaluations find.
    """
    digest = digest_data(manifest)
    scores = {name: value for name, value in found["scores"].items() if name != "confusion_matrix"}
    told = {"version": sftdata.__version__, "split": split, "data_digest": digest, **found, "scores": scores}
    path = run / FOLDER / f"{split}-{digest.removeprefix('sha256:')[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n")


def count_confusions(task: Task, targets: NDArray[Any], found: NDArray[Any], classes: int) -> list[list[int]] | None:
    """Count how often each class or tag was taken for each other; None for tasks without one answer a target.

    Args:
        task: of the run.
        targets: the places of the classes among their names, shape `[targets]`.
        found: the same as the model has it, or the probabilities of all classes, shape `[targets, classes]`.
        classes: how many there are.

    Returns:
        `[class, taken for, how often]` of at most `PAIRS` pairs, the most frequent first.
    """
    if task not in (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION):
        return None
    taken = found.argmax(axis=1) if found.ndim == 2 else found
    wrong = targets != taken
    pairs, counts = np.unique(targets[wrong].astype(np.int64) * classes + taken[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:PAIRS]
    found_pairs: list[list[int]] = np.stack([pairs // classes, pairs % classes, counts], axis=1)[order].tolist()
    return found_pairs


def read_findings(run: Path) -> list[dict[str, Any]]:
    """Return what the evaluations of a run found, the newest first; a file that is none of ours is passed over."""
    paths = (run / FOLDER).glob("*.json")
    found = [_read(path) for path in sorted(paths, key=lambda path: (-path.stat().st_mtime_ns, path.name))]
    return [one for one in found if one]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("scores"), dict) else {}
