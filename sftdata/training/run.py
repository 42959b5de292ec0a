"""The run directory: what a run says about itself, and whose directory it may write to. No torch here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from sftdata.errors import OutputError, TrainingError, UsageError
from sftdata.manifest import Manifest, digest_text, write_aside
from sftdata.plan import Mixture, Plan, make_plan
from sftdata.records import Task
from sftdata.settings.training import MixSettings, TrainSettings
from sftdata.shards.reader import Split, load_split
from sftdata.training.folds import select_fold

RUN_NAME = "sftdata_run.json"
LOGS_NAME = "logs"
PROFILE_NAME = "profile"
IGNORE_NAME = ".gitignore"
EXCERPTS = """\
# These hold excerpts and labels of the data, for people. git leaves them alone, and so does huggingface_hub's
# upload_folder into the root of a repository. Take a line away to publish what it names.
report.html
evaluations/
out_of_fold.parquet
label_errors.jsonl
"""
"""What a run tells git: patterns without a slash in front hold for the runs of folds, too."""


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
        deviations: of a cross-validation the standard deviations over the folds, whose means are `scores`; else empty.
    """

    output_dir: str
    steps: int
    best_step: int
    metric: str | None
    scores: dict[str, float]
    stopped_early: bool
    resumed_from: int | None
    seconds: float
    deviations: dict[str, float] = field(default_factory=dict)


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
    thresholds: dict[str, float] | None = None
    """Above which a multilabel model gives a label: tuned on the validation split; 0.5 for all where it is null."""
    folds: int | None = None
    """Of a cross-validation: how many runs stand in it, `fold-0` and so on, whose models answer together."""
    longest_target: int | None = None
    """Tokens of the longest target that a seq2seq model was trained on."""
    seconds: float | None = None
    """Wall-clock time of the last session, which is the whole run where it was never resumed."""
    environment: dict[str, str] = {}
    """Versions, device and number of processes, for people."""


def digest_data(manifest: Manifest, more: Sequence[Manifest] = ()) -> str:
    """Digest what a run learns from and is chosen by: the shards of all splits and the label names.

    Of datasets that are mixed in (`more`) the training part counts.
    """
    shards = {name: [shard.digest for shard in split.shards] for name, split in sorted(manifest.splits.items())}
    mixed = [[shard.digest for shard in other.splits["train"].shards] for other in more]
    return digest_text(json.dumps([shards, manifest.label_names, *mixed]))


def open_training(data: str | Path, settings: TrainSettings) -> tuple[Split, ...]:
    """Open the training part of a dataset, and those of the datasets that are mixed in.

    Raises:
        TrainingError: a dataset does not go together with the first; all differences are named.
        VerificationError: a dataset is unfinished, or has no training part.
    """
    others = settings.mix.datasets if settings.mix else ()
    splits = (load_split(data), *(load_split(other.data) for other in others))
    faults = [fault for split in splits[1:] for fault in _differences(splits[0], split)]
    if faults:
        raise TrainingError(
            "\n".join([f"train.mix: these do not go together with {data}:", *(f"  {fault}" for fault in faults)])
        )
    return splits


def _differences(first: Split, other: Split) -> list[str]:
    found, expected = _describe(other.manifest), _describe(first.manifest)
    return [
        f"{other.directory}: {name} {found[name]}, expected {expected[name]}"
        for name in found
        if found[name] != expected[name]
    ]


def _describe(manifest: Manifest) -> dict[str, Any]:
    return {
        "task": manifest.task.value,
        "tokenizer": manifest.tokenizer.digest,
        "chat template": manifest.chat_template_digest,
        "label names": manifest.label_names,
        "pairs of texts": manifest.has_pairs,
    }


def plan_run(splits: Sequence[Split], settings: TrainSettings) -> Plan:
    """Plan the steps of a run over these splits.

    Raises:
        TrainingError: an example does not fit into a pack, or a split has no examples.
    """
    empty = [str(split.directory) for split in splits if not len(split)]
    if empty:
        raise TrainingError(f"the train split of {', '.join(empty)} has no rows")
    lengths = np.concatenate([split.lengths() for split in splits])
    rows = None
    if settings.fold is not None:
        if settings.mix:
            raise TrainingError("train.mix: found it in a run over folds, which are of one dataset. Leave mix out.")
        rows, _ = select_fold(splits[0].folds(), settings.fold)
    longest = int(lengths.max())
    if settings.pack is not None and longest > settings.pack:
        raise TrainingError(
            f"train.pack: found {settings.pack}, but the longest example has {longest} tokens, and no example is cut. "
            f"Set pack to {longest} or more, or tokenize.max_length to {settings.pack} and prepare again."
        )
    return make_plan(
        lengths,
        seed=settings.seed,
        step_size=settings.step_size,
        epochs=settings.epochs,
        max_steps=settings.max_steps,
        capacity=settings.pack,
        rows=rows,
        mixture=_mixture(splits, settings.mix),
    )


def _mixture(splits: Sequence[Split], mix: MixSettings | None) -> Mixture | None:
    if mix is None:
        return None
    weights = (mix.weight, *(other.weight for other in mix.datasets))
    return Mixture(sizes=tuple(map(len, splits)), weights=weights, by=mix.by, repeat=mix.repeat)


def write_run(directory: Path, record: RunRecord) -> None:
    """Write the record so that at any moment it is whole; with the first one, what is not to be published."""
    text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / RUN_NAME).exists() and not (directory / IGNORE_NAME).exists():
        write_aside(directory / IGNORE_NAME, EXCERPTS)
    write_aside(directory / RUN_NAME, text)


def read_record(directory: Path) -> RunRecord:
    """Read the record of a run, finished or not.

    Raises:
        TrainingError: no run, or a damaged record.
    """
    path = directory / RUN_NAME
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"{directory} is not a run: it has no {RUN_NAME}. Run `sftdata train` first.") from None
    except (OSError, ValidationError) as cause:
        first = str(cause).splitlines()[0]
        raise TrainingError(f"{path} cannot be read ({first}). Train again into another directory.") from None


def read_run(directory: Path) -> RunRecord:
    """Read the record of a finished run.

    Raises:
        TrainingError: no run, a damaged record, or an unfinished run.
    """
    record = read_record(directory)
    if record.status != "finished":
        raise TrainingError(f"{directory} holds an unfinished run. Complete it with `sftdata train ... --resume`.")
    return record


def fold_path(directory: str | Path, number: int) -> Path:
    """Return where the run of a fold stands in a cross-validation."""
    return Path(directory) / f"fold-{number}"


def refuse_folds(directory: Path, record: RunRecord) -> None:
    """Refuse a cross-validation where one model, or one order of rows, is wanted.

    Raises:
        UsageError: naming what to take instead.
    """
    if record.folds is not None:
        what = f"{directory} is a cross-validation of {record.folds} folds"
        raise UsageError(f"{what}. Name one of its runs: {fold_path(directory, 0)}")


def check_output_dir(directory: Path, *, resume: bool) -> None:
    """Refuse a directory that holds something else, or a run that nobody asked to go on with.

    Raises:
        OutputError: a file, or a directory with foreign content.
        TrainingError: a run, and `resume` is off.
    """
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file, expected a directory for the run. Choose another --out.")
    names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    names.discard(IGNORE_NAME)  # keeps an empty folder in git, or is all that a killed run has written
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
    free |= {"compile", "callback"}
    free |= {"batch_size", "accumulate", "fsdp", "mix"}  # the plan has the product of the first two, and the weights
    return settings.model_dump(mode="json", exclude={**dict.fromkeys(free, True), "lora": {"merge"}})
