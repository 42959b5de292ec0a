"""Conversations that are too long: cut behind what is trained, or split between exchanges."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from sftdata.checks import RESPONSE_ROLE
from sftdata.stages.tokenization.flat import Flags, Ints, positions_in_rows

Stored = dict[str, Any]
"""A turn as `records.TURN` has it."""


def keep_beginning(trained: Flags, lengths: Ints, most: int) -> Flags:
    """Tell which tokens stay when rows are cut to `most` tokens, shape `[tokens]`.

    A row that is cut ends with the last trained token that fits: what follows teaches nothing, and might be half of the
    words that a template writes between turns.
    """
    position = positions_in_rows(lengths)
    fits = position < most
    long = np.repeat(lengths > most, lengths)
    last = np.zeros(len(lengths), dtype=np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    useful = fits & trained
    np.maximum.at(last, row[useful], position[useful] + 1)
    keep: Flags = fits & (~long | (position < np.repeat(last, lengths)))
    return keep


def split_conversations(
    rows: pl.DataFrame, chosen: Ints, fits: Callable[[list[Stored], str | None], bool], *, last_only: bool
) -> tuple[Ints, pl.DataFrame]:
    """Split the `chosen` rows between exchanges, so that each piece fits where that is possible.

    An exchange begins with what the user says. The turns before the first one, the system prompt, are repeated in every
    piece; the tools are those of the row.

    Args:
        rows: have `messages` and `tools`.
        chosen: positions of the rows to split, rising.
        fits: tells whether a conversation with these turns and tools is short enough.
        last_only: only the last response of a row is trained, and not that of each piece.

    Returns:
        For each piece the position of its row, and the pieces with the columns of `rows`.
    """
    of_piece: list[int] = []
    pieces: list[list[Stored]] = []
    for row in chosen.tolist():
        messages = rows["messages"][row].to_list()
        messages = _train_last(messages) if last_only else messages
        for piece in _split(messages, partial(_ask, fits, rows["tools"][row])):
            of_piece.append(row)
            pieces.append(piece)
    place = np.array(of_piece, dtype=np.int64)
    return place, rows[place].with_columns(pl.Series("messages", pieces, dtype=rows.schema["messages"]))


def _train_last(messages: list[Stored]) -> list[Stored]:
    responses = [place for place, turn in enumerate(messages) if turn["role"] == RESPONSE_ROLE]
    return [{**turn, "weight": 0.0} if place in responses[:-1] else turn for place, turn in enumerate(messages)]


def _ask(fits: Callable[[list[Stored], str | None], bool], tools: str | None, turns: list[Stored]) -> bool:
    return fits(turns, tools)


def _split(messages: list[Stored], fits: Callable[[list[Stored]], bool]) -> Iterator[list[Stored]]:
    begins = [place for place, turn in enumerate(messages) if turn["role"] == "user"]
    before = messages[: begins[0]] if begins else messages
    exchanges = [messages[start:end] for start, end in zip(begins, [*begins[1:], len(messages)], strict=True)]
    piece: list[Stored] = []
    for exchange in exchanges:
        if piece and not fits([*before, *piece, *exchange]):
            yield [*before, *piece]
            piece = []
        piece = [*piece, *exchange]
    yield [*before, *piece]
