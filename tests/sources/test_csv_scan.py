"""Whatever a file holds, and whichever way its records are found, they are what the standard library's reader says."""

import csv
import io
import random
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import quick

from sftdata.column import Column
from sftdata.settings.sources import SourceSettings
from sftdata.sources import csv as source_csv
from sftdata.sources import csv_cells, csv_records, csv_scan, csv_windows, parsing, read_chunks
from sftdata.sources.source import Source

pytestmark = pytest.mark.usefixtures("scanner")

COLUMNS = {name: Column(nullable=True, required=False) for name in "abc"}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scan")


class Row(NamedTuple):
    """One record: its line, its reasons or values, and what stood there."""

    line: int
    verdict: set[str] | tuple[str | None, ...]
    original: Any


def judge(content: bytes, delimiter: str = ",") -> list[Row]:
    """Say what the records of a file are: simple, quadratic, and sharing no code with the reader."""
    lines = re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", content.decode("utf-8", "surrogateescape"))
    first, header, size = _judge_next(lines, delimiter, None)
    old_mac = first.endswith("\r")
    rows: list[Row] = []
    group: list[Any] = []
    number = size
    while number < len(lines):
        text, fields, size = _judge_next(lines[number:], delimiter, len(header))
        place = 1 + sum(line.endswith(("\r", "\n") if old_mac else "\n") for line in lines[:number])
        number += size
        group.append((place, text, fields))
        if old_mac or text.endswith("\n") or number == len(lines):
            while group and group[0][2] == []:
                group.pop(0)
            rows += _judge_group(group, header)
            group = []
    return rows


def _judge_next(lines, delimiter, width):
    used = []
    try:
        fields = next(csv.reader((used.append(line) or line for line in lines), delimiter=delimiter, strict=True))
    except csv.Error:
        return lines[0], None, 1
    if len(used) > 1 and len(fields) != (width or len(fields)):
        return lines[0], None, 1
    return "".join(used), fields, len(used)


def _judge_group(group, header):
    records = [piece for piece in group if piece[2] != []]
    fit = all(fields and len(fields) == len(header) for _, _, fields in records)
    if len(records) > 1 and (len(header) == 1 or not fit):
        return [Row(group[0][0], {"csv:newline"}, "".join(text for _, text, _ in group))]
    return [_judge_fields(*piece, header) for piece in records]


def _judge_fields(line, text, fields, header):
    if fields is None:
        return Row(line, {"csv:quoting"}, text)
    reasons = {"csv:nul_byte"} if "\0" in text else set()
    reasons |= {"encoding:bom"} if text.startswith("\ufeff") else set()
    reasons |= {"encoding:utf-8"} if re.search("[\udc80-\udcff]", text) else set()
    if not reasons and len(fields) != len(header):
        reasons = {"csv:field_count"}
    fits = len(fields) == len(header)
    named = dict(zip(header, fields, strict=True)) if fits else {}
    return Row(line, reasons or tuple(named.get(name) or None for name in COLUMNS), named or fields)


def read(path, content: bytes, **given: Any) -> list[Row]:
    """Return what our reader says."""
    path.write_bytes(content)
    given = {"delimiter": ",", "quoting": True, "encoding": "utf-8", **given}
    rows: list[Row] = []
    for chunk in read_chunks(Source(path, path.name, "0" * 8, "csv", SourceSettings(path=str(path), **given))):
        assert chunk.first_record == len(rows) + 1
        parsed = chunk.parse(COLUMNS)
        verdicts: dict[int, Any] = dict(zip(parsed.positions, parsed.frame.rows(), strict=True))
        for fault in parsed.faults:
            assert isinstance(verdicts.setdefault(fault.position, set()), set)
            verdicts[fault.position].add(fault.reason)
        assert sorted(verdicts) == list(range(len(chunk)))
        rows += [Row(chunk.line(p), verdicts[p], chunk.original(p)) for p in range(len(chunk))]
    return rows


cells = st.one_of(
    st.text('",\r\n aé\0', max_size=5),
    st.sampled_from(["x", "1", "a b", '5" disk', 'say "hi" to', 'said "hi"', '"', '""', "\ufeffx", "中文", "\ufeff"]),
)
whole = st.builds(lambda cell: '"' + cell.replace('"', '""') + '"', cells)
written = cells.filter(lambda cell: not set(cell) & set('",\r\n')) | whole
good = st.tuples(written, written).map(",".join)
odd = st.one_of(
    st.lists(cells | whole, min_size=1, max_size=4).map(",".join),
    st.sampled_from(
        ["", '"open,1', '1,"open', '"shut"ish,1', 'a,"b" "c"', 'a","b', ',"', '"', 'it ends",x,y', "x\ry,z"]
    ),
)
breaks = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r\n", "\r", "\n\n", "\r\r\n"])
pieces = st.lists(st.tuples(good | good | good | odd, breaks), max_size=12)
mutations = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff", b""])), max_size=3
)


