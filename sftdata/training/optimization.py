"""The optimiser, and the learning rate as a pure function of the step: nothing of it needs to be saved."""

import math
from typing import Literal

import torch

from sftdata.settings.training import TrainSettings


def make_optimizer(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """Make AdamW over the trainable weights; vectors (biases, norms) do not decay."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all weights."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the learning rate of a step, counted from 0: above zero in every step, highest as the warm-up ends."""
    return settings.learning_rate * schedule(step, steps, settings.warmup, settings.schedule)


def schedule(step: int, steps: int, warmup: float, kind: Literal["linear", "cosine"]) -> float:
    """Return the share of the highest learning rate for a step, counted from 0."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / (steps - rising)
    return 1 - done if kind == "linear" else (1 + math.cos(math.pi * done)) / 2
