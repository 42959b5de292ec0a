"""What is found in shards is what a look at each row finds, however they are cut, wherever one stops and goes on."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_datasets import NAMES, as_batch, examples, write_dataset
from strategies import quick

from sftdata.errors import VerificationError
from sftdata.records import Task
from sftdata.shards.reader import Split
from sftdata.view import rows as module
from sftdata.view.rows import Place, Wanted, find_wanted, id_pattern, locate, read_windows
from sftdata.view.spelling import spell

few = settings(quick, max_examples=25)
"""Each example writes a dataset."""


@pytest.fixture(scope="module")
def spelling(chat_tokenizer):
    from sftdata.tokenizers.loading import load_tokenizer

    return spell(load_tokenizer(str(chat_tokenizer)).reference)


def everything(split, spelling, wanted, most=1000, seconds=0.0):
    """Go on until the end; return what was found and how often it went on."""
    places, start, steps = [], 0, 0
    while start is not None:
        found = find_wanted(split, spelling, wanted, start, most, seconds)
        assert found.go_on is None or found.go_on > start
        places, start, steps = places + found.places, found.go_on, steps + 1
    return places, steps


def has_label(task, row, label):
    match task:
        case Task.TEXT_CLASSIFICATION:
            return row["labels"] == label
        case Task.MULTILABEL:
            return row["labels"][label] != 0
        case Task.TOKEN_CLASSIFICATION:
            return label in row["labels"]
    return True


@pytest.mark.parametrize("task", list(Task))
@given(data=st.data())
@few
def test_filters_find_what_a_look_at_each_row_finds(task, data, spelling, tmp_path_factory):
    rows = data.draw(st.lists(examples(task), max_size=12))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    folds = data.draw(st.none() | st.just([place % 3 for place in range(len(rows))]))
    whole = as_batch(task, rows, folds)
    batches = [whole.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    directory = write_dataset(
        tmp_path_factory.mktemp("view"), task, {"train": batches}, data.draw(st.sampled_from([1, 10**6]))
    )
    split = Split(directory, "train")
    label = (
        data.draw(st.none() | st.integers(0, 2))
        if task in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.TOKEN_CLASSIFICATION)
        else None
    )
    bounds = data.draw(st.tuples(st.none() | st.integers(0, 6), st.none() | st.integers(0, 6)))
    low = data.draw(st.none() | st.floats(-200, 200)) if task == Task.REGRESSION else None
    record = data.draw(st.none() | st.integers(0, 12))
    fold = data.draw(st.none() | st.integers(0, 2)) if folds is not None else None
    row_id = None if record is None else id_pattern(str(record))
    wanted = Wanted(label=label, least=bounds[0], most=bounds[1], low=low, row_id=row_id, fold=fold)
    expected = [
        Place(place)
        for place, row in enumerate(split)
        if (label is None or has_label(task, row, label))
        and (bounds[0] is None or len(row["input_ids"]) >= bounds[0])
        and (bounds[1] is None or len(row["input_ids"]) <= bounds[1])
        and (low is None or row["labels"] >= low)
        and (record is None or row["row_id"] == f"s:{record}")
        and (fold is None or row["fold"] == fold)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", data.draw(st.sampled_from([1, 3, 1000])))
        most = data.draw(st.sampled_from([1, 2, 1000]))
        assert everything(split, spelling, wanted, most)[0] == expected


@pytest.mark.parametrize("task", [Task.SEQ2SEQ, Task.CAUSAL_LM])
@given(data=st.data())
@few
def test_a_text_is_found_in_what_a_model_reads_and_in_what_it_writes(task, data, spelling, tmp_path_factory):
    rows = data.draw(st.lists(examples(task), max_size=10))
    directory = write_dataset(tmp_path_factory.mktemp("view"), task, {"train": [as_batch(task, rows)]})
    split = Split(directory, "train")
    token = data.draw(st.integers(5, 40))
    piece = spelling.pieces[token].as_py().decode(errors="replace")
    pattern = spelling.compile(piece)
    if pattern is None:
        return
    columns = ("input_ids", "labels") if task == Task.SEQ2SEQ else ("input_ids",)
    expected = [place for place, row in enumerate(split) if any(_spelled(spelling, pattern, row[c]) for c in columns)]
    places, _ = everything(split, spelling, Wanted(text=pattern), data.draw(st.sampled_from([1, 1000])))
    assert [place.row for place in places] == expected
    for place in places:
        assert _spelled(spelling, pattern, split[place.row][place.column][place.first : place.last])


def _spelled(spelling, pattern, ids):
    return pattern.search(b"".join(spelling.pieces[token].as_py() for token in ids))


def test_it_stops_when_the_time_is_over_and_goes_on_where_it_stopped(tmp_path, spelling, monkeypatch):
    rows = [([1] * (place % 4), place % 3) for place in range(100)]
    batches = [as_batch(Task.TEXT_CLASSIFICATION, rows)]
    split = Split(write_dataset(tmp_path, Task.TEXT_CLASSIFICATION, {"train": batches}), "train")
    monkeypatch.setattr(module, "ROWS", 10)
    first = find_wanted(split, spelling, Wanted(label=2), 0, 1000, 0.0)
    assert (len(first.places), first.go_on) == (3, 10)
    places, steps = everything(split, spelling, Wanted(label=2))
    assert ([place.row for place in places], steps) == (list(range(2, 100, 3)), 10)
    enough = find_wanted(split, spelling, Wanted(label=2), 0, 4, 60.0)
    assert ([place.row for place in enough.places], enough.go_on) == ([2, 5, 8, 11], 12)


def test_windows_hold_so_many_rows_and_tokens_but_a_row_whole(tmp_path, monkeypatch):
    rows = [([1] * length, 0) for length in (3, 0, 2, 9, 0, 0, 4, 4, 1)]
    batches = [as_batch(Task.TEXT_CLASSIFICATION, rows).slice(0, 5), as_batch(Task.TEXT_CLASSIFICATION, rows).slice(5)]
    split = Split(write_dataset(tmp_path, Task.TEXT_CLASSIFICATION, {"train": batches}), "train")
    for start in range(10):
        windows = list(read_windows(split, start, tokens=5))
        assert [first + n for first, batch in windows for n in range(batch.num_rows)] == list(range(start, 9))
        for _, batch in windows:
            assert batch.num_rows == 1 or sum(map(len, batch["input_ids"].to_pylist())) <= 5


@pytest.mark.parametrize(
    ("asked", "sources", "found"),
    [
        ("s:7", None, ["s:7", "s:7+1", "s:7*2/3"]),
        ("7", None, ["s:7", "s:7+1", "s:7*2/3", "t:7"]),
        ("7", ["t"], ["t:7"]),
        ("", ["s", "t.t"], ["s:7", "s:7+1", "s:7*2/3", "s:77", "t.t:7"]),
        ("", [], []),
        ("s:7+1", None, ["s:7+1"]),
        ("t.t:7", None, ["t.t:7"]),
        (".", None, []),
    ],
)
def test_an_id_stands_for_the_row_its_copies_and_its_parts(asked, sources, found):
    ids = ["s:7", "s:7+1", "s:7*2/3", "s:77", "t:7", "t.t:7"]
    expected = [*found, "t.t:7"] if (asked, sources) == ("7", None) else found
    assert [each for each in ids if re.search(id_pattern(asked, sources), each)] == expected


def test_rows_are_located_in_all_splits_as_far_as_the_time_goes(tmp_path):
    batch = as_batch(Task.REGRESSION, [([1], 0.0)] * 10)
    directory = write_dataset(tmp_path, Task.REGRESSION, {"train": [batch.slice(0, 5)], "test": [batch.slice(5)]})
    splits = [Split(directory, name) for name in ("train", "test")]
    assert locate(splits, ["s:2", "s:8", "s:99"], 60) == ({"s:2": ("train", 2), "s:8": ("test", 3)}, True)
    assert locate(splits, ["s:2"], 60) == ({"s:2": ("train", 2)}, True)
    assert locate(splits, [], 60) == ({}, True)
    assert locate(splits, ["s:8"], -1)[1] is False


def test_a_damaged_shard_is_a_message(tmp_path):
    directory = write_dataset(tmp_path, Task.REGRESSION, {"train": [as_batch(Task.REGRESSION, [([1, 2], 0.5)] * 50)]})
    path = next((directory / "train").glob("*.arrow"))
    content = bytearray(path.read_bytes())
    middle = content.index((2).to_bytes(4, "little") + (4).to_bytes(4, "little") + (6).to_bytes(4, "little"))
    content[middle : middle + 4] = (2**30).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(VerificationError, match=r"data-00000.*damaged.*sftdata verify"):
        list(read_windows(Split(directory, "train"), 0))


def test_names_of_labels_are_those_of_the_small_datasets():
    assert len(NAMES) == 3
