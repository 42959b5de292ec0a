"""The loop: gather, forward, backward, step; log, evaluate, save. Exact, no waiting for the device between logs.

The loss of a step is the sum over its targets divided by their number in the whole step, which is known beforehand, so
the gradient is that of a sample-by-sample loop, however the step is cut into micro-batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sftdata.errors import TrainingError
from sftdata.plan import Plan
from sftdata.records import Task
from sftdata.settings.training import TrainSettings
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.batch import Batch
from sftdata.training.checkpoint import RunState, write_checkpoint
from sftdata.training.distributed import GradientSum, Ranks, add_up, first_does, gather_all
from sftdata.training.examples import Examples
from sftdata.training.generation import score_writing
from sftdata.training.heads import HEADS, Loss
from sftdata.training.isolation import can_pack
from sftdata.training.loader import LoadedStep, Loader
from sftdata.training.metrics import GENERATED, METRICS, is_better
from sftdata.training.monitor import Monitor
from sftdata.training.optimization import learning_rate, set_learning_rate
from sftdata.training.randomness import random_states
from sftdata.training.scoring import run_model, score, tune

SHOWN = 5
"""Scores that a line shows while a run works; the log has all."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What stays the same during a run.

    Attributes:
        task: decides the head.
        settings: of the run.
        plan: the order of examples.
        examples: the training split.
        validation: the validation split, if there is one.
        label_names: of classes, labels or tags; none for other tasks.
        tokenizer: the directory of the tokenizer that made the data.
        metric: chooses the best checkpoint.
        bf16: compute in bfloat16, with float32 weights.
        class_weights: what the loss of an example of each class is multiplied by; None weighs all alike.
        identity: what must be the same when the run is resumed.
        ranks: the processes that share the run.
    """

    task: Task
    settings: TrainSettings
    plan: Plan
    examples: Examples
    validation: Examples | None
    label_names: tuple[str, ...]
    tokenizer: Path
    metric: str
    bf16: bool
    class_weights: tuple[float, ...] | None
    identity: dict[str, Any]
    ranks: Ranks

    @property
    def directory(self) -> Path:
        """Where the run writes."""
        return Path(self.settings.output_dir)


@dataclass(frozen=True)
class Step:
    """One optimiser step that was taken: what it loaded, and values that may still be under way on the device."""

    loaded: LoadedStep
    loss_sum: torch.Tensor
    norm: torch.Tensor


def run_steps(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, setup: Setup, state: RunState, monitor: Monitor
) -> None:
    """Take all steps of the plan that `state` has not, or as many as patience allows; `state` follows.

    Raises:
        TrainingError: a loss or gradient that is not finite.
    """
    taken: list[Step] = []
    if is_out_of_patience(setup, state):
        return
    sum_gradients, loss = GradientSum(setup.ranks, _trained_weights(optimizer)), make_loss(model, setup)
    for loaded in make_loader(model, setup, state, monitor):
        rate = learning_rate(state.step, setup.plan.steps, setup.settings)
        set_learning_rate(optimizer, rate)
        taken.append(take_step(model, optimizer, setup, loaded, loss, sum_gradients))
        state.step += 1
        monitor.advance(loaded.tokens)
        if state.step % setup.settings.log_steps == 0 or _is_milestone(setup, state.step):
            _report(taken, rate, setup, state, monitor)
            taken = []
        if _is_milestone(setup, state.step):
            _pass_milestone(model, optimizer, setup, state, monitor)
        if is_out_of_patience(setup, state):
            return


def make_loader(model: torch.nn.Module, setup: Setup, state: RunState, monitor: Monitor) -> Loader:
    """Load what is left of the plan, as packs where the model keeps their examples apart and that is faster.

    On a CPU it is not: attention over a whole pack is dense there, and rows of like length hardly padded.
    """
    on_gpu = next(model.parameters()).device.type != "cpu"
    wanted = setup.plan.capacity is not None and setup.task == Task.CAUSAL_LM and on_gpu
    packed = wanted and can_pack(model)
    if wanted and not packed:
        monitor.say("the examples of a pack go through the model in rows of like length, as it takes no packs")
    return Loader(
        setup.examples,
        setup.plan,
        batch_size=setup.settings.batch_size,
        packed=packed,
        start=state.step,
        rank=setup.ranks.rank,
        ranks=setup.ranks.count,
    )


def make_loss(model: torch.nn.Module, setup: Setup) -> Loss:
    """Bring what the loss needs onto the model's device, once for all steps."""
    weights, device = setup.class_weights, next(model.parameters()).device
    return Loss(class_weights=None if weights is None else torch.tensor(weights, device=device))


