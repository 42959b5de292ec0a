import gzip
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest
from examples import read_every_record
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.column import Column
from sftdata.errors import SourceError

COLUMNS = {"text": Column(nullable=True), "n": Column(dtype="int", nullable=True)}
WRITERS = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}
rows = st.lists(st.tuples(st.none() | texts, st.none() | st.integers(-5, 5)), max_size=9)


def table_of(rows):
    return pa.table(
        {"text": pa.array([t for t, _ in rows], pa.string()), "n": pa.array([n for _, n in rows], pa.int64())}
    )


def write(path, table, kind, size=None, codec=None):
    with WRITERS[kind](path, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, size)
    return path


@given(rows, st.sampled_from(["file", "stream"]), st.integers(1, 4), st.sampled_from([None, "lz4", "zstd"]))
@quick
def test_what_is_written_comes_back(tmp_path_factory, rows, kind, size, codec):
    path = write(tmp_path_factory.getbasetemp() / "property.arrow", table_of(rows), kind, size, codec)
    assert read_every_record(path, "arrow", COLUMNS) == (rows, [{"text": text, "n": n} for text, n in rows])


@given(rows)
@quick
def test_what_polars_writes_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "polars.arrow"
    frame = pl.DataFrame(rows, schema={"text": pl.Categorical, "n": pl.Int8}, orient="row")
    for write_it in (frame.write_ipc, frame.write_ipc_stream, frame.cast({"text": pl.String}).write_ipc):
        write_it(path)
        assert read_every_record(path, "arrow", COLUMNS)[0] == rows


CONTENT = [(f"text {place}", place) for place in range(100)]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_cut_off_is_told_wherever_it_is_cut(tmp_path, kind):
    whole = write(tmp_path / "w.arrow", table_of(CONTENT), kind, 10).read_bytes()
    path = tmp_path / "cut.arrow"
    for end in {*range(1, len(whole), 37), *range(len(whole) - 16, len(whole))}:
        path.write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"cut\.arrow (cannot be read|is cut off|is damaged)"):
            read_every_record(path, "arrow", COLUMNS)


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bytes_never_crash(tmp_path, kind):
    whole = bytearray(write(tmp_path / "w.arrow", table_of(CONTENT), kind, 50).read_bytes())
    path, chance = tmp_path / "flipped.arrow", random.Random(7)  # noqa: S311
    told = 0
    for _ in range(300):
        place = chance.randrange(len(whole))
        path.write_bytes(bytes([*whole[:place], whole[place] ^ (1 << chance.randrange(8)), *whole[place + 1 :]]))
        try:
            read_every_record(path, "arrow", COLUMNS)
        except SourceError as problem:
            assert "flipped.arrow" in str(problem)
            told += 1
    assert told > 30


def test_a_stream_that_goes_on_after_its_end_is_told(tmp_path):
    one = write(tmp_path / "a.arrow", table_of(CONTENT), "stream").read_bytes()
    (tmp_path / "b.arrow").write_bytes(one + one)
    with pytest.raises(SourceError, match=r"b\.arrow: found [\d,]+ bytes after the end of the Arrow stream: two files"):
        read_every_record(tmp_path / "b.arrow", "arrow", COLUMNS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"hello", "cannot be read as Arrow"),
        (b"ARROW1\0\0", "cannot be read as Arrow"),
        (b"FEA1" + b"\0" * 50 + b"FEA1", "Feather version 1"),
        (gzip.compress(b"x", mtime=0), "cannot be read as Arrow"),
        (b'{"text": "a"}\n', "cannot be read as Arrow"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 50, "cannot be read as Arrow"),
    ],
    ids=repr,
)
def test_what_is_not_arrow_is_told(tmp_path, content, message):
    (tmp_path / "n.arrow").write_bytes(content)
    with pytest.raises(SourceError, match=rf"n\.arrow.*{message}"):
        read_every_record(tmp_path / "n.arrow", "arrow", COLUMNS)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_without_rows_has_no_record(tmp_path, kind):
    assert read_every_record(write(tmp_path / "e.arrow", table_of([]), kind), "arrow", COLUMNS) == ([], [])


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[1] / "fuzz" / "found").iterdir()), ids=lambda f: f.name)
def test_what_was_once_a_crash_is_told(file):
    with pytest.raises(SourceError, match=r"is damaged|cannot be read"):
        read_every_record(file, file.suffix[1:], COLUMNS)
