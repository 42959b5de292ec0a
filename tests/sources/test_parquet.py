import datetime
import json
import math

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import read_every_record
from hypothesis import given
from hypothesis import strategies as st
from strategies import conversations, quick, texts

from sftdata.errors import SourceError
from sftdata.records import MESSAGES
from sftdata.schema import Column
from sftdata.sources import Source, parquet, read_chunks
from sftdata.sources.parsing import MissingColumns

TEXT = {"text": Column(nullable=True)}
TALK = {"m": Column(dtype="messages", nullable=True)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("parquet")


def read_all(path, columns=None, table=None, **options):
    """Return each record's values or reasons, in order, and its original."""
    if table is not None:
        pq.write_table(table, path, **options)
    return read_every_record(path, "parquet", columns)


def column(path, values, column, arrow_type=None):
    array = values if isinstance(values, pa.Array) else pa.array(values, arrow_type)
    found, _ = read_all(path / "c.parquet", {"c": column}, pa.table({"c": array}))
    return [value if isinstance(value, list) else value[0] for value in found]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None, "中", ""]),
        pa.array(["a", None, "中", ""], pa.large_string()),
        pa.array(["a", None, "中", ""], pa.string_view()),
        pa.array(["a", None, "中", ""]).dictionary_encode(),
        pa.chunked_array([["a"], [None, "中"], [""]]).combine_chunks(),
    ],
    ids=lambda array: str(array.type)[:20],
)
def test_text_is_text_in_every_encoding(scratch, array):
    assert column(scratch, array, Column(nullable=True)) == ["a", None, "中", ""]


MISFITS = [
    ("str", [1.5, 2.0], None),
    ("str", [1, 2], None),
    ("str", [True], None),
    ("str", [datetime.date(2020, 1, 1)], None),
    ("str", [["a"], []], None),
    ("str", [b"abc", b"\xff"], None),
    ("str", [{"a": 1}], None),
    ("int", [1.5, 2.0], None),
    ("int", [True], None),
    ("int", [2**63], pa.uint64()),
    ("int", [datetime.datetime(2020, 1, 1)], None),
    ("float", [2**53 + 1], None),
    ("float", [[1.0]], None),
    ("bool", [1, 0], None),
    ("bool", [["a"]], None),
    ("messages", ["[]"], None),
    ("messages", [[["user", "a"]]], None),
    ("messages", [[{"role": "user"}]], None),
    ("messages", [[{"role": "user", "content": 1}]], None),
    ("messages", [[{"role": "user", "content": ["a"]}]], None),
    ("messages", [[{"role": "user", "content": {"type": "text"}}]], None),
]


@pytest.mark.parametrize(("dtype", "values", "arrow_type"), MISFITS, ids=str)
def test_a_value_of_another_type_is_rejected_never_changed(scratch, dtype, values, arrow_type):
    found = column(scratch, [*values, None], Column(dtype=dtype, nullable=True), arrow_type)
    assert found == [["c:dtype"]] * len(values) + [None]


def test_lossless_casts_are_made(scratch):
    assert column(scratch, [1, None, -5], Column(dtype="int", nullable=True), pa.int8()) == [1, None, -5]
    assert column(scratch, [1, None, 2**53], Column(dtype="float", nullable=True)) == [1.0, None, 2.0**53]
    assert column(scratch, [0.5], Column(dtype="float"), pa.float32()) == [0.5]
    assert column(scratch, ["12", "x", None], Column(dtype="int", nullable=True)) == [12, ["c:dtype"], None]
    assert column(scratch, [3, None], Column(coerce=True, nullable=True)) == ["3", None]
    assert column(scratch, [True, None], Column(coerce=True, nullable=True)) == ["true", None]
    assert column(scratch, [None, None], Column(nullable=True), pa.null()) == [None, None]


def test_details_are_short_and_on_one_line(scratch):
    pq.write_table(pa.table({"c": [["a" * 500]]}), scratch / "d.parquet")
    (chunk,) = read_chunks(Source(scratch / "d.parquet", "d", "0" * 8, "parquet"))
    (fault,) = chunk.parse({"c": Column()}).faults
    assert fault.detail == "c: found ['" + "a" * 75 + "..., expected str"


TURN = pa.struct({"role": pa.string(), "content": pa.large_string(), "weight": pa.float64()})


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list], ids=["list", "large_list"])
def test_turns_may_have_further_fields_and_any_list_type(scratch, kind):
    talk = [{"role": "user", "content": "a", "weight": 1.0}, {"role": "assistant", "content": None, "weight": 0.0}]
    table = pa.table({"m": pa.array([talk, [], None], kind(TURN))})
    values, originals = read_all(scratch / "m.parquet", TALK, table)
    expected = [{name: turn[name] for name in ("role", "content")} for turn in talk]
    assert [value for (value,) in values] == [expected, [], None]
    assert originals[0] == {"m": talk}


