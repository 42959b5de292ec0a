"""What each target adds to the loss: never a mean of the model's own, so that steps can be normalised exactly."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from sftdata.records import IGNORE_INDEX, Task
from sftdata.training.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How the losses of targets are computed; the default is what evaluations take.

    Attributes:
        class_weights: what the loss of each class or tag is multiplied by: float32, shape `[classes]`, on the model's
            device. Scores, texts and several labels a row have none.
        label_smoothing: share of the target that is spread over all choices (Szegedy et al. 2016); scores have none.
    """

    class_weights: torch.Tensor | None = None
    label_smoothing: float = 0.0


Head = Callable[[torch.nn.Module, Batch, Loss], tuple[torch.Tensor, torch.Tensor]]
"""From a model, a batch and how to compute the loss to (the loss of each target, 0 where there is none: float32, shape
`[targets.numel()]`, of several labels a row their mean, `[lines]`; logits of the targets: float32, shape
`[targets.numel(), choices]`, or that of float targets)."""


def classify(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of the class of each example, times the weight of that class."""
    logits = model(**_inputs(model, batch)).logits.float()
    return _cross_entropy(logits, batch, loss), logits


def label(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary cross entropy of each class, its mean over the classes of an example."""
    logits = model(**_inputs(model, batch)).logits.float()
    if not len(batch.rows):
        return logits.sum(dim=1) * 0, logits[:0]
    wanted = batch.targets * (1 - loss.label_smoothing) + loss.label_smoothing / 2
    return binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1), logits


def grade(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error of the score of each example."""
    found = model(**_inputs(model, batch)).logits.float().squeeze(-1)
    if not len(batch.rows):
        return found * 0, found[:0]
    return mse_loss(found, batch.targets, reduction="none"), found


def tag(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of the label of each labelled token, times the weight of that label."""
    logits = model(**_inputs(model, batch)).logits[:, batch.positions].flatten(0, 1).float()
    return _cross_entropy(logits, batch, loss), logits


def translate(model: Any, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each token of the target, given the source and the tokens before it."""
    base = _base(model)
    before: Any = base.prepare_decoder_input_ids_from_labels(labels=batch.targets)  # type: ignore[operator]
    logits = model(**_inputs(model, batch), decoder_input_ids=before, use_cache=False).logits.flatten(0, 1).float()
    return _cross_entropy(logits, batch, loss), logits


def predict_tokens(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each trained token, given the tokens before it; there are no classes to weigh.

    The LM head runs only on the columns of the batch that predict a trained token, where the model can do that.
    """
    inputs = _inputs(model, batch) | {"use_cache": False}
    if takes(model, "logits_to_keep"):
        logits = model(**inputs, logits_to_keep=batch.positions).logits
    else:
        logits = model(**inputs).logits[:, batch.positions]
    logits = logits.flatten(0, 1).float()
    return _cross_entropy(logits, batch, loss), logits


def _cross_entropy(logits: torch.Tensor, batch: Batch, loss: Loss) -> torch.Tensor:
    return cross_entropy(
        logits,
        batch.targets.flatten(),
        loss.class_weights,
        ignore_index=IGNORE_INDEX,
        reduction="none",
        label_smoothing=loss.label_smoothing,
    )


HEADS: dict[Task, Head] = {
    Task.TEXT_CLASSIFICATION: classify,
    Task.MULTILABEL: label,
    Task.REGRESSION: grade,
    Task.TOKEN_CLASSIFICATION: tag,
    Task.SEQ2SEQ: translate,
    Task.CAUSAL_LM: predict_tokens,
}


def takes(model: torch.nn.Module, name: str) -> bool:
    """Tell whether a model, with or without adapters, has an input of this name."""
    return name in _inputs_of(type(_base(model)).forward)


def _inputs(model: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    inputs = {"input_ids": batch.input_ids}
    if batch.attention_mask is not None:
        inputs["attention_mask"] = batch.attention_mask
    if batch.position_ids is not None:
        inputs["position_ids"] = batch.position_ids
    if batch.token_type_ids is not None and takes(model, "token_type_ids"):
        inputs["token_type_ids"] = batch.token_type_ids
    return inputs


def _base(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model itself, without the adapters of peft around it."""
    inner = getattr(model, "get_base_model", None)
    base: torch.nn.Module = inner() if inner else model
    return base


@cache
def _inputs_of(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)
