"""`verify` names everything that differs from the manifest, and refuses what is not a finished dataset."""

import json

import pytest

import sftdata
from sftdata.errors import VerificationError
from sftdata.manifest import UNFINISHED_NAME, write_aside


@pytest.fixture
def prepared(tmp_path, text_recipe):
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    return tmp_path / "out"


def test_a_whole_dataset_is_verified(prepared):
    told = []
    manifest = sftdata.verify(prepared, lambda *progress: told.append(progress))
    size = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)
    assert told[-1][1:] == (size, size)
    assert size > 0


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a flipped bit": (lambda out: flip(next((out / "train").glob("*.arrow"))), "digest differs"),
    "a cut shard": (lambda out: next((out / "test").glob("*.arrow")).write_bytes(b"short"), "5 bytes, expected"),
    "a missing shard": (lambda out: next((out / "test").glob("*.arrow")).unlink(), "missing"),
    "a foreign shard": (
        lambda out: (out / "train" / "extra.arrow").write_bytes(b""),
        "extra.arrow: not in the manifest",
    ),
    "a foreign index": (
        lambda out: (out / "index" / "dev.arrow").write_bytes(b""),
        "index/dev.arrow: not in the manifest",
    ),
    "a missing index": (lambda out: (out / "index" / "train.arrow").unlink(), "index/train.arrow: missing"),
    "another tokenizer": (lambda out: flip(out / "tokenizer" / "tokenizer.json"), "tokenizer/tokenizer.json"),
    "changed state": (lambda out: flip(out / "train" / "state.json"), "train/state.json"),
    "changed rejects": (lambda out: (out / "rejected.jsonl").write_text("{}\n"), "rejected.jsonl"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named(prepared, damage):
    spoil, message = DAMAGES[damage]
    spoil(prepared)
    with pytest.raises(VerificationError, match=message):
        sftdata.verify(prepared)


def test_all_damages_are_named_at_once(prepared):
    for spoil, _ in DAMAGES.values():
        spoil(prepared)
    with pytest.raises(VerificationError) as caught:
        sftdata.verify(prepared)
    assert str(caught.value).count("\n  ") >= 6


def test_counts_that_do_not_close_are_refused(prepared):
    path = prepared / "manifest.json"
    document = json.loads(path.read_text())
    document["rows"]["rejected"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(VerificationError, match="do not close"):
        sftdata.verify(prepared)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('{"format": 99}', "format 99"),
        ('{"format": 99}', "Update sftdata"),
        ('{"format": 1}', "format 1; this sftdata reads format 2. Run `sftdata prepare` again"),
        ('{"format": 2}', "not a manifest"),
        ('{"format": true}', "not a manifest"),
        ('{"format": "2"}', "not a manifest"),
        ("{}", "not a manifest"),
        ('{"format": 2}\x00', "cannot be read"),
        ("[]", "not a manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(prepared, content, message):
    (prepared / "manifest.json").write_text(content)
    with pytest.raises(VerificationError, match=message):
        sftdata.verify(prepared)


def test_an_unfinished_run_is_told_from_a_foreign_directory(tmp_path):
    (tmp_path / "run" / UNFINISHED_NAME).mkdir(parents=True)
    with pytest.raises(VerificationError, match="unfinished run"):
        sftdata.verify(tmp_path / "run")
    with pytest.raises(VerificationError, match="not a prepared dataset"):
        sftdata.verify(tmp_path)


def test_a_file_written_aside_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "x.json"
    write_aside(path, "old")
    write_aside(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
