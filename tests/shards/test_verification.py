"""`verify` counts again what was counted, and names what does not agree even where every digest does."""

import json

import numpy as np
import pyarrow as pa
import pytest
from small_datasets import VOCABULARY, as_batch, change_manifest, change_table, seal, turns, write_dataset

import sftdata
from sftdata.errors import VerificationError
from sftdata.records import IGNORE_INDEX, Task

FIRST = "train/data-00000-of-00003.arrow"
INDEX = "index/train.arrow"


@pytest.fixture
def written(tmp_path):
    splits = {"train": turns(30), "test": turns(7)}
    return write_dataset(tmp_path / "out", Task.CAUSAL_LM, splits)


def replace(name, value, row=4):
    """Change one value of a column."""

    def change(table):
        place = table.column_names.index(name)
        values = table[name].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))

    return change


FORGERIES = {
    "an id beyond the vocabulary": (FIRST, replace("input_ids", [VOCABULARY, 4, 4, 4, 4, 4]), "row s:4: an id that"),
    "an id below 0": (FIRST, replace("input_ids", lambda ids: [-1, *ids[1:]]), "row s:4: an id that"),
    "another label than the token": (
        FIRST,
        replace("labels", lambda labels: [*labels[:-1], 9]),
        "row s:4: a label that",
    ),
    "labels of another length": (FIRST, replace("labels", lambda labels: labels[:-1]), "row s:4: not one label for"),
    "a null": (FIRST, replace("input_ids", None), "input_ids has nulls"),
    "a null in a list": (FIRST, replace("labels", lambda labels: [None, *labels[1:]]), "labels has nulls"),
    "a label that trains less": (
        FIRST,
        replace("labels", lambda labels: [*labels[:-1], IGNORE_INDEX]),
        "row s:4: the index says targets 5, the shard has 4",
    ),
    "a row too few": (FIRST, lambda table: table.slice(1), "has 9 rows, expected 10"),
    "an id of another shard": (FIRST, replace("row_id", "s:25"), "1 row ids stand more than once: s:25"),
    "an id twice in a shard": (FIRST, replace("row_id", "s:5"), "1 row ids stand more than once: s:5"),
    "other columns": (FIRST, lambda table: table.drop(["labels"]), "expected for causal_lm row_id"),
    "another dtype": (
        FIRST,
        lambda table: table.set_column(2, "labels", table["labels"].cast(pa.list_(pa.int64()))),
        r"labels \(list<item: int64>\), expected",
    ),
    "no features": (FIRST, lambda table: table.replace_schema_metadata({}), "has other features"),
    "another number in the index": (INDEX, replace("tokens", 99, row=17), "row s:17: the index says tokens 99"),
    "a shorter index": (INDEX, lambda index: index.slice(0, 29), "index/train.arrow: has 29 rows, expected 30"),
    "a longer index": (INDEX, lambda index: pa.concat_tables([index, index.slice(0, 1)]), "has 31 rows, expected 30"),
    "an index of other columns": (INDEX, lambda index: index.drop(["targets"]), "index/train.arrow: has the columns"),
    "an index with folds": (
        INDEX,
        lambda index: index.append_column("fold", index["tokens"]),
        r"the index has the columns \['tokens', 'targets', 'fold'\], expected",
    ),
    "an index with a null": (INDEX, replace("targets", None), "index/train.arrow: has nulls"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_right_digest_hides_is_named(written, forgery):
    file, change, message = FORGERIES[forgery]
    change_table(written, file, change)
    with pytest.raises(VerificationError, match=message):
        sftdata.verify(written)


def test_all_that_is_wrong_is_told_at_once(written):
    change_table(written, FIRST, replace("input_ids", lambda ids: [-1, *ids[1:]]))
    change_table(written, FIRST.replace("00000", "00001", 1), replace("row_id", "s:25"))
    change_table(written, INDEX, replace("tokens", 99, row=17))
    change_manifest(written, lambda document: document["splits"]["test"].update(tokens=1, trained_tokens=2))
    with pytest.raises(VerificationError) as caught:
        sftdata.verify(written)
    for fault in ("an id that", "more than once: s:25", "tokens 99", "test: 1 tokens in", "test: 2 trained_tokens in"):
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["splits"]["train"].update(tokens=5), "train: 5 tokens in the manifest, but its shards have 120"),
        (lambda d: d["splits"]["train"].update(trained_tokens=5), "5 trained_tokens in the manifest, .* have 90"),
        (lambda d: d["splits"]["train"].update(rows=5), "train: 5 rows, but its shards have 30"),
        (lambda d: d["rows"].update(written=5), "5 rows written, but the splits have 37"),
        (lambda d: d["files"].pop(INDEX), "index/train.arrow: the manifest has no digest of it"),
        (lambda d: d.update(task="regression"), "expected for regression row_id"),
        (lambda d: d["tokenizer"].update(vocab_size=9), "vocabulary of 9 does not have"),
    ],
)
def test_what_a_manifest_says_wrongly_is_named(written, change, message):
    change_manifest(written, change)
    with pytest.raises(VerificationError, match=message):
        sftdata.verify(written)


