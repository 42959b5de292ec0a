import pickle
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import pandera_alone
from strategies import quick

from sftdata import unique_hashes
from sftdata.schema import Schema
from sftdata.stages.validation import validate_rows
from sftdata.uniqueness import REPEATED, Keys, Uniqueness, make_keys

SCHEMA = Schema.model_validate(
    {
        "name": "unique",
        "columns": {
            "id": {"nullable": True, "unique": True},
            "number": {"dtype": "int", "nullable": True, "checks": {"unique": True, "ge": 0}},
            "score": {"dtype": "float", "nullable": True, "unique": True},
            "seen": {"dtype": "bool", "nullable": True},
            "any": {"dtype": "json", "nullable": True},
        },
        "unique": ["id", "score", "seen"],
    }
)
NAN = np.frombuffer(np.uint64(0xFFF8000000000123).tobytes())[0]
"""A NaN of another sign and payload than Python's."""

VALUES = {
    "id": st.none() | st.sampled_from(["", "a", "b", "\x00", "\x00a", "中", "a" * 40, "c"]),
    "number": st.none() | st.integers(-1, 9) | st.sampled_from([-(2**63), 2**63 - 1]),
    "score": st.none() | st.sampled_from([0.0, -0.0, 0.5, 1.5, float("nan"), NAN, float("inf"), -float("inf")]),
    "seen": st.none() | st.booleans(),
    "any": st.just("1"),
}
rows_of_all = st.lists(st.fixed_dictionaries(VALUES), max_size=9)


def make_rows(values, first=1):
    columns = {n: pl.Series([row[n] for row in values], dtype=c.polars_dtype) for n, c in SCHEMA.columns.items()}
    records = pl.int_range(first, first + len(values), dtype=pl.Int64, eager=True)
    return pl.DataFrame({**columns, "@record": records}).with_columns(pl.lit("file").alias("@source"))


def judge(chunks, schema=SCHEMA):
    """Return the reasons of each row by (source, record), and what uniqueness found."""
    found, keeper = {}, Uniqueness()
    for source, rows in chunks:
        rejected = validate_rows(rows, schema).rejected.to_dicts()
        for row in rejected:
            found[source, row["record"]] = set(row["reasons"])
        keys = make_keys(rows, rejected, schema.uniques)
        keeper.add(source, pickle.loads(pickle.dumps(keys)))  # noqa: S301  # as a worker process sends it
    repeated = keeper.find_repeated()
    for row in repeated.iter_rows(named=True):
        assert row["already"] == bool(
            {why for why in found.get((row["source"], row["record"]), ()) if "unique" not in why}
        )
        found.setdefault((row["source"], row["record"]), set()).add(row["reason"])
    return found, repeated


@given(rows_of_all, st.lists(st.integers(0, 9), max_size=3))
@settings(quick, max_examples=150)
def test_over_chunks_of_any_cut_the_verdict_is_panderas_on_the_whole(values, cuts):
    whole = make_rows(values)
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    chunks = [("file", whole[a:b]) for a, b in pairwise(edges)]
    found, repeated = judge(chunks)
    alone = pandera_alone(whole.select(SCHEMA.columns.keys()), SCHEMA.to_pandera())
    assert [found.get(("file", record), set()) for record in whole["@record"]] == alone
    assert repeated.schema == REPEATED
    assert repeated["record"].is_sorted()
    assert judge([("file", pl.concat([rows for _, rows in chunks], rechunk=False))])[1].equals(repeated)


@given(rows_of_all, st.integers(0, 9))
@quick
def test_how_many_rows_share_a_value_is_counted_in_the_order_of_reading(values, cut):
    first, second = make_rows(values[:cut]), make_rows(values[cut:])
    repeated = judge([("a", first), ("b", second)])[1]
    places = [("a", n) for n in first["@record"]] + [("b", n) for n in second["@record"]]
    order = {place: at for at, place in enumerate(places)}
    found = [order[row["source"], row["record"]] for row in repeated.iter_rows(named=True)]
    assert found == sorted(found)
    ids = [row["id"] for row in values]
    of_ids = repeated.filter(pl.col("reason") == "id:unique")
    assert [order[place] for place in of_ids.select("source", "record").iter_rows()] == [
        at for at, value in enumerate(ids) if ids.count(value) > 1
    ]
    assert of_ids["rows"].to_list() == [Counter(ids)[value] for value in ids if ids.count(value) > 1]


