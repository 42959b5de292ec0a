"""What each task adds to the loss: a sum, never a mean of the model's own, so that steps can be normalised exactly."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from sftdata.records import IGNORE_INDEX, Task
from sftdata.training.loader import Batch

Head = Callable[[torch.nn.Module, Batch, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]
"""From a model, a batch and the weights of classes (float32, shape `[classes]`) to (sum of the loss over its targets: a
float32 scalar; logits of its targets: float32, shape `[targets.numel(), choices]`)."""


def classify(model: torch.nn.Module, batch: Batch, weights: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of the class of each example, times the weight of that class."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if len(batch.token_type_ids) and takes(model, "token_type_ids"):
        inputs["token_type_ids"] = batch.token_type_ids
    logits = model(**inputs).logits.float()
    return cross_entropy(logits, batch.targets, weights, reduction="sum"), logits


def predict_tokens(
    model: torch.nn.Module, batch: Batch, weights: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each trained token, given the tokens before it; there are no classes to weigh.

    The LM head runs only on the columns of the batch that predict a trained token, where the model can do that.
    """
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
    if takes(model, "logits_to_keep"):
        logits = model(**inputs, logits_to_keep=batch.positions).logits
    else:
        logits = model(**inputs).logits[:, batch.positions]
    logits = logits.flatten(0, 1).float()
    loss = cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
    return loss, logits


HEADS: dict[Task, Head] = {Task.TEXT_CLASSIFICATION: classify, Task.CAUSAL_LM: predict_tokens}


def takes(model: torch.nn.Module, name: str) -> bool:
    """Tell whether a model, with or without adapters, has an input of this name."""
    return name in _inputs_of(type(_base(model)).forward)


def _base(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model itself, without the adapters of peft around it."""
    inner = getattr(model, "get_base_model", None)
    base: torch.nn.Module = inner() if inner else model
    return base


@cache
def _inputs_of(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)
