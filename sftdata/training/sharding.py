"""Fully sharded training (FSDP2; Zhao et al. 2023, arXiv:2304.11277): each rank keeps a part of every weight.

Beside its weights a rank keeps the same part of their gradients and of the optimiser's state. The weights of a layer
are gathered when it computes, and given back behind it. Gradients are added up over the ranks, not averaged, in the
backward pass of the last micro-batch of a step; until then each rank holds those of all weights, as without sharding.

With bf16 the weights of the layers are gathered in bfloat16, which autocast would make of them anyway: half of what
goes over the wire, and no second copy that autocast would keep until the backward pass. What is between the layers
stays float32, as autocast has it. So only the weights of norms are rounded that autocast does not round.
"""

from contextlib import AbstractContextManager
from typing import cast

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from sftdata.training.distributed import Ranks


def shard_model(model: torch.nn.Module, device: torch.device, ranks: Ranks, *, bf16: bool) -> None:
    """Shard every layer of a model, and then what is left of it, in place.

    Args:
        model: whole, float32, equal on all ranks; may be on the CPU: its layers go to the device one by one.
        device: to train on.
        ranks: that share it.
        bf16: the layers compute in bfloat16.
    """
    mesh, layers = init_device_mesh(device.type, (ranks.count,)), find_layers(model)
    narrow = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=narrow if bf16 else MixedPrecisionPolicy())
    fully_shard(model, mesh=mesh)
    for part in [*layers, model]:
        sharded = cast("FSDPModule", part)
        sharded.set_gradient_divide_factor(1.0)  # losses are divided by the targets of all ranks already
        sharded.set_force_sum_reduction_for_comms(True)  # gloo has nothing but sums


def find_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the layers of a model: what stands in its outermost lists of modules.

    Where transformers says which kinds of modules belong together (`_no_split_modules`), only those.
    """
    inner = getattr(model, "get_base_model", None)  # without the adapters of peft around it
    names = getattr(inner() if inner else model, "_no_split_modules", None)
    return _find(model, frozenset(names or ()))


def _find(module: torch.nn.Module, names: frozenset[str]) -> list[torch.nn.Module]:
    found: list[torch.nn.Module] = []
    for child in module.children():
        kinds = {kind.__name__ for kind in type(child).__mro__}  # a sharded one has a class of its own
        is_layer = isinstance(module, torch.nn.ModuleList) and (not names or not names.isdisjoint(kinds))
        found += [child] if is_layer else _find(child, names)
    return found


def is_sharded(model: torch.nn.Module) -> bool:
    """Tell whether the ranks keep parts of this model."""
    return isinstance(model, FSDPModule)


def without_gradients(model: torch.nn.Module) -> AbstractContextManager[None]:
    """Return the context to evaluate in; what is gathered in inference mode could not be trained with afterwards."""
    return torch.no_grad() if is_sharded(model) else torch.inference_mode()


def sum_gradients_now(model: torch.nn.Module, now: bool) -> None:
    """Say whether the next backward pass of a sharded model is the last of its step; of another, do nothing."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """Return the whole of a tensor of which the ranks may keep parts; all of them must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def take_part(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a tensor that all ranks have, where they keep parts of `like`; else all of it."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
