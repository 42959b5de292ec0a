"""The Arrow schema of each task's examples, and the small files that `datasets` wants beside them."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from sftdata.records import Task

_LABELS: dict[Task, pa.DataType] = {
    Task.TEXT_CLASSIFICATION: pa.int64(),
    Task.MULTILABEL: pa.list_(pa.float32()),
    Task.REGRESSION: pa.float32(),
    Task.TOKEN_CLASSIFICATION: pa.list_(pa.int64()),
    Task.SEQ2SEQ: pa.list_(pa.int32()),
    Task.CAUSAL_LM: pa.list_(pa.int32()),
}

TOKEN_TYPES = pa.field("token_type_ids", pa.list_(pa.int8()))
"""Which of two texts a token belongs to, where the tokenizer tells."""

WEIGHTS = pa.field("weights", pa.list_(pa.float32()))
"""What multiplies the loss of each label where turns of conversations have weights; 0 where the label is -100."""

WEIGHT = pa.field("weight", pa.float32())
"""What multiplies the loss of all labels of an example, where rows have weights."""

PARENT = pa.field("parent_id", pa.string())
"""The row of which an example is a copy; null for the rows themselves."""

FOLD = pa.field("fold", pa.int32())
"""The fold of an example of the training part, -1 elsewhere; a copy is in the fold of its parent."""


def example_schema(task: Task, label_names: tuple[str, ...] | None = None, extra: Sequence[pa.Field] = ()) -> pa.Schema:
    """Return the columns of an example: `row_id`, `input_ids` (list of int32), `labels` (by task), and `extra` ones.

    The schema carries the features that Hugging Face datasets reads, `ClassLabel` names included; the features of
    multilabel, a list of numbers, have no place for names.
    """
    fields = [
        pa.field("row_id", pa.string()),
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("labels", _LABELS[task]),
        *extra,
    ]
    features = {field.name: _feature(field.type) for field in fields}
    if label_names is not None and task != Task.MULTILABEL:
        names = {"names": list(label_names), "_type": "ClassLabel"}
        of_tokens = task == Task.TOKEN_CLASSIFICATION
        features["labels"] = {"feature": names, "_type": "List"} if of_tokens else names
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _feature(arrow_type: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(arrow_type):
        return {"feature": _feature(arrow_type.value_type), "_type": "List"}
    name = "float32" if pa.types.is_float32(arrow_type) else str(arrow_type)  # Arrow's own name for it is `float`
    return {"dtype": name, "_type": "Value"}


def find_schema_fault(schema: pa.Schema, task: Task, label_names: tuple[str, ...] | None) -> str | None:
    """Tell in what way a schema is not one that `example_schema` gives for this task; None when it is."""
    optional = [TOKEN_TYPES, *[WEIGHTS] * (task == Task.CAUSAL_LM), WEIGHT, PARENT, FOLD]
    extra = [field for field in optional if field.name in schema.names]
    expected = example_schema(task, label_names, extra)
    if not schema.equals(expected):
        return f"has the columns {_name_columns(schema)}, expected for {task} {_name_columns(expected)}"
    if _features(schema) != _features(expected):
        return "has other features (labels or their names) for `datasets` than the manifest's"
    return None


def _name_columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def _features(schema: pa.Schema) -> Any:
    try:
        return json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return None


def shard_names(count: int) -> list[str]:
    """Return what the shards of a split are called, in order."""
    return [f"data-{number:05d}-of-{count:05d}.arrow" for number in range(count)]


def dataset_files(
    schema: pa.Schema, split: str, shards: list[str], fingerprint: str, shown: list[str] | None = None
) -> dict[str, str]:
    """Return the name and content of the two files beside a split's shards, for `datasets.load_from_disk`.

    Of a row only the columns `shown` are given to whoever reads it; all where it is None.
    """
    info = {"citation": "", "description": "", "homepage": "", "license": ""}
    info |= json.loads(schema.metadata[b"huggingface"])["info"]
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in shards],
        "_fingerprint": fingerprint,
        "_format_columns": shown,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    return {"dataset_info.json": _dump(info), "state.json": _dump(state)}


def dataset_dict_file(splits: list[str]) -> str:
    """Return the content of `dataset_dict.json`."""
    return _dump({"splits": splits})


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
