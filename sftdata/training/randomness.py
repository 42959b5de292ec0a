"""The global random generators, which models draw from in dropout and new weights."""

import random
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int, *key: int) -> None:
    """Set all global generators, by a seed and what tells this use of it from others."""
    number = int(np.random.SeedSequence([seed % 2**64, *key]).generate_state(1, np.uint64)[0]) if key else seed
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - the global one, which a model's code may use
    torch.manual_seed(number)


def random_states() -> dict[str, Any]:
    """Return the states of all global generators, in types that `torch.load` reads without running code."""
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the global one, which a model's code may use
    numpy_state["state"]["key"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set all global generators; those of GPUs where as many are here as were then."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    key = states["numpy"]["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**states["numpy"], "state": {**states["numpy"]["state"], "key": key}})  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