def mutate(content: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for place, new in changes:
        content = content[:place] + new + content[place + 1 :]
    return content


files = st.builds(
    lambda rows, end, changes: mutate("".join(map("".join, rows)).encode() + end, changes),
    pieces,
    st.sampled_from([b"", b"", b"last,1", b'last,"op', b"las", b"\xef\xbb\xbfa,b\nx,y"]),
    mutations,
)


@given(
    files,
    st.sampled_from([b"a,b", b"a,b", b"b,x,a", b"a"]),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.integers(8, 60),
    st.integers(1, 5),
    st.integers(0, 2),
)
@example(b'"open,1\ngood,2\n"x\ny",3\n', b"a,b", b"\n", 30, 5, 0)
@example(b'x,"y\nc,d\n5",e\nf,g\n', b"a,b", b"\n", 8, 5, 0)
@settings(quick, max_examples=400)
def test_every_way_to_find_records_equals_the_judge(scratch, content, header, newline, window, most_rows, way):
    content = header + newline + content
    with pytest.MonkeyPatch.context() as patch:
        if way:  # else in one window
            patch.setattr(csv_windows, "WINDOW", window)
            patch.setattr(csv_windows, "SMALLEST", 1)
            patch.setattr(csv_windows, "SAMPLE", 8)
            patch.setattr(parsing, "CHUNK_ROWS", most_rows)
        if way == 2:  # record by record
            patch.setattr(csv_records, "find_compiled", lambda *given: None)
            patch.setattr(csv_scan, "_find_right", lambda lines, *_: (lines.ends[:0], False))
            patch.setattr(csv_scan, "_look_wrong", lambda lines, *_: lines.ends > 0)
        assert read(scratch / "x.csv", content) == judge(content)


plain = st.text('",\n aé', max_size=6)


@given(st.lists(st.tuples(plain, plain), max_size=30), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["\n", ""]))
@quick
def test_valid_records_are_found_without_the_judge(scratch, rows, newline, end):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=newline).writerows([("a", "b"), *rows])
    content = text.getvalue().removesuffix(newline) + end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_scan, "_find_with_judge", None)
        found = read(scratch / "y.csv", content.encode())
    assert [row.verdict for row in found] == [(a or None, b or None, None) for a, b in rows]


tricky = st.one_of(
    st.text('", aé\t;#', max_size=6), st.sampled_from(["", "x", " x ", "NULL", "\u2028", "\x0b", '"a"', ",", "''"])
)


@given(
    st.lists(st.lists(tricky, min_size=3, max_size=3), min_size=1, max_size=20),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.lists(st.tuples(st.integers(0, 19), st.sampled_from(["x,y", "x", ",", "x,y,z,w", '"x,y"', "x,y,"])), max_size=2),
)
@settings(quick, max_examples=400)
def test_plain_records_hold_what_the_judge_finds(scratch, rows, quoting, strays):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows(rows)
    lines = text.getvalue().split("\n")
    for place, stray in strays:
        lines.insert(min(place, len(lines) - 1), stray)
    content = "\n".join(["a,b,x", *lines]).encode()
    assert read(scratch / "z.csv", content) == judge(content)


@pytest.mark.parametrize("stray", [b"1\n", b"1,2,3\n", b"1,2,\n"])
def test_records_with_more_or_fewer_fields_are_found_among_plain_ones(tmp_path, stray):
    content = b"a,b\n1,2\n" + stray + b"3,4\n"
    found = read(tmp_path / "x.csv", content)
    assert found == judge(content)
    assert len(found) == 3


def test_quotes_are_text_where_quoting_is_off(tmp_path):
    found = read(tmp_path / "x.csv", b'a,b\n"1,2"\n3,"\n', quoting=False)
    assert [row.verdict for row in found] == [('"1', '2"', None), ("3", '"', None)]


def test_both_ways_find_the_same_cells_in_a_large_slice(tmp_path):
    draw = random.Random(5)  # noqa: S311  # no secret
    signs = ["word", " ", ",", '"', '""', "中文", "é", "x,y", "\n", "\r\n"]
    rows = [["".join(draw.choices(signs, k=draw.randrange(30))) for _ in "ab"] + ["end"] for _ in range(40_000)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([["a", "b", "c"], *rows])
    found = read(tmp_path / "x.csv", text.getvalue().encode())
    assert [row.verdict for row in found] == [tuple(cell or None for cell in row) for row in rows]


def test_plain_files_need_no_other_reader_than_the_compiled_one(tmp_path, monkeypatch, scanner):
    monkeypatch.setattr(csv_scan, "find_records", None)
    monkeypatch.setattr(csv_cells, "_read_otherwise", None)
    content = b'a,b\r\n1,"x, ""y"""\r\n,2\r\n\r\n"",3,\r\n"4\n",""\r\n'
    if scanner == "python":
        with pytest.raises(TypeError, match="not callable"):
            read(tmp_path / "x.csv", content)
        return
    verdicts = [("1", 'x, "y"', None), (None, "2", None), {"csv:field_count"}, ("4\n", None, None)]
    assert [row.verdict for row in read(tmp_path / "x.csv", content)] == verdicts


def test_a_damaged_record_of_nothing_but_nuls_is_looked_at_once(tmp_path, monkeypatch):
    seen: list[int] = []
    find = source_csv._find
    monkeypatch.setattr(source_csv, "_find", lambda *given: (seen.append(hit[1]) or hit for hit in find(*given)))
    content = b"a,b\n1,2\n" + b"\0" * 10_000 + b",\0\n" + b"3,4\n"
    found = read(tmp_path / "x.csv", content)
    assert found == judge(content)
    assert [row.verdict for row in found] == [("1", "2", None), {"csv:nul_byte"}, ("3", "4", None)]
    assert len(seen) == 1
