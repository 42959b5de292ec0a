"""An export read back is the shards: every row, token, label and id, for each task and target."""

import fcntl
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import datasets
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick
from tiny import Example, random_turns, write_dataset

import sftdata
from sftdata.errors import OutputError, UsageError, VerificationError
from sftdata.interchange import Export, _batches
from sftdata.interchange.packs import Gatherer
from sftdata.records import IGNORE_INDEX, Task

TABLES = {"jsonl": pl.read_ndjson, "parquet": pl.read_parquet}
LABELS = ("ant", "bee", "cat")

ids = st.lists(st.integers(3, 60), min_size=1, max_size=9)
of_task = {
    Task.TEXT_CLASSIFICATION: st.builds(Example, ids, st.integers(0, 2)),
    Task.MULTILABEL: st.builds(Example, ids, st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3)),
    Task.REGRESSION: st.builds(Example, ids, st.sampled_from([-1.5, 0.0, 0.25])),
    Task.TOKEN_CLASSIFICATION: ids.map(lambda found: Example(found, [t % 3 if t % 2 else IGNORE_INDEX for t in found])),
    Task.SEQ2SEQ: st.builds(Example, ids, ids),
    Task.CAUSAL_LM: ids.map(lambda found: Example(found, [t if t % 2 else IGNORE_INDEX for t in found])),
}


def write(directory, task, splits):
    directory.mkdir()
    named = task in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.TOKEN_CLASSIFICATION)
    return write_dataset(directory, task, splits, label_names=LABELS if named else None)


def read_table(out: Path, split: str, kind: str):
    """All rows of a split, as polars reads them; a JSON Lines file of no rows is of no bytes."""
    files = [path for path in sorted(out.glob(f"{split}-*.{kind}")) if path.stat().st_size]
    return [row for path in files for row in TABLES[kind](path).to_dicts()]


def unpack(split):
    """The examples of packs, by id."""
    found = {}
    for row in split.with_format(None):
        assert list(row) == ["input_ids", "labels", "seq_lengths", "row_ids"]
        ends = [0]
        for length in row["seq_lengths"]:
            ends.append(ends[-1] + length)
        assert ends[-1] == len(row["input_ids"]) == len(row["labels"])
        for row_id, (start, end) in zip(row["row_ids"], pairwise(ends), strict=True):
            assert row_id not in found
            found[row_id] = (row["input_ids"][start:end], row["labels"][start:end])
    return found


@pytest.mark.parametrize("task", of_task)
@pytest.mark.parametrize("kind", TABLES)
@given(data=st.data())
@quick
def test_tables_read_back_are_the_shards_of_every_task(task, kind, data):
    splits = {name: data.draw(st.lists(of_task[task], max_size=12)) for name in ("train", "test")}
    with TemporaryDirectory() as folder:
        source = write(Path(folder) / "in", task, splits)
        record = sftdata.export(source, Path(folder) / "out", to=kind)
        for name in splits:
            assert read_table(Path(folder) / "out", name, kind) == list(sftdata.load_split(source, name))
            assert record.rows[name] == len(splits[name])


@pytest.mark.parametrize("to", ["llamafactory", "axolotl"])
@given(rows=st.lists(of_task[Task.CAUSAL_LM], max_size=12))
@quick
def test_a_dataset_read_back_is_the_shards_with_a_mask_and_shows_what_trainers_take(to, rows):
    with TemporaryDirectory() as folder:
        source = write(Path(folder) / "in", Task.CAUSAL_LM, {"train": rows, "test": rows[:1]})
        sftdata.export(source, Path(folder) / "out", to=to)
        loaded = datasets.load_from_disk(str(Path(folder) / "out"))
        for name in ("train", "test"):
            ours = list(sftdata.load_split(source, name))
            masked = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in ours]
            assert loaded[name].with_format(None).to_list() == masked
            assert list(loaded[name]) == [
                {key: row[key] for key in ("input_ids", "labels", "attention_mask")} for row in masked
            ]
        del loaded


@given(rows=st.lists(of_task[Task.CAUSAL_LM], max_size=30), capacity=st.integers(9, 40))
@quick
def test_packs_hold_every_example_once_and_whole_and_none_is_above_the_capacity(rows, capacity):
    with TemporaryDirectory() as folder:
        source = write(Path(folder) / "in", Task.CAUSAL_LM, {"train": rows})
        record = sftdata.export(source, Path(folder) / "out", to="trl", capacity=capacity)
        packed = datasets.load_from_disk(str(Path(folder) / "out"))["train"]
        ours = {row["row_id"]: (row["input_ids"], row["labels"]) for row in sftdata.load_split(source)}
        assert unpack(packed) == ours
        assert all(len(row["input_ids"]) <= capacity for row in packed)
        assert record.packs == {"train": len(packed)}
        assert set(packed.features) == {"input_ids", "labels", "seq_lengths", "row_ids"}
        del packed


