"""Bring the columns of a source format into the fields of its task."""

import polars as pl

from sftdata.records import FIELDS, MESSAGES, PROVENANCE, Task
from sftdata.schema import Schema


def to_fields(rows: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return provenance and task fields of `rows`, which have the schema's columns.

    An instruction and its input become one user turn, joined by a newline as LLaMA-Factory joins them; a system prompt
    that says something becomes a system turn.
    """
    parts = {part: pl.col(name) for part, name in schema.parts.items()}
    if schema.task == Task.CAUSAL_LM and "messages" not in parts:
        fields = [_instruction_messages(parts).alias("messages")]
    else:
        fields = [parts[field].alias(field) for field in FIELDS[schema.task]]
    return rows.select(*PROVENANCE, *fields)


def _instruction_messages(parts: dict[str, pl.Expr]) -> pl.Expr:
    asked = parts["instruction"]
    if "input" in parts:
        asked = pl.when(_says(parts["input"])).then(asked + "\n" + parts["input"]).otherwise(asked)
    turns = pl.concat_list(_turn("user", asked), _turn("assistant", parts["response"]))
    if "system" in parts:
        turns = (
            pl.when(_says(parts["system"]))
            .then(pl.concat_list(_turn("system", parts["system"]), turns))
            .otherwise(turns)
        )
    return turns.cast(MESSAGES)


def _turn(role: str, content: pl.Expr) -> pl.Expr:
    return pl.struct(pl.lit(role).alias("role"), content.alias("content"))


def _says(text: pl.Expr) -> pl.Expr:
    return text.str.contains(r"\S").fill_null(value=False)
