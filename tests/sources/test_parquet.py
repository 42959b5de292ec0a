import random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import read_every_record
from hypothesis import given
from hypothesis import strategies as st
from strategies import conversations, quick, texts

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.records import MESSAGES
from sftdata.sources import parquet, parsing
from sftdata.sources.source import Source

TEXT = {"text": Column(nullable=True)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("parquet")


def read_all(path, columns, table, **options):
    """Return each record's values or reasons, in order, and its original."""
    pq.write_table(table, path, **options)
    return read_every_record(path, "parquet", columns)


@given(st.lists(st.none() | conversations, max_size=6))
@quick
def test_conversations_come_back_as_they_were_written(scratch, talks):
    wide = [talk and [{**turn, "weight": None, "details": None} for turn in talk] for talk in talks]
    columns = {"m": Column(dtype="messages", nullable=True)}
    table = pl.DataFrame({"m": pl.Series(talks, dtype=MESSAGES)}).to_arrow()
    values, originals = read_all(scratch / "t.parquet", columns, table)
    assert [value for (value,) in values] == wide
    said = [talk and [{key: part for key, part in turn.items() if part is not None} for turn in talk] for talk in talks]
    assert originals == [{"m": talk} for talk in said]


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
    for module, name in ((parsing, "CHUNK_ROWS"), (parsing, "CHUNK_BYTES"), (parquet, "BATCH_ROWS")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, most)
            assert read_all(scratch / "w.parquet", columns, table) == whole


def test_long_rows_make_slices_of_few_rows(scratch, monkeypatch):
    pq.write_table(
        pa.table({"text": [f"{i}" + "x" * 1000 for i in range(100)]}), scratch / "l.parquet", use_dictionary=False
    )
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 10_000)
    sizes = [len(batch) for batch, _, _ in parquet.read(Source(scratch / "l.parquet", "l.parquet", "0" * 8, "parquet"))]
    assert sum(sizes) == 100
    assert max(sizes) <= 10


@given(st.lists(texts, max_size=9))
@quick
def test_what_polars_writes_comes_back(scratch, values):
    path = scratch / "p.parquet"
    pl.DataFrame({"text": pl.Series(values, dtype=pl.Categorical)}).write_parquet(path)
    assert read_every_record(path, "parquet", TEXT)[0] == [(value,) for value in values]


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1" + b"\0" * 50 + b"PAR1", b"text,label\na,b\n"])
def test_what_is_not_parquet_is_told(scratch, content):
    (scratch / "n.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"n\.parquet cannot be read"):
        read_every_record(scratch / "n.parquet", "parquet", TEXT)


def test_a_file_that_is_cut_off_is_told_wherever_it_is_cut(scratch):
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(100)]}), scratch / "w.parquet")
    whole = (scratch / "w.parquet").read_bytes()
    for end in range(1, len(whole), 41):
        (scratch / "cut.parquet").write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"cut\.parquet cannot be read as Parquet"):
            read_every_record(scratch / "cut.parquet", "parquet", TEXT)


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_flipped_bytes_never_crash_and_checksums_find_them(scratch, codec):
    chance, rows = random.Random(7), [f"text {i}" for i in range(100)]  # noqa: S311
    pq.write_table(pa.table({"text": rows}), scratch / "w.parquet", compression=codec, write_page_checksum=True)
    whole = (scratch / "w.parquet").read_bytes()
    columns = {"text": Column(nullable=True, required=False)}  # its name may be what is flipped
    for place in [*range(8, 200), *(chance.randrange(len(whole)) for _ in range(200))]:
        flipped = bytes([*whole[:place], whole[place] ^ (1 << chance.randrange(8)), *whole[place + 1 :]])
        (scratch / "flipped.parquet").write_bytes(flipped)
        try:
            found = read_every_record(scratch / "flipped.parquet", "parquet", columns)[0]
        except SourceError as problem:
            assert "flipped.parquet" in str(problem)
        else:
            assert [text for (text,) in found] in (rows, [None] * len(found)), "a value changed in silence"


def test_a_file_without_rows_has_no_record(scratch):
    assert read_all(scratch / "e.parquet", TEXT, pa.table({"text": pa.array([], pa.string())})) == ([], [])


@pytest.mark.parametrize("groups", [1, 4])
def test_long_values_are_decoded_a_few_at_a_time(scratch, monkeypatch, groups):
    values = [f"{place}" + "x" * 10_000 for place in range(100)]
    pq.write_table(
        pa.table({"text": values}), scratch / "b.parquet", use_dictionary=False, row_group_size=100 // groups
    )
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 100_000)
    with pq.ParquetFile(scratch / "b.parquet") as file:
        batches = list(parquet._read_all(file, "b.parquet"))
    assert max(map(len, batches)) in (9, 10)
    assert [text for batch in batches for text in batch["text"].to_pylist()] == values
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 10)
    assert read_every_record(scratch / "b.parquet", "parquet", TEXT)[0] == [(value,) for value in values]
