"""Examples of conversations, with labels on what the assistant says."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.checks import RESPONSE_ROLE
from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.encoding import cut, reject_control_tokens, reject_long
from sftdata.stages.tokenization.escaping import CannotEscape, Escaping
from sftdata.stages.tokenization.flat import Flags, Ints, as_lists, count_in_rows, take_rows
from sftdata.stages.tokenization.overflow import Stored, keep_beginning, split_conversations
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.tokenizers.labels import Weights, apply_mask, find_trained
from sftdata.tokenizers.rendering import render_conversations, render_text
from sftdata.tokenizers.routing import weave


@dataclass(frozen=True)
class _Labelled:
    """Encoded conversations.

    Attributes:
        rows: the row that each comes from, rising, shape `[examples]`.
        ids: of all, end to end, shape `[tokens]`.
        lengths: how many tokens each has, shape `[examples]`.
        weights: what multiplies the loss of each token, 0 where it is not trained; float32, shape `[tokens]`.
    """

    rows: Ints
    ids: NDArray[np.int32]
    lengths: Ints
    weights: Weights

    @property
    def trained(self) -> Flags:
        """Which tokens are trained, shape `[tokens]`."""
        return self.weights > 0


def tokenize_conversations(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> Drafts:
    """Render and encode conversations, and label the tokens of responses."""
    found = _label(rows, np.arange(len(rows)), settings, drop)
    found, truncated = _shorten(rows, found, settings, drop)
    nothing = _count_predicted(found) == 0
    if nothing.any() and settings.settings.overflow == "split":
        # pieces in which nothing is trained are left out, unless all pieces of a row are such
        useful = np.isin(found.rows, found.rows[~nothing])
        keep = np.flatnonzero(~(nothing & useful))
        found, truncated, nothing = _take(found, keep), truncated[keep], nothing[keep]
    drop.add(found.rows[nothing], "nothing_trained", "no token of a response is left")
    labels = as_lists(apply_mask(found.ids, found.trained), found.lengths)
    extra = (as_lists(found.weights, found.lengths),) if settings.has_turn_weights else ()
    return Drafts(found.rows, found.ids, found.lengths, labels, truncated, extra)


def weighs_turns(rows: pl.DataFrame) -> bool:
    """Tell whether a response of these conversations has another weight than 0 and 1."""
    turns = rows["messages"].list.explode(keep_nulls=False, empty_as_null=False).struct
    weights = turns.field("weight")
    if weights.null_count() == len(weights):
        return False
    return bool(((turns.field("role") == RESPONSE_ROLE) & ~weights.is_in([0.0, 1.0])).any())


def _count_predicted(found: _Labelled) -> Ints:
    """Count the trained tokens of each example that have a token before them, from which they are predicted."""
    filled = np.flatnonzero(found.lengths)
    first = (np.cumsum(found.lengths) - found.lengths)[filled]
    trained = found.trained
    count = count_in_rows(trained, found.lengths)
    count[filled] -= trained[first]
    return count


def conversation_texts(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the texts that an encoder will see."""
    return render_conversations(rows, settings.renderer)["text"].drop_nulls()


def _label(rows: pl.DataFrame, place: Ints, settings: Tokenization, drop: Drop) -> _Labelled:
    """Render and encode conversations; `place` says which row of the chunk each of `rows` stands for."""
    handling, escaping = settings.settings.special_tokens_in_text, Escaping(settings.tokenizer)
    spelled = escaping.find(rows) if handling != "allow" else np.zeros(len(rows), dtype=np.bool_)
    if handling == "reject":
        reject_control_tokens(place[spelled], settings, drop)
        spelled = np.zeros(len(rows), dtype=np.bool_)
    if spelled.any():
        hidden = escaping.hide(rows.filter(pl.Series(spelled)))
        rows = pl.concat([rows.filter(pl.Series(~spelled)), hidden])[_undo(spelled)]
    rendered = render_conversations(rows, settings.renderer)
    for (reason, detail), group in rendered.drop_nulls("reason").group_by("reason", "detail", maintain_order=True):
        drop.add(place[group["index"].to_numpy()], str(reason), str(detail))
    rendered = rendered.with_columns(pl.col("text").fill_null(""))
    usual = rendered.filter(pl.Series(~spelled)) if spelled.any() else rendered
    encoded = settings.backend.encode(usual["text"])
    weights, torn = find_trained(usual, encoded, settings.tokenizer, settings.bytes_of_ids)
    _drop_torn(place[~spelled][torn], drop)
    if not spelled.any():
        return _Labelled(place, *encoded, weights)
    odd, odd_weights = _encode_escaped(rendered.filter(pl.Series(spelled)), place[spelled], escaping, settings, drop)
    both = weave(encoded, odd, spelled)
    return _Labelled(place, *both, weave((weights, encoded[1]), (odd_weights, odd[1]), spelled)[0])