def _trained_weights(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def take_step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    setup: Setup,
    loaded: LoadedStep,
    loss: Loss,
    sum_gradients: GradientSum,
) -> Step:
    """Take one optimiser step over these micro-batches, and those of the other ranks."""
    model.train()
    loss_sum = add_gradients(model, setup.task, loaded.batches, loaded.targets, loss, bf16=setup.bf16)
    sum_gradients()
    norm = torch.nn.utils.clip_grad_norm_(_trained_weights(optimizer), setup.settings.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    return Step(loaded, loss_sum, norm)


def add_gradients(
    model: torch.nn.Module,
    task: Task,
    batches: Sequence[Batch],
    targets: int,
    loss: Loss,
    *,
    bf16: bool,
) -> torch.Tensor:
    """Add the gradient of the sum of the loss over these micro-batches, divided by `targets`: those of the whole step.

    Weights multiply the loss of a target; the mean is still one over targets, so that an example counts the same
    whatever step it falls into.

    Returns:
        The sum of the loss over the targets: a float32 scalar on the model's device.
    """
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            losses, _ = HEADS[task](model, batch.to(device), loss)
        loss_sum = losses.sum()
        (loss_sum / targets).backward()  # type: ignore[no-untyped-call]
        total += loss_sum.detach()
    return total


def is_out_of_patience(setup: Setup, state: RunState) -> bool:
    """Tell whether there were too many evaluations without a better metric."""
    return setup.settings.patience is not None and state.stale >= setup.settings.patience


def _ends_epoch(setup: Setup, step: int) -> bool:
    return setup.plan.ends_epoch(step)


def _saves(setup: Setup, step: int) -> bool:
    every = setup.settings.save_steps
    return step == setup.plan.steps or (step % every == 0 if every else _ends_epoch(setup, step))


def _is_milestone(setup: Setup, step: int) -> bool:
    return _ends_epoch(setup, step) or _saves(setup, step)


def _pass_milestone(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, setup: Setup, state: RunState, monitor: Monitor
) -> None:
    """Evaluate at the end of an epoch, and save when it is time to or the weights are the best so far."""
    setup.examples.settle()  # nothing is saved that was learned from a damaged shard
    better = _ends_epoch(setup, state.step) and _evaluate_once(model, setup, state, monitor)
    if better or _saves(setup, state.step) or is_out_of_patience(setup, state):
        random, keep = gather_all(setup.ranks, random_states()), setup.settings.keep
        first_does(
            setup.ranks,
            lambda: write_checkpoint(setup.directory, model, optimizer, state, setup.identity, random, keep=keep),
        )
    monitor.restart_clock()


def _evaluate_once(model: torch.nn.Module, setup: Setup, state: RunState, monitor: Monitor) -> bool:
    """Score the validation split in the first process; all of them learn what came of it."""
    better, noted = first_does(setup.ranks, lambda: (_evaluate(model, setup, state, monitor), vars(state)))
    vars(state).update(noted)
    return better


def _evaluate(model: torch.nn.Module, setup: Setup, state: RunState, monitor: Monitor) -> bool:
    """Score the validation split; `state` notes it if it is the best so far."""
    if setup.validation is None:
        return False
    size = setup.settings.eval_batch_size or 2 * setup.settings.batch_size
    outputs = run_model(model, setup.validation, batch_size=size, bf16=setup.bf16)
    thresholds = tune(outputs)
    scores = score(outputs, setup.label_names, thresholds)
    if setup.metric in GENERATED:
        tokenizer = load_tokenizer(str(setup.tokenizer))
        scores |= score_writing(model, tokenizer, setup.validation, batch_size=size, bf16=setup.bf16)
    better = is_better(setup.metric, scores.value(setup.metric), state.best_value)
    if better:
        state.best_step, state.best_value, state.best_scores = state.step, scores.value(setup.metric), scores.values
        state.best_thresholds = None if thresholds is None else thresholds.tolist()
    state.stale = 0 if better else state.stale + 1
    first = list(dict.fromkeys([setup.metric, *METRICS[setup.task]]))[:SHOWN]
    monitor.evaluation(state.step, scores, first, best=better)
    return better


def _report(taken: list[Step], rate: float, setup: Setup, state: RunState, monitor: Monitor) -> None:
    """Fetch the values of these steps from the device, check them, and log their mean."""
    losses = add_up(setup.ranks, torch.stack([step.loss_sum for step in taken]))
    values = torch.stack([losses, torch.stack([step.norm for step in taken])], dim=1).double().cpu().numpy()
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        first = int(broken[0])
        raise _not_finite(taken[first], state.step - len(taken) + first + 1, values[first], setup)
    mean = float(values[:, 0].sum()) / sum(step.loaded.targets for step in taken)
    monitor.log(state.step, mean, rate, float(values[-1, 1]))


def _not_finite(step: Step, number: int, values: Any, setup: Setup) -> TrainingError:
    names, loss = setup.examples.row_ids(step.loaded.rows), values[0] / step.loaded.targets
    more = f" and {len(names) - 32} more" if len(names) > 32 else ""
    return TrainingError(
        f"step {number}: loss {loss:g}, gradient norm {values[1]:g}; expected finite numbers. "
        f"The step's rows: {', '.join(names[:32])}{more}. Look at them with `sftdata inspect`; if they are sound, "
        "lower learning_rate or max_grad_norm, or use precision: float32."
    )
