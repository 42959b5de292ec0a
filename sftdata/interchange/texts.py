"""Examples as text again: what a model reads and what it learns from it, decoded with the dataset's own tokenizer.

The text of tokens need not be that of the source: a tokenizer may lower it, normalise it, or know no token for a part.
"""

from collections.abc import Callable
from itertools import compress, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sftdata.errors import VerificationError
from sftdata.manifest import Manifest, digest_file
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.layout import WEIGHT, WEIGHTS
from sftdata.tokenizers.loading import load_tokenizer

_STRINGS = pa.list_(pa.string())
_SEGMENT = {"label": pa.bool_(), "text": pa.string()}

_FIELDS: dict[Task, dict[str, pa.DataType]] = {
    Task.TEXT_CLASSIFICATION: {"text": pa.string(), "label": pa.string()},
    Task.MULTILABEL: {"text": pa.string(), "labels": _STRINGS},
    Task.REGRESSION: {"text": pa.string(), "score": pa.float32()},
    Task.TOKEN_CLASSIFICATION: {"tokens": _STRINGS, "tags": _STRINGS},
    Task.SEQ2SEQ: {"source_text": pa.string(), "target_text": pa.string()},
    Task.CAUSAL_LM: {"segments": pa.list_(pa.struct(_SEGMENT))},
}
"""What an example of each task becomes: the fields that the task's rows have, and for causal_lm `segments`."""

_WEIGHED = {"segments": pa.list_(pa.struct(_SEGMENT | {"weight": pa.float32()}))}
"""The fields of conversations whose turns have weights."""

_KEPT = ("row_id", WEIGHT.name, "parent_id", "fold")


class Decoder:
    """Turns examples into text.

    Args:
        directory: the prepared dataset; its own copy of the tokenizer decodes.
        manifest: of the dataset.

    Raises:
        VerificationError: the tokenizer is missing or has changed.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        name = "tokenizer/tokenizer.json"
        path = directory / name
        if not path.is_file() or digest_file(path) != manifest.files.get(name):
            raise VerificationError(f"{path} is missing or has changed. Run `sftdata prepare` again.")
        tokenizer = load_tokenizer(str(path.parent))
        end = tokenizer.named_tokens().get("eos_token", "")
        self._tokenizer = tokenizer.reference
        self._added = {*self._tokenizer.encode("").ids, self._tokenizer.token_to_id(end)}
        self._task, self._names = manifest.task, manifest.label_names or ()

    def schema(self, examples: pa.Schema) -> pa.Schema:
        """Return the columns that examples of this schema become."""
        kept = [examples.field(name) for name in _KEPT if name in examples.names]
        fields = _WEIGHED if WEIGHTS.name in examples.names else _FIELDS[self._task]
        return pa.schema([*kept, *(pa.field(name, kind) for name, kind in fields.items())])

    def decode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of `batch` as text."""
        schema = self.schema(batch.schema)
        made = zip(*self._columns(batch), strict=True)
        fields = dict(zip(_FIELDS[self._task], map(list, made), strict=True))
        return pa.RecordBatch.from_arrays(
            [
                batch[field.name] if field.name in _KEPT else pa.array(fields.get(field.name, []), field.type)
                for field in schema
            ],
            schema=schema,
        )

    def _columns(self, batch: pa.RecordBatch) -> list[tuple[Any, Any]] | list[tuple[Any]]:
        """Return the fields of each row."""
        ids, labels = batch["input_ids"].to_pylist(), batch["labels"].to_pylist()
        match self._task:
            case Task.CAUSAL_LM:
                weights = batch[WEIGHTS.name].to_pylist() if WEIGHTS.name in batch.schema.names else repeat(None)
                return [(segments,) for segments in map(self._segments, ids, labels, weights)]
            case Task.TOKEN_CLASSIFICATION:
                return list(map(self._words, ids, labels))
        read: dict[Task, Callable[[Any], Any]] = {
            Task.TEXT_CLASSIFICATION: self._names.__getitem__,
            Task.MULTILABEL: lambda flags: list(compress(self._names, flags)),
            Task.REGRESSION: float,
            Task.SEQ2SEQ: self._bare,
        }
        return list(zip(map(self._bare, ids), map(read[self._task], labels), strict=True))

    def _bare(self, ids: list[int]) -> str:
        """Decode a text without the control tokens that stand around every text."""
        start, end = 0, len(ids)
        while start < end and ids[start] in self._added:
            start += 1
        while start < end and ids[end - 1] in self._added:
            end -= 1
        return self._text(ids[start:end])

    def _segments(self, ids: list[int], labels: list[int], weights: list[float] | None = None) -> list[dict[str, Any]]:
        """Cut a text where training or a weight begins or ends; together the segments are the text of all its tokens.

        A token's text may depend on what stands before it, so a segment is what it adds to all before it.
        """
        trained = np.array(labels) != IGNORE_INDEX
        counts = trained if weights is None else np.array(weights, dtype=np.float32)
        bounds = [*(np.flatnonzero(counts[1:] != counts[:-1]) + 1).tolist(), len(ids)]
        segments, before, start = [], "", 0
        for end in bounds:
            text = self._text(ids[:end])
            added = text[len(before) :] if text.startswith(before) else self._text(ids[start:end])
            weight = {} if weights is None else {"weight": weights[start]}
            segments.append({"label": bool(trained[start]), "text": added, **weight})
            before, start = text, end
        return segments

    def _words(self, ids: list[int], labels: list[int]) -> tuple[list[str], list[str]]:
        """Return the words and their tags; a word begins where there is a label."""
        end = len(ids)
        while end and ids[end - 1] in self._added:
            end -= 1
        starts = [place for place in range(end) if labels[place] != IGNORE_INDEX]
        words = [self._text(ids[a:b]).strip() for a, b in zip(starts, [*starts[1:], end], strict=True)]
        return words, [self._names[labels[place]] for place in starts]

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text
