"""Checkpoints: all that a killed run needs to go on with the very next step, bit by bit.

`checkpoint-STEP` holds the weights as `save_pretrained` writes them (float32), `optimizer.pt` with the optimiser and
the random states, and `state.json`. It is written under another name and renamed, so one that can be seen is whole. The
learning rate is a function of the step and needs no state.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.shards.directory import flush
from sftdata.training.distributed import Ranks
from sftdata.training.models import restore_weights
from sftdata.training.randomness import restore_random_states, seed_generators

_STATE = "state.json"
_OPTIMIZER = "optimizer.pt"


@dataclass
class RunState:
    """Where a run stands.

    Attributes:
        step: optimiser steps taken.
        best_step: the step with the best evaluation; None before the first.
        best_value: its metric.
        best_scores: all its scores.
        best_thresholds: above which a multilabel model gave a label then, in the order of the labels.
        stale: evaluations since then.
    """

    step: int = 0
    best_step: int | None = None
    best_value: float | None = None
    best_scores: dict[str, float] = field(default_factory=dict)
    best_thresholds: list[float] | None = None
    stale: int = 0


def checkpoint_path(directory: Path, step: int) -> Path:
    """Return where the checkpoint of a step stands."""
    return directory / f"checkpoint-{step}"


def list_checkpoints(directory: Path) -> list[int]:
    """Return the steps of all whole checkpoints of a run, ascending."""
    found = [path for path in directory.glob("checkpoint-*") if (path / _STATE).is_file()]
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in found if path.name[11:].isdigit())


def write_checkpoint(
    directory: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    state: RunState,
    identity: dict[str, Any],
    random: Sequence[dict[str, Any]],
    *,
    keep: int,
) -> None:
    """Write `checkpoint-STEP` aside, rename it, and remove all but the newest `keep` and the best.

    Args:
        directory: of the run.
        model: its trainable weights are saved.
        optimizer: its state is saved.
        state: where the run stands.
        identity: what must be the same when the run is resumed.
        random: the random states of each rank.
        keep: newest checkpoints to keep.
    """
    final = checkpoint_path(directory, state.step)
    aside = directory / f".{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    torch.save({"optimizer": optimizer.state_dict(), "random": list(random)}, aside / _OPTIMIZER)
    (aside / _STATE).write_text(json.dumps({"state": asdict(state), "identity": identity}, indent=2), encoding="utf-8")
    flush(aside)
    shutil.rmtree(final, ignore_errors=True)  # a remnant that is not whole
    aside.rename(final)
    for step in list_checkpoints(directory)[:-keep]:
        if step != state.best_step:
            shutil.rmtree(checkpoint_path(directory, step))


def read_state(directory: Path, step: int, identity: dict[str, Any]) -> RunState:
    """Read where a run stood at a checkpoint.

    Raises:
        TrainingError: the checkpoint was made with other settings, data or model; all differences are named.
    """
    path = checkpoint_path(directory, step)
    saved = json.loads((path / _STATE).read_text(encoding="utf-8"))
    differences = _differences(saved["identity"], identity)
    if differences:
        raise TrainingError(
            "\n".join(
                [
                    f"{path} belongs to another run, so it cannot be resumed:",
                    *(f"  {line}" for line in differences),
                    "Give what the run began with, or train into another directory.",
                ]
            )
        )
    return RunState(**saved["state"])


def _differences(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    keys = [key for key in {**saved, **wanted} if saved.get(key) != wanted.get(key)]
    return [f"{key}: the checkpoint has {saved.get(key)!r}, found {wanted.get(key)!r}" for key in keys]


def restore_checkpoint(
    directory: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer, task: Task, ranks: Ranks
) -> None:
    """Bring weights, optimiser and random states back to how they were after `step`.

    On another number of ranks than then, the generators begin anew from the seed, the step and the rank.
    """
    path = checkpoint_path(directory, step)
    restore_weights(model, path, task)
    saved = torch.load(path / _OPTIMIZER, map_location="cpu", weights_only=True)
    optimizer.load_state_dict(saved["optimizer"])
    if len(saved["random"]) == ranks.count:
        restore_random_states(saved["random"][ranks.rank])
    else:
        seed_generators(torch.initial_seed(), step, ranks.rank)
