"""Rows for tests, made from code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

import sftdata
from sftdata.records import FIELDS, IGNORE_INDEX, Task
from sftdata.sources import read_chunks
from sftdata.sources.source import Source

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "bird", "hand", "worth", "two", "bush"]
WORDS += ["capital", "of", "France"]


def make_texts(count: int) -> list[dict[str, str]]:
    """Return distinct rows with one of three labels, in shares of about 60, 30 and 10 percent."""
    labels = ["animal"] * 6 + ["place"] * 3 + ["thing"]
    return [
        {"text": f"{WORDS[i % 17]} {WORDS[i // 17 % 17]} number {i}", "label": labels[i % 10]} for i in range(count)
    ]


def make_pairs(count: int) -> list[dict[str, Any]]:
    """Return distinct pairs of texts, each with a label, up to two labels, and a score."""
    labels = [["animal"], ["animal", "place"], [], ["place"], ["thing"]]
    return [
        {
            **row,
            "other": f"{WORDS[i // 3 % 17]} worth {i % 7}",
            "labels": labels[i % 5],
            "score": (i * 37 % 100) / 8 - 6,
        }
        for i, row in enumerate(make_texts(count))
    ]


def make_conversations(count: int) -> list[dict[str, Any]]:
    """Return conversations of several shapes, some with Chinese, emoji and odd white space."""
    odd = [
        "plain answer",
        " leading space",
        "trailing space ",
        "two\nlines\n",
        "你好，世界。",
        "emoji 😀 👩‍👩‍👧",
        "\ttab",
    ]
    rows = []
    for i in range(count):
        turns = [{"role": "system", "content": "Answer briefly."}] if i % 3 == 0 else []
        for turn in range(1 + i % 4):
            turns.append({"role": "user", "content": f"question {turn} of {i}?"})
            turns.append({"role": "assistant", "content": f"{odd[(i + turn) % len(odd)]} {i}"})
        rows.append({"messages": turns})
    return rows


def make_tagged(count: int) -> list[dict[str, list[str]]]:
    """Return distinct sentences of words and of Chinese characters, with tags of BIO."""
    rows = []
    for i in range(count):
        words, tags = [*WORDS[i % 12 :][:3], str(i), "in"], ["O"] * 5
        words += ["Paris", "Texas"][: 1 + i % 2] if i % 3 else list("北京")
        tags += ["B-LOC", "I-LOC"][: len(words) - 5]
        rows.append({"tokens": words, "tags": tags})
    return rows


def make_translations(count: int) -> list[dict[str, str]]:
    """Return distinct sources and targets."""
    return [
        {"source": f"{WORDS[i % 17]} {WORDS[i // 17 % 17]} number {i}", "target": f"第{i}个 {WORDS[i % 5]}。"}
        for i in range(count)
    ]


def as_rows(conversations: list[Any]) -> pl.DataFrame:
    """Return a frame with the fields of a causal_lm task; turns need a role and a content only."""
    wide = [[{"weight": None, "details": None, **turn} for turn in turns] for turns in conversations]
    return pl.DataFrame({"messages": wide, "tools": [None] * len(wide)}, schema=FIELDS[Task.CAUSAL_LM])


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """Write one JSON document a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_every_record(path: Path, kind: str, columns: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Read a source to its end; return each record's values or reasons, in order, and its original."""
    values: list[Any] = []
    originals = []
    for chunk in read_chunks(Source(path, path.name, "0" * 8, kind)):
        assert chunk.first_record == len(values) + 1
        parsed = chunk.parse(columns)
        assert parsed.frame.schema == {name: column.polars_dtype for name, column in columns.items()}
        of_record: dict[int, Any] = dict(zip(parsed.positions, parsed.frame.rows(), strict=True))
        for fault in parsed.faults:
            assert fault.position not in parsed.positions
            of_record.setdefault(fault.position, []).append(fault.reason)
        assert sorted(of_record) == list(range(len(chunk)))
        values += [of_record[position] for position in range(len(chunk))]
        originals += [chunk.original(position) for position in range(len(chunk))]
    return values, originals


def trained_texts(tokenizer: Any, labels: list[int]) -> list[str]:
    """Return the text of each run of trained tokens."""
    runs, current = [], []
    for label in [*labels, IGNORE_INDEX]:
        if label != IGNORE_INDEX:
            current.append(label)
        elif current:
            runs.append(tokenizer.reference.decode(current, skip_special_tokens=False))
            current = []
    return runs


def prepare_here(folder: Path, **recipe: Any) -> Path:
    """Prepare a recipe that is written to `folder` and may reject nothing; return the dataset."""
    path = folder / "recipe.yaml"
    path.write_text(json.dumps({"output": {"dir": "out"}, "max_rejected": 0, **recipe}))
    sftdata.prepare(sftdata.load_recipe(path))
    return folder / "out"


def placed_examples(out: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the place of each example's row in its file, and the example."""
    for split in sftdata.read_manifest(out).splits:
        for row in sftdata.load_split(out, split):
            yield int(row["row_id"].partition(":")[2]) - 1, row
