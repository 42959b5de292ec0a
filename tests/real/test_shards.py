"""On real conversations: what a token takes on the disk, and what planning and reading take from memory."""

import json
from itertools import groupby

import pytest
from examples import prepare_here, write_jsonl

import sftdata
from sftdata.shards.index import index_path

pytestmark = pytest.mark.real


@pytest.fixture
def chats(tmp_path, assets):
    """The chats, in conversations of four turns; one's messages in a row are one turn."""
    rows = []
    for chat in json.loads((assets / "chitchat.json").read_text(encoding="utf-8")).values():
        said = [message for block in chat["messages"] for message in block if message["text"].strip()]
        turns = [[one["text"] for one in of_one] for _, of_one in groupby(said, key=lambda message: message["sender"])]
        texts = ["\n".join(turn) for turn in turns]
        roles = ("user", "assistant", "user", "assistant")
        for start in range(0, len(texts) - 3, 4):
            window = zip(roles, texts[start : start + 4], strict=True)
            rows.append({"messages": [{"role": role, "content": text} for role, text in window]})
    write_jsonl(tmp_path / "chats.jsonl", rows)
    return tmp_path / "chats.jsonl"


@pytest.mark.parametrize("model", ["smollm2", "qwen3"])
def test_a_token_takes_eight_bytes_and_a_half_with_labels_ids_and_index(tmp_path, assets, chats, model):
    out = prepare_here(
        tmp_path,
        task="causal_lm",
        schema="messages",
        sources=[{"path": str(chats)}],
        tokenize={"tokenizer": str(assets / model), "max_length": 10**6},
    )
    manifest = sftdata.verify(out)
    tokens = sum(split.tokens for split in manifest.splits.values())
    assert tokens > 800_000
    files = [shard.file for split in manifest.splits.values() for shard in split.shards]
    files += [index_path(name) for name in manifest.splits]
    assert sum((out / name).stat().st_size for name in files) <= 8.5 * tokens
    for name, record in manifest.splits.items():
        split = sftdata.load_split(out, name)
        assert (split.lengths().sum(), len(split)) == (record.tokens, record.rows)
        assert (split.targets() > 0).all(), "every row trains something"
        assert split.targets().sum() <= record.trained_tokens
