"""The same rows read the same, whichever format they stand in; JSON Lines is what the others are held against."""

import json

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from examples import read_every_record, write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.column import Column

COLUMNS = {
    "s": Column(nullable=True),
    "coerced": Column(nullable=True, coerce=True),
    "i": Column(dtype="int", nullable=True),
    "f": Column(dtype="float", nullable=True),
    "b": Column(dtype="bool", nullable=True),
    "l": Column(dtype="list[str]", nullable=True),
    "split": Column(dtype="list[str]", separator=",", nullable=True),
    "p": Column(dtype="pairs", nullable=True),
    "m": Column(dtype="messages", nullable=True, roles={"human": "user"}),
    "j": Column(dtype="json", nullable=True),
}
CALL = pa.struct({"id": pa.string(), "function": pa.struct({"name": pa.string(), "arguments": pa.string()})})
TURN = {"role": pa.string(), "content": pa.string(), "weight": pa.float64(), "train": pa.bool_(), "name": pa.string()}
SCHEMA = pa.schema(
    {
        "s": pa.string(),
        "coerced": pa.float64(),
        "i": pa.int64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "l": pa.list_(pa.string()),
        "split": pa.string(),
        "p": pa.list_(pa.list_(pa.string())),
        "m": pa.list_(pa.struct({**TURN, "tool_calls": pa.list_(CALL)})),
        "j": pa.struct({"type": pa.string(), "n": pa.int64(), "list": pa.list_(pa.float64())}),
    }
)

floats = st.floats(allow_nan=False, allow_infinity=False)


def in_order(kind: pa.StructType, **fields: st.SearchStrategy) -> st.SearchStrategy:
    """Any of the fields of a struct, in its order: Arrow has no other."""
    names = [field.name for field in kind]
    some = st.fixed_dictionaries({}, optional=fields)
    return some.map(lambda found: {name: found[name] for name in names if name in found})


roles = st.sampled_from(["human", "user", "assistant", ""])
calls = in_order(CALL, id=texts, function=in_order(CALL.field("function").type, name=texts, arguments=texts))
turn = SCHEMA.field("m").type.value_type
turns = (
    in_order(turn, role=roles, content=st.none() | texts)
    | in_order(turn, role=roles, content=texts, weight=floats, train=st.booleans())
    | in_order(turn, role=roles, content=texts, name=texts, tool_calls=st.lists(calls, max_size=2))
)
row = in_order(
    SCHEMA,
    s=st.none() | texts,
    coerced=st.none() | floats,
    i=st.none() | st.integers(-(2**63), 2**63 - 1),
    f=st.none() | floats,
    b=st.none() | st.booleans(),
    l=st.none() | st.lists(texts | st.none(), max_size=3),
    split=st.none() | texts | st.just(" a, b ,"),
    p=st.none() | st.lists(st.lists(texts, min_size=1, max_size=3), max_size=2),
    m=st.none() | st.lists(turns | st.none(), max_size=3),
    j=st.none() | in_order(SCHEMA.field("j").type, type=texts, n=st.integers(-5, 5), list=st.lists(floats, max_size=2)),
)


def write_arrow(path, table):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, 2)


def write_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, 3)


WRITERS = {
    "parquet": ("parquet", lambda path, table: pq.write_table(table, path, row_group_size=2)),
    "ipc file": ("arrow", write_arrow),
    "ipc stream": ("arrow", write_stream),
    "polars parquet": ("parquet", lambda path, table: pl.DataFrame(table).write_parquet(path)),
    "polars ipc": ("arrow", lambda path, table: pl.DataFrame(table).write_ipc(path)),
}


@given(st.sampled_from(sorted(WRITERS)), st.lists(row, max_size=5))
@quick
def test_rows_read_as_they_would_from_json_lines(tmp_path_factory, writer, written):
    folder = tmp_path_factory.getbasetemp()
    kind, write = WRITERS[writer]
    write(folder / "equal.bin", pa.Table.from_pylist(written, SCHEMA))
    write_jsonl(folder / "equal.jsonl", written)
    found, originals = read_every_record(folder / "equal.bin", kind, COLUMNS)
    expected, _ = read_every_record(folder / "equal.jsonl", "jsonl", COLUMNS)
    assert found == expected
    write_jsonl(folder / "again.jsonl", originals)
    again, _ = read_every_record(folder / "again.jsonl", "jsonl", COLUMNS)
    assert again == expected, "an original is the record that stood there"
    assert json.loads(json.dumps(originals, allow_nan=False)) == originals
