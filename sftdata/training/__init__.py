"""Train a model from a prepared dataset, evaluate it, and use it. The only package that imports torch.

The functions load torch when they are called, so that this package can be imported without it.
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from sftdata.errors import TrainingError
from sftdata.manifest import read_manifest
from sftdata.recipe import TRAINED, TrainSettings, refuse_training
from sftdata.training.run import TrainResult

__all__ = ["TrainResult", "evaluate", "predict", "train"]

_NEEDED = ("torch", "transformers", "peft", "safetensors", "tensorboard")


def train(
    data: str | Path, settings: TrainSettings, *, resume: bool = False, progress: bool | None = None
) -> TrainResult:
    """Train a model from the `train` split of a prepared dataset and save it in `settings.output_dir`.

    Args:
        data: the directory that `prepare` wrote.
        settings: paths in it are taken as they are.
        resume: go on from the newest checkpoint in `settings.output_dir`, if there is one.
        progress: show a progress bar (True), nothing (False), or a bar on a terminal and lines elsewhere (None).

    Raises:
        TrainingError: the task, the model, the settings or the run directory do not fit; torch is not installed.
        DataError: the dataset is unfinished, or trains nothing.
        OutputError: `settings.output_dir` holds something else.
    """
    _require_torch()
    if (task := read_manifest(data).task) not in TRAINED:
        raise TrainingError(f"{data}: {refuse_training(task)}")
    from sftdata.training.session import train as run

    return run(data, settings, resume=resume, progress=progress)


def evaluate(
    run: str | Path,
    data: str | Path,
    split: str = "test",
    *,
    batch_size: int = 32,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> dict[str, Any]:
    """Score a finished run on one split of a prepared dataset; the result can be written as JSON.

    text_classification: `rows`, `loss` (nats an example), `accuracy`, `macro_f1`, `baseline` (`label`, the most
    frequent one of the training split, with its `accuracy` and `macro_f1`) and `per_class`. causal_lm: `rows`,
    `trained_tokens`, `loss` (nats a trained token), `perplexity`, `token_accuracy`.

    Raises:
        TrainingError: the run is unfinished or does not fit the dataset; torch is not installed.
        DataError: the dataset is unfinished, has no such split, or the split has no rows.
    """
    _require_torch()
    from sftdata.training.inference import evaluate as run_evaluation

    return run_evaluation(run, data, split, batch_size=batch_size, device=device)


def predict(
    run: str | Path,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None = None,
    *,
    batch_size: int = 32,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    max_new_tokens: int = 64,
) -> list[dict[str, Any]]:
    """Use a finished run on texts; one result a text, in order.

    A run on pairs of texts needs the second ones, `text_pairs`, as many as `texts`.

    text_classification: `text`, `text_pair` for pairs, `label`, `probability`. causal_lm: `text` (one user turn) and
    `response`, decoded greedily, at most `max_new_tokens` tokens.

    Raises:
        TrainingError: the run is unfinished or has no chat template; torch is not installed.
        UsageError: the run wants pairs and gets single texts, or the other way round.
        DataError: a text is longer than the model takes.
    """
    _require_torch()
    from sftdata.training.inference import predict as run_prediction

    return run_prediction(run, texts, text_pairs, batch_size=batch_size, device=device, max_new_tokens=max_new_tokens)


def _require_torch() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise TrainingError(f"training needs {', '.join(missing)}, not installed here: pip install 'sftdata[train]'")
    # Read when torch is first imported: threads that spin while they wait cost a factor of 5 to 10 on busy cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
