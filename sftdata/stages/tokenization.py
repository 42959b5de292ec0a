"""Turn rows into examples: ids, and labels that are proved."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.errors import TokenizerError
from sftdata.records import IGNORE_INDEX, Task, no_rejections, reject
from sftdata.shards.layout import example_schema
from sftdata.tokenizers.backends import Backend, Encoded, make_backend
from sftdata.tokenizers.chat_template import ChatTemplate
from sftdata.tokenizers.labels import Flags, Ints, apply_mask, byte_table, find_trained
from sftdata.tokenizers.loading import Tokenizer
from sftdata.tokenizers.rendering import Renderer, render_conversations

STAGE = "tokenize"

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Tokenization:
    """What turns rows of one task into examples. Pickles, so that worker processes can make their own encoder.

    Attributes:
        task: what the rows teach.
        tokenizer: the tokenizer's files.
        proved: what `backends.Proof` says about the characters that the fast backend may see; None: the reference.
        max_length: most tokens of an example.
        truncate: cut longer examples instead of rejecting them.
        label_names: class names by index; text_classification only.
    """

    task: Task
    tokenizer: Tokenizer
    proved: str | None
    max_length: int
    truncate: bool
    label_names: tuple[str, ...] | None = None

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the examples."""
        return example_schema(self.task, self.label_names)

    @cached_property
    def backend(self) -> Backend:
        """The encoder that was chosen."""
        return make_backend(self.tokenizer, self.proved)

    @cached_property
    def wrapping(self) -> tuple[list[int], list[int]]:
        """The special ids before and after a single text."""
        return find_wrapping(self.tokenizer)

    @cached_property
    def renderer(self) -> Renderer:
        """The chat template with the tokens that end a response."""
        return make_renderer(self.tokenizer)

    @cached_property
    def bytes_of_ids(self) -> pa.LargeBinaryArray | None:
        """The bytes of each id, for byte-level BPE."""
        return byte_table(self.tokenizer.reference)


@dataclass(frozen=True)
class Tokenized:
    """Examples of the rows that were kept, in their order, and the rows that were not.

    Attributes:
        examples: `row_id`, `input_ids`, `labels`.
        kept: positions of the examples' rows in the chunk, rising.
        rejected: as `records.REJECTED`.
    """

    examples: pa.RecordBatch
    kept: NDArray[np.int64]
    rejected: pl.DataFrame


def tokenize_rows(rows: pl.DataFrame, settings: Tokenization) -> Tokenized:
    """Turn a chunk of rows into examples.

    Reasons of rejection: `special_token_in_text`, `template_refused`, `response_has:KEY` (a response is more than its
    content, such as tool calls), `weight:fraction`, `response_rewritten`, `response_boundary` (a
    token spans the edge of a response), `no_tokens`, `too_long`, `nothing_trained` (after truncation),
    `label:not_in_train`.
    """
    drop = _Drop(rows)
    if settings.task == Task.CAUSAL_LM:
        (ids, lengths), values = _tokenize_conversations(rows, settings, drop)
        labels = _lists(values, lengths)
    else:
        (ids, lengths), classes = _tokenize_texts(rows, settings, drop)
        labels = pa.array(classes)
    kept = drop.kept()
    columns = [rows["row_id"].to_arrow().cast(pa.string()), _lists(ids, lengths), labels]
    batch = pa.RecordBatch.from_arrays(columns, schema=settings.schema)
    return Tokenized(batch.take(pa.array(kept)) if len(kept) < len(rows) else batch, kept, drop.rejected())


