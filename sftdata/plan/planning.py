"""The plan of a whole run: which examples make each step. A pure function of lengths, seed and sizes."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sftdata.plan.mixing import Mixture, draw, mix_counts
from sftdata.plan.packing import Packs, count_packs, pack
from sftdata.plan.shuffling import Rows, shuffle

FORMAT = 2
"""Raised when the same inputs begin to give another order, so that an older run is not resumed with a newer plan."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The order of a whole run, in units: packs, or single examples where nothing is packed.

    Neither the number of ranks nor how a step is cut into micro-batches is part of it: both can change when a run is
    resumed, and every step still has the same examples.

    Attributes:
        lengths: tokens of every example, shape `[rows]`, int64.
        rows: positions of the examples to train on, ascending, shape `[examples]`; None means all.
        mixture: how several datasets share an epoch; None where there is one.
        seed: decides the order.
        step_size: units of a step; the last step of an epoch may have fewer.
        capacity: most tokens of a pack; None where an example is a unit.
        steps: optimiser steps of the run.
        epoch_steps: steps of each epoch; where there is one number, all epochs have as many.
    """

    lengths: Rows
    rows: Rows | None
    mixture: Mixture | None
    seed: int
    step_size: int
    capacity: int | None
    steps: int
    epoch_steps: tuple[int, ...]
    _arranged: dict[int, Packs] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def digest(self) -> str:
        """`sha256:` and a digest of all that decides the plan."""
        mixture = self.mixture and [list(self.mixture.sizes), list(self.mixture.weights), self.mixture.by]
        facts = [FORMAT, _digest(self.lengths), self.rows is not None and _digest(self.rows), mixture]
        facts += [bool(self.mixture and self.mixture.repeat), self.seed, self.step_size, self.capacity, self.steps]
        return "sha256:" + hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def locate(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step, and which of that epoch's steps it is; all counted from 0."""
        if len(self.epoch_steps) == 1:
            return divmod(step, self.epoch_steps[0])
        ends = np.cumsum(self.epoch_steps)
        epoch = int(np.searchsorted(ends, step, side="right"))
        return epoch, step - int(ends[epoch - 1]) if epoch else step

    def ends_epoch(self, step: int) -> bool:
        """Tell whether an epoch, or the run, is over once `step` steps are taken."""
        return step == self.steps or (step > 0 and self.locate(step)[1] == 0)

    def units(self, step: int) -> list[Rows]:
        """Return the examples of each unit of a step, counted from 0: packs, or single examples."""
        epoch, position = self.locate(step)
        arranged = self.arrange(epoch)
        first = position * self.step_size
        return [arranged[unit] for unit in range(first, min(first + self.step_size, len(arranged)))]

    def iterate(self, start: int = 0) -> Iterator[list[Rows]]:
        """Yield the units of each step, from step `start` (counted from 0) to the last."""
        for step in range(start, self.steps):
            yield self.units(step)

    def find(self, row: int) -> list[int]:
        """Return the steps, counted from 0, that see an example: one an epoch, unless a mixture has it otherwise."""
        found, start, epoch = [], 0, 0
        while start < self.steps:
            arranged = self.arrange(epoch)
            units = np.searchsorted(arranged.offsets, np.flatnonzero(arranged.rows == row), side="right") - 1
            steps = start + np.unique(units // self.step_size)
            found += [int(step) for step in steps if step < self.steps]
            start += self.epoch_steps[epoch if len(self.epoch_steps) > 1 else 0]
            epoch += 1
        return found

    def arrange(self, epoch: int) -> Packs:
        """Return the units of an epoch in order; the last one that was asked for is remembered."""
        if epoch not in self._arranged:
            self._arranged.clear()
            self._arranged[epoch] = arrange(
                self.lengths, self.rows, self.mixture, seed=self.seed, capacity=self.capacity, epoch=epoch
            )
        return self._arranged[epoch]


def arrange(
    lengths: Rows, rows: Rows | None, mixture: Mixture | None, *, seed: int, capacity: int | None, epoch: int
) -> Packs:
    """Return the units of one epoch, in the order in which steps take them.

    Examples are shuffled, so that those of one length stand in packs by chance, packed, and the packs are shuffled.
    """
    drawn = _draw(lengths, rows, mixture, seed, epoch)
    if capacity is None:
        return Packs(np.arange(len(drawn) + 1), drawn)
    packs = pack(lengths[drawn], capacity)
    return _reorder(Packs(packs.offsets, drawn[packs.rows]), shuffle(len(packs), seed, epoch, 0, 2))


def _draw(lengths: Rows, rows: Rows | None, mixture: Mixture | None, seed: int, epoch: int) -> Rows:
    if mixture is not None:
        return draw(mixture.sizes, mix_counts(mixture, lengths), seed, epoch)
    count = len(lengths) if rows is None else len(rows)
    drawn = draw((count,), (count,), seed, epoch)
    return drawn if rows is None else rows[drawn]


def _reorder(packs: Packs, order: Rows) -> Packs:
    """Return the packs in another order."""
    sizes = np.diff(packs.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    moved = np.repeat(packs.offsets[:-1][order] - offsets[:-1], sizes)
    return Packs(offsets, packs.rows[np.arange(len(packs.rows)) + moved])


def make_plan(
    lengths: Rows,
    *,
    seed: int,
    step_size: int,
    epochs: float,
    max_steps: int | None = None,
    capacity: int | None = None,
    rows: Rows | None = None,
    mixture: Mixture | None = None,
) -> Plan:
    """Plan a run over examples with these lengths.

    Args:
        lengths: tokens of every example, shape `[rows]`, int64, at least one.
        seed: decides the order.
        step_size: units of a step, on all ranks together.
        epochs: passes over the examples; a fraction is rounded up to a whole step.
        max_steps: cuts the run.
        capacity: most tokens of a pack; None makes every example a unit.
        rows: the examples to train on, as in the folds of a cross-validation; None means all.
        mixture: how several datasets, whose examples follow each other in `lengths`, share an epoch.

    Raises:
        ValueError: an example is longer than `capacity`, or `rows` and `mixture` are both given.
    """
    if rows is not None and mixture is not None:
        raise ValueError("a mixture takes whole datasets; give either rows or mixture")
    epoch_steps: list[int] = []
    for epoch in range(math.ceil(epochs) if mixture and capacity else 1):
        units = _count_units(lengths, rows if mixture is None else _draw(lengths, rows, mixture, seed, epoch), capacity)
        epoch_steps.append(math.ceil(units / step_size))
        if max_steps and sum(epoch_steps) >= max_steps:
            break
    return Plan(
        lengths=lengths,
        rows=rows,
        mixture=mixture,
        seed=seed,
        step_size=step_size,
        capacity=capacity,
        steps=_count_steps(epoch_steps, epochs, max_steps),
        epoch_steps=tuple(epoch_steps),
    )


def _count_units(lengths: Rows, rows: Rows | None, capacity: int | None) -> int:
    """Return the units of an epoch with these examples, in whichever order."""
    of_epoch = lengths if rows is None else lengths[rows]
    return len(of_epoch) if capacity is None else count_packs(of_epoch, capacity)


def _count_steps(epoch_steps: list[int], epochs: float, max_steps: int | None) -> int:
    if len(epoch_steps) == 1:
        steps = math.ceil(round(epochs * epoch_steps[0], 6))  # 0.07 * 100 is a little more than 7
    else:
        whole = math.floor(epochs)
        last = epoch_steps[whole] if whole < len(epoch_steps) else 0
        steps = sum(epoch_steps[:whole]) + math.ceil(round((epochs - whole) * last, 6))
    steps = max(1, steps)
    return min(steps, max_steps) if max_steps else steps


def _digest(positions: Rows) -> str:
    return hashlib.sha256(np.ascontiguousarray(positions, dtype="<i8").tobytes()).hexdigest()
