"""From rows in Arrow buffers to tensors, without a Python object a token."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sftdata.errors import DataError, VerificationError
from sftdata.plan import Plan, Rows
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.reader import Split
from sftdata.training.batch import Batch, Shape
from sftdata.training.checking import ShardChecks
from sftdata.training.columns import TokenLists, Values, open_column

TOKEN_TASKS = (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION)
"""Tasks whose targets belong to positions of the input."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Shard:
    ids: TokenLists
    labels: TokenLists | Values
    types: TokenLists | None


class Examples:
    """The examples of one split, or of several one behind the other, ready to be gathered into batches.

    A shard is opened when the first of its rows is gathered, and compared with its digest at the same time; what is
    found is raised by a later gathering, or at the latest by `settle`.

    Args:
        splits: of one task, prepared with one tokenizer.
        pad_id: the token id that fills short rows.
        pin: gather into page-locked memory, from which a GPU copies while the host goes on.

    Attributes:
        task: decides what targets are.
        lengths: tokens of each example, shape `[rows]`, int64.
        targets: what each example adds to the loss: trained tokens, or 1 for a whole row. Shape `[rows]`, int64.
    """

    def __init__(self, *splits: Split, pad_id: int = 0, pin: bool = False) -> None:
        self.task = splits[0].manifest.task
        self._pad_id, self._pin = pad_id, pin
        self.lengths = np.concatenate([split.lengths() for split in splits])
        self.targets = np.concatenate([split.targets() for split in splits])
        self._sources = [(split, number) for split in splits for number in range(len(split.shards))]
        rows = [split.shards[number].rows for split, number in self._sources]
        self._starts: Ints = np.cumsum([0, *rows], dtype=np.int64)
        self._chosen: Rows | None = None
        self._shards: dict[int, _Shard] = {}
        self._checks = ShardChecks()

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

    def settle(self) -> None:
        """Wait until all shards that were opened are compared with their digests.

        Raises:
            VerificationError: a shard is not the one that was written.
        """
        self._checks.settle()

    def row_labels(self) -> Values:
        """Return the labels of all examples of a task whose targets are of whole rows: classes or scores, `[rows]`."""
        found = [self._open_shard(shard).labels for shard in range(len(self._sources))]
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
        types = self._token_types(places, (lines, width))
        targets, positions = self._targets_of(places, lengths, (lines, width))
        return Batch(
            rows=rows,
            input_ids=input_ids,
            attention_mask=mask,
            token_type_ids=types,
            targets=targets,
            positions=positions,
            longest=width,
        )

    def gather_packs(self, rows: Rows, shape: Shape | None = None) -> Batch:
        """Collect these examples, in this order, one behind the other in a single row.

        Args:
            rows: the examples of one pack or of several.
            shape: fill up to this size: the row with an example of padding, whose targets are none.

        Raises:
            ValueError: the task has targets of whole rows, or the examples do not fit into `shape`.
        """
        if self.task not in TOKEN_TASKS:
            raise ValueError(f"a {self.task} task has a target for each example, which needs a row of its own")
        places, lengths = self._open(rows), self.lengths[rows]
        tokens = max(1, int(lengths.sum())) if shape is None else shape.tokens
        ends = _sequence_ends(lengths, tokens, shape)
        input_ids = self._fill((1, tokens), torch.int64, self._pad_id)
        labels = np.full(tokens + 1, IGNORE_INDEX, dtype=np.int32)  # one more: nothing follows the last token
        _chain(input_ids.numpy()[0], self._require([shard.ids[place] for shard, place in places], lengths))
        _chain(labels, self._require([shard.labels[place] for shard, place in places], lengths))
        if self.task == Task.CAUSAL_LM:
            labels[ends[:-1]] = IGNORE_INDEX  # nothing predicts the first token of an example
            labels = labels[1:]
        targets, positions = self._packed_targets(labels, shape)
        position_ids = self._fill((1, tokens), torch.int64, 0)
        position_ids.numpy()[0] = np.arange(tokens) - np.repeat(ends[:-1], np.diff(ends))
        cu_seqlens = self._fill((len(ends),), torch.int32, 0)
        cu_seqlens.numpy()[:] = ends
        return Batch(
            rows=rows,
            input_ids=input_ids,
            position_ids=position_ids,
            cu_seqlens=cu_seqlens,
            targets=targets,
            positions=positions,
            longest=int(np.diff(ends).max(initial=0)),
        )

    def _locate(self, rows: Rows) -> list[tuple[int, int]]:
        """Return of each row its shard, and where it stands there."""
        rows = rows if self._chosen is None else self._chosen[rows]
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return list(zip(shards.tolist(), (rows - self._starts[shards]).tolist(), strict=True))

    def _open(self, rows: Rows) -> list[tuple[_Shard, int]]:
        self._checks.raise_found()
        return [(self._shards.get(shard) or self._open_shard(shard), place) for shard, place in self._locate(rows)]

    def _open_shard(self, shard: int) -> _Shard:
        split, number = self._sources[shard]
        self._checks.begin(split, number)
        table = split.shard(number)
        types = TokenLists(table["token_type_ids"]) if "token_type_ids" in table.column_names else None
        self._shards[shard] = _Shard(TokenLists(table["input_ids"]), open_column(table["labels"]), types)
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

    def _token_types(self, places: Sequence[tuple[_Shard, int]], shape: tuple[int, int]) -> torch.Tensor | None:
        lists = [shard.types[place] for shard, place in places if shard.types]
        if not lists:
            return None
        types = self._fill(shape, torch.int64, 0)
        _pad(types.numpy(), lists)
        return types

    def _targets_of(
        self, places: Sequence[tuple[_Shard, int]], lengths: Ints, shape: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        lines, width = shape
        labels = [shard.labels[place] for shard, place in places]
        if self.task in TOKEN_TASKS:
            self._require(labels, lengths)
            return self._targets_by_position(labels, lines, width)
        if self.task == Task.SEQ2SEQ:
            targets = self._fill((lines, max([1, *map(len, labels)])), torch.int64, IGNORE_INDEX)
            _pad(targets.numpy(), labels)
            return targets, None
        if not labels:
            labels = [np.int64(IGNORE_INDEX)]  # a filler
        values = np.stack(labels)
        dtype = torch.int64 if self.task == Task.TEXT_CLASSIFICATION else torch.float32
        targets = self._fill(values.shape, dtype, 0)
        targets.numpy()[:] = values
        return targets, None

    def _targets_by_position(
        self, labels: Sequence[Values], lines: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        padded = np.full((lines, width + 1), IGNORE_INDEX, dtype=np.int64)
        _pad(padded, labels)
        padded = padded[:, 1:] if self.task == Task.CAUSAL_LM else padded[:, :-1]  # column p: what follows token p
        columns = np.flatnonzero((padded != IGNORE_INDEX).any(axis=0))
        positions, targets = (self._fill(shape, torch.int64, 0) for shape in ((len(columns),), (lines, len(columns))))
        positions.numpy()[:] = columns
        targets.numpy()[:] = padded[:, columns]
        return targets, positions

    def _packed_targets(self, labels: NDArray[np.int32], shape: Shape | None) -> tuple[torch.Tensor, torch.Tensor]:
        found = np.flatnonzero(labels != IGNORE_INDEX)
        size = len(found) if shape is None else shape.positions
        if len(found) > size:
            raise ValueError(f"{len(found)} trained positions do not fit into {size}")
        positions = self._fill((size,), torch.int64, 0)
        targets = self._fill((1, size), torch.int64, IGNORE_INDEX)
        positions.numpy()[: len(found)] = found
        targets.numpy()[0, : len(found)] = labels[found]
        return targets, positions

    def _table(self, shard: int) -> pa.Table:
        split, number = self._sources[shard]
        return split.shard(number)


def _pad(lines: Values, lists: Sequence[Values]) -> None:
    """Write each list into a line of its own."""
    for line, values in zip(lines, lists, strict=False):
        line[: len(values)] = values


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