class _Drop:
    """Collects the rows of a chunk that are rejected, each for the first reason that was found."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows
        self._why: dict[int, tuple[str, str]] = {}

    def add(self, positions: Ints, reason: str, detail: str) -> None:
        for position in positions.tolist():
            self._why.setdefault(position, (reason, detail))

    def kept(self) -> NDArray[np.int64]:
        keep = np.ones(len(self._rows), dtype=np.bool_)
        keep[list(self._why)] = False
        return np.flatnonzero(keep)

    def rejected(self) -> pl.DataFrame:
        if not self._why:
            return no_rejections()
        positions = sorted(self._why)
        why = [self._why[position] for position in positions]
        return reject(self._rows[positions], STAGE, [[reason] for reason, _ in why], [detail for _, detail in why])


def _tokenize_texts(rows: pl.DataFrame, settings: Tokenization, drop: _Drop) -> tuple[Encoded, Ints]:
    """Encode texts between their special tokens, and turn labels into class indexes, shape `[rows]`."""
    _drop_control_tokens(rows["text"], settings, drop)
    before, after = settings.wrapping
    encoded = settings.backend.encode(rows["text"].to_list())
    drop.add(np.flatnonzero(encoded[1] == 0), "no_tokens", "the text has no token")
    room = settings.max_length - len(before) - len(after)
    ids, lengths = _limit(encoded, room, settings, drop)[0]
    known = {name: index for index, name in enumerate(settings.label_names or ())}
    classes = np.array([known.get(label, -1) for label in rows["label"].to_list()], dtype=np.int64)
    drop.add(np.flatnonzero(classes < 0), "label:not_in_train", "no row of the training part has this label")
    return wrap(ids, lengths, before, after), classes


def _tokenize_conversations(rows: pl.DataFrame, settings: Tokenization, drop: _Drop) -> tuple[Encoded, Labels]:
    """Render and encode conversations, and label the tokens of responses, shape `[tokens]`."""
    turn = pl.element().struct
    said = pl.col("messages").list.eval(pl.concat_str(turn.field("content", "details"), ignore_nulls=True))
    everything = pl.concat_str(said.list.join("\n"), "tools", ignore_nulls=True)
    _drop_control_tokens(rows.select(everything).to_series(), settings, drop)
    rendered = render_conversations(rows, settings.renderer)
    for (reason, detail), group in rendered.drop_nulls("reason").group_by("reason", "detail", maintain_order=True):
        drop.add(group["index"].to_numpy().astype(np.int64), str(reason), str(detail))
    rendered = rendered.with_columns(pl.col("text").fill_null(""))
    encoded = settings.backend.encode(rendered["text"].to_list())
    trained, torn = find_trained(rendered, encoded, settings.tokenizer, settings.bytes_of_ids)
    drop.add(torn, "response_boundary", "a token spans the edge of a response and what surrounds it")
    (ids, lengths), keep = _limit(encoded, settings.max_length, settings, drop)
    labels = apply_mask(ids, trained[keep])
    can_be_predicted = (labels != IGNORE_INDEX) & (positions_in_rows(lengths) > 0)
    drop.add(
        np.flatnonzero(_count(can_be_predicted, lengths) == 0), "nothing_trained", "no token of a response is left"
    )
    return (ids, lengths), labels


def _drop_control_tokens(texts: pl.Series, settings: Tokenization, drop: _Drop) -> None:
    """Reject rows whose text spells a control token: encoded, it would become one."""
    tokens = list(settings.tokenizer.special_tokens)
    if tokens:
        found = np.flatnonzero(texts.str.contains_any(tokens).to_numpy())
        drop.add(found, "special_token_in_text", f"the text spells a control token, one of {', '.join(tokens[:20])}")


def _limit(encoded: Encoded, most: int, settings: Tokenization, drop: _Drop) -> tuple[Encoded, Flags]:
    """Cut or reject rows of more than `most` tokens; also return which tokens are still there."""
    ids, lengths = encoded
    if settings.truncate:
        keep = positions_in_rows(lengths) < most
        return (ids[keep], np.minimum(lengths, most)), keep
    long = np.flatnonzero(lengths > most)
    extra = settings.max_length - most
    drop.add(
        long, "too_long", f"more than max_length {settings.max_length} tokens" + f", {extra} special" * bool(extra)
    )
    return encoded, np.ones(len(ids), dtype=np.bool_)


def positions_in_rows(lengths: Ints) -> Ints:
    """Return the position of each token in its row, shape `[tokens]`."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def wrap(ids: NDArray[np.int32], lengths: Ints, before: list[int], after: list[int]) -> Encoded:
    """Put the same ids before and after each row."""
    wrapped = lengths + len(before) + len(after)
    out = np.empty(int(wrapped.sum()), dtype=np.int32)
    place = positions_in_rows(wrapped)
    from_end = np.repeat(wrapped, wrapped) - place
    inner = (place >= len(before)) & (from_end > len(after))
    out[inner] = ids
    for position, special in enumerate(before):
        out[place == position] = special
    for position, special in enumerate(reversed(after), start=1):
        out[from_end == position] = special
    return out, wrapped


def find_wrapping(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special ids that the tokenizer puts before and after a single text.

    Raises:
        TokenizerError: when it does something else to a text.
    """
    bare = tokenizer.reference.encode("a", add_special_tokens=False).ids
    whole = tokenizer.reference.encode("a", add_special_tokens=True).ids
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise TokenizerError(
        f"the tokenizer '{tokenizer.name}' changes a text when it adds special tokens; sftdata cannot use it"
    )


def make_renderer(tokenizer: Tokenizer) -> Renderer:
    """Return the renderer for the tokenizer's chat template.

    Raises:
        TokenizerError: when there is no template.
    """
    if tokenizer.template is None:
        raise TokenizerError(
            f"the tokenizer '{tokenizer.name}' has no chat template, and causal_lm renders conversations with one. "
            "Give a Jinja file as tokenize.chat_template, or use an instruct model's tokenizer."
        )
    return Renderer(ChatTemplate(tokenizer.template, tokenizer.named_tokens()), tokenizer.special_tokens)


def texts_to_prove(rows: pl.DataFrame, settings: Tokenization) -> list[str]:
    """Return the texts of `rows` that an encoder will see, for comparing backends."""
    if settings.task == Task.CAUSAL_LM:
        return render_conversations(rows, settings.renderer)["text"].drop_nulls().to_list()
    return rows["text"].to_list()


def _count(flags: Flags, lengths: Ints) -> Ints:
    total = np.concatenate([[0], np.cumsum(flags)])
    ends = np.cumsum(lengths)
    counts: Ints = total[ends] - total[ends - lengths]
    return counts


def _lists(values: NDArray[np.int32], lengths: Ints) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))
