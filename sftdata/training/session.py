"""One training run from end to end: check that all fits, load, run the loop, save the best model."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import sftdata
from sftdata.errors import TrainingError
from sftdata.manifest import Manifest, read_manifest
from sftdata.plan import Plan
from sftdata.records import Task
from sftdata.report.run_page import add_run_report
from sftdata.settings.training import TrainSettings
from sftdata.shards.reader import Split, load_split
from sftdata.training.adapters import add_adapters, merge_adapters
from sftdata.training.checkpoint import (
    RunState,
    checkpoint_path,
    list_checkpoints,
    read_state,
    restore_optimizer,
)
from sftdata.training.compilation import explain_failures, require_compiler
from sftdata.training.distributed import Ranks, copy_from_first, first_does, require_agreement
from sftdata.training.environment import describe_environment
from sftdata.training.examples import Examples, require_targets
from sftdata.training.fit import TOKENIZER_NAME
from sftdata.training.folds import find_originals, select_fold
from sftdata.training.freezing import freeze_weights
from sftdata.training.loop import run_steps
from sftdata.training.metrics import choose_metric
from sftdata.training.milestones import is_out_of_patience
from sftdata.training.model_card import write_card
from sftdata.training.models import (
    checkpoint_layers,
    choose_device,
    fit_config,
    identify_model,
    load_weights,
    restore_weights,
    save_final,
    uses_bf16,
)
from sftdata.training.monitor import Monitor
from sftdata.training.noise import add_noise
from sftdata.training.opening import check_datasets, open_config
from sftdata.training.optimization import make_optimizer, phases
from sftdata.training.passes import explain_shortage
from sftdata.training.profiling import check_profile
from sftdata.training.quantization import describe_quantization
from sftdata.training.randomness import seed_generators
from sftdata.training.run import (
    RunRecord,
    TrainResult,
    check_output_dir,
    digest_data,
    open_training,
    plan_run,
    settings_that_matter,
    write_run,
)
from sftdata.training.saving import explain_full_disk, require_checkpoint
from sftdata.training.setup import Setup
from sftdata.training.sharding import find_layers, shard_model
from sftdata.training.watching import Watching

_NO_ROOM = (
    "out of memory beside the passes: weights, gradients and what the optimiser keeps do not fit together. Use lora, a "
    "smaller model, or several GPUs with fsdp: true."
)


def train_together(
    data: Path, settings: TrainSettings, ranks: Ranks, *, resume: bool, watching: Watching
) -> TrainResult:
    """Train as one of the ranks; the first one writes."""
    started = time.monotonic()
    directory, manifest = Path(settings.output_dir), read_manifest(data)
    first_does(ranks, lambda: check_output_dir(directory, resume=resume))
    notes, config = check_datasets(data, settings), open_config(data, settings)
    place = choose_device(settings.device)
    setup = make_setup(data, manifest, settings, config, ranks)
    state = read_newest_state(setup)
    require_agreement(ranks, setup.identity | {"checkpoint": state.step})
    resumed_from = state.step or None
    if watching.profile:
        check_profile(watching.profile, setup.plan.steps - state.step)
    model = _load_model(setup, state, config, manifest, place)
    record = describe_run(data, manifest, settings, setup.identity["data"], ranks)
    first_does(ranks, lambda: write_run(directory, record))
    steps, silent = setup.plan.steps, not ranks.is_first
    with explain_full_disk(directory), Monitor(directory, place, steps, state.step, watching, silent=silent) as monitor:
        monitor.tell("start", state.step, settings.model_dump(mode="json"))
        for note in (*notes, *describe_shards(model, setup)):
            monitor.say(note)
        if resume:
            monitor.say(f"resuming after step {state.step}" if resumed_from else "no checkpoint: starting afresh")
        fit(model, setup, state, monitor)
    result = _describe_result(setup, state, resumed_from, time.monotonic() - started)
    ended = record.model_copy(update={"status": "finished", **describe_outcome(result, setup, state)})

    def end() -> None:
        # No rank has all of a sharded model: the first one saves what stands in the checkpoint.
        whole = build_model(settings, config, manifest, onto=torch.device("cpu")) if setup.is_sharded else model
        finish(whole, setup, state, data / TOKENIZER_NAME, ended, manifest)
        add_run_report(directory)

    first_does(ranks, end)
    monitor.tell("end", state.step, asdict(result))
    return result


def _load_model(setup: Setup, state: RunState, config: Any, manifest: Manifest, place: torch.device) -> torch.nn.Module:
    """Return the model as it stands after the steps of `state`, the same on all ranks, or this rank's part of it."""
    onto = torch.device("cpu") if setup.is_sharded else place
    model = build_model(setup.settings, config, manifest, onto=onto)
    if state.step:
        restore_weights(model, checkpoint_path(setup.directory, state.step), setup.task)
    copy_from_first(setup.ranks, model.parameters())
    if setup.is_sharded:
        shard_model(model, place, setup.ranks, bf16=setup.bf16)
    return model


