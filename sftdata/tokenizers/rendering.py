"""Render conversations in columns, and know where each response lies in the text."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sftdata.checks import RESPONSE_ROLE
from sftdata.tokenizers.chat_template import ChatTemplate, TemplateRefused, Turn
from sftdata.tokenizers.shapes import Shape, Slot, compile_shape, content_of

RENDERED: dict[str, Any] = {
    "index": pl.UInt32(),
    "text": pl.String(),
    "starts": pl.List(pl.Int64),
    "ends": pl.List(pl.Int64),
    "reason": pl.String(),
    "detail": pl.String(),
}
"""A rendered row: its text and the byte spans to train, or the reason why it has none."""


@dataclass(frozen=True)
class Renderer:
    """A template and the control tokens that can end a response.

    Attributes:
        template: the chat template.
        end_tokens: control tokens; the one that directly follows a response is trained with it.
    """

    template: ChatTemplate
    end_tokens: tuple[str, ...]


def render_conversations(rows: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    """Render every row of the columns `messages` and `tools`.

    Rows of one shape are concatenated as columns. The first and the last row of each shape are rendered for real as
    well; where they differ, and for rows that break a guard, each row is rendered for real. So is each row that has
    tools, or turns with weights or with more than a role and a content.

    Returns:
        Columns of `RENDERED` in the order of `rows`, where `index` is the position in `rows`. Spans are half-open, in
        bytes of UTF-8, and rise.
    """
    roles = pl.col("messages").list.eval(pl.element().struct.field("role"))
    turn = pl.element().struct
    bare = pl.col("messages").list.eval(turn.field("details").is_null() & turn.field("weight").is_null()).list.all()
    numbered = rows.select("messages", "tools", roles.alias("roles"), bare.alias("bare")).with_row_index()
    is_plain = pl.col("bare") & pl.col("tools").is_null()
    shaped = numbered.filter(is_plain).with_columns(pl.col("roles").list.join("\x1f").alias("shape"))
    done = [
        part.select(*RENDERED)
        for shape in shaped.partition_by("shape")
        for part in _render_shape(shape.drop("shape"), renderer)
    ]
    done.append(_render_each(numbered.filter(~is_plain), renderer))
    return pl.concat(done).sort("index")


def _render_shape(rows: pl.DataFrame, renderer: Renderer) -> list[pl.DataFrame]:
    roles = rows["roles"][0].to_list()
    try:
        shape = compile_shape(renderer.template, roles)
    except TemplateRefused as refusal:
        return [_refuse(rows, "template_refused", str(refusal))]
    if shape is None or not _has_responses(shape, roles):
        return [_render_each(rows, renderer)]
    guarded = rows.with_columns(_all(guard(content_of(slot)) for slot, guard in shape.guards).alias("plain"))
    plain = guarded.filter("plain")
    if len(plain):
        rendered = _concatenate(plain, shape, roles, renderer)
        if not _is_real(plain, rendered, renderer):
            return [_render_each(rows, renderer)]
        return [rendered, _render_each(guarded.filter(~pl.col("plain")), renderer)]
    return [_render_each(rows, renderer)]


def _has_responses(shape: Shape, roles: Sequence[str]) -> bool:
    """Whether every response stands in the text exactly once, in order."""
    said = [part.turn for part in shape.parts if isinstance(part, Slot) and roles[part.turn] == RESPONSE_ROLE]
    return said == [turn for turn, role in enumerate(roles) if role == RESPONSE_ROLE]


def _concatenate(rows: pl.DataFrame, shape: Shape, roles: Sequence[str], renderer: Renderer) -> pl.DataFrame:
    texts: list[pl.Expr] = []
    starts, ends = [], []
    offset: pl.Expr = pl.lit(0, dtype=pl.Int64)
    for place, part in enumerate(shape.parts):
        expression = pl.lit(part) if isinstance(part, str) else pl.col(f"slot{place}")
        after = offset + expression.str.len_bytes().cast(pl.Int64)
        if isinstance(part, Slot) and roles[part.turn] == RESPONSE_ROLE:
            following = shape.parts[place + 1] if place + 1 < len(shape.parts) else ""
            end = find_end_token(following, renderer.end_tokens) if isinstance(following, str) else ""
            starts.append(offset)
            ends.append(after + len(end.encode()))
        texts.append(expression)
        offset = after
    slots = [content_of(part).alias(f"slot{place}") for place, part in enumerate(shape.parts) if isinstance(part, Slot)]
    return rows.select("index", *slots).select(
        "index",
        pl.concat_str(texts).alias("text"),
        pl.concat_list(starts).alias("starts"),
        pl.concat_list(ends).alias("ends"),
        pl.lit(None, dtype=pl.String).alias("reason"),
        pl.lit(None, dtype=pl.String).alias("detail"),
    )


def _is_real(rows: pl.DataFrame, rendered: pl.DataFrame, renderer: Renderer) -> bool:
    try:
        return all(
            renderer.template.render(_as_turns(rows["messages"][row].to_list())) == rendered["text"][row]
            for row in {0, len(rows) - 1}
        )
    except TemplateRefused:
        return False


def find_end_token(literal: str, end_tokens: Sequence[str]) -> str:
    """Return the control token that `literal` begins with, or nothing; the longest where several fit."""
    return max((token for token in end_tokens if literal.startswith(token)), key=len, default="")


def _render_each(rows: pl.DataFrame, renderer: Renderer) -> pl.DataFrame:
    columns = rows.select("index", "messages", "tools").iter_rows()
    done = [_render_row(index, messages, tools, renderer) for index, messages, tools in columns]
    return pl.DataFrame(done, schema=RENDERED, orient="row")


_Rendered = tuple[int, str | None, list[int] | None, list[int] | None, str | None, str | None]


def _render_row(index: int, stored: list[dict[str, Any]], tools: str | None, renderer: Renderer) -> _Rendered:
    messages, offered = _as_turns(stored), json.loads(tools) if tools else None
    if why := _why_unknown(stored, messages):
        return index, None, None, None, *why
    try:
        text = renderer.template.render(messages, offered)
        spans = _find_spans(text, messages, offered, renderer)
    except TemplateRefused as refusal:
        return index, None, None, None, "template_refused", str(refusal)
    if spans is None:
        return index, None, None, None, "response_rewritten", "the template changes a response, so its place is unknown"
    trained = [turn["weight"] != 0 for turn in stored if _responds(turn)]
    spans = [span for span, wanted in zip(spans, trained, strict=True) if wanted]
    extended = [(start, end + len(find_end_token(text[end:], renderer.end_tokens))) for start, end in spans]
    in_bytes = [tuple(len(text[:place].encode()) for place in span) for span in extended]
    return index, text, [start for start, _ in in_bytes], [end for _, end in in_bytes], None, None


def _as_turns(stored: list[dict[str, Any]]) -> list[Turn]:
    """Return turns as templates take them: role, content, and what else the source says of them."""
    return [
        {"role": turn["role"], "content": turn["content"], **(json.loads(turn["details"]) if turn["details"] else {})}
        for turn in stored
    ]


def _why_unknown(stored: list[dict[str, Any]], messages: list[Turn]) -> tuple[str, str] | None:
    """Say why labels cannot be proved: a response is more than its content, or counts in part."""
    for turn in messages:
        more = [name for name in _MORE_TO_SAY if turn.get(name)]
        if _responds(turn) and more:
            return f"response_has:{more[0]}", f"a response has {more[0]}, whose place in the text is not known"
    if any(turn["weight"] not in {None, 0, 1} for turn in stored):
        return "weight:fraction", "a turn has a weight other than 0 and 1"
    return None


_MORE_TO_SAY = ("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking")
"""What a response can hold beside its content."""


def _find_spans(text: str, messages: list[Turn], tools: Any, renderer: Renderer) -> list[tuple[int, int]] | None:
    """Render again with marks around each response; if the text without the marks differs, nothing is known."""
    for prepare in _USUAL_TRIMS:
        marked = [
            {**turn, "content": _mark(prepare(turn["content"]))} if _responds(turn) else turn for turn in messages
        ]
        pieces = _split_marks(renderer.template.render(marked, tools))
        if "".join(pieces) == text and len(pieces) == 1 + 2 * sum(map(_responds, messages)):
            ends = [sum(map(len, pieces[: place + 1])) for place in range(len(pieces))]
            spoken = [prepare(turn["content"]) for turn in messages if _responds(turn)]
            if spoken == pieces[1::2]:
                return [(ends[place - 1], ends[place]) for place in range(1, len(pieces), 2)]
    return None


_USUAL_TRIMS: tuple[Callable[[str], str], ...] = (
    lambda said: said,
    lambda said: said.strip(),
    lambda said: said.lstrip("\n"),
    lambda said: said.strip("\n"),
    lambda said: said.rstrip(),
)
"""What templates do to a response before they print it."""


def _responds(turn: Turn) -> bool:
    return bool(turn["role"] == RESPONSE_ROLE)


def _mark(said: str) -> str:
    return f"\U0010fff0{said}\U0010fff1"


def _split_marks(text: str) -> list[str]:
    return text.replace("\U0010fff1", "\U0010fff0").split("\U0010fff0")


def _refuse(rows: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    return rows.select(
        "index",
        pl.lit(None, dtype=pl.String).alias("text"),
        pl.lit(None, dtype=pl.List(pl.Int64)).alias("starts"),
        pl.lit(None, dtype=pl.List(pl.Int64)).alias("ends"),
        pl.lit(reason).alias("reason"),
        pl.lit(detail).alias("detail"),
    )


def _all(conditions: Any) -> pl.Expr:
    return pl.all_horizontal(pl.lit(value=True), *conditions)
