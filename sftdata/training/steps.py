"""One optimiser step: forward and backward over its micro-batches, then the update.

The loss of a step is the sum over its targets divided by their number in the whole step, which is known beforehand, so
the gradient is that of a sample-by-sample loop, however the step is cut into micro-batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sftdata.plan import Rows
from sftdata.records import Task
from sftdata.training.batch import Batch
from sftdata.training.distributed import GradientSum
from sftdata.training.heads import HEADS, Loss
from sftdata.training.loader import LoadedStep, Loader
from sftdata.training.monitor import Monitor
from sftdata.training.optimization import clip_gradients
from sftdata.training.passes import NoMemory, explain_pass, repeat_smaller, try_pass
from sftdata.training.setup import Setup
from sftdata.training.sharding import gather, sum_gradients_now
from sftdata.training.sources import SourceLosses


@dataclass(frozen=True)
class Step:
    """One optimiser step that was taken: what it loaded, and values that may still be under way on the device."""

    loaded: LoadedStep
    loss_sum: torch.Tensor
    norm: torch.Tensor


def take_step(
    model: torch.nn.Module,
    optimizer: torch.optim.AdamW,
    setup: Setup,
    loaded: LoadedStep,
    loss: Loss,
    sum_gradients: GradientSum,
    cut_again: Callable[[LoadedStep, Rows], LoadedStep],
    by_source: SourceLosses | None = None,
) -> Step:
    """Take one optimiser step over these micro-batches, and those of the other ranks."""
    model.train()
    noted = by_source.note() if by_source and setup.settings.accumulate == "auto" else None

    def add(loaded: LoadedStep) -> torch.Tensor:
        if by_source and noted is not None:
            by_source.go_back(noted)
        batches, targets = loaded.batches, loaded.targets
        return add_gradients(model, setup.task, batches, targets, loss, bf16=setup.bf16, by_source=by_source)

    loss_sum, loaded = repeat_smaller(add, loaded, cut_again)
    sum_gradients()
    norm = clip_gradients(optimizer, setup.settings.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    return Step(loaded, loss_sum, gather(norm))


def cut_again_smaller(
    optimizer: torch.optim.Optimizer,
    setup: Setup,
    loader: Loader,
    monitor: Monitor,
    loaded: LoadedStep,
    rows: Rows,
) -> LoadedStep:
    """Throw away the gradients of a step of which the pass with these rows does not fit, and cut it smaller."""
    optimizer.zero_grad()
    if setup.settings.accumulate != "auto" or len(rows) == 1:
        raise explain_pass(loaded.step + 1, rows, setup.examples, setup.settings)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    loader.halve()
    again = loader.load(loaded.step)
    most = max(len(batch.rows) for batch in again.batches)
    short = f"step {loaded.step + 1}: out of memory with {len(rows)} examples in a pass"
    monitor.say(f"{short}; from here on at most {most}")
    return again


def add_gradients(
    model: torch.nn.Module,
    task: Task,
    batches: Sequence[Batch],
    targets: int,
    loss: Loss,
    *,
    bf16: bool,
    by_source: SourceLosses | None = None,
) -> torch.Tensor:
    """Add the gradient of the sum of the loss over these micro-batches, divided by `targets`: those of the whole step.

    Weights, of classes, rows and turns, multiply the loss of a target; the mean is still one over targets, so that an
    example counts the same whatever step it falls into. `by_source` adds up the same losses.

    Returns:
        The sum of the loss over the targets: a float32 scalar on the model's device.

    Raises:
        NoMemory: a micro-batch does not fit; gradients of others may be there.
    """
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    for number, batch in enumerate(batches, start=1):
        sum_gradients_now(model, number == len(batches))
        loss_sum = try_pass(_pass, model, task, batch, targets, loss, device, bf16, by_source)
        if loss_sum is None:
            raise NoMemory(batch.rows)
        total += loss_sum
    return total


def _pass(
    model: torch.nn.Module,
    task: Task,
    batch: Batch,
    targets: int,
    loss: Loss,
    device: torch.device,
    bf16: bool,
    by_source: SourceLosses | None,
) -> torch.Tensor:
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        losses, _ = HEADS[task](model, moved := batch.to(device), loss)
    if moved.weights is not None:
        losses = losses * moved.weights
    if by_source is not None and moved.sources is not None:
        by_source.add(losses, moved.sources)
    loss_sum = losses.sum()
    (loss_sum / targets).backward()  # type: ignore[no-untyped-call]
    return loss_sum.detach()
