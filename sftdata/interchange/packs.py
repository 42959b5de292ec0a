"""Examples put together to packs of a given length, as TRL's `packing_strategy="bfd"` makes them.

A pack is its examples end to end. `seq_lengths` says where each begins, so that the attention and the positions of a
padding-free batch restart there.
"""

import json
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_arrow, to_numpy
from sftdata.errors import UsageError
from sftdata.plan import pack, shuffle
from sftdata.shards.layout import FOLD
from sftdata.shards.reader import Split

_TOKENS_AT_ONCE = 2**20
"""Tokens of the packs that are put together at once, which bounds memory."""

_NUMBERS = {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"}
_STRINGS = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}
_FEATURES = {"input_ids": _NUMBERS, "labels": _NUMBERS, "seq_lengths": _NUMBERS, "row_ids": _STRINGS}

PACK_SCHEMA = pa.schema(
    {
        "input_ids": pa.list_(pa.int32()),
        "labels": pa.list_(pa.int32()),
        "seq_lengths": pa.list_(pa.int32()),
        "row_ids": pa.list_(pa.string()),
    },
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
"""The columns of a pack: its tokens, their labels, and the lengths and ids of its examples."""

PACK_SHOWN = ["input_ids", "labels", "seq_lengths"]


def pack_split(split: Split, capacity: int) -> Iterator[pa.RecordBatch]:
    """Yield the packs of all examples of a causal_lm split, in an order that depends on the dataset's seed alone.

    Args:
        split: its shards; they are read in any order.
        capacity: most tokens of a pack.

    Raises:
        UsageError: when an example is longer, or the dataset has folds.
        VerificationError: when a shard is damaged.
    """
    _refuse_folds(split)
    for number in range(len(split.shards)):
        split.check_shard(number)
    lengths = split.lengths()
    longest = int(lengths.max(initial=0))
    if longest > capacity:
        count = int((lengths > capacity).sum())
        raise UsageError(
            f"{count:,} of {len(lengths):,} examples of the split '{split.name}' have more than {capacity:,} tokens, "
            f"so they fit in no pack; the longest has {longest:,}. Raise --capacity to {longest}, or prepare again "
            "with a smaller tokenize.max_length."
        )
    packs, rows = pack(lengths, capacity), Gatherer(split)
    order, at_once = shuffle(len(packs), split.manifest.seed), max(1, _TOKENS_AT_ONCE // capacity)
    for start in range(0, len(packs), at_once):
        members = [packs[number] for number in order[start : start + at_once]]
        yield _join(rows.gather(np.concatenate(members)), np.cumsum([0, *map(len, members)]))


def _refuse_folds(split: Split) -> None:
    if FOLD.name in split.shard(0).column_names:
        raise UsageError(
            f"the split '{split.name}' has folds, and packs would mix them. TRL takes the shards as they are: open "
            "them with datasets.load_from_disk, and leave out the rows of a fold with filter."
        )


def _join(examples: pa.RecordBatch, bounds: NDArray[np.int64]) -> pa.RecordBatch:
    """Put examples together; pack `n` is those from `bounds[n]` to before `bounds[n + 1]`."""
    offsets = to_numpy(examples["input_ids"].offsets).astype(np.int64)
    ends = to_arrow((offsets - offsets[0])[bounds], pa.int32())
    packs = to_arrow(bounds, pa.int32())
    columns = [
        pa.ListArray.from_arrays(ends, examples["input_ids"].flatten()),
        pa.ListArray.from_arrays(ends, examples["labels"].flatten()),
        pa.ListArray.from_arrays(packs, to_arrow(np.diff(offsets), pa.int32())),
        pa.ListArray.from_arrays(packs, examples["row_id"]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PACK_SCHEMA)


class Gatherer:
    """Collects rows from anywhere in a split, touching only them: `take` on a chunked column would copy it whole."""

    def __init__(self, split: Split) -> None:
        tables = [split.shard(number) for number in range(len(split.shards))]
        columns = ["row_id", "input_ids", "labels"]
        self._batches = [batch for table in tables for batch in table.select(columns).to_batches()]
        sizes = [batch.num_rows for batch in self._batches]
        self._starts = np.cumsum([0, *sizes])

    def gather(self, rows: NDArray[np.int64]) -> pa.RecordBatch:
        """Return `row_id`, `input_ids` and `labels` of these rows, in this order; at least one."""
        order = np.argsort(rows, kind="stable")
        rising = rows[order]
        home = np.searchsorted(self._starts, rising, side="right") - 1
        cuts = [0, *(np.flatnonzero(np.diff(home)) + 1).tolist(), len(rows)]
        parts = [self._batches[home[a]].take(to_arrow(rising[a:b] - self._starts[home[a]])) for a, b in pairwise(cuts)]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_batches(parts).take(to_arrow(back))
