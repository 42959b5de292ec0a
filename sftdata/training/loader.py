"""From rows in Arrow buffers to padded tensors, without a Python object a token."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from sftdata.errors import DataError
from sftdata.plan import Rows
from sftdata.records import IGNORE_INDEX, Task

_BLOCK = 4096
"""Rows whose labels are counted at once, so that counting needs little memory."""


@dataclass(frozen=True)
class Batch:
    """Right-padded examples.

    Attributes:
        input_ids: shape `[rows, width]`, int64.
        attention_mask: shape `[rows, width]`, int64, 1 where there is a token.
        targets: the class of each row, shape `[rows]`; or, for causal_lm, the token that follows each of
            `positions`, shape `[rows, positions]`, -100 where it is not trained; int64.
        positions: for causal_lm the columns in which any row predicts a trained token, ascending, int64; else empty.
        token_type_ids: for pairs of texts which of the two a token belongs to, shape `[rows, width]`, int64, 0 where
            there is no token; else empty.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor
    token_type_ids: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; to a GPU from pinned memory, so that the host does not wait."""
        if device.type == "cpu":
            return self
        return Batch(*(_send(getattr(self, field.name), device) for field in fields(self)))


def _send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.pin_memory().to(device, non_blocking=True)


class TokenLists:
    """A list column of a table, row by row as numpy views into its buffers.

    Right for sliced and chunked tables: `values` ignores a slice, and `offsets` are positions in it.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._chunks = [(c.offsets.to_numpy(), c.values.to_numpy(zero_copy_only=False)) for c in column.chunks]
        self._ends = np.cumsum([len(chunk) for chunk in column.chunks], dtype=np.int64)

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        chunk = int(np.searchsorted(self._ends, row, side="right"))
        offsets, values = self._chunks[chunk]
        place = row - (int(self._ends[chunk - 1]) if chunk else 0)
        view: NDArray[np.int32] = values[offsets[place] : offsets[place + 1]]
        return view

    def lengths(self) -> Rows:
        """Return the length of each row, shape `[rows]`, int64."""
        parts = [np.diff(offsets).astype(np.int64) for offsets, _ in self._chunks]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def count_targets(self) -> Rows:
        """Count the labels of each row that are trained and can be predicted: not the first. Shape `[rows]`, int64."""
        parts = [_count_block(values, block) for values, block in self._blocks()]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def _blocks(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        for offsets, values in self._chunks:
            for start in range(0, len(offsets) - 1, _BLOCK):
                yield values, offsets[start : start + _BLOCK + 1]


def _count_block(values: NDArray[np.int32], offsets: NDArray[np.int32]) -> Rows:
    trained = values[offsets[0] : offsets[-1]] != IGNORE_INDEX
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(trained, dtype=np.int64)])
    starts, ends = offsets[:-1] - offsets[0], offsets[1:] - offsets[0]
    counts: Rows = before[ends] - before[np.minimum(starts + 1, ends)]
    return counts


class Examples:
    """The examples of one split, ready to be gathered into batches.

    Args:
        table: the columns `row_id`, `input_ids`, `labels` of the shards, and `token_type_ids` where they have it.
        task: decides what `labels` are.
        pad_id: the token id that fills short rows.

    Attributes:
        lengths: tokens of each example, shape `[rows]`, int64.
        targets: what each example adds to the loss: trained tokens, or 1 for a class. Shape `[rows]`, int64.
        classes: the class index of each example, shape `[rows]`, int64; empty for causal_lm.
    """

    def __init__(self, table: pa.Table, task: Task, pad_id: int = 0) -> None:
        self._table, self._pad_id = table, pad_id
        self._ids = TokenLists(table["input_ids"])
        self._types = TokenLists(table["token_type_ids"]) if "token_type_ids" in table.column_names else None
        self._token_labels = TokenLists(table["labels"]) if task == Task.CAUSAL_LM else None
        self.classes: NDArray[np.int64] = (
            table["labels"].to_numpy() if task != Task.CAUSAL_LM else np.zeros(0, np.int64)
        )
        self.lengths = self._ids.lengths()
        self.targets = self._token_labels.count_targets() if self._token_labels else np.ones(len(table), np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def row_ids(self, rows: Rows) -> list[str]:
        """Return the ids of these examples."""
        found: list[str] = self._table["row_id"].take(pa.array(rows)).to_pylist()
        return found

    def gather(self, rows: Rows) -> Batch:
        """Collect these examples, in this order, padded to the longest of them."""
        width = int(self.lengths[rows].max(initial=0))
        input_ids = _pad(self._ids, rows, width, self._pad_id)
        mask = np.arange(width) < self.lengths[rows][:, None]
        targets, positions = self._targets_of(rows, width)
        types = _pad(self._types, rows, width, 0) if self._types else np.zeros(0, np.int64)
        return Batch(
            torch.from_numpy(input_ids),
            torch.from_numpy(mask.astype(np.int64)),
            targets,
            positions,
            torch.from_numpy(types),
        )

    def _targets_of(self, rows: Rows, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self._token_labels is None:
            return torch.from_numpy(self.classes[rows]), torch.zeros(0, dtype=torch.int64)
        labels = _pad(self._token_labels, rows, width, IGNORE_INDEX)[:, 1:]  # column p: what follows token p
        positions = np.flatnonzero((labels != IGNORE_INDEX).any(axis=0))
        return torch.from_numpy(labels[:, positions]), torch.from_numpy(positions)


def _pad(column: TokenLists, rows: Rows, width: int, fill: int) -> NDArray[np.int64]:
    padded = np.full((len(rows), width), fill, dtype=np.int64)
    for line, row in enumerate(rows):
        tokens = column[int(row)]
        padded[line, : len(tokens)] = tokens
    return padded


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
