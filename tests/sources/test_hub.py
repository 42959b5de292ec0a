import json
import subprocess
import sys

import pytest
from examples import write_jsonl

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import digest_of, find_sources, hub, parsing, read_chunks, size_of

COLUMNS = {"text": Column(), "label": Column()}
ROWS = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(25)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def repository(tmp_path):
    """A directory as a dataset repository of the hub is laid out: two splits, and two subsets beside."""
    folder = tmp_path / "base" / "team" / "reviews"
    (folder / "data").mkdir(parents=True)
    write_jsonl(folder / "data" / "train.jsonl", ROWS)
    write_jsonl(folder / "data" / "test.jsonl", ROWS[:2])
    return folder


def find(repository, **settings):
    base = repository.parent.parent
    return find_sources([SourceSettings(**{"dataset": "team/reviews", **settings})], base)


def rows_of(source):
    return [row for chunk in read_chunks(source) for row in chunk.parse(COLUMNS).frame.rows(named=True)]


def test_a_directory_reads_as_the_hub_would(repository):
    sources = find(repository)
    assert [source.name for source in sources] == ["hub:team/reviews/train", "hub:team/reviews/test"]
    assert [source.settings.split for source in sources] == ["train", "test"]
    assert [rows_of(source) for source in sources] == [ROWS, ROWS[:2]]
    (chunk,) = read_chunks(sources[1])
    assert (chunk.original(1), chunk.line(1)) == (ROWS[1], None)


def test_a_split_of_a_subset_of_a_revision_is_one_source(repository):
    configs = [{"config_name": "small", "data_files": "data/test.jsonl"}]
    configs += [{"config_name": "big", "data_files": "data/train.jsonl"}]
    card = f"---\n{json.dumps({'configs': configs})}\n---\n"
    (repository / "README.md").write_text(card)
    (source,) = find(repository, subset="small", split="train", revision="v1")
    assert source.name == "hub:team/reviews@v1/small/train"
    assert rows_of(source) == ROWS[:2]
    (source,) = find(repository, subset="big")
    assert rows_of(source) == ROWS


def test_slices_are_within_the_limits(repository, monkeypatch):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 10)
    monkeypatch.setattr(hub, "BATCH_ROWS", 4)
    assert [len(chunk) for chunk in read_chunks(find(repository)[0])] == [8, 8, 9]


def test_size_and_digest_are_of_the_files_of_the_split(repository):
    train, test = find(repository)
    file = repository / "data" / "train.jsonl"
    assert size_of(train) == file.stat().st_size
    before = digest_of(train), digest_of(test)
    assert before[0].startswith("sha256:")
    write_jsonl(file, ROWS[:-1])
    assert digest_of(train) != before[0]
    assert digest_of(test) == before[1]


def fault_of(repository, **settings):
    with pytest.raises(SourceError) as caught:
        list(map(rows_of, find(repository, **settings)))
    return str(caught.value)


def test_what_is_not_there_is_told(repository):
    assert "Unknown split" in fault_of(repository, split="dev")
    assert "'none' not found" in fault_of(repository, subset="none")
    told = "hub:no/such cannot be read: its cache on this machine does not have it, and HF_HUB_OFFLINE forbids to ask"
    assert told in fault_of(repository, dataset="no/such")
    assert "hub:no/such/train cannot be read" in fault_of(repository, dataset="no/such", split="train")


def test_data_that_datasets_refuses_is_told(repository):
    (repository / "data" / "train.jsonl").write_text('{"text": "a"\nnonsense\n')
    message = fault_of(repository, split="train")
    assert message.startswith("hub:team/reviews/train cannot be read: ")
    assert "Traceback" not in message
    assert "\n" not in message


def test_a_directory_that_was_saved_is_read_as_such(repository, tmp_path):
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "base" / "saved")
    (source,) = find(repository, dataset="saved")
    assert (source.name, source.format) == ("saved", "dataset")
    assert rows_of(source) == ROWS


def test_a_name_of_the_hub_is_asked_for_as_it_is(repository, monkeypatch):
    import datasets

    asked = []

    def load_dataset(**arguments):
        asked.append(arguments)
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (source,) = find(repository, dataset="no/such", subset="small", split="train", revision="abc")
    assert rows_of(source) == ROWS
    assert asked == [{"path": "no/such", "name": "small", "split": "train", "revision": "abc"}]
    assert [chunk.found for chunk in read_chunks(source)] == [{}]
    (source,) = find(repository, dataset="no/such", split="train")
    assert ["revision" in chunk.found for chunk in read_chunks(source)] == [True]


def test_a_missing_library_is_told(repository, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'sftdata[hub]'" in fault_of(repository)


def test_sources_load_neither_datasets_nor_sqlalchemy():
    program = "import sys, sftdata.sources; sys.exit(' '.join({'datasets', 'sqlalchemy'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
