"""Low-rank adapters by peft (LoRA, Hu et al. 2021)."""

import warnings
from pathlib import Path
from typing import Any

import torch

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.settings.training import LoraSettings

ADAPTER_NAME = "adapter"
"""Where the adapters of a run stand whose model has them merged into it."""

_PEFT_TASKS = {
    Task.TEXT_CLASSIFICATION: "SEQ_CLS",
    Task.MULTILABEL: "SEQ_CLS",
    Task.REGRESSION: "SEQ_CLS",
    Task.TOKEN_CLASSIFICATION: "TOKEN_CLS",
    Task.SEQ2SEQ: "SEQ_2_SEQ_LM",
    Task.CAUSAL_LM: "CAUSAL_LM",
}
_NEW_HEADS = ["classifier", "score"]
"""What peft trains as a whole; for tokens it does not see by itself that they take no adapters."""


def add_adapters(model: torch.nn.Module, settings: LoraSettings, task: Task) -> torch.nn.Module:
    """Freeze the model and put low-rank adapters into it; a new classification head stays trainable.

    Raises:
        TrainingError: there is no such module.
    """
    import peft

    targets = settings.target_modules if isinstance(settings.target_modules, str) else list(settings.target_modules)
    shape = peft.LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        modules_to_save=_find_modules(model, settings.modules_to_save) or None,
        use_rslora=settings.use_rslora,
        use_dora=settings.use_dora,
        task_type=_PEFT_TASKS[task],
        exclude_modules=_NEW_HEADS if task == Task.TOKEN_CLASSIFICATION else None,
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")  # merging sets it right
            adapted: torch.nn.Module = peft.get_peft_model(model, shape)
    except ValueError as cause:
        raise TrainingError(f"train.lora.target_modules: {str(cause).splitlines()[0]}") from None
    return adapted


def _find_modules(model: torch.nn.Module, names: tuple[str, ...]) -> list[str]:
    """Return these names, each of which must be that of a module, or the end of one; peft skips others in silence."""
    known = [name for name, module in model.named_modules() if any(True for _ in module.parameters())]
    missing = [name for name in names if not any(f".{one}".endswith(f".{name}") for one in known)]
    if missing:
        ends = list(dict.fromkeys(name.rpartition(".")[2] for name in known if name))
        raise TrainingError(
            f"train.lora.modules_to_save: the model has no module {', '.join(missing)}; it has {', '.join(ends[:20])}"
        )
    return list(names)


def saving_options(model: torch.nn.Module) -> dict[str, bool]:
    """Return what `save_pretrained` is told beside the place, so that peft asks nobody.

    By itself it asks the hub, at each checkpoint, whether the model has other embeddings than the one it was made from
    (never here), and warns when the hub cannot be reached. It saves embeddings and heads that have adapters.
    """
    if not hasattr(model, "peft_config"):
        return {}
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.constants import EMBEDDING_LAYER_NAMES

    adapted = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    return {"save_embedding_layers": not adapted.isdisjoint(EMBEDDING_LAYER_NAMES)}


def merge_adapters(model: Any, directory: Path) -> Any:
    """Save the adapters of a run in `adapter`, and return the model with them merged into its weights, all in float32.

    Weights in 4 bits are taken for what they stand for, as in training, so that the merged model says the same.
    """
    import peft

    model.save_pretrained(directory / ADAPTER_NAME, **saving_options(model))
    for name in ("adapter_config.json", "adapter_model.safetensors"):  # of a run that was finished without `merge`
        (directory / name).unlink(missing_ok=True)
    if getattr(model.get_base_model(), "is_quantized", False):
        model = peft.PeftModel.from_pretrained(model.unload().dequantize().float(), directory / ADAPTER_NAME)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")  # as was asked for
        return model.merge_and_unload()
