"""The run directory: what a run says about itself, and whose directory it may write to. No torch here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sftdata.errors import OutputError, TrainingError
from sftdata.manifest import Manifest, digest_text, write_aside
from sftdata.recipe import TrainSettings
from sftdata.records import Task

RUN_NAME = "sftdata_run.json"
LOGS_NAME = "logs"


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to.

    Attributes:
        output_dir: where the model is.
        steps: optimiser steps taken, those before a resume included.
        best_step: the step whose weights were saved: the best by `metric`, or the last without a validation split.
        metric: what chose the best step; None without a validation split.
        scores: of the saved weights on the validation split; empty without one.
        stopped_early: whether `patience` ended the run.
        resumed_from: the step that this run went on from; None when it started from the beginning.
        seconds: wall-clock time of this run.
    """

    output_dir: str
    steps: int
    best_step: int
    metric: str | None
    scores: dict[str, float]
    stopped_early: bool
    resumed_from: int | None
    seconds: float


class RunRecord(BaseModel):
    """`sftdata_run.json`: what `evaluate` and `predict` must know about a run."""

    model_config = ConfigDict(frozen=True)

    version: str
    status: Literal["running", "finished"]
    task: Task
    label_names: tuple[str, ...] | None
    has_pairs: bool = False
    base_model: str
    settings: TrainSettings
    data: str
    data_digest: str
    tokenizer_digest: str
    steps: int | None = None
    best_step: int | None = None
    metric: str | None = None
    scores: dict[str, float] = {}


def digest_data(manifest: Manifest) -> str:
    """Digest what a run learns from and is chosen by: the shards of all splits and the label names."""
    shards = {name: [shard.digest for shard in split.shards] for name, split in sorted(manifest.splits.items())}
    return digest_text(json.dumps([shards, manifest.label_names]))


def write_run(directory: Path, record: RunRecord) -> None:
    """Write the record so that at any moment it is whole."""
    text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
    write_aside(directory / RUN_NAME, text)


def read_run(directory: Path) -> RunRecord:
    """Read the record of a finished run.

    Raises:
        TrainingError: no run, a damaged record, or an unfinished run.
    """
    path = directory / RUN_NAME
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"{directory} is not a run: it has no {RUN_NAME}. Run `sftdata train` first.") from None
    except (OSError, ValidationError) as cause:
        first = str(cause).splitlines()[0]
        raise TrainingError(f"{path} cannot be read ({first}). Train again into another directory.") from None
    if record.status != "finished":
        raise TrainingError(f"{directory} holds an unfinished run. Complete it with `sftdata train ... --resume`.")
    return record


def check_output_dir(directory: Path, *, resume: bool) -> None:
    """Refuse a directory that holds something else, or a run that nobody asked to go on with.

    Raises:
        OutputError: a file, or a directory with foreign content.
        TrainingError: a run, and `resume` is off.
    """
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file, expected a directory for the run. Choose another --out.")
    names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    ours = RUN_NAME in names or any(name.startswith("checkpoint-") for name in names)
    if names and not ours:
        found = ", ".join(sorted(names)[:3])
        raise OutputError(
            f"{directory} is not empty and not a run of sftdata: it holds {found}. Choose another --out, or empty it."
        )
    if ours and not resume:
        raise TrainingError(f"{directory} already holds a run. Go on with it by --resume, or choose another --out.")


def settings_that_matter(settings: TrainSettings) -> dict[str, Any]:
    """Return what decides the trained weights; a resumed run must have the same."""
    free = {"output_dir", "model", "device", "eval_batch_size", "save_steps", "keep", "log_steps"}
    return settings.model_dump(mode="json", exclude=free)
