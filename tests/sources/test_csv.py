import csv
import gzip
import io

import pytest
from examples import read_every_record
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.errors import SourceError
from sftdata.schema import Column
from sftdata.sources import Source, read_chunks
from sftdata.sources import csv as reader
from sftdata.sources.parsing import MissingColumns

TWO = {"a": Column(nullable=True), "b": Column(nullable=True)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("csv")


def read_all(path, content, columns=TWO, kind="csv"):
    """Return each record's values or reasons, in order, and its original."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_every_record(path, kind, columns)


def written(rows, delimiter=",", terminator="\r\n", quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=terminator, quoting=quoting).writerows(rows)
    return text.getvalue()


tables = st.lists(st.tuples(texts, texts), max_size=8)
nasty = st.lists(st.tuples(st.text('",\r\n\0 aé\t', max_size=6), st.text('",\r\n\0 aé\t', max_size=6)), max_size=8)


@given(tables | nasty, st.sampled_from([",", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@example([("a\r", "\nb"), ("", ""), ('"', '""'), ("\0", "\ufeff")], ",", "\r\n", True)
@quick
def test_every_table_comes_back_as_it_was_written(scratch, rows, delimiter, terminator, quote_all):
    # Python's writer quotes only the characters of its own line end, its reader takes every one for a line end
    quoting = csv.QUOTE_ALL if quote_all or terminator != "\r\n" else csv.QUOTE_MINIMAL
    content = written([("a", "b"), *rows], delimiter, terminator, quoting)
    values, originals = read_all(scratch / "table", content, kind="csv" if delimiter == "," else "tsv")
    assert values == [(a or None, b or None) for a, b in rows]
    assert originals == [{"a": a, "b": b} for a, b in rows]


@given(nasty, st.integers(1, 4), st.integers(1, 40), st.lists(st.sampled_from(['"x\n', 'x,"y\n', '"a"b,c\n', ",\n"])))
@quick
def test_chunking_changes_nothing(scratch, rows, most_rows, most_bytes, broken):
    content = written([("a", "b"), *rows], quoting=csv.QUOTE_ALL) + "".join(broken)
    whole = read_all(scratch / "whole.csv", content)
    for name, value in (("CHUNK_ROWS", most_rows), ("CHUNK_BYTES", most_bytes)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, name, value)
            assert read_all(scratch / "whole.csv", content) == whole


plain = st.lists(st.tuples(st.sampled_from(["x", "y z", "é"]), st.sampled_from(["1", "2"])), max_size=6)


@given(plain, st.sampled_from(['"open,1', '1,"open', '"shut"ish,1', 'a,"b" "c"']), plain)
@quick
def test_a_broken_quote_costs_one_record_and_no_other(scratch, before, broken, after):
    lines = [*(",".join(row) for row in before), broken, *(",".join(row) for row in after)]
    values, originals = read_all(scratch / "broken.csv", "\n".join(["a,b", *lines]) + "\n")
    assert values == [*before, ["csv:quoting"], *after]
    assert originals[len(before)] == broken + "\n"


def test_several_broken_lines_in_a_row_are_each_one_record(scratch):
    values, originals = read_all(scratch / "b.csv", 'a,b\n"x,1\n"y,2\ngood,3\n"z" w,4\nlast,"5')
    assert values == [["csv:quoting"], ["csv:quoting"], ("good", "3"), ["csv:quoting"], ["csv:quoting"]]
    assert originals[0] == '"x,1\n'
    assert originals[-1] == 'last,"5'


def test_a_quote_that_is_never_closed_does_not_take_in_the_whole_file(scratch, monkeypatch):
    path = scratch / "open.csv"
    path.write_text('a,b\n"open,1\n' + "good,2\n" * 10_000)
    monkeypatch.setattr(reader, "MAX_FIELD", 100)
    monkeypatch.setattr(reader, "CHUNK_ROWS", 1)
    monkeypatch.setattr(io, "TextIOWrapper", Counting)
    Counting.lines = 0
    rows, size = next(reader.read(path))
    assert isinstance(rows.records[0], reader.Broken)
    assert size == len('"open,1\n')
    assert Counting.lines < 100
    monkeypatch.undo()
    values, _ = read_all(path, path.read_bytes())
    assert values == [["csv:quoting"], *[("good", "2")] * 10_000]


class Counting(io.TextIOWrapper):
    lines = 0

    def __next__(self):
        Counting.lines += 1
        return super().__next__()


def test_ragged_records_are_rejected_with_their_fields(scratch):
    values, originals = read_all(scratch / "r.csv", "a,b\n1\n1,2,3\n1,2\n \n")
    assert values == [["csv:field_count"], ["csv:field_count"], ("1", "2"), ["csv:field_count"]]
    assert originals == [["1"], ["1", "2", "3"], {"a": "1", "b": "2"}, [" "]]


def test_a_swallowed_record_says_how_many_lines_it_goes_over(scratch):
    path = scratch / "s.csv"
    path.write_text('a,b\nx,"y\nc,d\n5",e\nf,g\n')
    (chunk,) = read_chunks(Source(path, "s.csv", "0" * 8, "csv"))
    (fault,) = chunk.parse(TWO).faults
    assert fault.detail == ("found 3 fields, expected 2; the record goes over 3 lines, is there a stray quote in it?")


def test_bytes_that_are_not_utf8_are_kept_and_only_their_record_is_rejected(scratch):
    values, originals = read_all(scratch / "u.csv", b"a,b\ngood,1\n\xff\xfex,\xc3\xa9\nna\xefve,2\nlast,3\n")
    assert values == [("good", "1"), ["encoding:utf-8"], ["encoding:utf-8"], ("last", "3")]
    assert originals[1]["a"].encode("utf-8", "surrogateescape") == b"\xff\xfex"
    assert originals[2]["a"].encode("utf-8", "surrogateescape") == b"na\xefve"


@given(st.lists(st.binary(max_size=6).filter(lambda b: not set(b) & set(b'",\r\n')), min_size=1, max_size=6))
@quick
def test_any_bytes_come_back_in_the_original(scratch, cells):
    content = b"a,b\n" + b"".join(b"x," + cell + b"\n" for cell in cells)
    values, originals = read_all(scratch / "bytes.csv", content)
    assert [original["b"].encode("utf-8", "surrogateescape") for original in originals] == cells
    for value, cell in zip(values, cells, strict=True):
        try:
            assert value == ("x", cell.decode() or None)
        except UnicodeDecodeError:
            assert value == ["encoding:utf-8"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_line_ends_byte_order_marks_and_empty_lines_do_not_matter(scratch, newline, mark, end):
    content = (mark + "a,b\n\n1,2\n\n\n3,4" + end).replace("\n", newline)
    assert read_all(scratch / "n.csv", content)[0] == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("content", ["", "a,b", "a,b\n", "\n\n", "\ufeff", "a,b\n\n\n"])
def test_a_file_without_records_has_no_chunk(scratch, content):
    assert read_all(scratch / "e.csv", content) == ([], [])


def test_columns_are_found_by_name_in_any_order(scratch):
    assert read_all(scratch / "o.csv", "z,b,a\n1,2,3\n")[0] == [("3", "2")]
    optional = {**TWO, "c": Column(nullable=True, required=False)}
    assert read_all(scratch / "o.csv", "b,a\n2,3\n", optional)[0] == [("3", "2", None)]


@pytest.mark.parametrize("header", ["a,c", " a,b", "a;b", '"a,b', "A,B"])
def test_a_missing_column_is_refused_with_the_columns_that_are_there(scratch, header):
    with pytest.raises(MissingColumns, match=r"missing column.*found .*") as caught:
        read_all(scratch / "m.csv", header + "\n1,2\n")
    assert caught.value.exit_code == 1


def test_a_file_in_utf16_is_refused_without_a_traceback(scratch):
    with pytest.raises(MissingColumns) as caught:
        read_all(scratch / "u16.csv", "a,b\n1,2\n".encode("utf-16"))
    str(caught.value).encode()


def test_a_column_that_the_schema_uses_may_not_be_there_twice(scratch):
    with pytest.raises(MissingColumns, match="more than one column is called 'a'; found 'a', 'b', 'a'"):
        read_all(scratch / "d.csv", "a,b,a\n1,2,3\n")


def test_an_unused_column_that_is_there_twice_loses_nothing(scratch):
    assert read_all(scratch / "d.csv", "a,b,x,x\n1,2,3,4\n") == ([("1", "2")], [["1", "2", "3", "4"]])


def test_cells_become_the_dtypes_of_the_schema_or_faults(scratch):
    columns = {"a": Column(dtype="int", nullable=True), "b": Column(dtype="bool", nullable=True)}
    content = "a,b\n1,true\n,\nx,FALSE\n1.5,0\n-7,maybe\n9223372036854775808,1\n"
    values, originals = read_all(scratch / "t.csv", content, columns)
    assert values == [(1, True), (None, None), ["a:dtype"], ["a:dtype"], ["b:dtype"], ["a:dtype"]]
    assert originals[2] == {"a": "x", "b": "FALSE"}


def test_a_value_that_does_not_fit_is_shown_short(scratch):
    path = scratch / "l.csv"
    path.write_text("a,b\n" + "x" * 1000 + ",1\n")
    (chunk,) = read_chunks(Source(path, "l.csv", "0" * 8, "csv"))
    (fault,) = chunk.parse({"a": Column(dtype="int")}).faults
    assert fault.detail == "a: found '" + "x" * 76 + "..., expected int"


def test_gzip_is_unpacked_and_damaged_gzip_is_told(scratch):
    path = scratch / "z.csv.gz"
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,y\n" % i for i in range(20_000)))
    assert len(read_all(path, packed)[0]) == 20_000
    damaged = packed[:2000] + bytes(50) + packed[2050:]
    for content in (packed[: len(packed) // 2], damaged, b"a,b\n1,2\n"):
        with pytest.raises(SourceError, match=r"z\.csv\.gz cannot be read: "):
            read_all(path, content)
