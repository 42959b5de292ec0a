"""Checkpoints: on a GPU they are written while training goes on, one at a time, from copies in the host's memory.

There the loop waits only for the copies, and for the checkpoint before, if that is still under way. On a CPU a copy
takes as long as writing it (SmolLM2-135M with AdamW: 2 to 5 s each for 1.6 GB, on two busy cores) and memory besides,
so none is made, and the loop waits.

What a disk that takes no more costs is a line and that checkpoint: the ones before it stay, and the next one is tried
again.
"""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from sftdata.errors import TrainingError
from sftdata.training.checkpoint import RunState, list_checkpoints, take_snapshot, told_by_system, write_checkpoint
from sftdata.training.distributed import Ranks, first_does

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk, a share of it or a file that takes no more."""


class CheckpointWriter:
    """Writes the checkpoints of a run; use as a context manager, which ends when all are written.

    Args:
        directory: of the run.
        identity: what must be the same when the run is resumed.
        keep: newest checkpoints to keep, beside the best.
        ranks: all of which call the same methods; the first one writes.
        say: tells a line.
    """

    def __init__(
        self, directory: Path, identity: dict[str, Any], keep: int, ranks: Ranks, say: Callable[[str], None]
    ) -> None:
        self._directory, self._identity, self._keep, self._ranks, self._say = directory, identity, keep, ranks, say
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way: Future[bool] | None = None
        self._is_there, self._before = True, RunState()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def save(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: RunState, before: RunState) -> None:
        """Have a checkpoint written.

        Args:
            model: its weights are saved.
            optimizer: its state is saved.
            state: where the run stands.
            before: the same before the evaluation at this step, which is what counts if nothing can be written.
        """
        ahead = is_worth_copying(next(model.parameters()).device)
        snapshot, state = take_snapshot(model, optimizer, self._ranks, copy=ahead), replace(state)
        self._before = before

        def write() -> bool:
            return self._try(
                lambda: write_checkpoint(self._directory, model, snapshot, state, self._identity, keep=self._keep),
                state.step,
            )

        if self._ranks.is_first:
            self._under_way = self._thread.submit(write)
        if not ahead:
            self.settle()

    def settle(self) -> bool:
        """Wait for the checkpoint that is under way; tell whether the last one is there.

        Raises:
            Exception: whatever went wrong but the disk.
        """
        self._is_there = first_does(self._ranks, self._wait)
        return self._is_there

    def forget_unwritten(self, state: RunState) -> None:
        """Have `state` go back to the best checkpoint before the last one, if that is not there and was the best."""
        if not self._is_there and state.best_step != self._before.best_step:
            best = {name: value for name, value in vars(self._before).items() if name.startswith("best_")}
            vars(state).update(best, stale=self._before.stale + 1)

    def _wait(self) -> bool:
        under_way, self._under_way = self._under_way, None
        return self._is_there if under_way is None else under_way.result()

    def _try(self, write: Callable[[], None], step: int) -> bool:
        try:
            write()
        except OSError as failure:
            reason = os.strerror(failure.errno) if failure.errno else str(failure)
            self._say(f"{reason}: checkpoint-{step} was not written; {describe_last(self._directory)}")
            return False
        return True


@contextmanager
def explain_full_disk(directory: Path) -> Iterator[None]:
    """Say where a run stands when the disk takes no more of it.

    Raises:
        TrainingError: instead of the system's error.
    """
    try:
        with told_by_system():
            yield
    except OSError as failure:
        if failure.errno not in FULL:
            raise
        raise TrainingError(
            f"{directory} cannot be written: {os.strerror(failure.errno or 0)}; {describe_last(directory)}. Make room, "
            "then give the same command with --resume."
        ) from None


def require_checkpoint(directory: Path, step: int) -> None:
    """Refuse to end a run whose model stands in a checkpoint that could not be written.

    Raises:
        TrainingError: saying how to go on.
    """
    if step not in list_checkpoints(directory):
        raise TrainingError(
            f"{directory}: checkpoint-{step}, which the model is taken from, was not written; "
            f"{describe_last(directory)}. Make room, then give the same command with --resume."
        )


def is_worth_copying(device: torch.device) -> bool:
    """Tell whether to copy what is on this device first, and write it while training goes on."""
    return device.type != "cpu"


def describe_last(directory: Path) -> str:
    """Return what there is to go on from."""
    saved = list_checkpoints(directory)
    return f"the last good one is checkpoint-{saved[-1]}" if saved else "there is none before it"
