"""Whether a model keeps apart the examples that share a row."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sftdata.plan import Rows
from sftdata.records import Task
from sftdata.training.attention import NAME, attention_of, set_attention, use_packed_attention
from sftdata.training.batch import Batch
from sftdata.training.examples import TOKEN_TASKS
from sftdata.training.heads import answer, base_of, inputs_of, takes
from sftdata.training.sharding import without_gradients

_LENGTHS = [5, 1, 9, 2]
"""Of the examples that try a model: of several lengths, one of a single token among them."""

_TOLERANCES = {False: 1e-3, True: 0.15}
"""Of the logits' spread, without and with bfloat16. Rounding stays far below it, a token that sees another example far
above: on SmolLM2 and MiniLM they are 1e-6 and 0.02 for rounding, and more than 1 for another example."""


def prepare_packing(model: torch.nn.Module, task: Task, *, bf16: bool, dense: bool) -> bool:
    """Let a model attend within the examples of a row, if it can, and tell whether it does.

    Our own attention is tried first. One that sees a mask over the whole row will do where `dense` allows it: it is
    made by transformers from the positions, costs the square of the row, and asks the device about them.

    Args:
        model: is changed only if it passes.
        task: decides what the model's answers are of; sources and targets share no row.
        bf16: compute in bfloat16, as the run will.
        dense: whether a mask over the whole row is worth it: packs on a GPU.
    """
    if task == Task.SEQ2SEQ or not takes(model, "position_ids"):
        return False
    before = use_packed_attention(base_of(model))
    if before is not None:
        if can_pack(model, task, bf16=bf16):
            return True
        set_attention(base_of(model), before)
    return dense and task == Task.CAUSAL_LM and can_pack(model, task, bf16=bf16)


def can_pack(model: torch.nn.Module, task: Task = Task.CAUSAL_LM, *, bf16: bool = False) -> bool:
    """Tell whether a model gives packed examples the logits that each has alone, as it attends now.

    Tried on the model itself, with a few random tokens: which models isolate examples depends on their kind of layers
    (a recurrent state runs on), their attention kernel and the version of transformers. Alone, each example has the
    positions that the model itself gives it: some do not count from 0.
    """
    if not takes(model, "position_ids"):
        return False
    training, device = model.training, next(model.parameters()).device
    ids = torch.from_numpy(_tokens(model))
    everything, alone = (
        _row(ids, _LENGTHS),
        [replace(_row(part, [len(part)]), position_ids=None) for part in torch.split(ids, _LENGTHS)],
    )
    model.eval()
    try:
        with without_gradients(model), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            packed = _logits(model, everything.to(device), task)
            expected = torch.cat([_logits(model, one.to(device), task) for one in alone])
            model.train()
            with torch.random.fork_rng():  # dropout is drawn here, which a resumed run has not drawn
                _logits(model, everything.to(device), task)
    except (RuntimeError, ValueError, TypeError, NotImplementedError):
        return False
    finally:
        model.train(training)
    return bool((packed - expected).abs().max() <= _TOLERANCES[bf16] * expected.std())


def attends_within(model: torch.nn.Module) -> bool:
    """Tell whether a model attends within examples by our own kernel, and so takes nothing but such rows."""
    return attention_of(base_of(model)) == NAME


def try_row(model: torch.nn.Module) -> Batch:
    """Return a few random tokens as the examples of one row, on the model's device."""
    return _row(torch.from_numpy(_tokens(model)), _LENGTHS).to(next(model.parameters()).device)


def _logits(model: torch.nn.Module, row: Batch, task: Task) -> torch.Tensor:
    if task not in TOKEN_TASKS:
        return answer(model, row).float()
    found: torch.Tensor = model(**inputs_of(model, row)).logits[0].float()
    return found


def _row(ids: torch.Tensor, lengths: list[int]) -> Batch:
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return Batch(
        rows=np.arange(len(lengths)),
        input_ids=ids[None],
        targets=ids[None],
        position_ids=torch.from_numpy(np.arange(len(ids)) - np.repeat(ends[:-1], lengths))[None],
        cu_seqlens=torch.from_numpy(ends.astype(np.int32)),
        longest=max(lengths),
    )


def _tokens(model: torch.nn.Module) -> Rows:
    """Draw ids other than that of padding, at which some models do not count positions."""
    config: Any = model.config
    ids = np.arange(int(config.get_text_config().vocab_size))
    return np.random.default_rng(0).choice(ids[ids != getattr(config, "pad_token_id", None)], sum(_LENGTHS))