def _describe_result(setup: Setup, state: RunState, resumed_from: int | None, seconds: float) -> TrainResult:
    return TrainResult(
        output_dir=setup.settings.output_dir,
        steps=state.step,
        best_step=state.best_step or state.step,
        metric=setup.metric if setup.validation else None,
        scores=state.best_scores,
        stopped_early=is_out_of_patience(setup, state),
        resumed_from=resumed_from,
        seconds=seconds,
    )


def describe_shards(model: torch.nn.Module, setup: Setup) -> list[str]:
    """Say what is worth knowing of a model that is to be kept in parts."""
    if setup.settings.fsdp and not setup.is_sharded:
        return ["fsdp: there is one process, which keeps the whole model; start several with torchrun"]
    if setup.is_sharded and not find_layers(model):
        return ["fsdp: the model has no list of layers, so all its weights are gathered at once in each pass"]
    return []


def describe_outcome(result: TrainResult, setup: Setup, state: RunState) -> dict[str, Any]:
    """Return what the record of a run that has ended says beside that of one that begins."""
    thresholds = state.best_thresholds
    return {
        **{name: getattr(result, name) for name in ("steps", "best_step", "metric", "scores", "seconds")},
        "thresholds": thresholds and dict(zip(setup.label_names, thresholds, strict=True)),
        "longest_target": int(setup.examples.targets.max()) if setup.task == Task.SEQ2SEQ else None,
    }


def make_setup(data: Path, manifest: Manifest, settings: TrainSettings, config: Any, ranks: Ranks) -> Setup:
    """Open the data, check that the settings fit it, and plan the run; no weights are loaded yet."""
    pad_id = config.get_text_config().pad_token_id or 0
    splits = open_training(data, settings)
    pin = choose_device(settings.device).type == "cuda"
    examples = Examples(*splits, pad_id=pad_id, pin=pin, by_source=True)
    require_targets(examples, f"{data}: the train split")
    validation = open_validation(data, manifest, settings, pad_id)
    plan = plan_run(splits, settings)
    check_settings(manifest.task, settings, plan)
    return Setup(
        task=manifest.task,
        settings=settings,
        plan=plan,
        examples=examples,
        validation=validation,
        label_names=manifest.label_names or (),
        tokenizer=data / TOKENIZER_NAME,
        metric=choose_metric(manifest.task, settings.metric, manifest.label_names or ()),
        bf16=uses_bf16(settings.precision, choose_device(settings.device)),
        class_weights=find_class_weights(manifest),
        identity=identify(splits, settings, plan),
        ranks=ranks,
    )


def check_settings(task: Task, settings: TrainSettings, plan: Plan) -> None:
    """Refuse settings that do not fit the task, the number of steps or this machine.

    Raises:
        TrainingError: names the first of them.
    """
    if settings.label_smoothing and task == Task.REGRESSION:
        raise TrainingError("train.label_smoothing: a regression task has scores and no labels. Leave it out.")
    phases(plan.steps, settings)
    if settings.compile:
        require_compiler(choose_device(settings.device))


def find_class_weights(manifest: Manifest) -> tuple[float, ...] | None:
    """Return the weight of each class that `prepare` computed, where the recipe wanted any."""
    weights = (manifest.balance or {}).get("weights")
    return tuple(weights[name] for name in manifest.label_names or ()) if weights else None


def open_validation(data: Path, manifest: Manifest, settings: TrainSettings, pad_id: int) -> Examples | None:
    """Open the validation split, if there is one with rows.

    Raises:
        TrainingError: there is none, and the settings need it.
    """
    if settings.fold is not None:
        return open_held(load_split(data, "train"), settings.fold, pad_id)
    if "validation" in manifest.splits and manifest.splits["validation"].rows:
        validation = Examples(load_split(data, "validation"), pad_id=pad_id)
        require_targets(validation, f"{data}: the validation split")
        return validation
    for name in ("metric", "patience"):
        if getattr(settings, name) is not None:
            raise TrainingError(
                f"train.{name} needs a validation split with rows, and {data} has none. "
                f"Set split.validation in the recipe and prepare again, or leave {name} out."
            )
    return None


