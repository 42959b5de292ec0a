"""The index says of every example what a recount of the shards says, for every task and however it was written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_datasets import as_batch, examples, turns, write_dataset

import sftdata
from sftdata.errors import VerificationError
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.index import count_examples


def naive_targets(task, labels):
    """What `docs/output.md` says, one label at a time."""
    if task in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION):
        return 1
    predicted = labels[1:] if task == Task.CAUSAL_LM else labels
    return sum(label != IGNORE_INDEX for label in predicted)


@settings(max_examples=60)
@given(
    data=st.data(), task=st.sampled_from(list(Task)), has_folds=st.booleans(), shard_size=st.sampled_from([1, 10**6])
)
def test_the_index_equals_a_recount_of_the_shards(tmp_path_factory, data, task, has_folds, shard_size):
    rows = data.draw(st.lists(examples(task), max_size=12))
    folds = data.draw(st.lists(st.integers(-1, 4), min_size=len(rows), max_size=len(rows))) if has_folds else None
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    batch = as_batch(task, rows, folds)
    batches = [batch.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    out = write_dataset(tmp_path_factory.mktemp("data"), task, {"train": batches}, shard_size)
    split = sftdata.load_split(out)
    assert list(split) == batch.to_pylist()
    assert split.lengths().tolist() == [len(ids) for ids, _ in rows]
    assert split.targets().tolist() == [naive_targets(task, labels) for _, labels in rows]
    assert (split.lengths().dtype, split.targets().dtype) == (np.int64, np.int64)
    if has_folds:
        assert split.folds().tolist() == folds
        assert split.folds().dtype == np.int32
    sftdata.verify(out)


@given(data=st.data(), task=st.sampled_from(list(Task)))
def test_a_slice_counts_its_own_rows_alone(data, task):
    rows = data.draw(st.lists(examples(task), max_size=8))
    batch = as_batch(task, rows)
    start = data.draw(st.integers(0, len(rows)))
    counts, whole = count_examples(batch.slice(start, 3), task), count_examples(batch, task)
    for name in ("tokens", "trained", "targets"):
        mine, all_of_them = getattr(counts, name), getattr(whole, name)
        assert mine is all_of_them is None or mine.tolist() == all_of_them[start : start + 3].tolist()


def test_trained_labels_are_counted_with_the_first_and_targets_without():
    rows = [([1, 2, 3], [1, 2, IGNORE_INDEX]), ([], []), ([4], [4]), ([5, 6], [IGNORE_INDEX, 6])]
    counts = count_examples(as_batch(Task.CAUSAL_LM, rows), Task.CAUSAL_LM)
    assert (counts.trained.tolist(), counts.targets.tolist()) == ([2, 0, 1, 1], [1, 0, 0, 1])
    assert counts.count_trained() == 4
    of_rows = count_examples(as_batch(Task.REGRESSION, [([1], -100.0), ([], 0.0)]), Task.REGRESSION)
    assert (of_rows.trained, of_rows.count_trained(), of_rows.targets.tolist()) == (None, 2, [1, 1])


def test_a_dataset_without_folds_says_so(tmp_path):
    split = sftdata.load_split(write_dataset(tmp_path, Task.CAUSAL_LM, {"train": turns(10)}))
    with pytest.raises(VerificationError, match="no folds"):
        split.folds()


def test_prepare_with_folds_writes_them_to_the_index(tmp_path, text_recipe):
    sftdata.prepare(sftdata.load_recipe(text_recipe(split={"folds": 4, "test": 0.1, "stratify": "label", "seed": 7})))
    for name, expected in (("train", {0, 1, 2, 3}), ("test", {-1})):
        split = sftdata.load_split(tmp_path / "out", name)
        assert split.folds().tolist() == [row["fold"] for row in split]
        assert set(split.folds().tolist()) == expected
    sftdata.verify(tmp_path / "out")
