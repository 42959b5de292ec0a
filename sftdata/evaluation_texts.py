"""Read the texts of evaluation files, which no row of the data may repeat."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sftdata.errors import RecipeError
from sftdata.schema import Schema
from sftdata.settings.deduplication import DecontaminateSettings
from sftdata.settings.sources import SourceSettings
from sftdata.sources import find_sources, read_chunks
from sftdata.stages.decontamination import Evaluation, index_evaluation

TEXT_PARTS = frozenset(
    {"text", "text_pair", "tokens", "source", "target", "instruction", "input", "response", "prompt", "completion"}
    | {"messages"}
)
"""The parts of a schema whose columns hold text that an evaluation asks about."""


def read_evaluation(settings: DecontaminateSettings, schema: Schema, base: Path) -> Evaluation:
    """Read evaluation files of any format, and hash the runs of words in their texts.

    Which columns hold texts, the settings say, or the schema of the recipe.

    Raises:
        SourceError: when a file is missing or cannot be read.
        RecipeError: when a record has none of the columns.
    """
    fields = settings.fields or tuple(name for part, name in schema.parts.items() if part in TEXT_PARTS)
    texts = [text for file in settings.files for text in _read_texts(file, fields, base)]
    dtypes = {"source": pl.String, "record": pl.Int64, "text": pl.String}
    return index_evaluation(pl.DataFrame(texts, schema=dtypes, orient="row"), settings.ngram)


def _read_texts(file: str, fields: Collection[str], base: Path) -> Iterator[tuple[str, int, str]]:
    for source in find_sources([SourceSettings(path=file)], base):
        for chunk in read_chunks(source):
            for position in range(len(chunk)):
                record, number = chunk.original(position), chunk.first_record + position
                values = [record[name] for name in fields if name in record] if isinstance(record, dict) else []
                if not values:
                    fault = f"decontaminate.fields: record {number} of {source.name} has none of {', '.join(fields)}"
                    raise RecipeError("decontaminate", [f"{fault}; name the columns that hold its texts"])
                yield from ((source.name, number, text) for value in values for text in _texts_of(value))


def _texts_of(value: Any) -> Iterator[str]:
    """Yield a text, tokens as one text, or what each turn of a conversation says."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        yield " ".join(value)
    elif isinstance(value, list):
        for turn in value:
            said = turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
            if isinstance(said, str):
                yield said
