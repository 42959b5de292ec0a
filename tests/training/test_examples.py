import threading
import time

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import LABELS, Example, random_classes, random_turns, write_dataset

from sftdata.errors import DataError, VerificationError
from sftdata.plan import make_plan
from sftdata.records import Task
from sftdata.shards.reader import Split, load_split
from sftdata.training.batch import Shape
from sftdata.training.examples import TOKEN_TASKS, Examples, fixed_shape, require_targets

ROWS = np.array([44, 0, 3, 17], dtype=np.int64)  # of several shards and batches


def open_examples(directory, examples, task=Task.CAUSAL_LM, **others):
    names = LABELS if task == Task.TEXT_CLASSIFICATION else None
    return Examples(load_split(write_dataset(directory, task, {"train": examples}, label_names=names)), **others)


def to_the_right(lists, width, fill):
    return [[*values, *[fill] * (width - len(values))] for values in lists]


@pytest.fixture(params=Task)
def task(request):
    return request.param


@pytest.fixture
def split(task, task_data):
    return load_split(task_data[task])


def test_the_data_has_several_shards_and_batches(split):
    assert len(split.shards) > 2
    assert any(len(split.shard(number)["input_ids"].chunks) > 1 for number in range(len(split.shards)))


def test_a_batch_holds_its_rows_padded_on_the_right(split):
    examples, wanted = Examples(split, pad_id=9), [split[int(row)] for row in ROWS]
    batch = examples.gather(ROWS)
    width = max(len(example["input_ids"]) for example in wanted)
    assert batch.input_ids.tolist() == to_the_right([example["input_ids"] for example in wanted], width, 9)
    assert batch.attention_mask.tolist() == to_the_right([[1] * len(e["input_ids"]) for e in wanted], width, 0)
    assert batch.input_ids.dtype == batch.attention_mask.dtype == torch.int64
    assert batch.longest == width
    assert batch.rows.tolist() == ROWS.tolist()
    assert batch.position_ids is None


def test_targets_are_the_labels_of_their_rows(task, split):
    batch, labels = Examples(split).gather(ROWS), [split[int(row)]["labels"] for row in ROWS]
    if task in TOKEN_TASKS:
        moved = [values[1:] for values in labels] if task == Task.CAUSAL_LM else labels
        needed = sorted({place for values in moved for place, label in enumerate(values) if label != -100})
        assert batch.positions.tolist() == needed
        padded = np.array(to_the_right(moved, batch.input_ids.shape[1], -100))
        assert batch.targets.tolist() == padded[:, needed].tolist()
        return
    assert batch.positions is None
    width = max(map(len, labels)) if task == Task.SEQ2SEQ else 0
    expected = to_the_right(labels, width, -100) if task == Task.SEQ2SEQ else labels
    assert batch.targets.tolist() == pytest.approx(expected) if task == Task.REGRESSION else expected
    assert batch.targets.dtype == (torch.float32 if task in (Task.MULTILABEL, Task.REGRESSION) else torch.int64)


def test_lengths_and_targets_are_known_without_opening_a_shard(task, split, monkeypatch):
    monkeypatch.setattr(type(split), "shard", lambda *_: pytest.fail("a shard was opened"))
    examples = Examples(split)
    assert len(examples) == 60
    monkeypatch.undo()
    assert examples.lengths.tolist() == [len(example["input_ids"]) for example in split]
    for row in ROWS:
        targets = examples.gather(np.array([row])).targets
        counted = (targets != -100).sum() if task in (*TOKEN_TASKS, Task.SEQ2SEQ) else 1
        assert examples.targets[row] == counted


def test_row_labels_are_those_of_all_rows(class_data):
    split = load_split(class_data)
    assert Examples(split).row_labels().tolist() == [example["labels"] for example in split]


def test_row_ids_follow_their_rows(split):
    assert Examples(split).row_ids(ROWS) == [split[int(row)]["row_id"] for row in ROWS]


def test_several_splits_stand_one_behind_the_other(class_data):
    train, test = load_split(class_data), load_split(class_data, "test")
    both = Examples(train, test)
    assert len(both) == 85
    assert both.row_ids(np.array([59, 60, 84])) == ["train:59", "test:0", "test:24"]
    assert both.gather(np.array([60])).input_ids[0].tolist() == test[0]["input_ids"]


