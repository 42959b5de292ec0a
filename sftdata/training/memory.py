"""How much memory a run takes."""

import os
import resource
import sys
from pathlib import Path

import torch

_STATM = Path("/proc/self/statm")
_GIB = 2**30


def measure_memory(device: torch.device) -> float:
    """Return GiB: on a GPU the most that tensors took since the last call, else what the process has in memory now.

    Where the system does not tell that (it is no Linux), the most that the process ever had.
    """
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak / _GIB
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _GIB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / _GIB
