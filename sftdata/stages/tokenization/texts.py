"""Examples of a text, or a pair of texts, and its class, its labels or its score."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.arrays import to_arrow
from sftdata.records import Task
from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.encoding import cut, encode_texts, reject_long
from sftdata.stages.tokenization.flat import as_lists, wrap
from sftdata.stages.tokenization.pairs import Pairs, frame_pairs, split_pairs, truncate_pairs
from sftdata.stages.tokenization.setup import Tokenization
from sftdata.tokenizers.backends import Encoded

UNSEEN = "label:not_in_train"
"""The reason of rows with a label that no row of the training part has."""


def tokenize_texts(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> Drafts:
    """Encode texts between their special tokens, and turn their labels into what a model learns."""
    labels = _LABELS[settings.task](rows, settings, drop)
    return (_tokenize_pairs if settings.has_pairs else _tokenize_single)(rows, labels, settings, drop)


def _tokenize_single(rows: pl.DataFrame, labels: pa.Array, settings: Tokenization, drop: Drop) -> Drafts:
    before, after = settings.wrapping
    ids, lengths = _encode(rows, "text", settings, drop)
    pieces = cut(lengths, settings.settings.max_length - len(before) - len(after), settings, drop)
    ids, lengths = wrap(pieces.apply(ids), pieces.lengths, before, after)
    labels = labels if len(pieces.rows) == len(rows) else labels.take(to_arrow(pieces.rows))
    return Drafts(pieces.rows, ids, lengths, labels, pieces.truncated)


def _tokenize_pairs(rows: pl.DataFrame, labels: pa.Array, settings: Tokenization, drop: Drop) -> Drafts:
    first, second = _encode(rows, "text", settings, drop), _encode(rows, "text_pair", settings, drop)
    pairs = _fit(Pairs(np.arange(len(rows)), first, second, np.zeros(len(rows), np.bool_)), settings, drop)
    ids, lengths, types = frame_pairs(pairs.first, pairs.second, settings.pair_template)
    labels = labels if len(pairs.rows) == len(rows) else labels.take(to_arrow(pairs.rows))
    extra = (as_lists(types, lengths),) if settings.extra_fields else ()
    return Drafts(pairs.rows, ids, lengths, labels, pairs.truncated, extra)


def _encode(rows: pl.DataFrame, name: str, settings: Tokenization, drop: Drop) -> Encoded:
    encoded = encode_texts(rows[name], settings, drop)
    drop.add(np.flatnonzero(encoded[1] == 0), "no_tokens", f"the {name} has no token")
    return encoded


def _fit(pairs: Pairs, settings: Tokenization, drop: Drop) -> Pairs:
    """Reject, truncate or split the pairs that are too long, as the recipe says.

    Split is the second text, as long as the first leaves room for a token of it.
    """
    special, overflow = settings.pair_template.special, settings.settings.overflow
    room = settings.settings.max_length - special
    if overflow == "truncate" and room > 1:
        return truncate_pairs(pairs, room)
    if overflow == "split":
        pairs = split_pairs(pairs, room)
    reject_long(pairs.rows[pairs.first[1] + pairs.second[1] > room], settings, drop, extra=special)
    return pairs


def _find_classes(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> pa.Array:
    classes = _index(rows["label"], settings)
    drop.add(np.flatnonzero((classes < 0).to_numpy()), UNSEEN, "no row of the training part has this label")
    return classes.to_arrow()


def _index(labels: pl.Series, settings: Tokenization) -> pl.Series:
    """Return the index of each label, int64, -1 where the training part lacks it."""
    return labels.replace_strict(dict(settings.label_ids), default=-1, return_dtype=pl.Int64)


def _flag_labels(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> pa.Array:
    """Return for each row a list of one number a label: 1 where the row has it, else 0."""
    each = (
        rows.select(pl.int_range(pl.len()).alias("row"), "labels").explode("labels", empty_as_null=False).drop_nulls()
    )
    index, row = _index(each["labels"], settings).to_numpy(), each["row"].to_numpy()
    known = index >= 0
    for place in np.flatnonzero(~known):
        drop.add(row[[place]], UNSEEN, f"no row of the training part has the label '{each['labels'][int(place)]}'")
    flags = np.zeros((len(rows), len(settings.label_ids)), dtype=np.float32)
    flags[row[known], index[known]] = 1
    return as_lists(flags.ravel(), np.full(len(rows), flags.shape[1], dtype=np.int64))


def _read_scores(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> pa.Array:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is rejected
        scores = rows["score"].to_numpy().astype(np.float32)
    drop.add(np.flatnonzero(~np.isfinite(scores)), "score:not_finite", "the score is no number that float32 can hold")
    return to_arrow(scores)


_LABELS: dict[Task, Callable[[pl.DataFrame, Tokenization, Drop], pa.Array]] = {
    Task.TEXT_CLASSIFICATION: _find_classes,
    Task.MULTILABEL: _flag_labels,
    Task.REGRESSION: _read_scores,
}
"""What makes the labels of a chunk, one a row, and rejects the rows of which it cannot."""


def texts_of(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the texts of `rows` that an encoder will see."""
    if not settings.has_pairs:
        return rows["text"]
    return pl.concat([rows["text"], rows["text_pair"].alias("text")])
