"""How much a step computes, and the share of a GPU's peak that this is (MFU, Chowdhery et al. 2022, appendix B).

Counted is what the model needs, on real tokens: no padding, no second forward pass of checkpointed layers, and the LM
head on the trained positions alone, as it is computed here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sftdata.training.heads import base_of

_PEAKS = {
    "B200": (2250, 1125),
    "H200 NVL": (835, 418),
    "H200": (989, 495),
    "GH200": (989, 495),
    "H100 NVL": (835, 418),
    "H100 PCIE": (756, 378),
    "H100": (989, 495),
    "H800": (989, 495),
    "H20": (148, 74),
    "A100": (312, 156),
    "A800": (312, 156),
    "L40S": (362, 183),
    "L4": (121, 60),
    "A10": (125, 62),
    "RTX 5090": (210, 105),
    "RTX 4090": (165, 83),
    "RTX 3090": (71, 36),
}
"""By a part of the device's name: peak of dense matrix products with float32 sums, in teraFLOP/s, of bfloat16 and of
TF32; from NVIDIA's data sheets, whose figures with sparsity are twice as high."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What decides how much a model computes.

    Attributes:
        trained: weights that each token is multiplied with and that are trained: all matrices but embeddings and head.
        frozen: the same, of those that are not trained.
        trained_head: weights of the head, which runs on targets alone, that are trained.
        frozen_head: those that are not.
        attention: layers * heads * size of a head.
        causal: whether a token attends only to those before it.
    """

    trained: int
    frozen: int
    trained_head: int
    frozen_head: int
    attention: int
    causal: bool


def count_flops(cost: Cost, lengths: NDArray[np.int64], targets: int) -> float:
    """Return the floating point operations of a step, forward and backward.

    A weight that is trained costs 6 a token: 2 forward, 2 for the gradient of its input and 2 for its own, which one
    that is frozen does not need. Attention costs 12 * layers * heads * size * length^2 an example (PaLM, appendix B),
    half of that where it is causal (as Megatron-LM counts it, and as kernels compute it).

    Args:
        cost: of the model.
        lengths: tokens of each example, shape `[examples]`.
        targets: places where the head runs.
    """
    body = (6 * cost.trained + 4 * cost.frozen) * float(lengths.sum())
    head = (6 * cost.trained_head + 4 * cost.frozen_head) * float(targets)
    pairs = float(np.square(lengths, dtype=np.float64).sum()) / (2 if cost.causal else 1)
    return body + head + 12 * cost.attention * pairs


def measure_cost(model: torch.nn.Module) -> Cost | None:
    """Return what a model costs; None of one whose tokens do not all meet the same weights, or that does not tell.

    Those are encoder-decoders, mixtures of experts, quantized models and models of one's own.
    """
    base: Any = base_of(model)
    config = getattr(base, "config", None)
    if config is None or config.is_encoder_decoder or base.base_model is base:
        return None
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    quantized = any(not weight.is_floating_point() for weight in base.parameters())
    if not isinstance(heads, int) or getattr(text, "num_experts_per_tok", None) or quantized:
        return None
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    body, everything = set(_matrices(base.base_model)), set(_matrices(base))
    return Cost(
        trained=sum(weight.numel() for weight in body if weight.requires_grad),
        frozen=sum(weight.numel() for weight in body if not weight.requires_grad),
        trained_head=sum(weight.numel() for weight in everything - body if weight.requires_grad),
        frozen_head=sum(weight.numel() for weight in everything - body if not weight.requires_grad),
        attention=text.num_hidden_layers * heads * size,
        causal=_is_causal(base),
    )


def _matrices(module: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    """Yield what tokens are multiplied with; a head that shares its weights with the embeddings has them, too."""
    for part in module.modules():
        if not isinstance(part, torch.nn.Embedding):
            yield from (weight for weight in part.parameters(recurse=False) if weight.ndim >= 2)


def _is_causal(model: torch.nn.Module) -> bool:
    return any(getattr(part, "is_causal", False) for part in model.modules())


def pace_steps(
    model: torch.nn.Module, lengths: NDArray[np.int64], ranks: int, *, bf16: bool, say: Callable[[str], None]
) -> Callable[[NDArray[np.int64], int], float | None]:
    """Return what tells from the rows of a step and its targets how many seconds it would take at the GPUs' peak.

    None on a CPU; and where peak or cost are not known, which is said.

    Args:
        model: on its device.
        lengths: tokens of each example, shape `[examples]`.
        ranks: GPUs that share a step.
        bf16: whether the run computes in bfloat16.
        say: tells a person.
    """
    device = next(model.parameters()).device
    if device.type != "cuda":
        return lambda rows, targets: None
    name, cost = torch.cuda.get_device_name(device), measure_cost(model)
    peak = find_peak(name, bf16=bf16, tf32=torch.backends.cuda.matmul.allow_tf32)
    if cost is None or peak is None:
        unknown = "what this model computes" if cost is None else f"the peak of {name} in this precision"
        say(f"no MFU is shown, as {unknown} is not known")
        return lambda rows, targets: None
    return lambda rows, targets: count_flops(cost, lengths[rows], targets) / (peak * ranks)


def find_peak(name: str, *, bf16: bool, tf32: bool) -> float | None:
    """Return the peak of a GPU in FLOP/s, for bfloat16 or TF32; None where it is not known or neither is used.

    Args:
        name: as CUDA tells it, such as `NVIDIA H100 80GB HBM3`.
        bf16: whether the run computes in bfloat16.
        tf32: whether products in float32 are computed in TF32.
    """
    if not bf16 and not tf32:
        return None
    words = f" {name.upper().replace('-', ' ')} "
    if " LAPTOP " in words:
        return None
    found = [peaks for key, peaks in _PEAKS.items() if f" {key} " in words]
    return found[0][0 if bf16 else 1] * 1e12 if found else None