def test_roles_may_be_dictionary_encoded(scratch):
    roles = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["user", "assistant"]))
    turns = pa.StructArray.from_arrays([roles, pa.array(["a", "b"])], ["role", "content"])
    table = pa.table({"m": pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), turns)})
    ((talk,),) = read_all(scratch / "r.parquet", TALK, table)[0]
    assert talk == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@given(st.lists(st.none() | conversations, max_size=6))
@quick
def test_conversations_come_back_as_they_were_written(scratch, talks):
    table = pl.DataFrame({"m": pl.Series(talks, dtype=MESSAGES)}).to_arrow()
    values, originals = read_all(scratch / "t.parquet", TALK, table)
    assert [value for (value,) in values] == talks
    assert originals == [{"m": talk} for talk in talks]


@given(st.lists(st.tuples(st.none() | texts, st.none() | st.integers(-5, 5)), max_size=9), st.integers(1, 4))
@quick
def test_chunking_and_row_groups_change_nothing(scratch, rows, most):
    table = pa.table(
        {"text": pa.array([t for t, _ in rows], pa.string()), "n": pa.array([n for _, n in rows], pa.int64())}
    )
    columns = {**TEXT, "n": Column(dtype="int", nullable=True)}
    whole = read_all(scratch / "w.parquet", columns, table)
    assert whole == (rows, [{"text": text, "n": n} for text, n in rows])
    assert read_all(scratch / "w.parquet", columns, table, row_group_size=most) == whole
    for name in ("CHUNK_ROWS", "CHUNK_BYTES"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parquet, name, most)
            assert read_all(scratch / "w.parquet", columns, table) == whole


def test_long_rows_make_slices_of_few_rows(scratch, monkeypatch):
    pq.write_table(
        pa.table({"text": [f"{i}" + "x" * 1000 for i in range(100)]}), scratch / "l.parquet", use_dictionary=False
    )
    monkeypatch.setattr(parquet, "CHUNK_BYTES", 10_000)
    sizes = [len(batch) for batch, _ in parquet.read(scratch / "l.parquet")]
    assert sum(sizes) == 100
    assert max(sizes) <= 10


@given(st.lists(texts, min_size=4, max_size=12), st.data())
@quick
def test_a_sliced_batch_is_read_from_its_own_rows(values, data):
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    batch = pa.record_batch({"text": values, "z": list(range(len(values)))}).slice(start, length)
    parsed = parquet.parse(batch, TEXT, "f")
    assert parsed.frame["text"].to_list() == values[start : start + length]
    assert [parquet.original(batch, i)["z"] for i in range(length)] == list(range(start, start + length))


def test_missing_columns_are_refused_or_null(scratch):
    table = pa.table({"txt": ["a"]})
    with pytest.raises(MissingColumns, match="missing column 'text'; found 'txt'"):
        read_all(scratch / "x.parquet", TEXT, table)
    optional = {
        "text": Column(nullable=True, required=False),
        "m": Column(dtype="messages", nullable=True, required=False),
    }
    assert read_all(scratch / "x.parquet", optional, table)[0] == [(None, None)]


def test_a_column_that_the_schema_uses_may_not_be_there_twice(scratch):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(MissingColumns, match="more than one column is called 'text'"):
        read_all(scratch / "x.parquet", TEXT, table)


def test_an_original_is_json_whatever_the_columns_hold(scratch):
    table = pa.table(
        {
            "text": ["a"],
            "nan": [math.nan],
            "inf": [-math.inf],
            "bytes": [b"\xff"],
            "nanoseconds": pa.array([1234567891234567891], pa.timestamp("ns")),
            "date": [datetime.date(2020, 1, 2)],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "big": pa.array([2**64 - 1], pa.uint64()),
            "nested": [{"x": [math.nan, None]}],
        }
    )
    _, (original,) = read_all(scratch / "o.parquet", TEXT, table)
    assert json.loads(json.dumps(original, allow_nan=False)) == original
    assert list(original) == table.column_names
    assert original["text"] == "a"
    assert original["nan"] == "nan"
    assert original["big"] == 2**64 - 1
    assert original["nanoseconds"].endswith(".234567891")
    assert original["nested"] == {"x": ["nan", None]}


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1" + b"\0" * 50 + b"PAR1", b"text,label\na,b\n"])
def test_what_is_not_parquet_is_told(scratch, content):
    (scratch / "n.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"n\.parquet cannot be read"):
        read_all(scratch / "n.parquet", TEXT)


def test_a_file_without_rows_has_no_record(scratch):
    assert read_all(scratch / "e.parquet", TEXT, pa.table({"text": pa.array([], pa.string())})) == ([], [])
