"""Promise 4: the same bytes for any number of workers, any hash seed, and on any machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from examples import make_conversations, make_pairs, make_tagged, make_texts, make_translations

import sftdata
from sftdata.sources import parsing


def files_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def run(recipe: Path, *arguments: str, **environment: str) -> dict[str, bytes]:
    """Prepare in a process of its own."""
    command = [sys.executable, "-c", "from sftdata.cli import main; main()", "prepare", str(recipe), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return files_of(recipe.parent / "out")


ROWS = {"text": make_texts, "chat": make_conversations, "tag": make_tagged, "translation": make_translations}
ROWS |= dict.fromkeys(("pair", "multilabel", "regression"), make_pairs)


@pytest.mark.parametrize("kind", ROWS)
def test_workers_and_hash_seed_do_not_change_a_byte(request, monkeypatch, kind):
    rows = ROWS[kind](400)
    rows[17] = {"broken": True}
    recipe = request.getfixturevalue(f"{kind}_recipe")(
        rows, max_rejected=1.0, output={"dir": "out", "shard_size": "20KB"}
    )
    # several chunks, so that workers have something to share; the patched module is inherited by no worker process,
    # which is right: chunks are cut by the process that reads
    first = run(recipe, "--workers", "1", PYTHONHASHSEED="0")
    for workers, seed in (("2", "1"), ("4", "12345")):
        assert run(recipe, "--workers", workers, PYTHONHASHSEED=seed) == first
    assert any(name.endswith(".arrow") for name in first)


def test_several_chunks_give_the_same_rows_for_any_number_of_workers(monkeypatch, tmp_path, text_recipe):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 30)
    recipe = sftdata.load_recipe(text_recipe(make_texts(400), output={"dir": "out", "shard_size": "5KB"}))
    results = []
    for workers in (1, 2, 4):
        manifest = sftdata.prepare(recipe, workers=workers)
        results.append(files_of(tmp_path / "out"))
        assert len(manifest.splits["train"].shards) > 1
    assert results[0] == results[1] == results[2]


def test_the_place_of_the_recipe_does_not_change_a_byte(tmp_path, chat_recipe):
    recipe = chat_recipe()
    here = run(recipe)
    elsewhere = tmp_path / "another" / "place"
    elsewhere.mkdir(parents=True)
    for name in ("recipe.yaml", "chats.jsonl"):
        shutil.copy(tmp_path / name, elsewhere / name)
    assert run(elsewhere / "recipe.yaml") == here


def test_the_split_depends_on_seed_and_row_id_alone(tmp_path, text_recipe):
    def sides(recipe):
        manifest = sftdata.prepare(sftdata.load_recipe(recipe))
        return {
            row["row_id"]: split for split in manifest.splits for row in sftdata.load_split(tmp_path / "out", split)
        }

    def seeded(seed):
        return {"train": 0.8, "validation": 0.1, "test": 0.1, "stratify": "label", "seed": seed}

    first = sides(text_recipe(split=seeded(1)))
    assert sides(text_recipe(split=seeded(1))) == first
    assert sides(text_recipe(split=seeded(2))) != first


def test_the_manifest_knows_no_clock_and_no_machine(tmp_path, text_recipe):
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    del document["recipe"]["tokenize"], document["tokenizer"]["name"]  # this recipe names its tokenizer by a full path
    assert str(tmp_path) not in json.dumps(document)