def test_a_filler_has_one_token_and_no_target(task, split):
    batch = Examples(split, pad_id=7).gather(np.zeros(0, np.int64))
    assert batch.input_ids.tolist() == [[7]]
    assert batch.attention_mask.tolist() == [[1]]
    assert task in (Task.MULTILABEL, Task.REGRESSION) or (batch.targets == -100).all()


@pytest.mark.parametrize("task", TOKEN_TASKS, indirect=True)
def test_a_pack_holds_its_examples_one_behind_the_other(task, split):
    batch, wanted = Examples(split, pad_id=9).gather_packs(ROWS), [split[int(row)] for row in ROWS]
    lengths = [len(example["input_ids"]) for example in wanted]
    assert batch.input_ids.tolist() == [[token for example in wanted for token in example["input_ids"]]]
    assert batch.position_ids.tolist() == [[place for length in lengths for place in range(length)]]
    assert batch.cu_seqlens.tolist() == [0, *np.cumsum(lengths)]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.attention_mask is None
    assert batch.longest == max(lengths)
    assert batch.input_ids.shape == batch.position_ids.shape
    assert expected_targets(task, wanted) == dict(zip(batch.positions.tolist(), batch.targets[0].tolist(), strict=True))


def expected_targets(task, wanted):
    """Exactly the trained positions; the first token of an example is never the target of the one before it."""
    found, start = {}, 0
    for example in wanted:
        for place, label in enumerate(example["labels"]):
            if label != -100 and task == Task.TOKEN_CLASSIFICATION:
                found[start + place] = label
            elif label != -100 and place:
                found[start + place - 1] = label
        start += len(example["labels"])
    return found


def test_the_data_has_first_tokens_that_are_trained(turn_data):
    assert any(example["labels"][0] != -100 for example in load_split(turn_data)), "so the test above can fail"


@pytest.mark.parametrize("task", [Task.SEQ2SEQ], indirect=True)
def test_sources_and_targets_cannot_be_packed(split):
    with pytest.raises(ValueError, match="need rows of their own"):
        Examples(split).gather_packs(ROWS)


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION], indirect=True)
def test_examples_with_one_target_each_stand_in_a_row_with_the_targets_of_padded_ones(split):
    examples = Examples(split)
    packed, padded = examples.gather_packs(ROWS), examples.gather(ROWS)
    assert packed.input_ids[0].tolist() == padded.input_ids[padded.attention_mask.bool()].tolist()
    assert torch.equal(packed.targets, padded.targets)
    assert packed.positions is None
    assert torch.diff(packed.cu_seqlens).tolist() == examples.lengths[ROWS].tolist()
    with pytest.raises(ValueError, match="of any shape"):
        examples.gather_packs(ROWS, Shape(100, 8, 90))


@pytest.mark.parametrize("task", TOKEN_TASKS, indirect=True)
def test_a_pack_of_fixed_shape_is_the_same_and_filled_up(task, split):
    examples = Examples(split, pad_id=9)
    plain, fixed = examples.gather_packs(ROWS), examples.gather_packs(ROWS, Shape(100, 8, 90))
    tokens, trained = plain.input_ids.shape[1], len(plain.positions)
    assert (fixed.input_ids.shape, fixed.positions.shape) == ((1, 100), (90,))
    assert (fixed.targets.shape, fixed.cu_seqlens.shape) == ((1, 90), (9,))
    assert fixed.input_ids[0, :tokens].tolist() == plain.input_ids[0].tolist()
    assert fixed.input_ids[0, tokens:].unique().tolist() == [9]
    assert fixed.position_ids[0, tokens:].tolist() == list(range(100 - tokens)), "what fills the row is an example too"
    assert fixed.cu_seqlens.tolist() == [*plain.cu_seqlens.tolist(), *[100] * 4]
    assert fixed.positions[:trained].tolist() == plain.positions.tolist()
    assert fixed.targets[0, :trained].tolist() == plain.targets[0].tolist()
    assert (fixed.targets[0, trained:] == -100).all()


@pytest.mark.parametrize("shape", [Shape(20, 9, 90), Shape(100, 4, 90), Shape(100, 9, 3)])
def test_what_does_not_fit_into_a_shape_is_refused(turn_data, shape):
    with pytest.raises(ValueError, match="do not fit into"):
        Examples(load_split(turn_data)).gather_packs(ROWS, shape)


