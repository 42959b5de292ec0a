"""A small LSTM language model, to show how `train.model: lstm:build` trains a module of one's own.

No class of sftdata or transformers is needed. The function is called with what it has to know of the data (the size of
the vocabulary, the id that fills up rows) and with the recipe's `model_arguments`; the module turns ids into logits.
"""

import torch
from torch import nn


class LstmLanguageModel(nn.Module):
    """Predicts each next token from those before it; padding stands to the right, where it changes nothing."""

    def __init__(self, vocab_size: int, pad_id: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width, padding_idx=pad_id)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocab_size)
        self.head.weight = self.embed.weight  # tied (Press and Wolf 2017)
        nn.init.normal_(self.embed.weight, std=0.1)

    def forward(self, input_ids: torch.Tensor, logits_to_keep: torch.Tensor | None = None) -> torch.Tensor:
        """From ids, int64 `[lines, width]`, to logits `[lines, width, vocab_size]`, or those of some columns alone."""
        states = self.lstm(self.dropout(self.embed(input_ids)))[0]
        return self.head(self.dropout(states if logits_to_keep is None else states[:, logits_to_keep]))


def build(vocab_size: int, pad_id: int, width: int = 96, layers: int = 1, dropout: float = 0.1) -> nn.Module:
    """Return the model with new weights."""
    return LstmLanguageModel(vocab_size, pad_id, width, layers, dropout)
