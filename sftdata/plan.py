"""The plan: which examples make each optimiser step, in which order, and how a step is cut into micro-batches.

Everything here is a pure function of (lengths, seed, sizes): no clock, no global generator, no torch. Step `n` is the
same whether the run got there in one go or was killed and resumed, so (plan digest, step) is all that a resume needs.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
"""Raised when the same inputs begin to give another order, so that an older run is not resumed with a newer plan."""

Rows = NDArray[np.int64]
"""Positions of examples in their split, shape `[examples]`, dtype int64."""


def epoch_order(rows: int, seed: int, epoch: int) -> Rows:
    """Return the order of all examples in one epoch, shape `[rows]`, dtype int64: a permutation of `range(rows)`.

    The raw stream of a bit generator is fixed for good, unlike `Generator.permutation` (NumPy's NEP 19).
    """
    stream = np.random.Philox(np.random.SeedSequence(seed & 0xFFFFFFFFFFFFFFFF, spawn_key=(epoch,)))
    return np.argsort(stream.random_raw(rows), kind="stable").astype(np.int64, copy=False)


def micro_batches(examples: Rows, lengths: Rows, batch_size: int) -> list[Rows]:
    """Cut the examples of one step into batches of at most `batch_size`, examples of like length together.

    The gradient of the step is a sum over its examples, so how they are cut changes the padding and nothing else.
    The longest come first: what does not fit in memory fails at the first batch of a step.

    Args:
        examples: positions, shape `[step examples]`.
        lengths: tokens of every example of the split, shape `[rows]`.
        batch_size: most examples in one batch.
    """
    longest_first = examples[np.argsort(-lengths[examples], kind="stable")]
    return [longest_first[start : start + batch_size] for start in range(0, len(examples), batch_size)]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of a whole run.

    Attributes:
        lengths: tokens of every example, shape `[rows]`, dtype int64.
        seed: decides the order.
        batch_size: most examples of a micro-batch.
        accumulate: micro-batches of a full step.
        steps: optimiser steps of the run.
    """

    lengths: Rows
    seed: int
    batch_size: int
    accumulate: int
    steps: int

    @property
    def step_size(self) -> int:
        """Examples of a full step; the last step of an epoch may have fewer."""
        return self.batch_size * self.accumulate

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in which every example is seen once."""
        return math.ceil(len(self.lengths) / self.step_size)

    @property
    def digest(self) -> str:
        """`sha256:` and a digest of all that decides the plan."""
        lengths = hashlib.sha256(np.ascontiguousarray(self.lengths, dtype="<i8").tobytes()).hexdigest()
        facts = [FORMAT, lengths, self.seed, self.batch_size, self.accumulate, self.steps]
        return "sha256:" + hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def iterate(self, start: int = 0) -> Iterator[list[Rows]]:
        """Yield the micro-batches of each step, from step `start` (counted from 0) to the last."""
        order = np.zeros(0, dtype=np.int64)
        for step in range(start, self.steps):
            epoch, position = divmod(step, self.steps_per_epoch)
            if step == start or position == 0:
                order = epoch_order(len(self.lengths), self.seed, epoch)
            examples = order[position * self.step_size : (position + 1) * self.step_size]
            yield micro_batches(examples, self.lengths, self.batch_size)


def make_plan(
    lengths: Rows, *, seed: int, batch_size: int, accumulate: int, epochs: float, max_steps: int | None = None
) -> Plan:
    """Plan a run over examples with these lengths.

    Args:
        lengths: tokens of every example, shape `[rows]`, dtype int64, at least one.
        seed: decides the order.
        batch_size: most examples of a micro-batch.
        accumulate: micro-batches of a full step.
        epochs: passes over the examples; a fraction is rounded up to a whole step.
        max_steps: cuts the run.
    """
    per_epoch = math.ceil(len(lengths) / (batch_size * accumulate))
    steps = max(1, math.ceil(round(epochs * per_epoch, 6)))  # 0.07 * 100 is a little more than 7
    steps = min(steps, max_steps) if max_steps else steps
    return Plan(lengths=lengths, seed=seed, batch_size=batch_size, accumulate=accumulate, steps=steps)
