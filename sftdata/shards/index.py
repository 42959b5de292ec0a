"""The index of a split: of each example what planning needs, so that a run is planned without opening a shard."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_arrow, to_numpy
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.layout import FOLD

INDEX_NAME = "index"
"""The directory of the indexes in that of a dataset; a split's is `<split>.arrow`, an Arrow stream file."""

_COUNTS = [pa.field("tokens", pa.int32()), pa.field("targets", pa.int32())]

INDEX_SCHEMAS = (pa.schema(_COUNTS), pa.schema([*_COUNTS, FOLD]))
"""The columns of an index without and with folds."""


@dataclass(frozen=True)
class Counts:
    """What examples count for, all of shape `[examples]`.

    Attributes:
        tokens: length of `input_ids`, int64.
        trained: labels that are not ignored, int64; None where there is one label for the whole row.
        targets: what the example adds to the loss, int64: 1 for a label of the whole row; else `trained`, for causal_lm
            without the first label, since nothing predicts the first token.
        fold: as the column, int32; None without folds.
    """

    tokens: NDArray[np.int64]
    trained: NDArray[np.int64] | None
    targets: NDArray[np.int64]
    fold: NDArray[np.int32] | None

    def count_trained(self) -> int:
        """Return how many labels are trained in all; a label of a whole row counts as one."""
        return len(self.tokens) if self.trained is None else int(self.trained.sum())

    def as_batch(self) -> pa.RecordBatch:
        """Return the rows of the index: `tokens` and `targets`, and `fold` where there is one; all int32."""
        columns = [to_arrow(self.tokens, pa.int32()), to_arrow(self.targets, pa.int32())]
        columns += [] if self.fold is None else [to_arrow(self.fold)]
        return pa.RecordBatch.from_arrays(columns, schema=INDEX_SCHEMAS[self.fold is not None])


def index_schema(examples: pa.Schema) -> pa.Schema:
    """Return the columns of the index of examples with this schema."""
    return INDEX_SCHEMAS[FOLD.name in examples.names]


def index_path(split: str) -> str:
    """Return where the index of a split stands, relative to the dataset."""
    return f"{INDEX_NAME}/{split}.arrow"


def count_examples(batch: pa.RecordBatch, task: Task) -> Counts:
    """Count tokens and labels of each example."""
    ids, labels = batch["input_ids"], batch["labels"]
    tokens = np.diff(to_numpy(ids.offsets)).astype(np.int64)
    fold = to_numpy(batch[FOLD.name]) if FOLD.name in batch.schema.names else None
    if not _are_token_labels(labels.type):
        return Counts(tokens, None, np.ones(len(labels), dtype=np.int64), fold)
    values = to_numpy(labels.flatten())
    offsets = to_numpy(labels.offsets).astype(np.int64)
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    trained = _sum_lists(values != IGNORE_INDEX, starts, lengths)
    targets = trained - _first_trained(values, starts, lengths) if task == Task.CAUSAL_LM else trained
    return Counts(tokens, trained, targets, fold)


def _are_token_labels(labels: pa.DataType) -> bool:
    """Tell labels of tokens from one of the whole row: a class, a score, or a number for each class."""
    return bool(pa.types.is_list(labels) and pa.types.is_integer(labels.value_type))


def _sum_lists(flags: NDArray[np.bool_], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    sums = np.zeros(len(lengths), dtype=np.int64)
    filled = np.flatnonzero(lengths)  # reduceat takes an empty list for its first value
    if len(filled):
        sums[filled] = np.add.reduceat(flags, starts[filled], dtype=np.int64)
    return sums


def _first_trained(values: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    first = np.zeros(len(lengths), dtype=np.int64)
    filled = np.flatnonzero(lengths)
    first[filled] = values[starts[filled]] != IGNORE_INDEX
    return first
