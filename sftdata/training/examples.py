"""From rows in Arrow buffers to tensors, without a Python object a token."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sftdata.errors import DataError, VerificationError
from sftdata.manifest import Manifest
from sftdata.plan import Plan, Rows
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.reader import Split
from sftdata.training.batch import Batch, Shape
from sftdata.training.checking import ShardChecks
from sftdata.training.columns import ShardColumns, Values, open_columns
from sftdata.training.sources import are_told_apart, name_sources, number_sources, trace_rows

TOKEN_TASKS = (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION)
"""Tasks whose targets belong to positions of the input."""

Ints = NDArray[np.int64]

_Places = Sequence[tuple[ShardColumns, int]]
"""Where examples stand: in which shard, and in which of its rows."""

_Arrange = Callable[[Sequence[Values], int, type], Values]
"""Brings what belongs to the labels of each example, a list an example, into the order of the losses of a batch; from
the lists, what stands where there is no label, and the dtype."""


class Examples:
    """The examples of one split, or of several one behind the other, ready to be gathered into batches.

    A shard is opened when the first of its rows is gathered, and compared with its digest at the same time; what is
    found is raised by a later gathering, or at the latest by `settle`.

    Args:
        splits: of one task, prepared with one tokenizer.
        pad_id: the token id that fills short rows.
        pin: gather into page-locked memory, from which a GPU copies while the host goes on.
        by_source: tell of each target from which source it is, where `sources.are_told_apart`.

    Attributes:
        task: decides what targets are.
        sources: names of the sources of all splits, by number; empty where nobody asks.
        lengths: tokens of each example, shape `[rows]`, int64.
        targets: what each example adds to the loss: trained tokens, or 1 for a whole row. Shape `[rows]`, int64.
    """

    def __init__(self, *splits: Split, pad_id: int = 0, pin: bool = False, by_source: bool = False) -> None:
        self.task = splits[0].manifest.task
        self._pad_id, self._pin = pad_id, pin
        self.lengths = np.concatenate([split.lengths() for split in splits])
        self.targets = np.concatenate([split.targets() for split in splits])
        self._files = [(split, number) for split in splits for number in range(len(split.shards))]
        rows = [split.shards[number].rows for split, number in self._files]
        self._starts: Ints = np.cumsum([0, *rows], dtype=np.int64)
        self._chosen: Rows | None = None
        self._shards: dict[int, ShardColumns] = {}
        self._checks = ShardChecks()
        self.sources = name_sources(splits) if by_source else ()
        self._numbers = [of for split, of in zip(splits, number_sources(splits), strict=True) for _ in split.shards]

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: Rows) -> "Examples":
        """Return these examples alone, numbered anew from 0; shards that are open stay so."""
        some = copy(self)
        some.lengths, some.targets = self.lengths[rows], self.targets[rows]
        some._chosen = rows if self._chosen is None else self._chosen[rows]
        return some

    def row_ids(self, rows: Rows) -> list[str]:
        """Return the ids of these examples."""
        return [self._table(shard)["row_id"][place].as_py() for shard, place in self._locate(rows)]

    @property
    def manifest(self) -> Manifest:
        """What the dataset of the first split says of itself."""
        return self._files[0][0].manifest

    def read(self, rows: Rows) -> list[dict[str, Any]]:
        """Return these examples as they stand in their shards; for a few."""
        places = [(*self._files[shard], place) for shard, place in self._locate(rows)]
        return [split[int(split.starts[number]) + place] for split, number, place in places]

    def settle(self) -> None:
        """Wait until all shards that were opened are compared with their digests.

        Raises:
            VerificationError: a shard is not the one that was written.
        """
        self._checks.settle()

    def row_labels(self) -> Values:
        """Return the labels of all examples of a task whose targets are of whole rows: classes or scores, `[rows]`."""
        found = [self._open_shard(shard).labels for shard in range(len(self._files))]
        self.settle()
        everything = np.concatenate([labels for labels in found if isinstance(labels, np.ndarray)])
        return everything if self._chosen is None else everything[self._chosen]

    def gather(self, rows: Rows) -> Batch:
        """Collect these examples, in this order, a row each, padded to the longest of them.

        Without rows it is a filler: one token, no target, which takes part in a step and adds nothing to it.
        """
        places, lengths = self._open(rows), self.lengths[rows]
        lines, width = max(1, len(rows)), int(lengths.max(initial=1))
        input_ids = self._fill((lines, width), torch.int64, self._pad_id)
        mask = self._fill((lines, width), torch.int64, 0)
        mask.numpy()[: len(rows)] = np.arange(width) < lengths[:, None]
        mask[len(rows) :, 0] = 1
        _pad(input_ids.numpy(), self._require([shard.ids[place] for shard, place in places], lengths))
        types = self._token_types(places, (lines, width), _pad)
        labels, counts = self._labels_of(places, lengths)
        targets, positions, arrange = self._targets_of(labels, lines, width)
        return Batch(
            rows=rows,
            input_ids=input_ids,
            attention_mask=mask,
            token_type_ids=types,
            targets=targets,
            positions=positions,
            weights=self._weigh(places, counts, arrange),
            sources=self._trace(places, counts, targets, arrange),
            longest=width,
        )

    def gather_packs(self, rows: Rows, shape: Shape | None = None) -> Batch:
        """Collect these examples, in this order, one behind the other in a single row.

        Args:
            rows: the examples of one pack or of several.
            shape: fill up to this size: the row with an example of padding, whose targets are none; for tasks with
                targets at positions.

        Raises:
            ValueError: the task cannot be packed, or not into a `shape`; or the examples do not fit into it.
        """
        if self.task == Task.SEQ2SEQ or (shape and self.task not in TOKEN_TASKS):
            raise ValueError(f"examples of a {self.task} task need rows of their own, or rows of any shape")
        places, lengths = self._open(rows), self.lengths[rows]
        tokens = max(1, int(lengths.sum())) if shape is None else shape.tokens
        ends = _sequence_ends(lengths, tokens, shape)
        input_ids = self._fill((1, tokens), torch.int64, self._pad_id)
        _chain(input_ids.numpy()[0], self._require([shard.ids[place] for shard, place in places], lengths))
        labels, counts = self._labels_of(places, lengths)
        targets, positions, arrange = (
            self._packed_targets(self._chain_labels(labels, ends), shape)
            if self.task in TOKEN_TASKS
            else self._targets_of(labels, max(1, len(rows)), 1)
        )
        position_ids = self._fill((1, tokens), torch.int64, 0)
        position_ids.numpy()[0] = np.arange(tokens) - np.repeat(ends[:-1], np.diff(ends))
        cu_seqlens = self._fill((len(ends),), torch.int32, 0)
        cu_seqlens.numpy()[:] = ends
        return Batch(
            rows=rows,
            input_ids=input_ids,
            token_type_ids=self._token_types(places, (1, tokens), _chain_first),
            position_ids=position_ids,
            cu_seqlens=cu_seqlens,
            targets=targets,
            positions=positions,
            weights=self._weigh(places, counts, arrange),
            sources=self._trace(places, counts, targets, arrange),
            longest=int(np.diff(ends).max(initial=0)),
        )

    def _locate(self, rows: Rows) -> list[tuple[int, int]]:
        """Return of each row its shard, and where it stands there."""
        rows = rows if self._chosen is None else self._chosen[rows]
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return list(zip(shards.tolist(), (rows - self._starts[shards]).tolist(), strict=True))

    def _open(self, rows: Rows) -> list[tuple[ShardColumns, int]]:
        self._checks.raise_found()
        return [(self._shards.get(shard) or self._open_shard(shard), place) for shard, place in self._locate(rows)]

    def _open_shard(self, shard: int) -> ShardColumns:
        split, number = self._files[shard]
        self._checks.begin(split, number)
        table, sources = split.shard(number), None
        if are_told_apart(self.sources):
            sources = trace_rows(table["row_id"], self._numbers[shard], len(self.sources))
        self._shards[shard] = open_columns(table, sources)
        return self._shards[shard]

    def _require(self, lists: list[Values], lengths: Ints) -> list[Values]:
        """Return the lists, which must be as long as the index says.

        Raises:
            VerificationError: they are not, as in a shard that is damaged; its digest says so first.
        """
        if [len(values) for values in lists] != lengths.tolist():
            self.settle()
            raise VerificationError("the index and the shards do not fit together; run `sftdata verify` on the data")
        return lists

    def _fill(self, shape: tuple[int, ...], dtype: torch.dtype, value: int) -> torch.Tensor:
        return torch.full(shape, value, dtype=dtype, pin_memory=self._pin)

    def _copy(self, values: Values, dtype: torch.dtype) -> torch.Tensor:
        copied = self._fill(values.shape, dtype, 0)
        copied.numpy()[:] = values
        return copied

    def _token_types(
        self, places: _Places, shape: tuple[int, int], put: Callable[[Values, Sequence[Values]], None]
    ) -> torch.Tensor | None:
        lists = [shard.types[place] for shard, place in places if shard.types]
        if not lists:
            return None
        types = self._fill(shape, torch.int64, 0)
        put(types.numpy(), lists)
        return types

    def _labels_of(self, places: _Places, lengths: Ints) -> tuple[list[Values], Ints]:
        """Return the labels of each example, and for how many losses they stand."""
        labels = [shard.labels[place] for shard, place in places]
        if self.task in TOKEN_TASKS:
            return self._require(labels, lengths), lengths
        if self.task == Task.SEQ2SEQ:
            return labels, np.array([len(values) for values in labels], dtype=np.int64)
        return labels, np.ones(len(labels), dtype=np.int64)

    def _targets_of(
        self, labels: Sequence[Values], lines: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor | None, _Arrange]:
        if self.task in TOKEN_TASKS:
            return self._targets_by_position(labels, lines, width)
        if self.task == Task.SEQ2SEQ:
            lay = partial(_lay, shape=(lines, max([1, *map(len, labels)])))
            targets = self._copy(lay(labels, IGNORE_INDEX, np.int64), torch.int64)
            return targets, None, lambda lists, fill, dtype: lay(lists, fill, dtype).ravel()
        values = np.stack(labels or [np.full((), IGNORE_INDEX)])  # of a filler
        dtype = torch.int64 if self.task == Task.TEXT_CLASSIFICATION else torch.float32
        return self._copy(values, dtype), None, lambda lists, fill, dtype: _lay(lists, fill, dtype, (lines, 1)).ravel()

    def _targets_by_position(
        self, labels: Sequence[Values], lines: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor, _Arrange]:
        follows = self.task == Task.CAUSAL_LM  # column p is of what follows token p

        def lay(lists: Sequence[Values], fill: int, dtype: type) -> Values:
            return _lay(lists, fill, dtype, (lines, width + 1))[:, follows : width + follows]

        padded = lay(labels, IGNORE_INDEX, np.int64)
        columns = np.flatnonzero((padded != IGNORE_INDEX).any(axis=0))
        targets, positions = self._copy(padded[:, columns], torch.int64), self._copy(columns, torch.int64)
        return targets, positions, lambda lists, fill, dtype: lay(lists, fill, dtype)[:, columns].ravel()

    def _chain_labels(self, labels: Sequence[Values], ends: Ints) -> NDArray[np.int32]:
        """Return what belongs to each token of a row: its own label, or that of the token behind it."""
        line = np.full(ends[-1] + 1, IGNORE_INDEX, dtype=np.int32)  # one more: nothing follows the last token
        _chain(line, labels)
        if self.task != Task.CAUSAL_LM:
            return line
        line[ends[:-1]] = IGNORE_INDEX  # nothing predicts the first token of an example
        return line[1:]

    def _packed_targets(
        self, labels: NDArray[np.int32], shape: Shape | None
    ) -> tuple[torch.Tensor, torch.Tensor, _Arrange]:
        found = np.flatnonzero(labels != IGNORE_INDEX)
        size = len(found) if shape is None else shape.positions
        if len(found) > size:
            raise ValueError(f"{len(found)} trained positions do not fit into {size}")
        positions = self._fill((size,), torch.int64, 0)
        targets = self._fill((1, size), torch.int64, IGNORE_INDEX)
        positions.numpy()[: len(found)] = found
        targets.numpy()[0, : len(found)] = labels[found]
        follows = self.task == Task.CAUSAL_LM

        def arrange(lists: Sequence[Values], fill: int, dtype: type) -> Values:
            line: Values = np.full(len(labels) + 1, fill, dtype=dtype)
            arranged: Values = np.full(size, fill, dtype=dtype)
            _chain(line, lists)
            arranged[: len(found)] = line[found + follows]
            return arranged

        return targets, positions, arrange

    def _weigh(self, places: _Places, counts: Ints, arrange: _Arrange) -> torch.Tensor | None:
        """Return what multiplies each loss; None where nothing here is weighed."""
        if not any(shard.is_weighed for shard, _ in places):
            return None
        lists = [shard.weigh(place, int(count)) for (shard, place), count in zip(places, counts, strict=True)]
        return self._copy(arrange(self._require(lists, counts), 0, np.float32), torch.float32)

    def _trace(self, places: _Places, counts: Ints, targets: torch.Tensor, arrange: _Arrange) -> torch.Tensor | None:
        """Return the number of the source of each loss, `len(self.sources)` where there is no target."""
        if not are_told_apart(self.sources):
            return None
        lists = [shard.trace(place, int(count)) for (shard, place), count in zip(places, counts, strict=True)]
        found = arrange(lists, len(self.sources), np.int64)
        if not targets.is_floating_point():
            found[targets.numpy().ravel() == IGNORE_INDEX] = len(self.sources)
        return self._copy(found, torch.int64)

    def _table(self, shard: int) -> pa.Table:
        split, number = self._files[shard]
        return split.shard(number)


def _pad(lines: Values, lists: Sequence[Values]) -> None:
    """Write each list into a line of its own."""
    for line, values in zip(lines, lists, strict=False):
        line[: len(values)] = values


def _chain_first(lines: Values, lists: Sequence[Values]) -> None:
    """Write the lists into the first line, one behind the other."""
    _chain(lines[0], lists)


def _lay(lists: Sequence[Values], fill: int, dtype: type, shape: tuple[int, int]) -> Values:
    """Return lines of one width with a list each."""
    lines: Values = np.full(shape, fill, dtype=dtype)
    _pad(lines, lists)
    return lines


def _chain(line: Values, lists: Sequence[Values]) -> None:
    """Write the lists into one line, one behind the other."""
    start = 0
    for values in lists:
        line[start : start + len(values)] = values
        start += len(values)


def _sequence_ends(lengths: Ints, tokens: int, shape: Shape | None) -> Ints:
    """Return where each example begins in a row, and where the last ends; what fills the row is an example too."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    if ends[-1] > tokens:
        raise ValueError(f"{ends[-1]} tokens do not fit into {tokens}")
    if ends[-1] < tokens:
        ends = np.append(ends, tokens)
    if shape is None:
        return ends
    if len(ends) - 1 > shape.sequences:
        raise ValueError(f"{len(ends) - 1} examples do not fit into {shape.sequences}")
    return np.concatenate([ends, np.full(shape.sequences + 1 - len(ends), tokens)])


