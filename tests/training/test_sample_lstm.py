"""The sample that trains a module of its own on a vocabulary of its own, end to end, with fewer rows."""

import json
import math
import shutil
from pathlib import Path

import pytest

import sftdata
from sftdata.recipe import load_recipe
from sftdata.training import evaluate, predict, train

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def recipe(tmp_path):
    for name in ("translation_lstm.yaml", "lstm.py"):
        shutil.copy(SAMPLES / name, tmp_path)
    lines = (SAMPLES / "translation_en_zh.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "translation_en_zh.jsonl").write_text("\n".join(lines[::4]) + "\n", encoding="utf-8")
    return load_recipe(tmp_path / "translation_lstm.yaml")


def test_the_loss_falls_on_english_and_chinese_words(recipe, tmp_path):
    manifest = sftdata.prepare(recipe)
    words = json.loads((tmp_path / "out/translation_lstm/tokenizer/tokenizer.json").read_text("utf-8"))["model"][
        "vocab"
    ]
    known = {word for word, _ in words}
    assert {"文件", "Translate", "Chinese"} <= known, "words of both languages, as jieba cuts them"
    run = tmp_path / "out/translation_lstm-run"
    result = train(tmp_path / "out/translation_lstm", recipe.resolve_training(recipe.train), progress=False)
    told = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in told if line["part"] == "validation"]
    assert math.log(manifest.tokenizer.vocab_size) > losses[0] > losses[-1] == pytest.approx(result.scores["loss"])
    assert evaluate(run, tmp_path / "out/translation_lstm")["loss"] < math.log(manifest.tokenizer.vocab_size)
    [answer] = predict(run, ["Translate the following text into Chinese.\n\nSave"], max_new_tokens=5)
    assert isinstance(answer["response"], str)
