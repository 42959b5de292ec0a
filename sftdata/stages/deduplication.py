"""What a chunk of rows remembers for finding duplicates, and how two rows are compared.

Two rows are duplicates when their compared text is equal or nearly so. What is compared depends on the task:

| task | compared text | a conflict is |
| --- | --- | --- |
| text_classification, multilabel, regression | `text`, `text_pair` | the same text with another label, labels, score |
| token_classification | `tokens` | the same tokens with other tags |
| seq2seq | `source_text` and `target_text` | the same source with another target |
| causal_lm | all turns: role, content, details | the same turns before another answer, the last turn |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sftdata.records import MESSAGES, STRINGS, Task
from sftdata.settings.deduplication import DeduplicateSettings, NearSettings
from sftdata.text.fields import TEXT_COLUMNS
from sftdata.text.minhash import Bands, Signatures, choose_bands, sign_shingles
from sftdata.text.shingles import Shingles, cut_tokens, hash_shingles, hash_texts, normalize_texts, to_buffer

INPUTS: dict[Task, tuple[str, ...]] = {
    Task.TEXT_CLASSIFICATION: ("text",),
    Task.MULTILABEL: ("text",),
    Task.REGRESSION: ("text",),
    Task.TOKEN_CLASSIFICATION: ("tokens",),
    Task.SEQ2SEQ: ("source_text",),
    Task.CAUSAL_LM: ("messages",),
}
"""What a model is given, from which it learns the rest; where rows are pairs of texts, `text_pair` as well."""

TARGETS: dict[Task, str] = {
    Task.TEXT_CLASSIFICATION: "label",
    Task.MULTILABEL: "labels",
    Task.REGRESSION: "score",
    Task.TOKEN_CLASSIFICATION: "tags",
    Task.SEQ2SEQ: "target_text",
    Task.CAUSAL_LM: "messages",
}
"""What it learns; of messages the last turn."""

FIELD_END, TURN_END, DETAILS = " \x01 ", " \x02 ", " \x03 "
"""Between fields, between turns, and before the details of a turn. The control characters are no white space."""

BLOCK_BYTES = 2**19
"""Text that is hashed at a time, so that what is in work stays in the processor's cache."""

BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class Comparison:
    """How the rows of a run are compared.

    Attributes:
        fields: the columns that are compared.
        inputs: the columns that should not stand beside different targets.
        target: the column that a conflict is about; None where different targets do not matter.
        near: which rows are near-duplicates; None when nobody asks.
        seed: another one finds the same near-duplicates by other signatures.
    """

    fields: tuple[str, ...]
    inputs: tuple[str, ...]
    target: str | None
    near: NearSettings | None
    seed: int = 0

    @property
    def bands(self) -> Bands | None:
        """The bands of the signatures."""
        return choose_bands(self.near.threshold) if self.near else None


def input_fields(task: Task, *, has_pairs: bool = False) -> tuple[str, ...]:
    """Return the fields that a model is given."""
    return (*INPUTS[task], "text_pair") if has_pairs else INPUTS[task]


def make_comparison(task: Task, settings: DeduplicateSettings, *, has_pairs: bool = False) -> Comparison:
    """Tell how the rows of a task are compared; with `has_pairs` the same text with another `text_pair` is another.

    Raises:
        ValueError: when `fields` names a column that holds no text of the task.
    """
    inputs = input_fields(task, has_pairs=has_pairs)
    known = (*inputs, TARGETS[task]) if task == Task.SEQ2SEQ else inputs
    wrong = [name for name in settings.fields or () if name not in known]
    if wrong:
        raise ValueError(f"fields: found {', '.join(wrong)}, expected {' or '.join(known)} for a {task} task")
    fields = settings.fields or known
    target = None if settings.conflicts == "keep" and TARGETS[task] in fields else TARGETS[task]
    return Comparison(fields, inputs, target, settings.near or None)