@given(rows=st.lists(of_task[Task.CAUSAL_LM], min_size=1, max_size=30), data=st.data())
@quick
def test_rows_from_anywhere_are_gathered_in_the_order_asked_for(rows, data):
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
    with TemporaryDirectory() as folder:
        split = sftdata.load_split(write(Path(folder) / "in", Task.CAUSAL_LM, {"train": rows}))
        found = Gatherer(split).gather(pa.array(wanted).to_numpy()).to_pylist()
        assert found == [split[place] for place in wanted]


@pytest.fixture
def turns(tmp_path):
    return write(tmp_path / "in", Task.CAUSAL_LM, {"train": random_turns(60, 1), "test": random_turns(9, 2)})


def test_packs_are_nearly_full_and_not_in_the_order_of_length(turns, tmp_path):
    record = sftdata.export(turns, tmp_path / "out", to="trl", capacity=96)
    assert record.tokens["train"] / (record.packs["train"] * 96) > 0.9
    first = [row["seq_lengths"][0] for row in datasets.load_from_disk(str(tmp_path / "out"))["train"]]
    assert first != sorted(first, reverse=True)


def test_the_same_export_has_the_same_bytes(turns, tmp_path):
    for to in ("trl", "axolotl", "jsonl", "parquet"):
        capacity = 64 if to == "trl" else None
        for name in ("a", "b"):
            record = sftdata.export(turns, tmp_path / name, to=to, capacity=capacity)
        assert [(tmp_path / "a" / file).read_bytes() for file in record.files] == [
            (tmp_path / "b" / file).read_bytes() for file in record.files
        ]


def test_only_the_splits_asked_for_are_written_once(turns, tmp_path):
    record = sftdata.export(turns, tmp_path / "out", to="llamafactory", splits=["test", "test"])
    assert list(datasets.load_from_disk(str(tmp_path / "out"))) == list(record.rows) == ["test"]


def test_the_record_names_every_file_and_the_manifest(turns, tmp_path):
    record = sftdata.export(turns, tmp_path / "out", to="parquet")
    assert Export.model_validate_json((tmp_path / "out" / "export.json").read_text()) == record
    there = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert there == {*record.files, "export.json"}
    assert record.manifest_digest == sftdata.manifest.digest_file(turns / "manifest.json")


def test_rows_go_through_a_few_megabytes_at_a_time(turns, monkeypatch):
    split = sftdata.load_split(turns)
    whole = [batch for number in range(len(split.shards)) for batch in _batches(split, number)]
    monkeypatch.setattr("sftdata.interchange._BYTES_AT_ONCE", 300)
    small = [batch for number in range(len(split.shards)) for batch in _batches(split, number)]
    assert len(small) > 2 * len(whole)
    assert max(batch.nbytes for batch in small) < 600
    assert pa.Table.from_batches(small) == pa.Table.from_batches(whole) == split.table


def test_packs_and_files_are_written_a_part_at_a_time(turns, tmp_path, monkeypatch):
    monkeypatch.setattr("sftdata.interchange.packs._TOKENS_AT_ONCE", 100)
    monkeypatch.setattr("sftdata.interchange.saved.FILE_SIZE", 2000)
    record = sftdata.export(turns, tmp_path / "out", to="trl", capacity=30)
    files = sorted((tmp_path / "out" / "train").glob("*.arrow"))
    assert len(files) > 2
    sizes = [batch.num_rows for path in files for batch in pa.ipc.open_stream(path.read_bytes())]
    assert max(sizes) == 3
    assert sum(sizes) == record.packs["train"]
    loaded = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    assert len(unpack(loaded)) == 60


