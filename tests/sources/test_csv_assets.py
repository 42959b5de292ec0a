"""Messy files that others collected read right, or are refused with the right reason."""

import pytest

from sftdata.column import Column
from sftdata.settings.sources import SourceSettings
from sftdata.sources import read_chunks
from sftdata.sources.source import Source

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("scanner")]


def read(path, names, **given):
    """Return the rows of a file, its rejected records, and what was found out about it."""
    columns = {name: Column(nullable=True) for name in names}
    source = Source(path, path.name, "0" * 8, path.suffix[1:], SourceSettings(path=str(path), **given))
    rows, rejected, found = [], [], {}
    for chunk in read_chunks(source):
        parsed = chunk.parse(columns)
        rows += parsed.frame.rows()
        rejected += [(fault.reason, chunk.line(fault.position)) for fault in parsed.faults]
        found = dict(chunk.found)
    return rows, rejected, found


MESSY = {
    "bad.csv": (
        ["column_a", "column_b", "column_c"],
        [("0", "mixed types.... uh oh", "17")],
        [("csv:field_count", 2), ("csv:field_count", 3)],
    ),
    "mac_newlines.csv": (["a", "b", "c"], [("1", "2", "3"), ("Once upon\ra time", "5", "6")], []),
    "null_byte.csv": (["a", "b", "c"], [], [("csv:nul_byte", 2)]),
    "test_header_newline.csv": (["b", "c"], [("e", "f")], []),
    "test_utf8_bom.csv": (["foo", "bar", "baz"], [("1", "2", "3"), ("4", "5", "ʤ")], []),
    "test_utf16_big.csv": (["a", "b", "c"], [("1", "2", "3"), ("4", "5", "ʤ")], []),
}


@pytest.mark.parametrize("name", MESSY)
def test_a_messy_file_reads_right(assets, name):
    columns, rows, rejected = MESSY[name]
    assert read(assets / "csv" / name, columns)[:2] == (rows, rejected)


def test_latin_1_reads_right_where_it_is_given_and_loses_one_row_where_not(assets):
    path, names = assets / "csv" / "test_latin1.csv", ["a", "b", "c"]
    assert read(path, names, encoding="latin-1")[:2] == ([("1", "2", "3"), ("4", "5", "©")], [])
    assert read(path, names, encoding="utf-8")[:2] == ([("1", "2", "3")], [("encoding:utf-8", 3)])


def test_a_large_file_of_others_has_every_row(assets):
    rows, rejected, found = read(assets / "csv" / "ks_1033_data.csv", ["item_name", "total_cost"])
    assert (len(rows), rejected, found) == (1575, [], {})
    assert rows[0] == ("RIFLE,5.56 MILLIMETER", "499")


def test_reviews_without_a_header_keep_their_quotes(assets):
    path = assets / "vader_movieReviewSnippets.tsv"
    rows, rejected, found = read(path, ["id", "score", "text"], header=("id", "score", "text"))
    assert (len(rows), rejected, found) == (10_605, [], {})
    assert (rows[0][:2], rows[-1][0]) == (("1", "2.26666666667"), "10605")
    assert sum('"' in text for _, _, text in rows) == 1
