import json

import pyarrow as pa
import pyarrow.ipc
import pytest
from examples import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import digest_of, find_sources, read_chunks, size_of

COLUMNS = {
    "text": Column(nullable=True),
    "n": Column(dtype="int", nullable=True),
    "tags": Column(dtype="list[str]", nullable=True, required=False),
    "m": Column(dtype="messages", nullable=True, required=False),
}


@pytest.fixture(scope="module", autouse=True)
def quiet():
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets


def rows_of(folder, **settings):
    sources = find_sources([SourceSettings(**{"path": ".", **settings})], folder)
    return {s.name: [row for c in read_chunks(s) for row in c.parse(COLUMNS).frame.rows(named=True)] for s in sources}


turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": texts}, optional={"name": texts}
)
rows = st.fixed_dictionaries(
    {
        "text": st.none() | texts,
        "n": st.none() | st.integers(-5, 5),
        "tags": st.none() | st.lists(texts, max_size=3),
        "m": st.none() | st.lists(turns, max_size=3),
    }
)


@given(st.lists(rows, min_size=1, max_size=6), st.integers(1, 3))
@quick
def test_what_datasets_saves_reads_as_it_would_from_json_lines(tmp_path_factory, quiet, written, shards):
    folder = tmp_path_factory.getbasetemp() / "saved"
    schema = pa.schema(
        {
            "text": pa.string(),
            "n": pa.int64(),
            "tags": pa.list_(pa.string()),
            "m": pa.list_(pa.struct({"role": pa.string(), "content": pa.string(), "name": pa.string()})),
        }
    )
    data = quiet.Dataset(pa.Table.from_pylist(written, schema))
    data.save_to_disk(folder / "d", num_shards=min(shards, len(written)))
    write_jsonl(folder / "d.jsonl", written)
    found = rows_of(folder, path=("d", "d.jsonl"))
    assert found["d"] == found["d.jsonl"]
    assert len(found["d"]) == len(written)


@pytest.fixture
def saved(tmp_path, quiet):
    train = quiet.Dataset.from_dict({"text": [f"text {i}" for i in range(10)], "n": list(range(10))})
    both = quiet.DatasetDict({"train": train, "test": train.select([7, 3])})
    both.save_to_disk(tmp_path / "both", num_shards={"train": 3, "test": 1})
    return tmp_path


def test_each_split_is_a_source(saved):
    found = rows_of(saved, path="both")
    assert {name: [row["n"] for row in rows] for name, rows in found.items()} == {
        "both/train": list(range(10)),
        "both/test": [7, 3],
    }
    assert list(rows_of(saved, path="both", split="test")) == ["both/test"]
    assert list(rows_of(saved, path="both/train")) == ["both/train"]
    assert list(rows_of(saved, path="bo*")) == list(rows_of(saved, path="**")) == ["both/train", "both/test"]
    assert list(rows_of(saved, path="both/train", format="dataset")) == ["both/train"]


def faults_of(folder, **settings):
    with pytest.raises(SourceError) as caught:
        rows_of(folder, **settings)
    return str(caught.value)


def test_what_is_not_there_is_told(saved):
    assert "both: found no split 'dev', but 'train', 'test'" in faults_of(saved, path="both", split="dev")
    assert "leave out `split: train`" in faults_of(saved, path="both/train", split="train")
    assert "not a directory that `save_to_disk`" in faults_of(saved, path=".", format="dataset")


def test_a_directory_that_is_not_whole_is_told(saved):
    folder = saved / "both" / "train"
    (folder / "data-00001-of-00003.arrow").rename(saved / "elsewhere.arrow")
    assert "No such file or directory" in faults_of(saved, path="both")
    (saved / "elsewhere.arrow").rename(folder / "data-00001-of-00003.arrow")
    for text, message in (("[]", ": found list"), ("{}", ": found no list of data files"), ("{", " cannot be read")):
        (folder / "state.json").write_text(text)
        assert f"state.json{message}" in faults_of(saved, path="both")
    (folder / "state.json").unlink()
    assert "state.json cannot be read" in faults_of(saved, path="both")


def test_a_file_name_cannot_lead_out_of_the_directory(saved):
    state = {"_data_files": [{"filename": "../../secret.arrow"}]}
    (saved / "both" / "train" / "state.json").write_text(json.dumps(state))
    assert "both/train/secret.arrow" in faults_of(saved, path="both/train")


def test_a_list_of_rows_beside_the_files_is_refused(saved):
    state = {"_data_files": [{"filename": "x.arrow"}], "_indices_data_files": [{"filename": "i.arrow"}]}
    (saved / "both" / "test" / "state.json").write_text(json.dumps(state))
    assert "save it again" in faults_of(saved, path="both/test")


def test_size_and_digest_are_of_the_arrow_files_in_their_order(saved):
    (train, test) = find_sources([SourceSettings(path="both")], saved)
    files = sorted((saved / "both" / "train").glob("*.arrow"))
    assert size_of(train) == sum(file.stat().st_size for file in files)
    before = digest_of(train)
    assert before.startswith("sha256:")
    assert before != digest_of(test)
    (saved / "both" / "train" / "dataset_info.json").write_text("{}")
    assert digest_of(train) == before
    files[0].write_bytes(files[1].read_bytes())
    assert digest_of(train) != before
