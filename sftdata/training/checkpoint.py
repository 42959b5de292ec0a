"""Checkpoints: all that a killed run needs to go on with the very next step, bit by bit.

`checkpoint-STEP` holds the weights as `save_pretrained` writes them (float32), `optimizer.pt` with the optimiser and
the random states, and `state.json`. It is written under another name and renamed, so one that can be seen is whole. The
learning rate is a function of the step and needs no state. What the ranks keep in parts is written whole, so a run goes
on with any number of them, sharded or not.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from sftdata.errors import TrainingError
from sftdata.shards.directory import flush
from sftdata.training.adapters import saving_options
from sftdata.training.distributed import Ranks, gather_all
from sftdata.training.randomness import random_states, restore_random_states, seed_generators
from sftdata.training.sharding import gather, is_sharded, take_part

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


@dataclass(frozen=True)
class Snapshot:
    """What training changes, at one moment; empty but in the first rank, which writes.

    Attributes:
        weights: by the names that the model has for them; of one with adapters those that are trained.
        optimizer: its state, as `state_dict` gives it.
        random: the random states of each rank.
    """

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    random: Sequence[dict[str, Any]]


def take_snapshot(model: torch.nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks, *, copy: bool) -> Snapshot:
    """Take what a checkpoint holds; all ranks must, for each may have parts of it.

    Args:
        model: its weights are taken.
        optimizer: its state is taken.
        ranks: of which this is one.
        copy: to the host's memory, so that training may go on; else what is whole stays where it is.
    """
    random, weights = gather_all(ranks, random_states()), _saved_weights(model)
    if not is_sharded(model) and not ranks.is_first:
        return Snapshot({}, {}, random)
    wholes: dict[int, torch.Tensor] = {}

    def take(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in wholes:  # tied weights are one tensor with two names, and must stay so
            whole = gather(value.detach())
            wholes[id(value)] = whole.to("cpu", copy=True) if copy else whole
        return wholes[id(value)] if ranks.is_first else None

    held = optimizer.state_dict()
    states = {place: {name: take(value) for name, value in one.items()} for place, one in held["state"].items()}
    taken = {name: take(weight) for name, weight in weights.items()}
    return Snapshot(taken, {**held, "state": states}, random)


def _saved_weights(model: torch.nn.Module) -> dict[str, Any]:
    weights = model.state_dict(keep_vars=True)
    if not hasattr(model, "peft_config"):
        return weights
    return {name: weight for name, weight in weights.items() if getattr(weight, "requires_grad", False)}


def write_checkpoint(
    directory: Path, model: Any, snapshot: Snapshot, state: RunState, identity: dict[str, Any], *, keep: int
) -> None:
    """Write `checkpoint-STEP` aside, rename it, and remove all but the newest `keep` and the best.

    Args:
        directory: of the run.
        model: knows how its weights are saved.
        snapshot: of it and the optimiser.
        state: where the run stands.
        identity: what must be the same when the run is resumed.
        keep: newest checkpoints to keep.

    Raises:
        OSError: it cannot be written; what was of it is removed.
    """
    final = checkpoint_path(directory, state.step)
    aside = directory / f".{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with told_by_system():
            model.save_pretrained(aside, state_dict=dict(snapshot.weights), **saving_options(model))
            with (aside / _OPTIMIZER).open("wb") as file:
                torch.save({"optimizer": snapshot.optimizer, "random": list(snapshot.random)}, file)
        told = json.dumps({"state": asdict(state), "identity": identity}, indent=2)
        (aside / _STATE).write_text(told, encoding="utf-8")
        flush(aside)
        shutil.rmtree(final, ignore_errors=True)  # a remnant that is not whole
        aside.rename(final)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    for step in list_checkpoints(directory)[:-keep]:
        if step != state.best_step:
            shutil.rmtree(checkpoint_path(directory, step))


@contextmanager
def told_by_system() -> Iterator[None]:
    """Raise what a full disk made libraries say in words of their own as what the system said.

    Raises:
        OSError: safetensors has its number in the text, torch.save raises another error on top of it.
    """
    try:
        yield
    except SafetensorError as failure:
        number = re.search(r"os error (\d+)", str(failure))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
    except RuntimeError as failure:
        if isinstance(failure.__context__, OSError):
            raise failure.__context__ from None
        raise


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


def restore_optimizer(directory: Path, step: int, optimizer: torch.optim.Optimizer, ranks: Ranks) -> None:
    """Bring the optimiser and the random states back to how they were after `step`.

    On another number of ranks than then, the generators begin anew from the seed, the step and the rank.
    """
    path = checkpoint_path(directory, step) / _OPTIMIZER
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for place, state in saved["optimizer"]["state"].items():
        for name, value in state.items():
            part = take_part(value, weights[place]) if value.shape == weights[place].shape else value
            state[name] = part.clone()  # the file may go
    optimizer.load_state_dict(saved["optimizer"])
    if len(saved["random"]) == ranks.count:
        restore_random_states(saved["random"][ranks.rank])
    else:
        seed_generators(torch.initial_seed(), step, ranks.rank)
