"""Frozen weights in 4 bits by bitsandbytes (QLoRA, Dettmers et al. 2023)."""

from importlib.util import find_spec
from typing import Any

import torch
import transformers

from sftdata.errors import TrainingError
from sftdata.settings.training import TrainSettings


def describe_quantization(settings: TrainSettings, *, bf16: bool) -> Any:
    """Return how transformers is to load the frozen weights of a run: blocks of NF4 whose scales are quantised too.

    Args:
        settings: of the run; None is returned where they ask for no quantisation.
        bf16: multiply in bfloat16.

    Raises:
        TrainingError: bitsandbytes is not installed.
    """
    if settings.lora is None or settings.lora.quantize is None:
        return None
    if find_spec("bitsandbytes") is None:
        raise TrainingError(
            "train.lora.quantize needs bitsandbytes, which is not installed: pip install 'sftdata[qlora]'"
        )
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if bf16 else torch.float32,
    )


def keep_exact(model: torch.nn.Module) -> None:
    """Have weights in 4 bits multiplied in evaluation as they are in training.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 otherwise turns them, in place, into a form that multiplies in bfloat16
    whatever was asked for, and fails for a width that is no multiple of 32.
    """
    module: Any
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
