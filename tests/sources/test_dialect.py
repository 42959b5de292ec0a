import csv
import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import quick

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import csv_windows, read_chunks
from sftdata.sources.dialect import SAMPLE, find_dialect
from sftdata.sources.parsing import MissingColumns
from sftdata.sources.source import Source

TWO = {"a": Column(nullable=True), "b": Column(nullable=True)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("dialect")


def read(path, content, columns=TWO, kind="csv", **given):
    """Return the rows and rejected originals of a file, and what was found out about it."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows, rejected, found = [], [], {}
    for chunk in read_chunks(Source(path, path.name, "0" * 8, kind, SourceSettings(path=str(path), **given))):
        parsed = chunk.parse(columns)
        rows += parsed.frame.rows()
        rejected += [
            (fault.reason, chunk.original(fault.position), chunk.line(fault.position)) for fault in parsed.faults
        ]
        found = dict(chunk.found)
    return rows, rejected, found


DELIMITERS = {
    "comma": (",", "a,b\n1,2\n3,4\n"),
    "semicolon": (";", "a;b\n1;2\n3;4\n"),
    "semicolon and decimal commas": (";", "a;b\n1,5;2,5\n3,5;4\n"),
    "semicolon, one line": (";", "a;b\n"),
    "tab": ("\t", "a\tb\n1, or so\t2\n3\t4\n"),
    "bar": ("|", "a|b\n1|2\n3|4\n"),
    "comma, semicolons in text": (",", "a,b\nx; y,1\nz; w,2\n"),
    "comma, more semicolons than commas": (",", "a,b\nx; y; z; w,1\nx; y; z; w,2\n"),
    "comma, a semicolon in the header": (",", "a,b; c\n1,2\n3,4\n"),
    "comma, one ragged record of many": (",", "a,b\n" + "1,2\n" * 20 + "1,2,3\n"),
    "comma, all ragged": (",", "a,b\n1\n1,2,3\n"),
    "quoted commas between semicolons": (";", 'a;b\n"1,2";"3,4"\n5;6\n'),
    "one column, commas in text": (",", "text\nhello, you\nand you\n"),
    "one column": (",", "text\nhello\n"),
    "nothing": (",", ""),
}


@pytest.mark.parametrize("name", DELIMITERS)
def test_the_delimiter_is_found(name):
    delimiter, content = DELIMITERS[name]
    dialect, _, found = find_dialect(content.encode(), True, SourceSettings(path="-"), tabs=False)
    assert dialect.delimiter == delimiter
    assert found == ({} if delimiter == "," else {"delimiter": repr(delimiter)})


cells = st.text(st.sampled_from('ab ,;|\t"\né中'), max_size=8)


@given(st.lists(st.tuples(cells, cells, cells), min_size=3, max_size=12), st.sampled_from(",;|\t"))
@quick
def test_a_table_that_was_written_with_a_delimiter_is_read_with_it(scratch, rows, delimiter):
    # between tabs nobody can tell a quoted line break from quotes that are text, where both ways every record fits
    assume(delimiter != "\t" or not any({"\t", "\n"} <= set(cell) for row in rows for cell in row))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([("a", "b", "c"), *rows])
    columns = {**TWO, "c": Column(nullable=True)}
    values, rejected, _ = read(scratch / "table.csv", text.getvalue(), columns)
    assert (values, rejected) == ([tuple(cell or None for cell in row) for row in rows], [])


def test_a_given_delimiter_is_taken(scratch):
    assert read(scratch / "g.csv", "a;b,c\n1;2,3\n", delimiter=";", columns={"a": Column()})[0] == [("1",)]
    assert read(scratch / "g.csv", "a\x01b\n1\x012\n", delimiter="\x01")[0] == [("1", "2")]
    assert read(scratch / "g.tsv", "a,b\n1\t,2\n", kind="tsv", delimiter=",") == ([("1\t", "2")], [], {})


@pytest.mark.parametrize("delimiter", ["§", '"', "\n", "\r", "\0"])
def test_a_delimiter_that_cannot_be_one_is_refused(scratch, delimiter):
    with pytest.raises(SourceError, match=r"d\.csv: delimiter: found .*, expected one ASCII character"):
        read(scratch / "d.csv", "a,b\n", delimiter=delimiter)


def test_tabs_stand_between_the_fields_of_a_tsv_file(scratch):
    assert read(scratch / "t.tsv", "a,x\tb\n1,2\t3\n", {"b": Column()}, "tsv") == ([("3",)], [], {})


QUOTED = {
    "quotes open texts that go on": ("off", 'a\tb\n"Go," he said.\t1\n"No" was all.\t2\n'),
    "a quote never closed": ("off", 'a\tb\n1\t2\n"open\t2\n3\t4\n'),
    "quotes inside texts": ("on", 'a\tb\n5" disk\t1\nsay "hi"\t2\n'),
    "quoted cells": ("on", 'a\tb\n"x"\t"1"\n"y ""z"""\t2\n'),
    "quoted cells and one that is broken": ("on", 'a\tb\n"x"\t"1"\n"y\t2\n'),
    "quoted cells of several lines": ("on", 'a\tb\n"x\ny"\t"1"\n'),
    "quoted tabs": ("on", 'a\tb\n"x\ty"\t1\n"z" w\t2\n'),
    "no quote": ("on", "a\tb\n1\t2\n"),
}


