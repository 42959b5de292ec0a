"""What each target adds to the loss: never a mean of the model's own, so that steps can be normalised exactly."""

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from sftdata.records import IGNORE_INDEX, Task
from sftdata.training.attention import NAME, attention_of
from sftdata.training.batch import Batch
from sftdata.training.pooling import pool_first_tokens
from sftdata.training.positions import first_position
from sftdata.training.token_loss import token_losses


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How the losses of targets are computed; the default is what evaluations take.

    Attributes:
        class_weights: what the loss of each class or tag is multiplied by: float32, shape `[classes]`, on the model's
            device. Scores, texts and several labels a row have none.
        label_smoothing: share of the target that is spread over all choices (Szegedy et al. 2016); scores have none.
        split: a causal language model has a head that can run on its own: `split_head.can_split`.
    """

    class_weights: torch.Tensor | None = None
    label_smoothing: float = 0.0
    split: bool = False


Head = Callable[[torch.nn.Module, Batch, Loss], tuple[torch.Tensor, torch.Tensor]]
"""From a model, a batch and how to compute the loss to (the loss of each target, 0 where there is none: float32, shape
`[targets.numel()]`, of several labels a row their mean, `[lines]`; logits of the targets: float32, shape
`[targets.numel(), choices]`, or that of float targets). With `split` there are no logits: where no gradient is wanted
the likeliest token of each target, `[targets.numel()]`, int64; and what may be differentiated is the sum of the losses
times the batch's weights, times anything."""


def classify(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of the class of each example, times the weight of that class."""
    logits = answer(model, batch).float()
    return _cross_entropy(logits, batch, loss), logits


def label(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary cross entropy of each class, its mean over the classes of an example."""
    logits = answer(model, batch).float()
    if not len(batch.rows):
        return logits.sum(dim=1) * 0, logits[:0]
    wanted = batch.targets * (1 - loss.label_smoothing) + loss.label_smoothing / 2
    return binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1), logits


def grade(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error of the score of each example."""
    found = answer(model, batch).float().squeeze(-1)
    if not len(batch.rows):
        return found * 0, found[:0]
    return mse_loss(found, batch.targets, reduction="none"), found


def tag(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of the label of each labelled token, times the weight of that label."""
    logits = model(**inputs_of(model, batch)).logits[:, batch.positions].flatten(0, 1).float()
    return _cross_entropy(logits, batch, loss), logits


def translate(model: Any, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each token of the target, given the source and the tokens before it."""
    base = base_of(model)
    before: Any = base.prepare_decoder_input_ids_from_labels(labels=batch.targets)  # type: ignore[operator]
    logits = model(**inputs_of(model, batch), decoder_input_ids=before).logits.flatten(0, 1).float()
    return _cross_entropy(logits, batch, loss), logits


def predict_tokens(model: torch.nn.Module, batch: Batch, loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of each trained token, given the tokens before it; there are no classes to weigh.

    The LM head runs only on the columns of the batch that predict a trained token, where the model can do that.
    """
    inputs = inputs_of(model, batch)
    if loss.split:
        hidden = hidden_states(model, batch)[:, batch.positions].flatten(0, 1)
        head, smoothing = base_of(model).get_output_embeddings(), loss.label_smoothing  # type: ignore[operator]
        return token_losses(hidden, head, batch.targets.flatten(), weights=batch.weights, label_smoothing=smoothing)
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
    return name in _names_of(type(base_of(model)).forward)


def inputs_of(model: torch.nn.Module, batch: Batch) -> dict[str, Any]:
    """Return what a model is called with."""
    inputs: dict[str, Any] = {"input_ids": batch.input_ids}
    if batch.attention_mask is not None:
        inputs["attention_mask"] = batch.attention_mask
    if batch.position_ids is not None:
        inputs["position_ids"] = batch.position_ids + first_position(getattr(base_of(model), "config", None))
    if batch.cu_seqlens is not None and attention_of(base_of(model)) == NAME:
        ends = batch.cu_seqlens
        inputs |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends}
        inputs |= {"max_length_q": batch.longest, "max_length_k": batch.longest}
    if batch.token_type_ids is not None and takes(model, "token_type_ids"):
        inputs["token_type_ids"] = batch.token_type_ids
    if takes(model, "use_cache"):
        inputs["use_cache"] = False
    return inputs


def answer(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the logits of a model with one answer an example, shape `[examples, choices]`."""
    with pool_first_tokens(base_of(model), batch) if batch.cu_seqlens is not None else nullcontext():
        found: torch.Tensor = model(**inputs_of(model, batch)).logits
    return found


def hidden_states(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return what the LM head of a causal language model takes, shape `[lines, width, size]`."""
    body: Any = base_of(model).base_model
    found: torch.Tensor = body(**inputs_of(model, batch)).last_hidden_state
    return found


def base_of(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model itself, without the adapters of peft around it."""
    inner = getattr(model, "get_base_model", None)
    base: torch.nn.Module = inner() if inner else model
    return base


@cache
def _names_of(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)
