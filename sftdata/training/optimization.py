"""The optimiser, and the learning rate as a pure function of the step: nothing of it needs to be saved."""

import math

import torch
from torch.distributed.tensor import DTensor

from sftdata.errors import TrainingError
from sftdata.settings.training import TrainSettings


def make_optimizer(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """Make AdamW over the trainable weights; vectors (biases, norms) do not decay, embeddings do as all matrices."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (settings.adam_beta1, settings.adam_beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=settings.adam_epsilon, fused=True)


def trained_weights(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """Return what an optimiser updates."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def clip_gradients(optimizer: torch.optim.AdamW, most: float) -> torch.Tensor:
    """Limit the norm of all gradients together to `most` in the optimiser's next step; return what it is.

    As `torch.nn.utils.clip_grad_norm_`, but the gradients stay as they are until AdamW's fused kernel reads and divides
    them, which spares a pass over all of them. It can do that for mixed precision's sake, though not for sharded
    weights, whose gradients are scaled at once.

    Returns:
        The norm: a float32 scalar on the gradients' device, sharded where they are.
    """
    weights = trained_weights(optimizer)
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if isinstance(norm, DTensor):
        torch.nn.utils.clip_grads_with_norm_(weights, most, norm)
    else:
        optimizer.grad_scale = ((norm + 1e-6) / most).clamp(min=1.0)  # type: ignore[attr-defined]
    return norm


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all weights."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the learning rate of a step, counted from 0.

    It is above zero in every step, highest as the warm-up ends, and would reach `min_learning_rate` in the step behind
    the last.
    """
    rising, falling = phases(steps, settings)
    if step < rising:
        return settings.learning_rate * (step + 1) / rising
    done = max(step - (steps - falling), 0) / falling if falling else 0.0
    share = (1 + math.cos(math.pi * done)) / 2 if settings.schedule == "cosine" else 1 - done
    return settings.min_learning_rate + (settings.learning_rate - settings.min_learning_rate) * share


def phases(steps: int, settings: TrainSettings) -> tuple[int, int]:
    """Return in how many steps of a run the learning rate rises, and in how many at the end it falls.

    `wsd` stays at the highest rate between the two, and falls along a line (Hu et al. 2024, MiniCPM, section 4).

    Raises:
        TrainingError: the run has fewer steps than these.
    """
    rising = _count(settings.warmup, steps)
    rest = steps - rising
    falling = {"constant": 0, "wsd": _count(settings.cooldown, steps)}.get(settings.schedule, rest)
    if isinstance(settings.cooldown, float):
        falling = min(falling, rest)  # shares are rounded up
    if rest < 0 or falling > rest:
        cooldown = f" and train.cooldown {settings.cooldown}" if settings.schedule == "wsd" else ""
        raise TrainingError(
            f"found train.warmup {settings.warmup}{cooldown}, but the run has {steps} steps in all. "
            "Give fewer steps, or shares such as 0.1."
        )
    return rising, falling


def _count(given: float | int, steps: int) -> int:
    return math.ceil(given * steps) if isinstance(given, float) else given
