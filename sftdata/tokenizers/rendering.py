"""Render conversations in columns, and know where each response lies in the text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.checks import RESPONSE_ROLE
from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused, Turn
from sftdata.tokenizers.edges import Memory, ResponseUnknown
from sftdata.tokenizers.regions import Regions, find_regions
from sftdata.tokenizers.shapes import Edge, PlacedSpan, Shape, compile_shape, content_of, place_spans

RENDERED: dict[str, Any] = {
    "index": pl.UInt32(),
    "text": pl.String(),
    "starts": pl.List(pl.Int64),
    "ends": pl.List(pl.Int64),
    "weights": pl.List(pl.Float32),
    "reason": pl.String(),
    "detail": pl.String(),
}
"""A rendered row: its text, the byte spans to train and how much they weigh, or the reason why it has none."""


@dataclass(frozen=True)
class Renderer:
    """What turns conversations into text.

    Attributes:
        template: the chat template.
        end_tokens: control tokens; one of them ends a response and is trained with it.
        train_on: which responses are trained.
        tool_template: the template for conversations with tools, where the tokenizer has one of its own for them.
    """

    template: ChatTemplate
    end_tokens: tuple[str, ...]
    train_on: Literal["all", "last"] = "all"
    tool_template: ChatTemplate | None = None

    def template_for(self, tools: Any) -> ChatTemplate:
        """Return the template that takes a conversation with these tools."""
        return self.tool_template if tools is not None and self.tool_template else self.template

    def choose(self, trained: Sequence[bool]) -> list[bool]:
        """Tell which responses are trained, of those that may be."""
        if self.train_on == "all":
            return list(trained)
        return [may and place == len(trained) - 1 for place, may in enumerate(trained)]


def render_conversations(rows: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    """Render every row of the columns `messages` and `tools`.

    Rows of one shape are concatenated as columns. Four rows of each shape are rendered for real as
    well; where they differ, and for rows that break a guard, each row is rendered for real. So is each row that has
    tools, or turns with more than a role, a content and a weight.

    Returns:
        Columns of `RENDERED` in the order of `rows`, where `index` is the position in `rows`. Spans are half-open, in
        bytes of UTF-8, and rise.
    """
    turn = pl.element().struct
    weight = turn.field("weight")
    role = turn.field("role") + pl.when(weight == 0).then(pl.lit(_UNTRAINED)).otherwise(pl.lit(""))
    numbered = rows.select(
        "messages",
        "tools",
        shape=pl.col("messages").list.eval(role).list.join("\x1f"),
        plain=pl.col("messages").list.eval(turn.field("details").is_null()).list.all() & pl.col("tools").is_null(),
        weighed=pl.col("messages").list.eval(~weight.is_in([0.0, 1.0])).list.any(),
    ).with_row_index()
    shaped = numbered.filter("plain")
    done = [
        part.select(*RENDERED)
        for shape in shaped.partition_by("shape", maintain_order=True)
        for part in _render_shape(shape, renderer)
    ]
    done.append(_render_each(numbered.filter(~pl.col("plain")), renderer))
    return pl.concat(done).sort("index")


_UNTRAINED = "\x1e"
"""Stands behind the role of a turn of weight zero in the name of a shape."""


def _render_shape(rows: pl.DataFrame, renderer: Renderer) -> list[pl.DataFrame]:
    named = rows["shape"][0].split("\x1f") if rows["shape"][0] else []
    roles = [name.removesuffix(_UNTRAINED) for name in named]
    may = [not name.endswith(_UNTRAINED) for name, role in zip(named, roles, strict=True) if role == RESPONSE_ROLE]
    try:
        shape = compile_shape(renderer.template, roles)
        spans = (
            place_spans(shape, roles, renderer.template, renderer.end_tokens, renderer.choose(may)) if shape else None
        )
    except TemplateRefused as refusal:
        return [_refuse(rows, "template_refused", str(refusal))]
    if shape is None or spans is None:
        return [_render_each(rows, renderer)]
    guarded = rows.with_columns(_all(guard(content_of(slot)) for slot, guard in shape.guards).alias("plain"))
    plain = guarded.filter("plain")
    if not len(plain):
        return [_render_each(rows, renderer)]
    rendered = _concatenate(plain, shape, spans)
    if not _is_real(plain, rendered, renderer):
        return [_render_each(rows, renderer)]
    return [rendered, _render_each(guarded.filter(~pl.col("plain")), renderer)]


def _concatenate(rows: pl.DataFrame, shape: Shape, spans: Sequence[PlacedSpan]) -> pl.DataFrame:
    slots = rows.select(
        content_of(part).alias(f"slot{place}") for place, part in enumerate(shape.parts) if not isinstance(part, str)
    )
    offsets = np.zeros((len(shape.parts) + 1, len(rows)), dtype=np.int64)  # of each part, in bytes
    for place, part in enumerate(shape.parts):
        if isinstance(part, str):
            offsets[place + 1] = len(part.encode())
        else:
            offsets[place + 1] = slots[f"slot{place}"].str.len_bytes().to_numpy()
    np.cumsum(offsets, axis=0, out=offsets)
    texts = [pl.lit(part) if isinstance(part, str) else f"slot{place}" for place, part in enumerate(shape.parts)]
    return rows.select(
        "index",
        slots.select(pl.concat_str(texts).alias("text")).to_series(),
        _lists("starts", _places(offsets, [span.start for span in spans])),
        _lists("ends", _places(offsets, [span.end for span in spans])),
        _lists("weights", _weights(rows, [span.turn for span in spans])),
        pl.lit(None, dtype=pl.String).alias("reason"),
        pl.lit(None, dtype=pl.String).alias("detail"),
    )


def _places(offsets: NDArray[np.int64], edges: Sequence[Edge]) -> NDArray[np.int64]:
    """Return the places of the edges in each row, shape `[edges, rows]`."""
    parts, past = [edge.part for edge in edges], np.array([edge.bytes for edge in edges], dtype=np.int64)
    places: NDArray[np.int64] = offsets[parts] + past[:, None]
    return places


def _weights(rows: pl.DataFrame, turns: Sequence[int]) -> NDArray[np.float32]:
    """Return the weights of these turns in each row, shape `[turns, rows]`."""
    weights = np.ones((len(turns), len(rows)), dtype=np.float32)
    if rows["weighed"].any():
        for place, turn in enumerate(turns):
            weights[place] = rows["messages"].list.get(turn).struct.field("weight").fill_null(1.0).to_numpy()
    return weights


def _lists(name: str, values: NDArray[Any]) -> pl.Series:
    """Return the columns of `values`, a list a row."""
    return pl.Series(name, np.ascontiguousarray(values.T)).arr.to_list()


def _is_real(rows: pl.DataFrame, rendered: pl.DataFrame, renderer: Renderer) -> bool:
    try:
        return all(
            renderer.template.render(as_turns(rows["messages"][row].to_list())) == rendered["text"][row]
            for row in {place * (len(rows) - 1) // 3 for place in range(4)}
        )
    except TemplateRefused:
        return False


def _render_each(rows: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    columns = rows.select("index", "messages", "tools").iter_rows()
    memory: Memory = {}
    done = [_render_row(index, turns, tools, renderer, memory) for index, turns, tools in columns]
    return pl.DataFrame(done, schema=RENDERED, orient="row")


_Rendered = tuple[int, str | None, list[int] | None, list[int] | None, list[float] | None, str | None, str | None]


def _render_row(
    index: int, stored: list[dict[str, Any]], tools: str | None, renderer: Renderer, memory: Memory
) -> _Rendered:
    given = [turn["weight"] for turn in stored if turn["role"] == RESPONSE_ROLE]
    weights = [1.0 if weight is None else weight for weight in given]
    try:
        may = [weight != 0 for weight in weights]
        regions = _find(stored, json.loads(tools) if tools else None, renderer, may, memory)
    except TemplateRefused as refusal:
        return index, None, None, None, None, "template_refused", str(refusal)
    except ResponseUnknown as why:
        return index, None, None, None, None, "response_rewritten", str(why)
    spans = [span for of_turn in regions.spans for span in of_turn]
    in_bytes = [tuple(len(regions.text[:place].encode()) for place in span) for span in spans]
    starts, ends = [start for start, _ in in_bytes], [end for _, end in in_bytes]
    of_spans = [weight for weight, of_turn in zip(weights, regions.spans, strict=True) for _ in of_turn]
    return index, regions.text, starts, ends, of_spans, None, None


def _find(stored: list[dict[str, Any]], tools: Any, renderer: Renderer, may: Sequence[bool], memory: Memory) -> Regions:
    template, wanted = renderer.template_for(tools), renderer.choose(may)
    try:
        return find_regions(template, as_turns(stored), tools, renderer.end_tokens, wanted, memory)
    except TemplateRefused:
        silent = [turn["content"] is None for turn in stored]
        if not any(silent):
            raise
    # some templates take a turn without content only where the key is not there at all
    turns = [
        {key: value for key, value in turn.items() if key != "content" or not drop}
        for turn, drop in zip(as_turns(stored), silent, strict=True)
    ]
    return find_regions(template, turns, tools, renderer.end_tokens, wanted, memory)


def render_text(stored: list[dict[str, Any]], tools: str | None, renderer: Renderer) -> str | None:
    """Return the text of one conversation, nothing of which is to be trained; None where the template refuses it."""
    try:
        return _find(stored, json.loads(tools) if tools else None, renderer, [], {}).text
    except TemplateRefused:
        return None


def as_turns(stored: list[dict[str, Any]]) -> list[Turn]:
    """Return turns as templates take them: role, content, and what else the source says of them."""
    return [
        {"role": turn["role"], "content": turn["content"], **(json.loads(turn["details"]) if turn["details"] else {})}
        for turn in stored
    ]


def _refuse(rows: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    return rows.select(
        "index",
        pl.lit(None, dtype=pl.String).alias("text"),
        pl.lit(None, dtype=pl.List(pl.Int64)).alias("starts"),
        pl.lit(None, dtype=pl.List(pl.Int64)).alias("ends"),
        pl.lit(None, dtype=pl.List(pl.Float32)).alias("weights"),
        pl.lit(reason).alias("reason"),
        pl.lit(detail).alias("detail"),
    )


def _all(conditions: Any) -> pl.Expr:
    return pl.all_horizontal(pl.lit(value=True), *conditions)
