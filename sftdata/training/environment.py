"""What a run is computed with: versions, the machine, and how many processes."""

import platform
from importlib.metadata import version

import torch

from sftdata.training.distributed import Ranks

_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "numpy", "pyarrow")


def describe_environment(device: torch.device, ranks: Ranks) -> dict[str, str]:
    """Return what a person would ask about a run, by name; nothing in it decides the weights."""
    threads = torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {threads}"
    told = {
        "device": name,
        "processes": str(ranks.count),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return told | {package: version(package) for package in _PACKAGES}
