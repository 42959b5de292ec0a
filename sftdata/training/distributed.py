"""Several processes that train together, as `torchrun` starts them: what each of them needs of the others.

All ranks hold the whole model, unless it is sharded (`sharding`). Every one adds up the gradients of its share of a
step; then the sums are added up once, whatever the accumulation, and all take the same optimiser step. Losses are
divided by the targets of all ranks beforehand, so the sum is the gradient that one process would have found.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from sftdata.errors import SftdataError, TrainingError

_PATIENCE = timedelta(hours=6)
"""How long ranks wait for each other: for one that scores long texts, or the first, which writes. That a rank is gone
is noticed at once."""

_BUCKET = 32 * 2**20
"""Bytes of gradients that are added up in one go."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """Which of the processes this is.

    Attributes:
        rank: from 0; the first one saves and talks.
        count: how many there are.
        local: which of those on this machine, from 0.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process does what is done once."""
        return self.rank == 0


ALONE = Ranks()
"""One process."""


def read_ranks() -> Ranks:
    """Return what `torchrun` says of this process in its environment; one process is all where it says nothing."""
    told = os.environ
    return Ranks(int(told.get("RANK", 0)), int(told.get("WORLD_SIZE", 1)), int(told.get("LOCAL_RANK", 0)))


@contextmanager
def join(device: torch.device) -> Iterator[Ranks]:
    """Connect to the other ranks until the block ends: tensors by nccl on GPUs, which each have one, else by gloo.

    Raises:
        TrainingError: there are fewer GPUs than ranks, or another rank is gone.
    """
    ranks = read_ranks()
    if ranks.count == 1:
        yield ranks
        return
    if device.type == "cuda":
        _take_gpu(ranks)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield ranks
    except RuntimeError as failure:
        if not _tells_of_others(failure):
            raise
        raise TrainingError(
            f"rank {ranks.rank} lost another of the {ranks.count} ranks, so the run cannot go on. Look for what that "
            "one said; then start all of them again with --resume."
        ) from None
    dist.destroy_process_group()  # not after a failure: the others may wait for what this one will never send


def _take_gpu(ranks: Ranks) -> None:
    found = torch.cuda.device_count()
    if ranks.local >= found:
        raise TrainingError(
            f"found {found} GPUs for at least {ranks.local + 1} processes on this machine, expected one for each. "
            f"Start at most {found} (torchrun --nproc-per-node {found}), or use device: cpu."
        )
    torch.cuda.set_device(ranks.local)


def _tells_of_others(failure: RuntimeError) -> bool:
    """Tell whether a collective failed; gloo has no class of its own for that."""
    return isinstance(failure, dist.DistError) or "gloo" in str(failure) or "Connection closed by peer" in str(failure)


def first_does(ranks: Ranks, work: Callable[[], Value]) -> Value:
    """Do something in the first process alone, and return its result, or raise its fault, in all."""
    if ranks.count == 1:
        return work()
    outcome: list[Any] = [None, None]
    if ranks.is_first:
        try:
            outcome[0] = work()
        except SftdataError as fault:
            outcome[1] = fault
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    result: Value = outcome[0]
    return result


def require_agreement(ranks: Ranks, facts: dict[str, Any]) -> None:
    """Refuse to train when the ranks were not given the same.

    Raises:
        TrainingError: in all ranks, naming what differs and where.
    """
    if ranks.count == 1:
        return
    of_all: list[Any] = [None] * ranks.count
    dist.all_gather_object(of_all, facts)
    faults = [
        f"  {key}: rank 0 has {of_all[0].get(key)!r}, rank {rank} has {theirs.get(key)!r}"
        for rank, theirs in enumerate(of_all)
        for key in of_all[0] | theirs
        if theirs.get(key) != of_all[0].get(key)
    ]
    if faults:
        raise TrainingError(
            "\n".join(["the ranks do not train the same run:", *faults, "Give all of them the same data and settings."])
        )


def copy_from_first(ranks: Ranks, tensors: Iterable[torch.Tensor]) -> None:
    """Give all ranks the values of the first."""
    if ranks.count > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def gather_all(ranks: Ranks, value: Any) -> list[Any]:
    """Return the values of all ranks, in order; for few and small ones."""
    of_all: list[Any] = [value] * ranks.count
    if ranks.count > 1:
        dist.all_gather_object(of_all, value)
    return of_all


def add_up(ranks: Ranks, tensor: torch.Tensor) -> torch.Tensor:
    """Replace a tensor by its sum over all ranks; return it."""
    if ranks.count > 1:
        dist.all_reduce(tensor)
    return tensor


class GradientSum:
    """Adds up the gradients of all ranks, many of them in one message; those of sharded weights are so already.

    Which weights have gradients is found out in the first step: one that has none on any rank keeps none, so that the
    optimiser leaves it alone as it would in one process; one that has none on this rank alone counts as zero.
    """

    def __init__(self, ranks: Ranks, weights: Iterable[torch.Tensor]) -> None:
        self._ranks, self._weights = ranks, [weight for weight in weights if not isinstance(weight, DTensor)]
        self._used: list[torch.Tensor] | None = None

    def __call__(self) -> None:
        """Replace the gradient of each weight by its sum over all ranks."""
        if self._ranks.count == 1 or not self._weights:
            return
        if self._used is None:
            self._used = self._find_used()
        for bucket in _fill_buckets(self._used):
            gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in bucket]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            totals = torch.split(flat, [weight.numel() for weight in bucket])
            for weight, gradient, total in zip(bucket, gradients, totals, strict=True):
                weight.grad = gradient.copy_(total.view_as(gradient))

    def _find_used(self) -> list[torch.Tensor]:
        flags = torch.tensor([weight.grad is not None for weight in self._weights], dtype=torch.float32)
        found = add_up(self._ranks, flags.to(self._weights[0].device)).tolist()
        return [weight for weight, count in zip(self._weights, found, strict=True) if count]


def _fill_buckets(weights: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Yield the weights in order, in groups of one dtype and of limited size."""
    bucket: list[torch.Tensor] = []
    size = 0
    for weight in weights:
        if bucket and (weight.dtype != bucket[0].dtype or size + weight.nbytes > _BUCKET):
            yield bucket
            bucket, size = [], 0
        bucket.append(weight)
        size += weight.nbytes
    if bucket:
        yield bucket
