"""Rows for tests, made from code."""

import json
from pathlib import Path
from typing import Any

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "bird", "hand", "worth", "two", "bush"]
WORDS += ["capital", "of", "France"]


def make_texts(count: int) -> list[dict[str, str]]:
    """Return distinct rows with one of three labels, in shares of about 60, 30 and 10 percent."""
    labels = ["animal"] * 6 + ["place"] * 3 + ["thing"]
    return [
        {"text": f"{WORDS[i % 17]} {WORDS[i // 17 % 17]} number {i}", "label": labels[i % 10]} for i in range(count)
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


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """Write one JSON document a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
