"""Bring the columns of a source format into the fields of its task."""

import polars as pl

from sftdata.records import FIELDS, MESSAGES, RAW_PROVENANCE, Task
from sftdata.schema import Schema


def to_fields(rows: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return provenance and task fields of `rows`, which have the schema's columns, and `weight` if it says so.

    A plain text becomes one turn of the assistant. An instruction and its input become one user turn, joined by a
    newline as LLaMA-Factory joins them; what was said earlier comes before; a system prompt that says something becomes
    a system turn, unless there is one at the start. A row without a weight has weight 1.

    Raises:
        ValueError: when the schema has no task.
    """
    if schema.task is None:
        raise ValueError(f"schema '{schema.name}' has no task, so its rows have no fields")
    parts = {part: pl.col(name) for part, name in schema.parts.items()}
    if schema.task == Task.CAUSAL_LM:
        parts["messages"] = _with_system(_turns(parts), parts.get("system")).cast(MESSAGES)
        if "tools" in parts:
            parts["tools"] = pl.when(parts["tools"].str.contains(r"^\[\s*[^\]\s]")).then(parts["tools"])
    provenance = [pl.col(raw).alias(name) for raw, name in RAW_PROVENANCE.items()]
    fields = [
        parts.get(name.removesuffix("_text"), pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in FIELDS[schema.task].items()
    ]
    weights = [parts["weight"].cast(pl.Float64).fill_null(1.0).alias("weight")] if schema.has_weights else []
    return rows.select(*provenance, *fields, *weights)


def _turns(parts: dict[str, pl.Expr]) -> pl.Expr:
    """Return the conversation without its system prompt."""
    if "messages" in parts:
        return parts["messages"]
    if "text" in parts:
        return pl.concat_list(_turn(pl.lit("assistant"), parts["text"]))
    asked = parts["instruction"] if "instruction" in parts else parts["prompt"]
    if "input" in parts:
        asked = pl.when(_says(parts["input"])).then(asked + "\n" + parts["input"]).otherwise(asked)
    answer = parts["response"] if "response" in parts else parts["completion"]
    turns = pl.concat_list(_turn(pl.lit("user"), asked), _turn(pl.lit("assistant"), answer))
    if "history" not in parts:
        return turns
    said = parts["history"].list.eval(pl.element().explode(empty_as_null=False))
    asks = pl.int_range(pl.len()) % 2 == 0
    role = pl.when(asks).then(pl.lit("user")).otherwise(pl.lit("assistant"))
    earlier = said.list.eval(_turn(role, pl.element()))
    return pl.when(earlier.list.len() > 0).then(pl.concat_list(earlier, turns)).otherwise(turns)


def _with_system(turns: pl.Expr, system: pl.Expr | None) -> pl.Expr:
    if system is None:
        return turns
    has_one = (turns.list.first().struct.field("role") == "system").fill_null(value=False)
    return (
        pl.when(_says(system) & ~has_one).then(pl.concat_list(_turn(pl.lit("system"), system), turns)).otherwise(turns)
    )


def _turn(role: pl.Expr, content: pl.Expr) -> pl.Expr:
    nothing = [pl.lit(None, dtype=pl.Float64).alias("weight"), pl.lit(None, dtype=pl.String).alias("details")]
    return pl.struct(role.alias("role"), content.alias("content"), *nothing)


def _says(text: pl.Expr) -> pl.Expr:
    return text.str.contains(r"\S").fill_null(value=False)
