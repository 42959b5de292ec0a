"""A split is indexable, iterable and picklable, opens only the shards that it reads, and keeps no file open."""

import multiprocessing
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
from small_datasets import turns, write_dataset

import sftdata
from sftdata.errors import VerificationError
from sftdata.records import Task
from sftdata.shards import reader, streams
from sftdata.shards.reader import read_rejected


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Ten shards of ten rows, and a split without rows."""
    splits = {"train": turns(100), "test": [turns(10)[0].slice(0, 0)]}
    return write_dataset(tmp_path_factory.mktemp("data"), Task.CAUSAL_LM, splits)


@pytest.fixture
def opened(monkeypatch):
    """The files that are mapped or digested from now on."""
    files = []
    for module, name in ((streams, "map_stream"), (reader, "digest_file")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, real=real: files.append(Path(path).name) or real(path))
    return files


def expected():
    return [row for batch in turns(100) for row in batch.to_pylist()]


def test_index_slice_iteration_and_table_agree(written):
    split = sftdata.load_split(written)
    rows = list(split)
    assert rows == expected() == split.table.to_pylist()
    assert len(split) == 100
    assert [split[i] for i in range(100)] == [split[np.int64(i)] for i in range(100)] == rows
    assert [split[-i] for i in range(1, 101)] == rows[::-1]
    for piece in (slice(2, 5), slice(None), slice(-3, None), slice(95, 200), slice(5, 2), slice(90, None, -17)):
        assert split[piece] == rows[piece]
    for outside in (100, -101):
        with pytest.raises(IndexError, match="split with 100 rows"):
            split[outside]
    assert split.starts.tolist() == list(range(0, 101, 10))
    assert split.starts.dtype == np.int64
    assert [split.shard(n).num_rows for n in range(10)] == [10] * 10


def test_rows_are_found_by_id(written):
    split = sftdata.load_split(written)
    for place in (0, 9, 10, 57, 99):
        assert split.position(f"s:{place}") == place
        assert split.find(f"s:{place}") == split[place]
    with pytest.raises(VerificationError, match="no row 'x'; an id looks like s:0"):
        split.find("x")


def test_a_split_without_rows_is_empty_in_every_way(written):
    split = sftdata.load_split(written, "test")
    assert (len(split), list(split), split[:], split.table.num_rows) == (0, [], [], 0)
    assert (split.lengths().tolist(), split.targets().tolist(), split.starts.tolist()) == ([], [], [0, 0])
    with pytest.raises(IndexError):
        split[0]
    with pytest.raises(VerificationError, match="the split is empty"):
        split.find("s:0")


def test_opening_and_planning_open_no_shard_and_a_row_opens_one(written, opened):
    split = sftdata.load_split(written)
    assert opened == []
    assert split.lengths().sum() == split.manifest.splits["train"].tokens
    split.targets()
    assert set(opened) == {"train.arrow"}
    opened.clear()
    for row in (57, 51, 57):
        assert split[row]["row_id"] == f"s:{row}"
    assert opened == ["data-00005-of-00010.arrow"]


def test_a_shard_is_digested_once_and_only_when_asked(written, opened):
    split = sftdata.load_split(written)
    split.check_shard(3)
    split.check_shard(3)
    assert opened == ["data-00003-of-00010.arrow"]


def test_no_file_stays_open(tmp_path):
    """With a handle a shard, a thousand shards would meet the usual limit of 1,024 open files."""
    split = sftdata.load_split(write_dataset(tmp_path, Task.CAUSAL_LM, {"train": turns(100, batch_rows=1)}))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 10, limit[1]))
    try:
        assert split.table.num_rows == len(list(split)) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_a_relative_path_holds_when_the_working_directory_changes(written, monkeypatch, tmp_path):
    monkeypatch.chdir(written.parent)
    split = sftdata.load_split(written.name)
    monkeypatch.chdir(tmp_path)
    assert split.directory == written
    assert list(split) == expected()
    assert pickle.loads(pickle.dumps(split))[3] == expected()[3]  # noqa: S301  # our own


def test_a_pickled_split_is_small_and_reads_the_same(written):
    split = sftdata.load_split(written)
    split.check_shard(0)
    before = len(pickle.dumps(split))
    assert len(split.table) == len(split.lengths()) == 100
    pickled = pickle.dumps(split)
    assert len(pickled) == before
    assert list(pickle.loads(pickled)) == list(split)  # noqa: S301  # our own


def read_row(split, row):
    return split[row], int(split.lengths()[row])


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_another_process_reads_the_same(written, method):
    split = sftdata.load_split(written)
    assert split[12] == expected()[12]  # so that after a fork there are open shards to inherit
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.starmap(read_row, [(split, row) for row in (12, 77)])
    assert found == [(expected()[row], len(expected()[row]["input_ids"])) for row in (12, 77)]


def test_an_unknown_split_lists_those_there_are(written):
    with pytest.raises(VerificationError, match="its splits are: train, test"):
        sftdata.load_split(written, "dev")


def test_rejected_rows_are_read_up_to_a_count(tmp_path, chat_recipe):
    sftdata.prepare(sftdata.load_recipe(chat_recipe()))
    assert read_rejected(tmp_path / "out", 3) == []
