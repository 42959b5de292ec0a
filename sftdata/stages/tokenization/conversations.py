"""Examples of conversations, with labels on what the assistant says."""

import numpy as np
import polars as pl

from sftdata.records import IGNORE_INDEX
from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.encoding import cut, reject_control_tokens, spell_control_tokens
from sftdata.stages.tokenization.flat import as_lists, count_in_rows, positions_in_rows
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.tokenizers.labels import apply_mask, find_trained
from sftdata.tokenizers.rendering import render_conversations


def tokenize_conversations(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> Drafts:
    """Render and encode conversations, and label the tokens of responses."""
    turn = pl.element().struct
    said = pl.col("messages").list.eval(pl.concat_str(turn.field("content", "details"), ignore_nulls=True))
    everything = pl.concat_str(said.list.join("\n"), "tools", ignore_nulls=True)
    reject_control_tokens(spell_control_tokens(rows.select(everything).to_series(), settings), settings, drop)
    rendered = render_conversations(rows, settings.renderer)
    for (reason, detail), group in rendered.drop_nulls("reason").group_by("reason", "detail", maintain_order=True):
        drop.add(group["index"].to_numpy().astype(np.int64), str(reason), str(detail))
    rendered = rendered.with_columns(pl.col("text").fill_null(""))
    ids, lengths = settings.backend.encode(rendered["text"])
    trained, torn = find_trained(rendered, (ids, lengths), settings.tokenizer, settings.bytes_of_ids)
    drop.add(torn, "response_boundary", "a token spans the edge of a response and what surrounds it")
    pieces = cut(lengths, settings.settings.max_length, settings, drop)
    labels = pieces.apply(apply_mask(ids, trained))
    can_be_predicted = (labels != IGNORE_INDEX) & (positions_in_rows(pieces.lengths) > 0)
    nothing = np.flatnonzero(count_in_rows(can_be_predicted, pieces.lengths) == 0)
    drop.add(pieces.rows[nothing], "nothing_trained", "no token of a response is left")
    lists = as_lists(labels, pieces.lengths)
    return Drafts(pieces.rows, pieces.apply(ids), pieces.lengths, lists, pieces.truncated)


def conversation_texts(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the texts that an encoder will see."""
    return render_conversations(rows, settings.renderer)["text"].drop_nulls()