def open_held(split: Split, fold: int, pad_id: int) -> Examples:
    """Open the rows that a fold holds out, without copies of rows: they would count twice.

    Raises:
        TrainingError: there is no such fold, or only copies are in it.
    """
    _, held = select_fold(split.folds(), fold)
    held = held[find_originals(split)[held]]
    if not len(held):
        raise TrainingError(f"found only copies of rows in fold {fold}, expected rows. Prepare with fewer folds.")
    return Examples(split, pad_id=pad_id).select(held)


def identify(splits: Sequence[Split], settings: TrainSettings, plan: Plan) -> dict[str, Any]:
    """Return what must be the same for a run to be resumed."""
    weights = [*(find_class_weights(splits[0].manifest) or ())]  # a list, for it is compared with what JSON gives back
    manifest, *mixed = (split.manifest for split in splits)
    facts: dict[str, Any] = {"task": manifest.task.value, "model": identify_model(settings.model, manifest.task)}
    facts |= {"data": digest_data(manifest, mixed), "plan": plan.digest, "class_weights": weights}
    return facts | settings_that_matter(settings)


def read_newest_state(setup: Setup) -> RunState:
    """Return where the run stands: at its newest checkpoint, or at the beginning."""
    steps = list_checkpoints(setup.directory)
    return read_state(setup.directory, steps[-1], setup.identity) if steps else RunState()


def build_model(settings: TrainSettings, config: Any, manifest: Manifest, *, onto: torch.device) -> torch.nn.Module:
    """Load the model in float32 onto a device; what is new in it depends on the seed alone."""
    seed_generators(settings.seed)
    fit_config(config, manifest.task, manifest.label_names)
    computes_bf16 = uses_bf16(settings.precision, choose_device(settings.device))
    quantization = describe_quantization(settings, bf16=computes_bf16)
    model = load_weights(settings.model, config, manifest.task, quantization=quantization)
    if settings.gradient_checkpointing:
        checkpoint_layers(model, settings.model)
    freeze_weights(model, settings.freeze)
    if settings.lora:
        model = add_adapters(model, settings.lora, manifest.task)
    return model.to(onto)


def describe_run(data: Path, manifest: Manifest, settings: TrainSettings, digest: str, ranks: Ranks) -> RunRecord:
    """Return the record of a run that begins; `digest` is of all that it learns from."""
    return RunRecord(
        version=sftdata.__version__,
        status="running",
        task=manifest.task,
        label_names=manifest.label_names,
        has_pairs=manifest.has_pairs,
        base_model=settings.model,
        settings=settings,
        data=str(data),
        data_digest=digest,
        tokenizer_digest=manifest.tokenizer.digest,
        environment=describe_environment(choose_device(settings.device), ranks),
    )


def fit(model: torch.nn.Module, setup: Setup, state: RunState, monitor: Monitor) -> None:
    """Go on from `state` to the end of the plan, saying how to resume when the user or the memory ends it."""
    if setup.settings.neftune_noise_alpha:
        add_noise(model, setup.settings.neftune_noise_alpha)
    optimizer = make_optimizer(model, setup.settings)
    if state.step:
        restore_optimizer(setup.directory, state.step, optimizer, setup.ranks)
    elif setup.ranks.count > 1:
        seed_generators(setup.settings.seed, 0, setup.ranks.rank)  # dropout of their own
    try:
        with explain_shortage(_NO_ROOM), explain_failures() if setup.settings.compile else nullcontext():
            run_steps(model, optimizer, setup, state, monitor)
    except KeyboardInterrupt as stop:
        saved = list_checkpoints(setup.directory)
        where = f"goes on after step {saved[-1]}" if saved else "starts from the beginning, as there is no checkpoint"
        stop.add_note(f"stopped after step {state.step}; the same command with --resume {where}")
        monitor.say(stop.__notes__[-1])
        raise


def finish(
    model: torch.nn.Module, setup: Setup, state: RunState, tokenizer: Path, record: RunRecord, manifest: Manifest
) -> None:
    """Save the best weights, or the last where nothing was evaluated, as the model of the run; then say it is done.

    Raises:
        TrainingError: the disk is full; the run can be resumed.
    """
    with explain_full_disk(setup.directory):
        best = state.best_step or state.step
        if best != state.step or setup.is_sharded:
            require_checkpoint(setup.directory, best)
            restore_weights(model, checkpoint_path(setup.directory, best), setup.task)
        if setup.settings.lora and setup.settings.lora.merge:
            model = merge_adapters(model, setup.directory)
        save_final(model, setup.directory, base=setup.settings.model, tokenizer=tokenizer)
        write_card(setup.directory, record, manifest)
        write_run(setup.directory, record)
