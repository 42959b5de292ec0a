"""torch.compile, for training alone: what is saved, and what evaluates, is the model as it was."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

import torch
import transformers

from sftdata.errors import TrainingError
from sftdata.training.attention import NAME, attend
from sftdata.training.isolation import attends_within
from sftdata.training.sharding import find_layers


def compile_layers(model: torch.nn.Module) -> None:
    """Have a model's repeated layers compiled when they first run, or all of it where it has none.

    All layers of a kind share their kernels, so that a deep model takes no longer than a shallow one (as torchtitan
    compiles each block). They are compiled in place: names of weights stay as they are. Sizes may vary.
    """
    if attends_within(model) and next(model.parameters()).device.type == "cpu":
        # There one example after the other is attended to, in Python: each number of them would be compiled anew.
        transformers.AttentionInterface.register(NAME, torch.compiler.disable(attend))  # type: ignore[no-untyped-call]
    for layer in find_layers(model) or [model]:
        layer.compile(dynamic=True)


def require_compiler(device: torch.device) -> None:
    """Refuse to compile where nothing can.

    Raises:
        TrainingError: naming what is missing.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise TrainingError(
            f"train.compile: on a CPU it needs a C++ compiler, and there is no '{compiler}' here. Install it, name "
            "another in the environment variable CXX, or leave compile out."
        )
    if device.type == "cuda" and find_spec("triton") is None:
        raise TrainingError("train.compile: on a GPU it needs triton, not installed here. Install it, or leave it out.")


@contextmanager
def explain_failures() -> Iterator[None]:
    """Say in a message why a compiler fails, if one does: it is asked in the first steps."""
    from torch._dynamo.exc import TorchDynamoException  # slow to import

    try:
        yield
    except TorchDynamoException as cause:
        first = str(getattr(cause, "inner_exception", cause)).strip().splitlines()[0]
        raise TrainingError(f"train.compile: the compiler failed ({first}). Mend that, or leave compile out.") from None


def run_as_written(compiled: bool) -> AbstractContextManager[Any]:
    """Return a context in which layers that are compiled run as they are written: for evaluations, of other sizes."""
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
