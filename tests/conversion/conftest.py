"""Small configurations of other programs, and data of the formats that they name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

INSTRUCTIONS = [
    {"instruction": f"Name bird number {n}.", "input": "" if n % 2 else f"It is brown, {n}.", "output": f"Bird {n}!"}
    for n in range(20)
]
TALKS = [
    {
        "conversations": [
            {"from": "human", "value": f"Hello, I am number {n}."},
            {"from": "gpt", "value": f"Hello, number {n}."},
            {"from": "human", "value": "And who are you?"},
            {"from": "gpt", "value": f"I am {n + 1}."},
        ]
    }
    for n in range(20)
]
INFO = {
    "birds": {"file_name": "birds.json"},
    "birds_again": {"file_name": "birds.json", "num_samples": 5},
    "talks": {"file_name": "talks.json", "formatting": "sharegpt", "columns": {"messages": "conversations"}},
    "pictures": {"file_name": "talks.json", "formatting": "sharegpt", "columns": {"messages": "c", "images": "i"}},
    "pairs": {"file_name": "pairs.json", "ranking": True, "columns": {"prompt": "q", "chosen": "a", "rejected": "b"}},
    "texts": {"file_name": "texts.jsonl", "columns": {"prompt": "body"}},
    "online": {"hf_hub_url": "somebody/talks", "subset": "en", "columns": {"prompt": "q", "response": "a"}},
}

Write = Callable[..., Path]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, from which the other programs are started."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "birds.json").write_text(json.dumps(INSTRUCTIONS))
    (data / "talks.json").write_text(json.dumps(TALKS))
    (data / "texts.jsonl").write_text("".join(json.dumps({"body": row["output"]}) + "\n" for row in INSTRUCTIONS))
    (data / "dataset_info.json").write_text(json.dumps(INFO))
    return tmp_path


@pytest.fixture
def llamafactory(work: Path, chat_tokenizer: Path) -> Write:
    """Write a configuration of LLaMA-Factory with these keys beside the ones that it needs."""

    def write(**keys: Any) -> Path:
        given = {"model_name_or_path": str(chat_tokenizer), "dataset": "birds", "output_dir": "saves", **keys}
        (work / "sft.yaml").write_text(json.dumps({key: value for key, value in given.items() if value != "absent"}))
        return work / "sft.yaml"

    return write


@pytest.fixture
def axolotl(work: Path, chat_tokenizer: Path) -> Write:
    """Write a configuration of axolotl with these keys beside the ones that it needs."""

    def write(*, dataset: dict[str, Any] | None = None, **keys: Any) -> Path:
        dataset = dataset or {"path": "data/birds.json", "type": "alpaca"}
        given = {"base_model": str(chat_tokenizer), "datasets": [dataset], "learning_rate": 1e-4, **keys}
        (work / "axolotl.yml").write_text(json.dumps({key: value for key, value in given.items() if value != "absent"}))
        return work / "axolotl.yml"

    return write