def test_rows_that_are_left_out_of_a_chunk_keep_the_numbers_of_the_others():
    rows = make_rows(
        [{"id": value, "number": n, "score": n, "seen": None, "any": "1"} for n, value in enumerate("abcab")]
    )
    whole = make_keys(rows, [], SCHEMA.uniques)
    assert whole.records == range(1, 6)
    keeper = Uniqueness()
    keeper.add("file", make_keys(rows.filter(pl.col("@record") != 2), [], SCHEMA.uniques))
    assert keeper.find_repeated()["record"].to_list() == [1, 4]


def test_nothing_is_remembered_without_a_constraint():
    rows = make_rows([])
    assert make_keys(rows, [], {}) is None
    keeper = Uniqueness()
    keeper.add("file", None)
    assert keeper.find_repeated().equals(pl.DataFrame(schema=REPEATED))
    keeper.add("file", make_keys(rows, [], SCHEMA.uniques))
    assert keeper.find_repeated().equals(pl.DataFrame(schema=REPEATED))


def test_rows_whose_first_hash_is_the_same_by_chance_are_told_apart_by_the_second(monkeypatch):
    real = unique_hashes.hash_rows

    def weak(rows, names):
        hashes = real(rows, names)
        hashes[0] %= 3
        return hashes

    monkeypatch.setattr(unique_hashes, "hash_rows", weak)
    values = [{"id": str(n % 90), "number": n, "score": n / 2, "seen": None, "any": "1"} for n in range(100)]
    repeated = judge([("file", make_rows(values))])[1]
    assert repeated["record"].to_list() == [*range(1, 11), *range(91, 101)]
    assert set(repeated["rows"]) == {2}


def test_the_two_hashes_are_independent_and_a_constraint_knows_its_columns_apart():
    texts = pl.DataFrame({"a": [str(n) for n in range(2000)], "b": ["x"] * 2000})
    numbers = texts.select(pl.col("a").cast(pl.Int64), pl.col("b"))
    for rows in (texts, numbers):
        first, second = unique_hashes.hash_rows(rows, ["a"])
        assert len(np.unique(first)) == len(np.unique(second)) == 2000
        agree = [np.unpackbits((first ^ second).view(np.uint8)).mean()]
        assert abs(agree[0] - 0.5) < 0.01
    crossed = pl.DataFrame({"a": ["x", "y", None, "x", ""], "b": ["y", "x", "x", None, "xy"]})
    assert len(np.unique(unique_hashes.hash_rows(crossed, ["a", "b"])[0])) == 5


PROGRAM = """
import polars as pl
from sftdata.unique_hashes import hash_rows
rows = pl.DataFrame({"a": ["x", None, "中"], "b": [1, None, 2], "c": [0.0, None, float("nan")]})
print([hash_rows(rows, [name]).tolist() for name in rows.columns])
"""


def test_hashes_are_the_same_in_every_process():
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_a_row_takes_sixteen_bytes_and_no_more():
    rows = make_rows([{"id": "x" * 100, "number": n, "score": n, "seen": None, "any": "1"} for n in range(1000)])
    keys = make_keys(rows, [], {"id:unique": ["id"]})
    assert len(pickle.dumps(keys)) < 17_000
    assert isinstance(keys, Keys)


@pytest.mark.parametrize("unique", [["nope"], ["id", "nope"]])
def test_a_constraint_names_columns_that_are_there(unique):
    with pytest.raises(ValueError, match="there is no column 'nope'"):
        Schema.model_validate({"name": "u", "columns": {"id": {}}, "unique": unique})
