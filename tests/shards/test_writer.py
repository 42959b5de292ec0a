"""What is written is read back, in shards of bounded size whose bytes depend on the examples alone."""

import hashlib
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

from sftdata.errors import VerificationError
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.layout import dataset_dict_file, example_schema
from sftdata.shards.writer import SplitWriter


def batch(rows, task=Task.CAUSAL_LM, names=None):
    return pa.RecordBatch.from_pylist(rows, schema=example_schema(task, names))


def turn(i, length=4):
    return {"row_id": f"s:{i}", "input_ids": [i] * length, "labels": [IGNORE_INDEX] + [i] * (length - 1)}


NAMES = datasets.ClassLabel(names=["no", "yes"])
LABELS = {
    Task.TEXT_CLASSIFICATION: ([1, 0], NAMES, 2),
    Task.MULTILABEL: ([[0.0, 1.0], [0.0, 0.0]], datasets.List(datasets.Value("float32")), 2),
    Task.REGRESSION: ([-100.0, 0.5], datasets.Value("float32"), 2),
    Task.TOKEN_CLASSIFICATION: ([[1, IGNORE_INDEX], [0, 1]], datasets.List(NAMES), 3),
    Task.SEQ2SEQ: ([[7, 8, 9], [7]], datasets.List(datasets.Value("int32")), 4),
    Task.CAUSAL_LM: ([[IGNORE_INDEX, 1], [IGNORE_INDEX, IGNORE_INDEX]], datasets.List(datasets.Value("int32")), 1),
}
"""For each task the labels of two examples, their feature, and how many labels train."""


@pytest.mark.parametrize("task", LABELS)
def test_datasets_reads_what_was_written_with_its_features(tmp_path, task):
    labels, feature, trained = LABELS[task]
    rows = [{"row_id": f"s:{n}", "input_ids": [n, n + 1], "labels": label} for n, label in enumerate(labels)]
    names = ("no", "yes") if task in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.TOKEN_CLASSIFICATION) else None
    writer = SplitWriter(tmp_path, "train", task, example_schema(task, names), 10**6)
    writer.write(batch(rows, task, names))
    assert writer.close().trained_tokens == trained
    (tmp_path / "dataset_dict.json").write_text(dataset_dict_file(["train"]))
    loaded = datasets.load_from_disk(str(tmp_path))["train"]
    assert loaded.to_list() == rows
    assert loaded.features["input_ids"] == datasets.List(datasets.Value("int32"))
    assert loaded.features["labels"] == feature


def test_shards_end_where_the_size_says_and_lose_nothing(tmp_path):
    writer = SplitWriter(tmp_path, "train", Task.CAUSAL_LM, example_schema(Task.CAUSAL_LM), 4000)
    for start in range(0, 100, 10):
        writer.write(batch([turn(i) for i in range(start, start + 10)]))
    record = writer.close()
    assert len(record.shards) > 2
    assert (record.rows, record.tokens, record.trained_tokens) == (100, 400, 300)
    ids = []
    for shard in record.shards:
        data = (tmp_path / shard.file).read_bytes()
        assert (len(data), "sha256:" + hashlib.sha256(data).hexdigest()) == (shard.bytes, shard.digest)
        table = pa.ipc.open_stream(data).read_all()
        assert table.num_rows == shard.rows
        ids += table["row_id"].to_pylist()
    assert ids == [f"s:{i}" for i in range(100)]
    assert sorted(path.name for path in (tmp_path / "train").glob("*.arrow")) == [
        f"data-{i:05d}-of-{len(record.shards):05d}.arrow" for i in range(len(record.shards))
    ]


def test_a_sliced_batch_counts_and_writes_only_its_own_rows(tmp_path):
    whole = batch([turn(i, 3 + i) for i in range(6)])
    writer = SplitWriter(tmp_path, "train", Task.CAUSAL_LM, example_schema(Task.CAUSAL_LM), 10**6)
    writer.write(whole.slice(2, 3))
    record = writer.close()
    assert (record.rows, record.tokens, record.trained_tokens) == (3, 5 + 6 + 7, 4 + 5 + 6)
    table = pa.ipc.open_stream((tmp_path / record.shards[0].file).read_bytes()).read_all()
    assert table.to_pylist() == [turn(i, 3 + i) for i in (2, 3, 4)]


def test_a_split_without_rows_is_one_empty_shard(tmp_path):
    record = SplitWriter(tmp_path, "test", Task.CAUSAL_LM, example_schema(Task.CAUSAL_LM), 10**6).close()
    assert (record.rows, len(record.shards)) == (0, 1)
    (tmp_path / "dataset_dict.json").write_text(dataset_dict_file(["test"]))
    assert len(datasets.load_from_disk(str(tmp_path))["test"]) == 0


def test_files_are_let_go_of_when_a_run_does_not_come_to_close(tmp_path):
    with SplitWriter(tmp_path, "train", Task.CAUSAL_LM, example_schema(Task.CAUSAL_LM), 10**6) as writer:
        writer.write(batch([turn(1)]))
    held = {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    assert not any(name.startswith(str(tmp_path)) for name in held)


def test_a_reader_names_what_is_wrong(tmp_path):
    from sftdata.shards.reader import load_split

    with pytest.raises(VerificationError, match="not a directory"):
        load_split(tmp_path / "nowhere")
    with pytest.raises(VerificationError, match="not a prepared dataset"):
        load_split(tmp_path)