@given(st.data())
def test_the_fixed_shape_of_a_plan_holds_every_batch_of_every_epoch(turn_data, data):
    examples = Examples(load_split(turn_data))
    packs, capacity = data.draw(st.integers(1, 3)), data.draw(st.integers(24, 80))
    plan = make_plan(
        examples.lengths,
        seed=data.draw(st.integers(0, 9)),
        step_size=packs,
        epochs=3,
        capacity=capacity,
    )
    shape = fixed_shape(plan, examples.targets, packs)
    assert shape.tokens == capacity * packs
    for units in plan.iterate():
        batch = examples.gather_packs(np.concatenate(units), shape)
        assert (batch.input_ids.shape[1], len(batch.cu_seqlens) - 1, len(batch.positions)) == (
            shape.tokens,
            shape.sequences,
            shape.positions,
        )


def test_a_shard_is_checked_once_its_first_row_is_gathered(tmp_path):
    examples = open_examples(tmp_path, random_turns(60, 2))
    split = load_split(tmp_path)
    path = tmp_path / split.shards[-1].file
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(damaged)
    assert len(examples.gather(np.array([0])).rows) == 1
    examples.settle()
    examples.gather(np.array([59]))
    with pytest.raises(VerificationError, match="content has changed"):
        examples.settle()
    examples.settle()  # told once


def test_what_a_check_has_found_is_raised_by_the_next_gathering(tmp_path):
    examples = open_examples(tmp_path, random_turns(60, 2))
    split = load_split(tmp_path)
    path = tmp_path / split.shards[0].file
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(damaged)
    examples.gather(np.array([0]))
    while not examples._checks._pending[0].done():
        time.sleep(0.01)
    with pytest.raises(VerificationError, match="content has changed"):
        examples.gather(np.array([0]))


@pytest.mark.parametrize("packed", [False, True])
def test_lists_that_begin_or_end_elsewhere_are_damage_and_no_traceback(tmp_path, packed):
    made = random_turns(60, 2)
    examples = open_examples(tmp_path, made)
    split = load_split(tmp_path)
    path, offsets = tmp_path / split.shards[0].file, split.shard(0)["input_ids"].chunk(0).offsets.to_numpy()
    content = path.read_bytes()
    damaged = content.replace(offsets.tobytes(), np.array([0, 2**31 - 1, *offsets[2:]], np.int32).tobytes(), 1)
    assert damaged != content
    path.write_bytes(damaged)
    gather = examples.gather_packs if packed else examples.gather
    with pytest.raises(VerificationError, match="content has changed"):
        gather(np.arange(3))


def test_a_gathering_does_not_wait_for_digests(turn_data, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(Split, "check_shard", lambda *_: released.wait(timeout=60))
    examples = Examples(load_split(turn_data))
    assert len(examples.gather(ROWS).rows) == len(ROWS)
    released.set()
    examples.settle()


def test_a_split_without_rows_is_refused(tmp_path):
    empty = open_examples(tmp_path, [])
    with pytest.raises(DataError, match="the train split has no rows"):
        require_targets(empty, "out: the train split")


def test_rows_that_train_nothing_are_refused_by_name(tmp_path):
    made = random_turns(6, 1)
    made[4] = Example(made[4].input_ids, [5, *[-100] * (len(made[4].labels) - 1)])  # nothing predicts the first
    with pytest.raises(DataError, match=r"1 of 6 rows train nothing.*: train:4\."):
        require_targets(open_examples(tmp_path, made), "out: the train split")


def test_types_of_pairs_are_padded_as_the_ids_are(tmp_path, monkeypatch):
    examples = random_classes(12, 8)
    types = [[place % 2 for place in range(len(example.input_ids))] for example in examples]
    loaded = open_examples(tmp_path, examples, Task.TEXT_CLASSIFICATION)
    plain = loaded.gather(np.array([4, 0, 3]))
    split = load_split(tmp_path)
    column = pa.array(types, pa.list_(pa.int8()))
    shard = type(split).shard

    def with_types(self, number):
        table, start = shard(self, number), int(self.starts[number])
        return table.append_column("token_type_ids", column.slice(start, len(table)))

    monkeypatch.setattr(type(split), "shard", with_types)
    batch = Examples(split).gather(np.array([4, 0, 3]))
    width = batch.input_ids.shape[1]
    assert batch.token_type_ids.tolist() == to_the_right([types[row] for row in (4, 0, 3)], width, 0)
    assert plain.token_type_ids is None
