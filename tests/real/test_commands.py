"""The recipes of the samples run as they are shipped, from validation to a model that answers, a few steps long."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.real

SAMPLES = Path(__file__).parents[2] / "samples"


def sftdata(*arguments):
    command = [sys.executable, "-c", "from sftdata.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def samples(tmp_path, assets):
    """A copy of the samples with the models that their recipes name."""
    ignore = shutil.ignore_patterns("models", "out", "*.py")
    shutil.copytree(SAMPLES, tmp_path / "samples", ignore=ignore)
    (tmp_path / "samples" / "models").mkdir()
    for name in ("minilm", "smollm2"):
        (tmp_path / "samples" / "models" / name).symlink_to(assets / name)
    return tmp_path / "samples"


def shorten(recipe: Path, **changes) -> Path:
    document = yaml.safe_load(recipe.read_text())
    document["train"] |= changes
    recipe.write_text(yaml.safe_dump(document))
    return recipe


def test_topics_are_prepared_verified_trained_evaluated_and_predicted(samples):
    recipe = shorten(samples / "wordnet_topics.yaml", max_steps=3)
    manifest = json.loads(sftdata("prepare", recipe, "--json"))
    assert manifest["rows"] == {"read": 5001, "rejected": 0, "duplicates": 0, "augmented": 0, "written": 5001}
    assert manifest["tokenizer"]["backend"].startswith("tokie")
    out, run = samples / "out" / "wordnet_topics", samples / "out" / "wordnet_topics-run"
    sftdata("verify", out)
    sftdata("train", recipe)
    scores = json.loads(sftdata("evaluate", run, "--data", out, "--json"))
    assert scores["rows"] == manifest["splits"]["test"]["rows"]
    assert 0 <= scores["macro_f1"] <= scores["accuracy"] <= 1
    assert 0 < scores["baseline"]["accuracy"] < 0.2
    texts = samples / "texts.txt"
    texts.write_text("a small wild cat\nwalk slowly\n")
    answers = json.loads(sftdata("predict", run, texts, "--text", "a thick soup", "--json"))
    assert [answer["text"] for answer in answers] == ["a thick soup", "a small wild cat", "walk slowly"]
    assert {answer["label"] for answer in answers} <= set(manifest["label_names"])


@pytest.mark.parametrize("name", ["translation_en_zh", "wordnet_chat"])
def test_conversations_are_prepared_trained_with_lora_and_answered(samples, name):
    recipe = shorten(samples / f"{name}.yaml", max_steps=2, batch_size=2)
    rows = (samples / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (samples / f"{name}.jsonl").write_text("".join(rows[:24]), encoding="utf-8")
    manifest = json.loads(sftdata("prepare", recipe, "--json"))
    assert manifest["rows"]["rejected"] == 0
    assert all(0 < split["trained_tokens"] < split["tokens"] for split in manifest["splits"].values())
    out, run = samples / "out" / name, samples / "out" / f"{name}-run"
    shown = sftdata("inspect", out, "-n", "1")
    assert "⟦" in shown.partition("assistant")[2]
    sftdata("train", recipe)
    assert (run / "adapter_model.safetensors").is_file()
    scores = json.loads(sftdata("evaluate", run, "--data", out, "--json"))
    assert scores["trained_tokens"] == manifest["splits"]["test"]["trained_tokens"]
    answers = json.loads(sftdata("predict", run, "--text", "Translate into Chinese: Open file", "--json"))
    assert answers[0]["response"]
