"""A split as a dataset of torch, for its DataLoader and for transformers' Trainer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from sftdata.errors import TokenizerError, TrainingError
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.reader import Split
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.columns import ShardColumns, Values, open_columns
from sftdata.training.fit import TOKENIZER_NAME

Example = Mapping[str, torch.Tensor]


class TorchSplit(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """The examples of a split as tensors, and `collate`, which pads them into a batch that models of transformers take.

    An example has `input_ids`, int64 `[tokens]`; `labels`: a class, int64; a number for each class, float32
    `[classes]`; a score, float32; else int64, one a token or a token of the target, -100 where nothing is trained; and
    for pairs of texts `token_type_ids` where the tokenizer tells them apart. A shard is compared with its digest when
    the first of its rows is read. It pickles as paths, for workers of a DataLoader.

    Args:
        split: what `load_split` returned.
        pad_id: the token id that fills short rows; by default the padding token of the dataset's tokenizer, or 0.

    Raises:
        TrainingError: the examples have weights, which models of transformers would leave out of the loss.
    """

    def __init__(self, split: Split, pad_id: int | None = None) -> None:
        self.split = split
        self.pad_id = find_pad_id(split.directory / TOKENIZER_NAME) if pad_id is None else pad_id
        self._shards: dict[int, ShardColumns] = {}
        if len(split) and self._open(0).is_weighed:
            raise TrainingError(
                f"{split.directory}: the examples have weights, which a loss of transformers would leave out. "
                "`sftdata.train` and `sftdata.training.open_loader` take them."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": {}}

    def __repr__(self) -> str:
        return f"<TorchSplit, padded with {self.pad_id}, of {self.split!r}>"

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"row {index} of a split with {len(self)} rows")
        number = int(np.searchsorted(self.split.starts, position, side="right")) - 1
        columns, row = self._open(number), int(position - self.split.starts[number])
        example = {"input_ids": _tensor(columns.ids[row]), "labels": _tensor(np.asarray(columns.labels[row]))}
        return example if columns.types is None else example | {"token_type_ids": _tensor(columns.types[row])}

    def collate(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Pad examples on the right to one batch, with the `attention_mask`; other keys of theirs are left out.

        Returns:
            `input_ids` and `attention_mask`, int64 `[rows, width]`; `labels` by task, those of tokens with -100 behind,
            `[rows, width]`; for seq2seq as wide as the longest target.
        """
        ids = [torch.as_tensor(example["input_ids"]) for example in examples]
        masks = [torch.ones_like(row) for row in ids]
        batch = {"input_ids": _pad(ids, self.pad_id), "attention_mask": _pad(masks, 0)}
        if all("token_type_ids" in example for example in examples):
            batch["token_type_ids"] = _pad([torch.as_tensor(example["token_type_ids"]) for example in examples], 0)
        labels = [torch.as_tensor(example["labels"]) for example in examples]
        return batch | {"labels": _pad(labels, IGNORE_INDEX) if self._is_of_tokens else torch.stack(labels)}

    @property
    def _is_of_tokens(self) -> bool:
        return self.split.manifest.task in (Task.CAUSAL_LM, Task.SEQ2SEQ, Task.TOKEN_CLASSIFICATION)

    def _open(self, number: int) -> ShardColumns:
        if number not in self._shards:
            self.split.check_shard(number)
            self._shards[number] = open_columns(self.split.shard(number))
        return self._shards[number]


def find_pad_id(directory: Path) -> int:
    """Return the id of a tokenizer's padding token, or 0: any will do where the mask says what is padding."""
    try:
        tokenizer = load_tokenizer(str(directory))
    except TokenizerError:
        return 0
    return tokenizer.reference.token_to_id(tokenizer.named_tokens().get("pad_token", "")) or 0


def _tensor(values: Values) -> torch.Tensor:
    """Copy what lies in a shard; whole numbers become int64, as embeddings and losses want them."""
    return torch.from_numpy(np.array(values, dtype=np.int64 if values.dtype.kind in "iu" else values.dtype))


def _pad(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value)