def _undo(chosen: Flags) -> Ints:
    """Return the order that puts rows back in their places after the `chosen` ones were moved behind the others."""
    return np.argsort(np.concatenate([np.flatnonzero(~chosen), np.flatnonzero(chosen)]))


def _encode_escaped(
    rendered: pl.DataFrame, place: Ints, escaping: Escaping, settings: Tokenization, drop: Drop
) -> tuple[tuple[NDArray[np.int32], Ints], Weights]:
    ids: list[int] = []
    lengths = np.zeros(len(rendered), dtype=np.int64)
    weights = [np.zeros(0, dtype=np.float32)]
    spans = rendered.select("text", *(pl.col(name).fill_null([]) for name in ("starts", "ends", "weights")))
    for number, row in enumerate(spans.iter_rows()):
        try:
            found, of_tokens, tiled = escaping.encode(*row)
        except CannotEscape:
            reject_control_tokens(place[[number]], settings, drop)
            continue
        if not tiled:
            _drop_torn(place[[number]], drop)
        ids += found
        lengths[number] = len(found)
        weights.append(of_tokens)
    return (np.array(ids, dtype=np.int32), lengths), np.concatenate(weights)


def _drop_torn(rows: Ints, drop: Drop) -> None:
    drop.add(rows, "response_boundary", "a token spans the edge of a response and what surrounds it")


def _shorten(rows: pl.DataFrame, found: _Labelled, settings: Tokenization, drop: Drop) -> tuple[_Labelled, Flags]:
    """Do with the rows that are too long what the recipe says; also tell which were cut."""
    most, overflow = settings.settings.max_length, settings.settings.overflow
    long = found.lengths > most
    if overflow == "split" and settings.is_plain_text:
        windows = cut(found.lengths, most, settings, drop)
        return _Labelled(windows.rows, found.ids, windows.lengths, found.weights), windows.truncated
    if overflow == "split" and long.any():
        pieces = _split(rows, found, long, settings, drop)
        return pieces, np.zeros(len(pieces.rows), dtype=np.bool_)
    if overflow == "truncate" and long.any():
        keep = keep_beginning(found.trained, found.lengths, most)
        lengths = count_in_rows(keep, found.lengths)
        return _Labelled(found.rows, found.ids[keep], lengths, found.weights[keep]), long
    reject_long(np.flatnonzero(long), settings, drop)
    return found, np.zeros(len(long), dtype=np.bool_)


def _split(rows: pl.DataFrame, found: _Labelled, long: Flags, settings: Tokenization, drop: Drop) -> _Labelled:
    fits, last_only = partial(_fits, settings=settings), settings.settings.train_on == "last"
    place, pieces = split_conversations(rows, np.flatnonzero(long), fits, last_only=last_only)
    parts = _label(pieces, place, settings, drop)
    reject_long(np.unique(parts.rows[parts.lengths > settings.settings.max_length]), settings, drop)
    short = _take(found, np.flatnonzero(~long))
    together = _Labelled(
        np.concatenate([short.rows, parts.rows]),
        np.concatenate([short.ids, parts.ids]),
        np.concatenate([short.lengths, parts.lengths]),
        np.concatenate([short.weights, parts.weights]),
    )
    return _take(together, np.argsort(together.rows, kind="stable"))


def _fits(turns: list[Stored], tools: str | None, settings: Tokenization) -> bool:
    text = render_text(turns, tools, settings.renderer)
    return text is None or len(settings.tokenizer.reference.encode(text, add_special_tokens=False).ids) <= (
        settings.settings.max_length
    )


def _take(found: _Labelled, chosen: Ints) -> _Labelled:
    ids, lengths = take_rows(found.ids, found.lengths, chosen)
    return _Labelled(found.rows[chosen], ids, lengths, take_rows(found.weights, found.lengths, chosen)[0])