def sign_rows(rows: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
    """Return what the search for duplicates has to know of each row, in the order of the rows.

    Args:
        rows: `row_id` and the columns that the comparison names.
        comparison: what is compared.

    Returns:
        `row_id`; `content` and `input`, array[uint64, 2], and `target`, uint64: hashes of the compared text, of the
        input and of the target; and where near-duplicates are looked for `shingled`, bool, whether the row has
        shingles, `keys`, array[uint32, bands], and `sketch`, array[uint8, bins] (see `Signatures`).
    """
    content = compared_texts(rows, comparison.fields)
    columns = {"row_id": rows["row_id"], "content": _hash_all(content)}
    inputs, target = _split_target(rows, comparison)
    columns["input"] = columns["content"] if inputs is None else _hash_all(inputs)
    columns["target"] = _hash_all(target).arr.first()
    return pl.DataFrame(columns | _sign_all(content, comparison))


def compared_texts(rows: pl.DataFrame, fields: Sequence[str]) -> pl.Series:
    """Return the text of each row in the form in which texts are compared."""
    return normalize_texts(join_texts(rows, fields))


def join_texts(rows: pl.DataFrame, fields: Sequence[str]) -> pl.Series:
    """Return all that is compared of each row as one text, as it stands."""
    parts = (_as_text(rows.schema[name], pl.col(name)).fill_null("") for name in fields)
    return rows.select(pl.concat_str(*parts, separator=FIELD_END).alias("text")).to_series()


def shingle_texts(texts: pl.Series, near: NearSettings) -> Shingles:
    """Return the shingles of texts that are in the form in which texts are compared."""
    return hash_shingles(cut_tokens(to_buffer(texts)), near.words, near.characters)


def blocks_of(texts: pl.Series) -> Iterator[pl.Series]:
    """Cut texts into slices that fit the processor's cache; a longer text stays whole."""
    sizes = np.cumsum(texts.str.len_bytes().to_numpy())
    start = 0
    while start < len(texts):
        before = int(sizes[start - 1]) if start else 0
        end = int(np.searchsorted(sizes, before + BLOCK_BYTES, side="right"))
        end = min(max(end, start + 1), start + BLOCK_ROWS)
        yield texts[start:end]
        start = end


def show_targets(rows: pl.DataFrame, comparison: Comparison) -> pl.Series:
    """Return the target of each row, for people."""
    return _split_target(rows, comparison)[1]


def _split_target(rows: pl.DataFrame, comparison: Comparison) -> tuple[pl.Series | None, pl.Series]:
    """Return the input of each row, None where it is the compared text, and its target."""
    name = comparison.target
    if name is None:
        return None, pl.repeat("", len(rows), dtype=pl.String, eager=True)
    if rows.schema[name] == MESSAGES:
        # a text that nothing is asked before answers nothing
        answered = (pl.col(name).list.last().struct.field("role") == "assistant") & (pl.col(name).list.len() > 1)
        before = pl.col(name).list.head(pl.col(name).list.len() - answered.fill_null(False).cast(pl.UInt32))
        last = pl.when(answered).then(pl.col(name).list.tail(1)).otherwise(pl.lit([], dtype=MESSAGES))
        parts = rows.select(before.alias("before"), last.alias("last"))
        return compared_texts(parts, ["before"]), compared_texts(parts, ["last"])
    inputs = None if comparison.inputs == comparison.fields else compared_texts(rows, comparison.inputs)
    if name in TEXT_COLUMNS:
        return inputs, compared_texts(rows, [name])
    column = rows[name]
    if column.dtype == STRINGS and name != "tags":  # the order of labels says nothing
        column = column.list.unique().list.sort()
    return inputs, column.to_frame().select(_as_text(column.dtype, pl.col(name)).fill_null("")).to_series()


def _as_text(dtype: pl.DataType, column: pl.Expr) -> pl.Expr:
    if dtype == MESSAGES:
        turn = pl.element().struct
        said = pl.concat_str(turn.field("role").fill_null(""), turn.field("content").fill_null(""), separator=FIELD_END)
        details = (pl.lit(DETAILS) + turn.field("details")).fill_null("")
        return column.list.eval(pl.concat_str(said, details)).list.join(TURN_END)
    if dtype == STRINGS:
        return column.list.join(FIELD_END)
    return column.cast(pl.String)


def _hash_all(texts: pl.Series) -> pl.Series:
    hashes = [hash_texts(to_buffer(block)) for block in blocks_of(texts)]
    joined = np.concatenate([np.zeros((2, 0), dtype=np.uint64), *hashes], axis=1)
    return pl.Series(np.ascontiguousarray(joined.T), dtype=pl.Array(pl.UInt64, 2))


def _sign_all(texts: pl.Series, comparison: Comparison) -> dict[str, pl.Series]:
    if comparison.near is None or comparison.bands is None:
        return {}
    bands = comparison.bands
    blocks = [
        sign_shingles(shingle_texts(block, comparison.near), bands, comparison.seed) for block in blocks_of(texts)
    ]
    none = Signatures(
        np.zeros((0, bands.number), np.uint32), np.zeros((0, bands.bins), np.uint8), np.zeros(0, np.bool_)
    )
    keys, sketches, filled = map(np.concatenate, zip(none, *blocks, strict=True))
    return {
        "shingled": pl.Series(filled),
        "keys": pl.Series(keys, dtype=pl.Array(pl.UInt32, bands.number)),
        "sketch": pl.Series(sketches, dtype=pl.Array(pl.UInt8, bands.bins)),
    }
