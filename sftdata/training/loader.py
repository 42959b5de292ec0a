"""The loader: the batches of each step, gathered by one thread while the step before it is computed."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sftdata.plan import Plan, Rows, budget_batches, cheapest_batches, micro_batches, share
from sftdata.training.batch import Batch, Shape
from sftdata.training.examples import Examples, fixed_shape


@dataclass(frozen=True)
class LoadedStep:
    """One optimiser step, as one rank takes it.

    Attributes:
        step: counted from 0.
        rows: positions of all its examples on all ranks, shape `[examples]`.
        targets: what divides the sum of its losses: the targets of all ranks.
        tokens: of all ranks, without padding.
        batches: of this rank, as many as each other rank has; some may be fillers without examples.
        halvings: how often the size of the batches had been halved.
    """

    step: int
    rows: Rows
    targets: int
    tokens: int
    batches: list[Batch]
    halvings: int = 0


class Loader:
    """Iterates over the steps of a plan, from `start` on. Its state is the number of the next step.

    One thread gathers a step ahead of the device; there are no worker processes, and nothing is replayed on a resume.
    Another compares each shard with its digest: a damaged one ends the iteration, at the latest behind the last step.

    Args:
        examples: what the plan plans.
        plan: which examples make which step.
        batch_size: units of a batch at most: examples, or packs. It changes no step, only how it is cut.
        packed: each batch is a single row without padding, for a model that keeps examples apart by `position_ids` or
            `cu_seqlens`; else the examples are padded, those of like length together, and a batch of packs has at most
            `batch_size * capacity` tokens with its padding.
        fixed: give all batches of packs one shape; needs a plan of packs.
        overhead: what a pass costs on its own, in tokens. Padded examples are then cut into the batches that cost least
            together; without it into as few as can be.
        start: steps taken before.
        rank: which of `ranks` this is, from 0.
        ranks: how many share each step.

    Raises:
        ValueError: `fixed` without packs.
    """

    def __init__(
        self,
        examples: Examples,
        plan: Plan,
        *,
        batch_size: int,
        packed: bool = False,
        fixed: bool = False,
        overhead: int | None = None,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if fixed and (plan.capacity is None or not packed):
            raise ValueError("fixed needs packed and a plan with a capacity")
        self._examples, self._plan, self._batch_size = examples, plan, batch_size
        self._overhead, self._packed, self._start, self._rank, self._ranks = overhead, packed, start, rank, ranks
        self._halvings = 0
        self._shape: Shape | None = fixed_shape(plan, examples.targets, batch_size) if fixed else None

    def __iter__(self) -> Iterator[LoadedStep]:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader") as ahead:
            coming = deque(ahead.submit(self.load, step) for step in range(self._start, self._plan.steps)[:1])
            while coming:
                loaded = coming.popleft().result()
                if loaded.step + 1 < self._plan.steps:
                    coming.append(ahead.submit(self.load, loaded.step + 1))
                yield loaded if loaded.halvings == self._halvings else self.load(loaded.step)
        self._examples.settle()

    def halve(self) -> None:
        """Cut all steps from now on into batches of half the size, as long as they have several examples."""
        self._halvings += 1

    def load(self, step: int) -> LoadedStep:
        """Gather this rank's batches of one step, counted from 0."""
        units, halvings = self._plan.units(step), self._halvings
        shares = [self._cut(of_rank, halvings) for of_rank in share(units, self._plan.lengths, self._ranks)]
        most = max(map(len, shares))
        mine = shares[self._rank]
        fillers = [np.zeros(0, dtype=np.int64)] * (most - len(mine))
        rows = np.concatenate(units)
        return LoadedStep(
            step=step,
            rows=rows,
            targets=int(self._examples.targets[rows].sum()),
            tokens=int(self._examples.lengths[rows].sum()),
            batches=[self._gather(part) for part in [*mine, *fillers]],
            halvings=halvings,
        )

    def _cut(self, units: Sequence[Rows], halvings: int) -> list[Rows]:
        lengths, capacity = self._examples.lengths, self._plan.capacity
        size, budget = max(1, self._batch_size >> halvings), self._batch_size * (capacity or 0) >> halvings
        if self._packed and capacity is not None:
            whole = [np.concatenate(units[start : start + size]) for start in range(0, len(units), size)]
            pieces = max(1, (1 << halvings) // self._batch_size)  # of a pack that does not fit
            return [part for rows in whole for part in np.array_split(rows, pieces) if len(part)]
        rows = np.concatenate(units)
        if self._overhead is not None and not self._packed:
            most, tokens = (size, sys.maxsize) if capacity is None else (len(rows), budget)
            return cheapest_batches(rows, lengths, batch_size=most, max_tokens=tokens, overhead=self._overhead)
        if capacity is None:
            return micro_batches(rows, lengths, size)
        return budget_batches(rows, lengths, budget)

    def _gather(self, rows: Rows) -> Batch:
        return self._examples.gather_packs(rows, self._shape) if self._packed else self._examples.gather(rows)
