"""Whether examples are what their task says: no nulls, ids of the vocabulary, labels that fit ids and classes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.manifest import Manifest
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.layout import TOKEN_TYPES, WEIGHT, WEIGHTS

_BESIDE_TOKENS = (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION)
"""Tasks that have one label a token."""


def find_unsound(batch: pa.RecordBatch, manifest: Manifest) -> list[str]:
    """Tell what is wrong with a batch whose columns are those of the task, naming the first row of each fault."""
    required = ("row_id", "input_ids", "labels", WEIGHTS.name, WEIGHT.name)
    empty = [name for name in required if name in batch.schema.names and _has_nulls(batch[name])]
    if empty:
        return [f"{name} has nulls" for name in empty]
    found = []
    for fault, wrong in (*_token_faults(batch, manifest), *_label_faults(batch, manifest), *_weight_faults(batch)):
        if wrong.any():
            found.append(f"row {batch['row_id'][int(wrong.argmax())]}: {fault}")
    return found


_Faults = Iterator[tuple[str, NDArray[np.bool_]]]
"""What may be wrong, and with which rows it is."""


def _token_faults(batch: pa.RecordBatch, manifest: Manifest) -> _Faults:
    ids, size = batch["input_ids"], manifest.tokenizer.vocab_size
    yield f"an id that the tokenizer's vocabulary of {size} does not have", _any_outside(ids, size)
    if TOKEN_TYPES.name in batch.schema.names:
        yield f"not one of {TOKEN_TYPES.name} for each id", _lengths(batch[TOKEN_TYPES.name]) != _lengths(ids)


def _label_faults(batch: pa.RecordBatch, manifest: Manifest) -> _Faults:
    ids, labels, task = batch["input_ids"], batch["labels"], manifest.task
    classes = len(manifest.label_names or ())
    if task in _BESIDE_TOKENS:
        uneven = _lengths(labels) != _lengths(ids)
        yield "not one label for each id", uneven
        if uneven.any():
            return
    if task == Task.CAUSAL_LM:
        values = to_numpy(labels.flatten())
        strange = (values != IGNORE_INDEX) & (values != to_numpy(ids.flatten()))
        yield f"a label that is neither {IGNORE_INDEX} nor the id of its token", _any_of_lists(strange, labels)
    elif task == Task.TOKEN_CLASSIFICATION:
        yield f"a label that is none of the {classes} tags", _any_outside(labels, classes)
    elif task == Task.SEQ2SEQ:
        yield (
            "a label that the tokenizer's vocabulary does not have",
            _any_outside(labels, manifest.tokenizer.vocab_size),
        )
    elif task == Task.TEXT_CLASSIFICATION:
        yield f"a label that is none of the {classes} classes", _outside(to_numpy(labels), classes)
    elif task == Task.MULTILABEL:
        yield f"not one number for each of the {classes} labels", _lengths(labels) != classes


def _weight_faults(batch: pa.RecordBatch) -> _Faults:
    names, labels = batch.schema.names, batch["labels"]
    if WEIGHT.name in names:
        yield "a weight that is not above 0 and finite", ~_counts(to_numpy(batch[WEIGHT.name]))
    if WEIGHTS.name in names:
        weights = batch[WEIGHTS.name]
        uneven = _lengths(weights) != _lengths(labels)
        yield f"not one of {WEIGHTS.name} for each label", uneven
        if not uneven.any():
            values, trained = to_numpy(weights.flatten()), to_numpy(labels.flatten()) != IGNORE_INDEX
            wrong = np.where(trained, ~_counts(values), values != 0)
            yield (
                "a weight that is not above 0 and finite, or not 0 where nothing is trained",
                _any_of_lists(wrong, labels),
            )


def _counts(weights: NDArray[Any]) -> NDArray[np.bool_]:
    counts: NDArray[np.bool_] = (weights > 0) & np.isfinite(weights)
    return counts


def _has_nulls(column: pa.Array) -> bool:
    return bool(column.null_count or (pa.types.is_list(column.type) and column.flatten().null_count))


def _lengths(lists: pa.Array) -> NDArray[np.int32]:
    return np.diff(to_numpy(lists.offsets))


def _outside(values: NDArray[Any], size: int) -> NDArray[np.bool_]:
    return (values < 0) | (values >= size)


def _any_outside(lists: pa.Array, size: int) -> NDArray[np.bool_]:
    values = to_numpy(lists.flatten())
    return _any_of_lists(_outside(values, size) & (values != IGNORE_INDEX), lists)


def _any_of_lists(flags: NDArray[np.bool_], lists: pa.Array) -> NDArray[np.bool_]:
    """Tell for each list whether one of its values is flagged."""
    found = np.zeros(len(lists), dtype=np.bool_)
    if flags.any():
        ends = np.cumsum(_lengths(lists))
        found[np.searchsorted(ends, np.flatnonzero(flags), side="right")] = True
    return found
