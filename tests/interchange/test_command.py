"""`sftdata export`: what it says, its exit codes, and one message for a mistake."""

import datasets
import pytest
from test_cli import refused, sftdata


@pytest.fixture
def prepared(tmp_path, chat_recipe):
    assert sftdata("prepare", chat_recipe()).returncode == 0
    return tmp_path / "out"


def test_it_says_how_much_there_is_and_how_full_packs_are(prepared, tmp_path):
    done = sftdata("export", prepared, tmp_path / "packs", "--to", "trl", "--capacity", "256")
    assert (done.returncode, done.stderr) == (0, "")
    train, *_, last = done.stdout.splitlines()
    packs = len(datasets.load_from_disk(str(tmp_path / "packs"))["train"])
    assert train.startswith("train: 48 rows, ")
    assert f" tokens, in {packs} packs of at most 256 tokens, " in train
    assert train.endswith("% full")
    assert last == f"The export is in {tmp_path / 'packs'}."


def test_tables_of_some_splits_as_text(prepared, tmp_path):
    chosen = ["--split", "test", "--split", "validation"]
    done = sftdata("export", prepared, tmp_path / "text", "--to", "jsonl", "--with", "text", *chosen)
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:-1]] == ["test", "validation"]
    assert '"segments":[' in (tmp_path / "text" / "test-00000-of-00001.jsonl").read_text()


def test_mistakes_are_wrong_use_and_damage_is_refused_data(prepared, tmp_path):
    out = tmp_path / "x"
    assert refused(sftdata("export", prepared, out, "--to", "trl", "--capacity", 8), 2, "Raise --capacity to")
    assert refused(sftdata("export", prepared, out, "--to", "jsonl", "--split", "dev"), 1, "no split 'dev'")
    assert refused(sftdata("export", tmp_path, out, "--to", "jsonl"), 1, "not a prepared dataset")
    assert refused(sftdata("export", prepared, prepared, "--to", "jsonl"), 2, "holds a prepared dataset")
    shard = next((prepared / "train").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert refused(sftdata("export", prepared, out, "--to", "parquet"), 1, shard.name, "sftdata verify")
    assert not out.exists()
