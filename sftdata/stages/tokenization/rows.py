"""Turn a chunk of rows of any task into examples."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.arrays import to_arrow
from sftdata.records import Task
from sftdata.stages.tokenization.conversations import conversation_texts, tokenize_conversations
from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.flat import Flags, Ints, as_lists
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.stages.tokenization.tags import tokenize_tags, words_of
from sftdata.stages.tokenization.targets import sources_and_targets, tokenize_targets
from sftdata.stages.tokenization.texts import texts_of, tokenize_texts


@dataclass(frozen=True)
class Tokenized:
    """Examples of the rows that were kept, in their order, and the rows that were not.

    Attributes:
        examples: `row_id`, `input_ids`, `labels`, and the columns of `Tokenization.extra_fields`.
        kept: positions of the examples' rows in the chunk, rising; shape `[examples]`.
        parts: which part of its row an example is, 0 for the first or only one; shape `[examples]`.
        truncated: which examples were cut, shape `[examples]`.
        rejected: as `records.REJECTED`.
    """

    examples: pa.RecordBatch
    kept: Ints
    parts: Ints
    truncated: Flags
    rejected: pl.DataFrame


_TASKS: dict[Task, tuple[Callable[[pl.DataFrame, Tokenization, Drop], Drafts], Callable[..., pl.Series]]] = {
    **dict.fromkeys((Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION), (tokenize_texts, texts_of)),
    Task.TOKEN_CLASSIFICATION: (tokenize_tags, words_of),
    Task.SEQ2SEQ: (tokenize_targets, sources_and_targets),
    Task.CAUSAL_LM: (tokenize_conversations, conversation_texts),
}
"""For each task what makes its examples, and what gives the texts that the encoder sees."""


def tokenize_rows(rows: pl.DataFrame, settings: Tokenization) -> Tokenized:
    """Turn a chunk of rows into examples; a row is either rejected or all of it is in the examples.

    Reasons of rejection, of any task: `special_token_in_text`, `too_long`, `no_tokens`, `label:not_in_train`. Of
    conversations: `template_refused`, `response_rewritten` (the template does not show all of a response, or it cannot
    be told where), `response_boundary` (a token spans the edge of a response), `nothing_trained`.
    Of words: `tags:as_long_as`, `word_without_token`. Of targets: `target_too_long`, `target_no_tokens`. Of numbers:
    `score:not_finite`.
    """
    drop = Drop(rows)
    make, _ = _TASKS[settings.task]
    drafts = make(rows, settings, drop)
    parts = _number_parts(drafts.rows)
    columns = [_name(rows["row_id"], drafts.rows, parts), as_lists(drafts.ids, drafts.lengths), drafts.labels]
    batch = pa.RecordBatch.from_arrays([*columns, *drafts.extra], schema=settings.schema)
    keep = drop.kept()[drafts.rows]
    if keep.all():
        return Tokenized(batch, drafts.rows, parts, drafts.truncated, drop.rejected())
    place = np.flatnonzero(keep)
    return Tokenized(
        batch.take(to_arrow(place)), drafts.rows[place], parts[place], drafts.truncated[place], drop.rejected()
    )


def texts_to_prove(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the texts of `rows` that an encoder will see, for comparing backends."""
    _, texts = _TASKS[settings.task]
    return texts(rows, settings)


def _number_parts(rows: Ints) -> Ints:
    """Count the examples of each row from 0."""
    fresh = np.diff(rows, prepend=-1) != 0
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(rows)), 0))
    return np.arange(len(rows)) - first


def _name(row_ids: pl.Series, rows: Ints, parts: Ints) -> pa.Array:
    """Return the id of each example: that of its row, with `/2` and so on behind it for the further parts of a row."""
    ids = row_ids[rows] if len(rows) else row_ids.clear()
    if parts.any():
        number = pl.Series(parts + 1, dtype=pl.String)
        ids = pl.select(pl.when(pl.Series(parts > 0)).then(ids + "/" + number).otherwise(ids)).to_series()
    return ids.to_arrow().cast(pa.string())
