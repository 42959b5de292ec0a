"""What happens at the end of an epoch and when it is time to save: evaluate, note the best, write a checkpoint."""

from dataclasses import replace
from typing import Any

import torch

from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.checkpoint import RunState
from sftdata.training.compilation import run_as_written
from sftdata.training.findings import count_confusions, tell_scores, write_findings
from sftdata.training.generation import write_texts
from sftdata.training.metrics import GENERATED, METRICS, Scores, is_better, score_texts
from sftdata.training.monitor import Monitor
from sftdata.training.passes import explain_shortage
from sftdata.training.saving import CheckpointWriter
from sftdata.training.scoring import Outputs, run_model, score, tune
from sftdata.training.setup import Setup
from sftdata.training.worst import describe_worst

SHOWN = 5
"""Scores that a line shows while a run works; the log has all."""


def is_out_of_patience(setup: Setup, state: RunState) -> bool:
    """Tell whether there were too many evaluations without a better metric."""
    return setup.settings.patience is not None and state.stale >= setup.settings.patience


def _ends_epoch(setup: Setup, step: int) -> bool:
    return setup.plan.ends_epoch(step)


def _saves(setup: Setup, step: int) -> bool:
    every = setup.settings.save_steps
    return step == setup.plan.steps or (step % every == 0 if every else _ends_epoch(setup, step))


def is_milestone(setup: Setup, step: int) -> bool:
    """Tell whether something is due after so many steps."""
    return _ends_epoch(setup, step) or _saves(setup, step)


def pass_milestone(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    setup: Setup,
    state: RunState,
    monitor: Monitor,
    writer: CheckpointWriter,
) -> None:
    """Evaluate at the end of an epoch, and save when it is time to or the weights are the best so far."""
    setup.examples.settle()  # nothing is saved that was learned from a damaged shard
    writer.settle()
    writer.forget_unwritten(state)
    before = replace(state)
    with run_as_written(setup.settings.compile):
        better = _ends_epoch(setup, state.step) and _evaluate(model, setup, state, monitor)
    if better or _saves(setup, state.step) or is_out_of_patience(setup, state):
        writer.save(model, optimizer, state, before)
    monitor.restart_clock()


def _evaluate(model: torch.nn.Module, setup: Setup, state: RunState, monitor: Monitor) -> bool:
    """Score the validation split, all ranks a part of it; `state` notes it if it is the best so far."""
    if setup.validation is None:
        return False
    size = setup.settings.eval_batch_size or 2 * setup.settings.batch_size
    message = f"evaluation after step {state.step}: out of memory with train.eval_batch_size {size}. Set a lower one."
    how: Any = {"batch_size": size, "bf16": setup.bf16}
    with explain_shortage(message):
        outputs = run_model(model, setup.validation, ranks=setup.ranks, **how)
    thresholds, written = tune(outputs), None
    scores = score(outputs, setup.label_names, thresholds)
    if setup.metric in GENERATED:
        tokenizer = load_tokenizer(str(setup.tokenizer))
        references, written = write_texts(model, tokenizer, setup.validation, ranks=setup.ranks, **how)
        scores |= score_texts(references, written)
    better = is_better(setup.metric, scores.value(setup.metric), state.best_value)
    if better:
        state.best_step, state.best_value, state.best_scores = state.step, scores.value(setup.metric), scores.values
        state.best_thresholds = None if thresholds is None else thresholds.tolist()
        with explain_shortage(message):
            worst = describe_worst(
                model, setup.validation, outputs, setup.label_names, thresholds=thresholds, written=written, **how
            )
        _keep(setup, state.step, outputs, scores, worst, monitor)
    state.stale = 0 if better else state.stale + 1
    first = list(dict.fromkeys([setup.metric, *METRICS[setup.task]]))[:SHOWN]
    monitor.evaluation(state.step, scores, first, best=better)
    return better


def _keep(
    setup: Setup, step: int, outputs: Outputs, scores: Scores, worst: list[dict[str, Any]], monitor: Monitor
) -> None:
    """Write down for the report what the best evaluation so far found; a disk that is full costs no more than that."""
    if setup.validation is None or not setup.ranks.is_first:
        return
    told = tell_scores(setup.task, outputs.counts, scores)
    confusions = count_confusions(setup.task, outputs.targets, outputs.found, len(setup.label_names))
    found = {"step": step, "scores": told, "confusions": confusions, "worst": worst}
    split = "validation" if setup.settings.fold is None else "held-out"
    try:
        write_findings(setup.directory, setup.validation.manifest, split, found)
    except OSError as cause:
        monitor.say(f"what the evaluation found was not written for the report: {cause}")
