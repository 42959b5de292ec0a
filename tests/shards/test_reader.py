"""A split is indexable, iterable and names a damaged shard."""

import pytest

import sftdata
from sftdata.errors import VerificationError
from sftdata.shards.reader import read_rejected


@pytest.fixture
def prepared(tmp_path, chat_recipe):
    recipe = sftdata.load_recipe(chat_recipe(output={"dir": "out", "shard_size": 3000}))
    sftdata.prepare(recipe)
    return tmp_path / "out"


def test_index_slice_iteration_and_lengths_agree(prepared):
    split = sftdata.load_split(prepared, "train")
    rows = list(split)
    assert len(rows) == len(split) == split.manifest.splits["train"].rows > 10
    assert [split[i] for i in range(len(split))] == rows
    assert split[-1] == rows[-1]
    assert split[2:5] == rows[2:5]
    assert split.lengths().tolist() == [len(row["input_ids"]) for row in rows]
    assert split.find(rows[3]["row_id"]) == rows[3]
    with pytest.raises(IndexError):
        split[len(split)]
    with pytest.raises(VerificationError, match="no row 'x'"):
        split.find("x")


def test_an_unknown_split_lists_those_there_are(prepared):
    with pytest.raises(VerificationError, match="train, validation, test"):
        sftdata.load_split(prepared, "dev")


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_cut_or_missing_shard_is_named(prepared, damage):
    shard = next((prepared / "train").glob("*.arrow"))
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-10])
    else:
        shard.unlink()
    with pytest.raises(VerificationError, match=shard.name):
        sftdata.load_split(prepared, "train")


def test_rejected_rows_are_read_up_to_a_count(prepared):
    assert read_rejected(prepared, 3) == []
