"""Weights of turns, with the chat templates of real models: each weight falls on the tokens of its response."""

import json

import pytest
from examples import placed_examples, prepare_here

import sftdata
from sftdata import IGNORE_INDEX
from sftdata.tokenizers.loading import load_tokenizer

pytestmark = pytest.mark.real

GIVEN = [0.5, None, 2.0, 0, 0.125, 1, 3]
TEMPLATES = ["Qwen-Qwen2.5-7B-Instruct", "meta-llama-Llama-3.1-8B-Instruct", "google-gemma-2-2b-it", None]


def make_talks(assets):
    """Conversations of several lengths from real small talk, every response with a weight of its own."""
    said = json.loads((assets / "chitchat.json").read_text(encoding="utf-8"))
    texts = list(dict.fromkeys(text.strip() for text in _texts(said) if 1 < len(text.strip()) < 60))[:480]
    talks, place = [], 0
    while place + 8 <= len(texts):
        turns = []
        for asked, answer in zip(texts[place : place + 8 : 2], texts[place + 1 : place + 8 : 2], strict=True):
            weight = GIVEN[(place // 8 + len(turns)) % len(GIVEN)]
            turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
            turns[-1] |= {} if weight is None else {"weight": weight}
        talks.append({"messages": turns[: 2 + 2 * (place // 8 % 4)]})
        place += 8
    return talks


def _texts(talks):
    return (line["text"] for talk in talks.values() for lines in talk["messages"] for line in lines)


def runs_of(tokenizer, example):
    """The text of each run of labels of one weight."""
    runs = []
    for place, (label, weight) in enumerate(zip(example["labels"], example["weights"], strict=True)):
        assert (label == IGNORE_INDEX) == (weight == 0)
        if label != IGNORE_INDEX and place and example["weights"][place - 1] == weight and runs:
            runs[-1][0].append(label)
        elif label != IGNORE_INDEX:
            runs.append(([label], weight))
    return [(tokenizer.reference.decode(ids, skip_special_tokens=False), weight) for ids, weight in runs]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("model", ["smollm2", "qwen3"])
def test_each_weight_falls_on_the_tokens_of_its_response(tmp_path, assets, model, template):
    talks = make_talks(assets)
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    settings = {"tokenizer": str(assets / model), "max_length": 2048}
    if template:
        (file,) = (assets / "templates").rglob(f"{template}.jinja")
        settings |= {"chat_template": str(file), "date": "2026-01-31"}
    recipe = {"task": "causal_lm", "schema": "messages", "sources": [{"path": "talks.jsonl"}], "max_rejected": 1.0}
    out = prepare_here(tmp_path, **recipe, deduplicate={"exact": False, "conflicts": "keep"}, tokenize=settings)
    tokenizer, seen = load_tokenizer(str(assets / model)), 0
    for place, example in placed_examples(out):
        turns = [turn for turn in talks[place]["messages"] if turn["role"] == "assistant" and turn.get("weight") != 0]
        found = runs_of(tokenizer, example)
        assert [weight for _, weight in found] == [turn.get("weight", 1.0) for turn in turns]
        for (text, _), turn in zip(found, turns, strict=True):
            assert turn["content"] in text, "the whole response, and behind it no more than what ends it"
            others = [other["content"] for other in talks[place]["messages"] if other["content"] not in turn["content"]]
            assert not any(f"{other}<" in text for other in others)
        seen += 1
    assert seen > len(talks) / 3, "others have a response at whose edge the tokenizer joins two signs"
    sftdata.verify(out)