class TestRefusals:
    """One message each, and nothing is written."""

    @pytest.mark.parametrize(
        ("arguments", "error", "said"),
        [
            ({"to": "trl", "capacity": 5}, UsageError, "have more than 5 tokens"),
            ({"to": "trl", "contents": "text", "capacity": 64}, UsageError, "goes with --to jsonl or parquet"),
            ({"to": "jsonl", "capacity": 5}, UsageError, "--capacity is for the packs"),
            ({"to": "csv"}, UsageError, "trl, llamafactory, axolotl, jsonl, parquet"),
            ({"to": "jsonl", "splits": ["dev"]}, VerificationError, "its splits are: train, test"),
            ({"to": "jsonl", "contents": "text"}, VerificationError, "tokenizer.json is missing"),
        ],
    )
    def test_of_arguments(self, turns, tmp_path, arguments, error, said):
        with pytest.raises(error, match=said):
            sftdata.export(turns, tmp_path / "out", **arguments)
        assert {path.name for path in tmp_path.iterdir()} == {"in"}

    @pytest.mark.parametrize("to", ["trl", "llamafactory", "axolotl"])
    def test_of_a_task_that_the_target_does_not_take(self, tmp_path, to):
        rows = [Example([1, 2], 0)]
        source = write(tmp_path / "in", Task.TEXT_CLASSIFICATION, {"train": rows})
        with pytest.raises(UsageError, match="this one is of the task text_classification"):
            sftdata.export(source, tmp_path / "out", to=to)

    def test_of_what_is_no_dataset(self, tmp_path):
        with pytest.raises(VerificationError, match="not a prepared dataset"):
            sftdata.export(tmp_path, tmp_path / "out", to="jsonl")
        (tmp_path / ".sftdata-unfinished").mkdir()
        with pytest.raises(VerificationError, match="unfinished run"):
            sftdata.export(tmp_path, tmp_path / "out", to="jsonl")

    @pytest.mark.parametrize("to", ["trl", "llamafactory", "axolotl", "jsonl", "parquet"])
    def test_of_a_damaged_shard_leaves_the_old_export(self, turns, tmp_path, to):
        sftdata.export(turns, tmp_path / "out", to="jsonl")
        before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        shard = max((turns / "train").glob("*.arrow"))
        damaged = bytearray(shard.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        shard.write_bytes(damaged)
        with pytest.raises(VerificationError, match=shard.name):
            sftdata.export(turns, tmp_path / "out", to=to, capacity=64 if to == "trl" else None)
        assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
        assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}

    def test_of_a_place_that_is_not_ours(self, turns, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="is a file"):
            sftdata.export(turns, tmp_path / "file", to="jsonl")
        with pytest.raises(OutputError, match="holds a prepared dataset"):
            sftdata.export(turns, turns, to="jsonl")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes.txt").write_text("")
        with pytest.raises(OutputError, match=r"it holds notes\.txt"):
            sftdata.export(turns, tmp_path / "mine", to="jsonl")

    def test_of_an_export_with_something_else_in_it(self, turns, tmp_path):
        sftdata.export(turns, tmp_path / "out", to="jsonl")
        (tmp_path / "out" / "notes.txt").write_text("keep me")
        with pytest.raises(OutputError, match=r"it holds notes\.txt"):
            sftdata.export(turns, tmp_path / "out", to="parquet")
        assert (tmp_path / "out" / "notes.txt").read_text() == "keep me"


def test_an_export_replaces_an_earlier_one_of_another_kind(turns, tmp_path):
    sftdata.export(turns, tmp_path / "out", to="jsonl")
    record = sftdata.export(turns, tmp_path / "out", to="llamafactory")
    assert not list((tmp_path / "out").glob("*.jsonl"))
    assert json.loads((tmp_path / "out" / "export.json").read_text())["to"] == record.to == "llamafactory"


def test_an_empty_directory_is_taken_and_parents_are_made(turns, tmp_path):
    (tmp_path / "out").mkdir()
    sftdata.export(turns, tmp_path / "out", to="jsonl")
    sftdata.export(turns, tmp_path / "a" / "b", to="jsonl")
    assert (tmp_path / "a" / "b" / "export.json").is_file()


def test_what_a_killed_run_left_is_cleared_and_an_export_moved_away_comes_back(turns, tmp_path):
    sftdata.export(turns, tmp_path / "out", to="jsonl")
    aside = tmp_path / ".out.sftdata-unfinished"
    (aside / "new" / "train").mkdir(parents=True)
    (tmp_path / "out").rename(aside / "old")  # killed between the two renames
    with pytest.raises(UsageError, match="have more than"):
        sftdata.export(turns, tmp_path / "out", to="trl", capacity=3)
    assert json.loads((tmp_path / "out" / "export.json").read_text())["to"] == "jsonl"
    assert not aside.exists()


def test_two_runs_do_not_write_to_one_place(turns, tmp_path):
    aside = tmp_path / ".out.sftdata-unfinished"
    aside.mkdir()
    with (aside / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another run is writing"):
            sftdata.export(turns, tmp_path / "out", to="jsonl")
        assert aside.exists()


def test_a_full_disk_is_told_and_leaves_the_old_export(turns, tmp_path):
    """A limit on the size of files stands in for the disk."""
    sftdata.export(turns, tmp_path / "out", to="jsonl")
    program = (
        "import resource, signal, sys; from sftdata.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "sys.argv[1:] = ['export', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", program, str(turns), str(tmp_path / "out"), "--to"]
    for to in ("llamafactory", "parquet", "jsonl"):
        done = subprocess.run([*command, to], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert "out cannot be written: File too large" in done.stderr
        assert done.stderr.count("\n") == 1
        assert json.loads((tmp_path / "out" / "export.json").read_text())["to"] == "jsonl"
        assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_packs_would_mix_folds(tmp_path, chat_recipe):
    sftdata.prepare(sftdata.load_recipe(chat_recipe(split={"folds": 3, "seed": 1})))
    with pytest.raises(UsageError, match="has folds, and packs would mix them"):
        sftdata.export(tmp_path / "out", tmp_path / "packs", to="trl")
    sftdata.export(tmp_path / "out", tmp_path / "masked", to="axolotl")
    loaded = datasets.load_from_disk(str(tmp_path / "masked"))["train"].with_format(None)
    assert set(loaded["fold"]) == {0, 1, 2}
