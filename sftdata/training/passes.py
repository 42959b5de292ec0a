"""What happens when the memory does not suffice for a pass: the step is taken again in smaller ones, or a message.

The gradient of a step is a sum over its examples, so how it is cut changes nothing but rounding. Before a step is taken
again nothing of the failed pass may be left: neither its gradients nor what its traceback holds.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import torch

from sftdata.errors import TrainingError
from sftdata.plan import Rows
from sftdata.settings.training import TrainSettings
from sftdata.training.examples import Examples
from sftdata.training.loader import LoadedStep

Arguments = ParamSpec("Arguments")


class NoMemory(Exception):  # noqa: N818 - it is caught, and told in other words
    """A pass does not fit.

    Attributes:
        rows: its examples.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        super().__init__(f"no memory for {len(rows)} examples")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, on a GPU or, in torch or Python, on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def try_pass(
    work: Callable[Arguments, torch.Tensor], *args: Arguments.args, **named: Arguments.kwargs
) -> torch.Tensor | None:
    """Do something; return None where the memory did not suffice, with all that it had taken given back."""
    try:
        return work(*args, **named)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
    return None


def repeat_smaller(
    add: Callable[[LoadedStep], torch.Tensor], loaded: LoadedStep, cut_again: Callable[[LoadedStep, Rows], LoadedStep]
) -> tuple[torch.Tensor, LoadedStep]:
    """Add the gradients of a step, as often as it takes until the memory suffices for all its passes.

    Args:
        add: adds them, or raises `NoMemory`; returns the sum of the loss.
        loaded: the step.
        cut_again: throws away what was added, and cuts the step into smaller passes.

    Returns:
        What `add` returned, and the step as it was cut then.
    """
    while True:
        try:
            return add(loaded), loaded
        except NoMemory as short:
            rows = short.rows
        loaded = cut_again(loaded, rows)  # here, where nothing holds the traceback any more


def explain_pass(step: int, rows: Rows, examples: Examples, settings: TrainSettings) -> TrainingError:
    """Say what to do when a pass does not fit.

    Args:
        step: counted from 1.
        rows: the examples of the pass.
        examples: that they are of.
        settings: of the run.
    """
    if len(rows) == 1:
        name, length = examples.row_ids(rows)[0], int(examples.lengths[rows[0]])
        return TrainingError(
            f"step {step}: out of memory with a single example, {name}, of {length} tokens. Set "
            "gradient_checkpointing: true, or lora, or take a smaller model; or lower tokenize.max_length and prepare "
            "again."
        )
    return TrainingError(
        f"step {step}: out of memory with train.batch_size {settings.batch_size}. Lower batch_size and raise "
        "accumulate by the same factor: the result of each step stays the same. `accumulate: auto` does that by "
        f"itself, with batch_size: {settings.step_size}."
    )


@contextmanager
def explain_shortage(message: str) -> Iterator[None]:
    """Raise a message when memory runs out beside the passes.

    Raises:
        TrainingError: with this message.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(message) from None
