import numpy as np
import pyarrow as pa
import pytest
from tiny import random_classes, random_turns

from sftdata.errors import DataError
from sftdata.records import Task
from sftdata.shards.layout import example_schema
from sftdata.training.loader import Examples, TokenLists, require_targets


def table_of(examples, task, names=None) -> pa.Table:
    columns = {
        "row_id": [f"r{i}" for i in range(len(examples))],
        "input_ids": [example.input_ids for example in examples],
        "labels": [example.labels for example in examples],
    }
    return pa.Table.from_pydict(columns, schema=example_schema(task, names))


def shapes_of(table: pa.Table) -> dict[str, tuple[pa.Table, slice]]:
    """The same rows in every layout that Arrow has for them."""
    rows = table.num_rows
    pieces = [table.slice(0, 3), table.slice(3, 0), table.slice(3, 1), table.slice(4)]
    chunked = pa.concat_tables(pieces)
    return {
        "whole": (table, slice(0, rows)),
        "sliced": (table.slice(2, rows - 5), slice(2, rows - 3)),
        "chunked": (chunked, slice(0, rows)),
        "chunked and sliced": (chunked.slice(2, rows - 5), slice(2, rows - 3)),
        "copied chunks": (
            pa.concat_tables([pa.table(piece.to_pydict(), schema=table.schema) for piece in pieces]),
            slice(0, rows),
        ),
        "one row": (table.slice(3, 1), slice(3, 4)),
        "no rows": (table.slice(3, 0), slice(3, 3)),
        "no chunks": (table.schema.empty_table(), slice(0, 0)),
    }


LAYOUTS = list(shapes_of(table_of(random_turns(12, 0), Task.CAUSAL_LM)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_read_right_from_any_layout(layout):
    examples = random_turns(12, 5)
    table, part = shapes_of(table_of(examples, Task.CAUSAL_LM))[layout]
    column = TokenLists(table["input_ids"])
    assert [column[row].tolist() for row in range(len(table))] == [example.input_ids for example in examples[part]]
    assert column.lengths().tolist() == [len(example.input_ids) for example in examples[part]]
    assert column.lengths().dtype == np.int64


@pytest.mark.parametrize("layout", LAYOUTS)
def test_targets_are_the_trained_labels_after_the_first_in_any_layout(layout):
    examples = random_turns(12, 6)
    assert any(example.labels[0] != -100 for example in examples), "the first label must matter"
    table, part = shapes_of(table_of(examples, Task.CAUSAL_LM))[layout]
    expected = [sum(label != -100 for label in example.labels[1:]) for example in examples[part]]
    assert TokenLists(table["labels"]).count_targets().tolist() == expected


def test_targets_are_counted_right_across_blocks(monkeypatch):
    monkeypatch.setattr("sftdata.training.loader._BLOCK", 3)
    labels = [[5], [], [-100, 4, 4], [4, -100], [], [7, 7, -100, 7], [-100], [-100, -100]]
    column = pa.chunked_array([pa.array(labels, type=pa.list_(pa.int32()))])
    assert TokenLists(column).count_targets().tolist() == [0, 0, 2, 0, 0, 2, 0, 0]


@pytest.mark.parametrize("layout", LAYOUTS[:5])
def test_a_batch_holds_its_rows_padded_on_the_right(layout):
    examples = random_turns(12, 7)
    table, part = shapes_of(table_of(examples, Task.CAUSAL_LM))[layout]
    rows = np.array([4, 0, 3], dtype=np.int64)
    wanted = [examples[part][row] for row in rows]
    batch = Examples(table, Task.CAUSAL_LM, pad_id=9).gather(rows)
    width = max(len(example.input_ids) for example in wanted)
    padded = [example.input_ids + [9] * (width - len(example.input_ids)) for example in wanted]
    assert batch.input_ids.tolist() == padded
    assert batch.attention_mask.sum(dim=1).tolist() == [len(example.input_ids) for example in wanted]
    assert str(batch.input_ids.dtype) == str(batch.attention_mask.dtype) == str(batch.targets.dtype) == "torch.int64"


def test_positions_are_just_those_that_predict_a_trained_token():
    examples = random_turns(12, 8)
    rows = np.array([1, 5, 6], dtype=np.int64)
    batch = Examples(table_of(examples, Task.CAUSAL_LM), Task.CAUSAL_LM).gather(rows)
    needed = {p for row in rows for p, label in enumerate(examples[row].labels[1:]) if label != -100}
    assert batch.positions.tolist() == sorted(needed)
    for line, row in enumerate(rows):
        labels = dict(enumerate(examples[row].labels[1:]))
        assert batch.targets[line].tolist() == [labels.get(p, -100) for p in batch.positions.tolist()]


def test_classes_follow_their_rows():
    examples = random_classes(12, 9)
    loaded = Examples(table_of(examples, Task.TEXT_CLASSIFICATION, ("a", "b", "c")).slice(2), Task.TEXT_CLASSIFICATION)
    rows = np.array([7, 0, 3], dtype=np.int64)
    assert loaded.gather(rows).targets.tolist() == [examples[row + 2].labels for row in rows]
    assert loaded.targets.tolist() == [1] * 10
    assert loaded.row_ids(rows) == ["r9", "r2", "r5"]


def test_a_split_without_rows_is_refused():
    empty = Examples(example_schema(Task.CAUSAL_LM).empty_table(), Task.CAUSAL_LM)
    with pytest.raises(DataError, match="the train split has no rows"):
        require_targets(empty, "out: the train split")


def test_rows_that_train_nothing_are_refused_by_name():
    examples = random_turns(6, 1)
    examples[4].labels[:] = [-100] * len(examples[4].labels)
    loaded = Examples(table_of(examples, Task.CAUSAL_LM), Task.CAUSAL_LM)
    with pytest.raises(DataError, match=r"1 of 6 rows train nothing.*: r4\."):
        require_targets(loaded, "out: the train split")


@pytest.mark.parametrize("layout", LAYOUTS[:5])
def test_types_of_pairs_are_padded_as_the_ids_are(layout):
    examples = random_classes(12, 8)
    plain = table_of(examples, Task.TEXT_CLASSIFICATION, ("a", "b", "c"))
    types = [[place % 2 for place in range(len(example.input_ids))] for example in examples]
    table, part = shapes_of(plain.append_column("token_type_ids", pa.array(types, pa.list_(pa.int8()))))[layout]
    rows = np.array([4, 0, 3], dtype=np.int64)
    batch = Examples(table, Task.TEXT_CLASSIFICATION).gather(rows)
    width = batch.input_ids.shape[1]
    wanted = [types[part][row] for row in rows]
    assert batch.token_type_ids.tolist() == [kinds + [0] * (width - len(kinds)) for kinds in wanted]
    assert len(Examples(plain, Task.TEXT_CLASSIFICATION).gather(rows).token_type_ids) == 0