@pytest.mark.parametrize("name", QUOTED)
def test_quotes_that_are_text_are_found_between_tabs(name):
    quoting, content = QUOTED[name]
    dialect, _, found = find_dialect(content.encode(), True, SourceSettings(path="-"), tabs=True)
    assert dialect.quoting == (quoting == "on")
    assert found == ({} if dialect.quoting else {"quoting": "off"})
    assert find_dialect(content.encode(), True, SourceSettings(path="-", quoting=True), tabs=True)[0].quoting
    assert find_dialect(content.replace("\t", ",").encode(), True, SourceSettings(path="-"), tabs=False)[0].quoting


texts = st.text(st.characters(exclude_characters="\t\r\n\0", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(texts, texts), max_size=6), st.sampled_from(["\n", "\r\n"]))
@quick
def test_with_quoting_off_every_text_without_tab_and_line_break_comes_back(scratch, rows, newline):
    assume(not any(first.startswith("\ufeff") for first, _ in rows))
    content = newline.join("\t".join(row) for row in [("a", "b"), *rows])
    values, rejected, _ = read(scratch / "off.tsv", content, kind="tsv", quoting=False, encoding="utf-8")
    assert (values, rejected) == ([(a or None, b or None) for a, b in rows], [])


HEADERS = {
    "in the first line": ("a,b\n1,2\n", 1, {}),
    "after empty lines": ("\n\r\na,b\n1,2\n", 3, {"header": "line 3"}),
    "after a comment": ("# made by us, today\na,b\n1,2\n", 2, {"comment": "'#' (1 line before the header)"}),
    "after comments": ("#made by us\n#\n\na,b\n1,2\n", 4, {"comment": "'#' (2 lines before the header)"}),
    "after a semicolon comment": ("# made; by us\n#,,,\na,b\n1,2\n", 3, {"comment": "'#' (2 lines before the header)"}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_the_header_is_found(scratch, name):
    content, line, more = HEADERS[name]
    rows, rejected, found = read(scratch / "h.csv", content + "x\n")
    assert (rows, rejected) == ([("1", "2")], [("csv:field_count", ["x"], line + 2)])
    assert found == ({"header": f"line {line}"} if line > 1 else {}) | more


def test_a_header_may_begin_with_a_hash(scratch):
    for content in ("#a,b\n1,2\n", "# some, more, notes\n#a,b\n1,2\n"):
        assert read(scratch / "h.csv", content, {"#a": Column(), "b": Column()})[0] == [("1", "2")]
    assert read(scratch / "h.csv", "#a\n", {"#a": Column()})[0] == []


def test_a_given_header_is_taken(scratch):
    content = "title\nmore, to say\na,b\n1,2\nx\n"
    rows, rejected, found = read(scratch / "h.csv", content, header=3)
    assert (rows, found) == ([("1", "2")], {})
    assert rejected == [("csv:field_count", ["x"], 5)]
    rows, rejected, _ = read(scratch / "h.csv", "1,2\nx\n3,4\n", header=("a", "b"))
    assert (rows, rejected) == ([("1", "2"), ("3", "4")], [("csv:field_count", ["x"], 2)])
    assert read(scratch / "h.csv", "\n#1,2\n", header=("a", "b"))[0] == [("#1", "2")]
    assert read(scratch / "h.csv", "\ufeff1,2\n", header=("a", "b"))[0] == [("1", "2")]
    assert read(scratch / "h.csv", "", header=("a", "b"))[0] == []
    assert read(scratch / "h.csv", "1,2\r3,4\r", header=("a", "b"))[0] == [("1", "2"), ("3", "4")]


def test_a_header_after_the_end_of_the_file_is_refused(scratch):
    with pytest.raises(SourceError, match=r"h\.csv: header: 5, but the first 1,048,576 bytes have fewer lines"):
        read(scratch / "h.csv", "a,b\n1,2\n", header=5)


def test_given_comments_are_skipped_everywhere_but_in_quotes(scratch):
    content = '%% one\n\na,b\n1,2\n%% two, "three\n"x\n%% y",3\n\n%%\n5,6\n%'
    rows, rejected, found = read(scratch / "c.csv", content, comment="%%")
    assert rows == [("1", "2"), ("x\n%% y", "3"), ("5", "6")]
    assert rejected == [("csv:field_count", ["%"], 11)]
    assert found == {"header": "line 3"}


@given(st.lists(st.sampled_from(["1,2\n", '"x\ny",3\r\n', "# 1,2\n", '#"\n', '"z\n', "\n", "4,5\n"]), max_size=12))
@quick
def test_comments_change_nothing_but_where_records_stand(scratch, lines):
    content = "a,b\n" + "".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_windows, "WINDOW", 16)
        rows, rejected, _ = read(scratch / "c.csv", content, comment="#")
    plain, refused, _ = read(scratch / "p.csv", "a,b\n" + "".join(line for line in lines if line[0] != "#"))
    if '"z\n' not in lines:
        assert (rows, rejected) == (plain, refused) == (plain, [])
    assert [original for _, original, _ in rejected if isinstance(original, str)] == [
        original for _, original, _ in refused if isinstance(original, str)
    ]


def test_what_is_found_is_found_in_a_large_file_as_well(scratch):
    content = "x;" * 30 + "\n" + "# no comment\n" + "y;" * 30 + "\n"
    content += ("z;" * 30 + "\n") * (SAMPLE // 60)
    dialect, _, found = find_dialect(content.encode()[:SAMPLE], False, SourceSettings(path="-"), tabs=False)
    assert (dialect.delimiter, found) == (";", {"delimiter": "';'"})


def test_no_header_is_told_with_what_to_do(scratch):
    with pytest.raises(MissingColumns, match=r"give the names of its columns: header: \[a, b\]"):
        read(scratch / "n.csv", "1,2\n3,4\n")