def test_shards_of_unlike_columns_are_named(written):
    """Each alone may be right: a column `parent_id` belongs to some datasets, and to all shards of one or to none."""
    parents = pa.nulls(10, pa.string())

    def add_parents(table):
        said = json.loads(table.schema.metadata[b"huggingface"])
        said["info"]["features"]["parent_id"] = {"dtype": "string", "_type": "Value"}
        return table.append_column("parent_id", parents).replace_schema_metadata({"huggingface": json.dumps(said)})

    change_table(written, FIRST, add_parents)
    with pytest.raises(VerificationError, match="its shards do not have the same columns"):
        sftdata.verify(written)
    with pytest.raises(VerificationError, match=r"00001-of-00003\.arrow has other columns than the first shard"):
        _ = sftdata.load_split(written).table


UNFIT = {
    "a class too many": (Task.TEXT_CLASSIFICATION, [([1], 0), ([1], 3)], "none of the 3 classes"),
    "a tag too many": (Task.TOKEN_CLASSIFICATION, [([1], [0]), ([1], [3])], "none of the 3 tags"),
    "a tag too few": (Task.TOKEN_CLASSIFICATION, [([1], [0]), ([1], [])], "not one label for each id"),
    "a number too few": (Task.MULTILABEL, [([1], [0.0, 1.0, 0.0]), ([1], [0.0])], "not one number for each of the 3"),
    "a target beyond the vocabulary": (Task.SEQ2SEQ, [([1], [2]), ([1], [VOCABULARY])], "vocabulary does not have"),
}


@pytest.mark.parametrize("fault", UNFIT)
def test_labels_that_do_not_fit_the_task_are_named(tmp_path, fault):
    task, rows, message = UNFIT[fault]
    out = write_dataset(tmp_path, task, {"train": [as_batch(task, rows)]})
    with pytest.raises(VerificationError, match=f"row s:1: .*{message}"):
        sftdata.verify(out)


def test_other_class_names_than_the_manifests_are_named(tmp_path):
    task = Task.TEXT_CLASSIFICATION
    out = write_dataset(tmp_path, task, {"train": [as_batch(task, [([1], 0)])]})
    change_manifest(out, lambda document: document.update(label_names=["bee", "ant", "cat"]))
    with pytest.raises(VerificationError, match="has other features"):
        sftdata.verify(out)
    with pytest.raises(VerificationError, match="has other features"):
        sftdata.load_split(out)[0]


def test_shards_of_another_run_are_told_in_one_line(written, tmp_path):
    other = write_dataset(tmp_path / "other", Task.CAUSAL_LM, {"train": turns(31), "test": turns(8)})
    (written / "manifest.json").write_text((other / "manifest.json").read_text())
    with pytest.raises(VerificationError, match=r"none of its 5 shards .* of different runs") as caught:
        sftdata.verify(written)
    assert len(str(caught.value).splitlines()) == 3


def test_one_shard_that_fits_keeps_the_others_named(written, tmp_path):
    other = write_dataset(tmp_path / "other", Task.CAUSAL_LM, {"train": turns(30)[::-1], "test": turns(7)})
    (written / "manifest.json").write_text((other / "manifest.json").read_text())
    with pytest.raises(VerificationError) as caught:
        sftdata.verify(written)
    assert str(caught.value).count(" bytes, expected ") == 2, "the shard in the middle is the same"


def test_hashes_that_meet_by_chance_are_no_repeats(written, monkeypatch):
    from sftdata.shards import verification

    monkeypatch.setattr(verification, "_hash", lambda ids: np.zeros(len(ids), dtype=np.uint64))
    sftdata.verify(written)


def test_a_seal_that_changes_nothing_verifies(written):
    """The forgeries above are refused for what they changed, not for how it was written."""
    for file in (FIRST, INDEX):
        change_table(written, file, lambda table: table)
    seal(written)
    checked = []
    manifest = sftdata.verify(written, lambda *told: checked.append(told))
    sizes = [shard.bytes for split in manifest.splits.values() for shard in split.shards]
    assert checked == [("verify", sum(sizes[:count]), sum(sizes)) for count in range(len(sizes) + 1)]
    assert json.loads((written / "manifest.json").read_text())["format"] == 2
