"""Models of one's own that the tests train: named by recipes as `own_lstm:write` and the like."""

from types import SimpleNamespace

import torch
from torch import nn


class Reader(nn.Module):
    """Reads forward in time; the class is read at the last token of a row, a tag at each."""

    def __init__(self, vocab_size, outputs, *, each, width=12):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, outputs)
        self.each = each
        nn.init.normal_(self.embed.weight, std=0.5)

    def forward(self, input_ids, attention_mask):
        states = self.lstm(self.embed(input_ids))[0]
        if not self.each:
            states = states[torch.arange(len(states)), attention_mask.sum(dim=1) - 1]
        return SimpleNamespace(logits=self.head(states))


class Writer(nn.Module):
    """A language model with tied embeddings and dropout, whose head runs on some columns alone."""

    def __init__(self, vocab_size, width, dropout):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.lstm, self.dropout = nn.LSTM(width, width, batch_first=True), nn.Dropout(dropout)
        self.head = nn.Linear(width, vocab_size)
        self.head.weight = self.embed.weight

    def forward(self, input_ids, logits_to_keep=None):
        states = self.dropout(self.lstm(self.embed(input_ids))[0])
        return self.head(states if logits_to_keep is None else states[:, logits_to_keep])


def write(vocab_size, width=12, dropout=0.0):
    return Writer(vocab_size, width, dropout)


def classify(vocab_size, label_names):
    return Reader(vocab_size, len(label_names), each=False)


def tag(vocab_size, label_names):
    return Reader(vocab_size, len(label_names), each=True)


def raise_at_once(vocab_size):
    raise RuntimeError(f"no {vocab_size}")


def make_nothing(vocab_size):
    return vocab_size


class WrongShape(Writer):
    def forward(self, input_ids):
        return super().forward(input_ids)[:, :-1]


class BothWays(Writer):
    def __init__(self, vocab_size):
        super().__init__(vocab_size, 12, 0.0)
        self.lstm = nn.LSTM(12, 6, batch_first=True, bidirectional=True)


class OtherInput(Writer):
    def forward(self, tokens):
        return tokens


class FewPositions(Writer):
    """Fails for rows of more than ten tokens, which a trial does not have."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size, 12, 0.0)
        self.places = nn.Embedding(10, 12)

    def forward(self, input_ids):
        return (
            super().forward(input_ids)
            + self.places.weight[:1, :1] * self.places(torch.arange(input_ids.shape[1])).sum(1)[None, :, None]
        )


def wrong_shape(vocab_size):
    return WrongShape(vocab_size, 12, 0.0)


def other_input(vocab_size):
    return OtherInput(vocab_size, 12, 0.0)