def fixed_shape(plan: Plan, targets: Ints, packs: int) -> Shape:
    """Return the smallest shape that holds any `packs` packs of a plan, in every epoch.

    Which lengths share a pack is the same in all epochs, only which examples of these lengths do is not: so a pack has
    no more targets than if each of its lengths had the most that any example of that length has.

    Args:
        plan: of packs.
        targets: trained tokens of every example, shape `[rows]`.
        packs: in a batch.
    """
    if plan.capacity is None:
        raise ValueError("the plan has no packs")
    if plan.mixture is not None:  # other examples in each epoch, so other packs
        longest_run = plan.capacity // int(plan.lengths.min())
        return Shape(plan.capacity * packs, longest_run * packs + 1, plan.capacity * packs)
    arranged = plan.arrange(0)
    most = np.zeros(int(plan.lengths.max()) + 1, dtype=np.int64)
    np.maximum.at(most, plan.lengths, targets)
    trained = np.add.reduceat(most[plan.lengths[arranged.rows]], arranged.offsets[:-1])
    sequences = int(np.diff(arranged.offsets).max())
    return Shape(plan.capacity * packs, sequences * packs + 1, int(trained.max()) * packs)


def require_targets(examples: Examples, where: str) -> None:
    """Refuse a split without rows, and a row that would train nothing.

    Raises:
        DataError: naming the split or the rows.
    """
    if not len(examples):
        raise DataError(f"{where} has no rows. Give the split a larger share in the recipe and prepare again.")
    empty = np.flatnonzero(examples.targets == 0)
    if len(empty):
        names = ", ".join(examples.row_ids(empty[:5]))
        raise DataError(
            f"{where}: {len(empty)} of {len(examples)} rows train nothing, expected at least one trained token after "
            f"the first in each: {names}. Repair or remove these rows and prepare again."
        )
