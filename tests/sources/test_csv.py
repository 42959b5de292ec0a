import csv
import gzip
import io
import pickle

import pytest
from examples import read_every_record
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import csv_windows, parsing, read_chunks
from sftdata.sources.parsing import MissingColumns
from sftdata.sources.source import Source

pytestmark = pytest.mark.usefixtures("scanner")

TWO = {"a": Column(nullable=True), "b": Column(nullable=True)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("csv")


def read_all(path, content, columns=TWO, kind="csv"):
    """Return each record's values or reasons, in order, and its original."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_every_record(path, kind, columns)


def open_source(path, content, kind="csv", **given):
    """Write a file and return it as a source with some settings."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Source(path, path.name, "0" * 8, kind, SourceSettings(path=str(path), **given))


def written(rows, delimiter=",", terminator="\r\n", quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=terminator, quoting=quoting).writerows(rows)
    return text.getvalue()


tables = st.lists(st.tuples(texts, texts), max_size=8)
nasty = st.lists(st.tuples(st.text('",\r\n\0 aé\t', max_size=6), st.text('",\r\n\0 aé\t', max_size=6)), max_size=8)


@given(tables | nasty, st.sampled_from([",", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@example([("00\0", "00\0"), ("00\0", "0\n\0")], ",", "\n", False)
@example([("\0", "00\0"), ("00\0", "00\0")], ",", "\n", False)
@example([("a\r", "\nb"), ("", ""), ('"', '""'), ("\0", "\ufeff")], ",", "\r\n", True)
@quick
def test_every_table_comes_back_as_it_was_written(scratch, rows, delimiter, terminator, quote_all):
    # Python's writer quotes only the characters of its own line end, its reader takes every one for a line end
    quoting = csv.QUOTE_ALL if quote_all or terminator != "\r\n" else csv.QUOTE_MINIMAL
    content = written([("a", "b"), *rows], delimiter, terminator, quoting)
    values, originals = read_all(scratch / "table", content, kind="csv" if delimiter == "," else "tsv")
    assert values == [reasons_of(a, b, quoting) or (a or None, b or None) for a, b in rows]
    assert originals == [{"a": a, "b": b} for a, b in rows]


def reasons_of(first, second, quoting):
    marked = first.startswith("\ufeff") and quoting != csv.QUOTE_ALL and not set(first) & set(',\t"\r\n')
    return ["csv:nul_byte"] * ("\0" in first + second) + ["encoding:bom"] * marked


@given(nasty, st.integers(1, 4), st.integers(1, 40), st.lists(st.sampled_from(['"x\n', 'x,"y\n', '"a"b,c\n', ",\n"])))
@quick
def test_chunking_changes_nothing(scratch, rows, most_rows, most_bytes, broken):
    content = written([("a", "b"), *rows], quoting=csv.QUOTE_ALL) + "".join(broken)
    whole = read_all(scratch / "whole.csv", content)
    for module, name, value in ((parsing, "CHUNK_ROWS", most_rows), (csv_windows, "WINDOW", most_bytes)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
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
    content = b'a,b\n"open,1\n' + b"good,2\n" * 10_000
    monkeypatch.setattr(csv_windows, "SAMPLE", 100)
    monkeypatch.setattr(csv_windows, "WINDOW", 100)
    monkeypatch.setattr(parsing, "MAX_RECORD", 100)
    held = watch_memory(monkeypatch)
    chunks = list(read_chunks(open_source(scratch / "open.csv", content)))
    assert max(held) <= 200
    assert max(map(len, chunks)) < 30
    monkeypatch.undo()
    assert read_all(scratch / "open.csv", content)[0] == [["csv:quoting"], *[("good", "2")] * 10_000]


def watch_memory(monkeypatch):
    """Return a list that gets the number of bytes held, each time that more of a file is read."""
    held = []
    hold = csv_windows._Ahead.hold
    monkeypatch.setattr(csv_windows._Ahead, "hold", lambda ahead, size: held.append(size) or hold(ahead, size))
    return held


huge = {
    "a cell": b"1," + b"x" * 500,
    "a quoted cell": b'1,"' + b"x, " * 200 + b'"',
    "a quoted cell of several lines": b'1,"' + b"x, y\nz" * 25 + b'"',
    "an open quote": b'1,"' + b"x" * 500,
    "a line longer than what is looked at": b'1,"' + b"x" * 5000 + b'"',
    "text behind a quoted cell": b'1,"' + b"x" * 300 + b'" y',
    "too few fields": b"x" * 300,
}


@pytest.mark.parametrize("name", huge)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("window", [60, 10_000])
def test_a_record_that_is_too_large_is_rejected_alone(scratch, monkeypatch, name, newline, window):
    monkeypatch.setattr(parsing, "MAX_RECORD", 150)
    monkeypatch.setattr(csv_windows, "WINDOW", window)
    record = huge[name].replace(b"\n", newline)
    rows = [b"a,b", b"good,1", record, b"good,2", b'"go\nod",3']
    held = watch_memory(monkeypatch)
    chunks = list(read_chunks(open_source(scratch / "huge.csv", newline.join(rows))))
    assert max(held) <= max(300, window, csv_windows.SAMPLE)
    faults = [(chunk, fault) for chunk in chunks for fault in chunk.parse(TWO).faults]
    ((chunk, fault),) = faults
    assert fault.reason == "csv:record_size"
    assert f"a record of {len(record + newline):,} bytes, expected at most 150" in fault.detail
    assert chunk.original(fault.position) == record[:150].decode()
    assert (chunk.first_record + fault.position, chunk.line(fault.position)) == (2, 3)
    assert [row for chunk in chunks for row in chunk.parse(TWO).frame.rows()] == [
        ("good", "1"),
        ("good", "2"),
        ("go\nod", "3"),
    ]
    assert chunks[-1].line(len(chunks[-1]) - 1) == 5 + record.count(newline)


def test_a_header_that_is_too_large_is_refused(scratch, monkeypatch):
    monkeypatch.setattr(parsing, "MAX_RECORD", 150)
    monkeypatch.setattr(csv_windows, "SAMPLE", 10)
    with pytest.raises(SourceError, match=r"h\.csv: its header is a line of more than 300 bytes"):
        list(read_chunks(open_source(scratch / "h.csv", "a" * 1000 + "\n1\n")))


def test_lines_that_each_open_a_quote_take_time_linear_in_their_number(scratch, monkeypatch):
    fed = []
    read = csv_windows.Dialect.read
    monkeypatch.setattr(
        csv_windows.Dialect, "read", lambda self, lines, **more: read(self, (fed.append(0) or x for x in lines), **more)
    )
    for end in ("", 'x"\n', '"y\n'):
        fed.clear()
        values, _ = read_all(scratch / "many.csv", "a,b\n" + 'x","y\n' * 1000 + end)
        assert values[:990] == [["csv:quoting"]] * 990
        assert len(fed) < 10_000


def test_ragged_records_are_rejected_with_their_fields(scratch):
    values, originals = read_all(scratch / "r.csv", "a,b\n1\n1,2,3\n1,2\n \n")
    assert values == [["csv:field_count"], ["csv:field_count"], ("1", "2"), ["csv:field_count"]]
    assert originals == [["1"], ["1", "2", "3"], {"a": "1", "b": "2"}, [" "]]


def test_a_quote_that_is_closed_late_swallows_no_record(scratch):
    path = scratch / "s.csv"
    path.write_text('a,b\nx,"y\nc,d\n5",e\nf,g\n')
    (chunk,) = read_chunks(Source(path, "s.csv", "0" * 8, "csv"))
    parsed = chunk.parse(TWO)
    assert parsed.frame.rows() == [("c", "d"), ('5"', "e"), ("f", "g")]
    (fault,) = parsed.faults
    assert fault.reason == "csv:quoting"
    assert "3 lines would be one record of 3 fields, expected 2" in fault.detail
    assert chunk.original(0) == 'x,"y\n'


def test_a_carriage_return_alone_tears_a_record_or_ends_it(scratch):
    content = b'a,b\nx\ry,1\nx,1\ry,2\nx,1\r\r\n"x\ry",1\nx,1\ry,2\rz\n'
    values, originals = read_all(scratch / "cr.csv", content)
    assert values == [["csv:newline"], ("x", "1"), ("y", "2"), ("x", "1"), ("x\ry", "1"), ["csv:newline"]]
    assert (originals[0], originals[-1]) == ("x\ry,1\n", "x,1\ry,2\rz\n")
    (chunk,) = read_chunks(open_source(scratch / "cr.csv", content))
    assert [chunk.line(position) for position in range(6)] == [2, 3, 3, 4, 5, 6]
    assert read_all(scratch / "cr.csv", b"a\nx\ry\nz\n", {"a": Column()})[0] == [["csv:newline"], ("z",)]


def test_a_byte_order_mark_is_refused_before_a_record_and_kept_inside(scratch):
    values, _ = read_all(scratch / "m.csv", "\ufeffa,b\nx,1\n\ufeffa,b\ny\ufeff,\ufeff2\n")
    assert values == [("x", "1"), ["encoding:bom"], ("y\ufeff", "\ufeff2")]


def test_a_record_with_several_faults_has_them_all(scratch):
    (chunk,) = read_chunks(open_source(scratch / "f.csv", b"a,b\n\xef\xbb\xbfx\0,\xff,more\n"))
    details = {fault.reason: fault.detail for fault in chunk.parse(TWO).faults}
    assert details.keys() == {"csv:nul_byte", "encoding:utf-8", "encoding:bom"}
    assert details["csv:nul_byte"] == "a NUL byte in a"
    assert details["encoding:utf-8"] == "bytes that are not utf-8 in b"


def test_lines_are_counted_in_the_file(scratch):
    content = '\n# made by hand\na,b\n1,2\n"two\nlines","and\r\nmore"\n\n3,4\n"open,1\n5\n'
    (chunk,) = read_chunks(open_source(scratch / "l.csv", content))
    assert [chunk.line(position) for position in range(len(chunk))] == [4, 5, 9, 10, 11]


def test_a_slice_pickles_and_is_parsed_twice_alike(scratch):
    (chunk,) = read_chunks(open_source(scratch / "p.csv", 'a,b\n1,2\n"open,1\n3\n4,5\n'))
    copy = pickle.loads(pickle.dumps(chunk))  # noqa: S301
    for _ in range(2):
        assert copy.parse(TWO).frame.equals(chunk.parse(TWO).frame)
        assert copy.parse(TWO).faults == chunk.parse(TWO).faults
    assert [copy.original(p) for p in range(4)] == [chunk.original(p) for p in range(4)]


def test_bytes_that_are_not_utf8_are_kept_and_only_their_record_is_rejected(scratch):
    values, originals = read_all(scratch / "u.csv", b"a,b\ngood,1\n\xff\xfex,\xc3\xa9\nna\xefve,2\nlast,3\n")
    assert values == [("good", "1"), ["encoding:utf-8"], ["encoding:utf-8"], ("last", "3")]
    assert originals[1]["a"].encode("utf-8", "surrogateescape") == b"\xff\xfex"
    assert originals[2]["a"].encode("utf-8", "surrogateescape") == b"na\xefve"


def decodes(cell):
    try:
        return cell.decode() is not None
    except UnicodeDecodeError:
        return False


@given(st.lists(st.binary(max_size=6).filter(lambda b: not set(b) & set(b'",\r\n')), min_size=1, max_size=6))
@quick
def test_any_bytes_come_back_in_the_original(scratch, cells):
    content = b"a,b\n" + b"".join(b"x," + cell + b"\n" for cell in cells)
    (chunk,) = read_chunks(open_source(scratch / "bytes.csv", content, encoding="utf-8"))
    originals = [chunk.original(position) for position in range(len(cells))]
    assert [original["b"].encode("utf-8", "surrogateescape") for original in originals] == cells
    parsed = chunk.parse(TWO)
    reasons = {(fault.position, fault.reason) for fault in parsed.faults}
    assert reasons == {(place, "csv:nul_byte") for place, cell in enumerate(cells) if b"\0" in cell} | {
        (place, "encoding:utf-8") for place, cell in enumerate(cells) if not decodes(cell)
    }
    good = [cells[place] for place in parsed.positions]
    assert parsed.frame.rows() == [("x", cell.decode() or None) for cell in good]


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
    optional = {"c": Column(nullable=True, required=False)}
    assert read_all(scratch / "o.csv", "b,a\n2,3\n", {**TWO, **optional})[0] == [("3", "2", None)]
    assert read_all(scratch / "o.csv", "b,a\n2,3\n4,5\n6\n", optional)[0] == [(None,), (None,), ["csv:field_count"]]


@pytest.mark.parametrize("header", ["a,c", " a,b", "a;b", '"a,b', "A,B"])
def test_a_missing_column_is_refused_with_the_columns_that_are_there(scratch, header):
    with pytest.raises(MissingColumns, match=r"missing column.*found .*") as caught:
        read_all(scratch / "m.csv", header + "\n1,2\n")
    assert caught.value.exit_code == 1


def test_a_file_without_a_header_is_refused_with_what_to_do(scratch):
    with pytest.raises(MissingColumns, match=r"If the file has no header, .*: header: \[a, b\]"):
        read_all(scratch / "n.csv", "1,2\n3,4\n")


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
        with pytest.raises(SourceError, match=r"z\.csv\.gz"):
            read_all(path, content)
