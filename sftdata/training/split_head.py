"""Whether the head of a causal language model can run on its own, on trained positions, a chunk at a time."""

from typing import Any

import torch

from sftdata.training.heads import base_of, hidden_states, inputs_of
from sftdata.training.isolation import try_row


def can_split(model: torch.nn.Module, *, bf16: bool) -> bool:
    """Tell whether a model's logits are exactly what its output embeddings make of its last hidden states.

    Tried on the model itself: its head is made to give large numbers, which must come out as they are. A model that
    caps or scales its logits, or does more to its hidden states, is not split.
    """
    base: Any = base_of(model)
    head = getattr(base, "get_output_embeddings", lambda: None)()
    if type(head) is not torch.nn.Linear or type(head.weight.data) is not torch.Tensor:  # quantised, adapted, sharded
        return False
    taken: list[torch.Tensor] = []

    def give(_: Any, inputs: tuple[torch.Tensor], found: torch.Tensor) -> torch.Tensor:
        taken.append(inputs[0])
        return _large_numbers(found)

    training, row = model.training, try_row(model)
    model.eval()
    handle = head.register_forward_hook(give)
    try:
        with torch.inference_mode(), torch.autocast(row.input_ids.device.type, torch.bfloat16, enabled=bf16):
            logits = base(**inputs_of(model, row)).logits
            hidden = hidden_states(model, row)
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return False
    finally:
        handle.remove()
        model.train(training)
    passes = len(taken) == 1 and bool((logits == _large_numbers(logits)).all())
    return passes and torch.equal(taken[0], hidden)


def _large_numbers(like: torch.Tensor) -> torch.Tensor:
    return torch.linspace(-1e3, 1e3, like.numel(), device=like.device, dtype=like.dtype).view_as(like)
