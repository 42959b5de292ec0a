"""Examples of a text and its class."""

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.stages.tokenization.drafts import Drafts, Drop
from sftdata.stages.tokenization.encoding import cut, encode_texts
from sftdata.stages.tokenization.flat import wrap
from sftdata.stages.tokenization.setup import Tokenization


def tokenize_texts(rows: pl.DataFrame, settings: Tokenization, drop: Drop) -> Drafts:
    """Encode texts between their special tokens, and turn labels into class indexes."""
    before, after = settings.wrapping
    ids, lengths = encode_texts(rows["text"], settings, drop)
    drop.add(np.flatnonzero(lengths == 0), "no_tokens", "the text has no token")
    pieces = cut(lengths, settings.settings.max_length - len(before) - len(after), settings, drop)
    wrapped, lengths = wrap(pieces.apply(ids), pieces.lengths, before, after)
    classes = np.array([settings.label_ids.get(label, -1) for label in rows["label"].to_list()], dtype=np.int64)
    drop.add(np.flatnonzero(classes < 0), "label:not_in_train", "no row of the training part has this label")
    return Drafts(pieces.rows, wrapped, lengths, pa.array(classes[pieces.rows]), pieces.truncated)


def texts_of(rows: pl.DataFrame, settings: Tokenization) -> pl.Series:
    """Return the texts of `rows` that an encoder will see."""
    return rows["text"]
