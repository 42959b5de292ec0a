"""Open a finished run: its weights, with adapters where it has some."""

from pathlib import Path
from typing import Any

import torch

from sftdata.training.models import fit_config, load_weights, read_config, uses_bf16
from sftdata.training.quantization import describe_quantization
from sftdata.training.run import RunRecord


def find_weights(run: Path, record: RunRecord) -> str:
    """Return where the weights of a finished run are: in it, or beneath its adapters in the model it began with."""
    return record.base_model if (run / "adapter_config.json").is_file() else str(run)


def load_run(run: Path, record: RunRecord, device: torch.device) -> tuple[Any, Any]:
    """Load the model of a finished run, with its adapters where it has some; return it with its configuration."""
    source, quantization = find_weights(run, record), None
    config = fit_config(read_config(source), record.task, record.label_names)
    if source != str(run):
        quantization = describe_quantization(record.settings, bf16=uses_bf16(record.settings.precision, device))
    model: Any = load_weights(source, config, record.task, quantization=quantization)
    if source != str(run):
        import peft

        model = peft.PeftModel.from_pretrained(model, run)
    return model.to(device).eval(), config
