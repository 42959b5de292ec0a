"""The loop: gather, step, log, evaluate, save. Exact, no waiting for the device between logs."""

from functools import partial
from typing import Any

import numpy as np
import torch

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.training.checkpoint import RunState
from sftdata.training.compilation import compile_layers
from sftdata.training.distributed import GradientSum, add_up
from sftdata.training.flops import pace_steps
from sftdata.training.heads import Loss
from sftdata.training.isolation import prepare_packing
from sftdata.training.loader import Loader
from sftdata.training.milestones import is_milestone, is_out_of_patience, pass_milestone
from sftdata.training.monitor import Monitor
from sftdata.training.optimization import learning_rate, set_learning_rate, trained_weights
from sftdata.training.saving import CheckpointWriter
from sftdata.training.setup import Setup
from sftdata.training.sources import SourceLosses, follow_sources
from sftdata.training.split_head import can_split
from sftdata.training.steps import Step, cut_again_smaller, take_step

PASS_OVERHEAD = 100
"""What a forward and backward pass costs on a CPU beside its tokens, in tokens: all weights are read, all gradients
written. Measured on two cores: 70 for SmolLM2-135M, 130 for MiniLM."""


def run_steps(
    model: torch.nn.Module, optimizer: torch.optim.AdamW, setup: Setup, state: RunState, monitor: Monitor
) -> None:
    """Take all steps of the plan that `state` has not, or as many as patience allows; `state` follows.

    Raises:
        TrainingError: a loss or gradient that is not finite.
    """
    with CheckpointWriter(setup.directory, setup.identity, setup.settings.keep, setup.ranks, monitor.say) as writer:
        if not is_out_of_patience(setup, state):
            _take_steps(model, optimizer, setup, state, monitor, writer)
        writer.settle()


def _take_steps(
    model: torch.nn.Module,
    optimizer: torch.optim.AdamW,
    setup: Setup,
    state: RunState,
    monitor: Monitor,
    writer: CheckpointWriter,
) -> None:
    taken: list[Step] = []
    sum_gradients, loss = GradientSum(setup.ranks, trained_weights(optimizer)), make_loss(model, setup)
    by_source = follow_sources(setup.examples.sources, next(model.parameters()).device, monitor.say)
    loader = make_loader(model, setup, state, monitor)
    pace = pace_steps(model, setup.examples.lengths, setup.ranks.count, bf16=setup.bf16, say=monitor.say)
    if setup.settings.compile:
        compile_layers(model)
    for loaded in loader:
        rate = learning_rate(state.step, setup.plan.steps, setup.settings)
        set_learning_rate(optimizer, rate)
        cut_again = partial(cut_again_smaller, optimizer, setup, loader, monitor)
        taken.append(take_step(model, optimizer, setup, loaded, loss, sum_gradients, cut_again, by_source))
        state.step += 1
        monitor.advance(loaded.tokens, pace(loaded.rows, loaded.targets))
        if state.step % setup.settings.log_steps == 0 or is_milestone(setup, state.step):
            _report(taken, rate, setup, state, monitor, by_source)
            taken = []
        if is_milestone(setup, state.step):
            pass_milestone(model, optimizer, setup, state, monitor, writer)
        if is_out_of_patience(setup, state):
            return


def make_loader(model: torch.nn.Module, setup: Setup, state: RunState, monitor: Monitor) -> Loader:
    """Load what is left of the plan, without padding where the model keeps the examples of a row apart.

    Else they are padded: on a CPU, where a pass costs little, cut so that it costs least.
    """
    on_gpu, packs = next(model.parameters()).device.type != "cpu", setup.plan.capacity is not None
    packed = prepare_packing(model, setup.task, bf16=setup.bf16, dense=on_gpu and packs)
    if packs and setup.task == Task.CAUSAL_LM and not packed:
        monitor.say("the examples of a pack go through the model in rows of like length, as it takes no packs")
    return Loader(
        setup.examples,
        setup.plan,
        batch_size=setup.settings.batch_size,
        packed=packed,
        overhead=None if on_gpu else PASS_OVERHEAD,
        start=state.step,
        rank=setup.ranks.rank,
        ranks=setup.ranks.count,
    )


def make_loss(model: torch.nn.Module, setup: Setup) -> Loss:
    """Bring what the loss needs onto the model's device, once for all steps."""
    weights, device = setup.class_weights, next(model.parameters()).device
    return Loss(
        class_weights=None if weights is None else torch.tensor(weights, device=device),
        label_smoothing=setup.settings.label_smoothing,
        split=setup.task == Task.CAUSAL_LM and can_split(model, bf16=setup.bf16),
    )


def _report(
    taken: list[Step],
    rate: float,
    setup: Setup,
    state: RunState,
    monitor: Monitor,
    by_source: SourceLosses | None,
) -> None:
    """Fetch the values of these steps from the device, check them, and log their mean."""
    losses = add_up(setup.ranks, torch.stack([step.loss_sum for step in taken]))
    values = torch.stack([losses, torch.stack([step.norm for step in taken])], dim=1).double().cpu().numpy()
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        first = int(broken[0])
        raise _not_finite(taken[first], state.step - len(taken) + first + 1, values[first], setup)
    mean = float(values[:, 0].sum()) / sum(step.loaded.targets for step in taken)
    monitor.log(state.step, mean, rate, float(values[-1, 1]), by_source.take(setup.ranks) if by_source else {})


def _not_finite(step: Step, number: int, values: Any, setup: Setup) -> TrainingError:
    names, loss = setup.examples.row_ids(step.loaded.rows), values[0] / step.loaded.targets
    more = f" and {len(names) - 32} more" if len(names) > 32 else ""
    return TrainingError(
        f"step {number}: loss {loss:g}, gradient norm {values[1]:g}; expected finite numbers. "
        f"The step's rows: {', '.join(names[:32])}{more}. Look at them with `sftdata inspect`; if they are sound, "
        "lower learning_rate or max_grad_norm, or use precision: float32."
    )
