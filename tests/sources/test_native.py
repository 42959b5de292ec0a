"""The compiled scanner: made from the sources that are here, equal to what is done in Python, and safe to call."""

import random
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import quick

from sftdata.sources import csv_records, csv_scan, native
from sftdata.sources.csv_judge import Block
from sftdata.sources.dialect import Dialect

SIGNS = ['"', ",", "\n", "\r\n", "\r", "a", "bc", '"a"', '"a,b"', '""', "", "x" * 70, "é", "\0"]
WEIGHTS = [0.05, 4, 4, 1, 0.02, 4, 4, 2, 2, 0.2, 1, 1, 0.1, 0.1]


def parse(content, starts, ends, width, places=None, quoting=True):
    places = list(range(width)) if places is None else places
    records = np.array(starts, np.int64), np.array(ends, np.int64)
    return native.scan.parse_cells(content, *records, ord(","), quoting, width, places)


def take(columns):
    return [pl.Series(native.Exported(capsules)).to_list() for capsules in columns]


def test_the_module_is_compiled_and_of_the_sources_that_are_here():
    assert native.scan is not None, "compile it: python hatch_build.py"


def test_a_module_of_other_sources_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "__file__", str(tmp_path / "__init__.py"))
    assert native._is_current(native.scan)  # where it was installed there are no sources
    (tmp_path / "module.c").write_text("/* changed */")
    assert not native._is_current(native.scan)


def is_plain(data):
    return data.isascii() and b"\0" not in data


def test_it_finds_the_places_of_records_that_numpy_finds():
    draw, found_some = random.Random(6), 0  # noqa: S311  # no secret
    for _ in range(5000):
        content = "".join(draw.choices(SIGNS, WEIGHTS, k=draw.randrange(60)))
        block = Block(bytearray(content.encode()), draw.random() < 0.5)
        given = block, draw.randrange(len(content) + 9), draw.randrange(1, 20), Dialect(header=("a", "b"))
        found = csv_records.find_compiled(*given)
        if found is None:
            continue
        expected = csv_scan.find_records(*given)
        assert [list(part) for part in found[:3]] == [list(part) for part in expected[:3]]
        assert found[3:] == (*expected[3:-1], found.plain)
        assert is_plain(block.data) <= found.plain <= is_plain(block.data[: found.end])
        found_some += len(found.starts) > 1
    assert found_some > 300


def test_cells_of_any_size_are_kept_with_their_nulls():
    cells = ["", "x", "y" * 12, "z" * 13, 'say "so"', "中" * 5, "long " * 1000]
    rows = [(one, two) for one in cells for two in cells]
    written = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = ("\n".join(written) + "\n").encode()
    ends = np.cumsum([len(line.encode()) + 1 for line in written])
    columns, ragged = parse(content, np.append(0, ends[:-1]), ends, 2)
    assert not ragged
    expected = [[row[place] or None for row in rows] for place in range(2)]
    assert take(columns) == expected
    again, _ = parse(content, np.append(0, ends[:-1]), ends, 2)
    arrays = [pa.array(native.Exported(capsules)) for capsules in again]
    for array, values in zip(arrays, expected, strict=True):
        array.validate(full=True)
        assert array.to_pylist() == values


def test_records_may_have_gaps_between_them_or_be_none():
    content = b'a,b\njunk,"\nc,d,e\r\nf,g'
    columns, ragged = parse(content, [0, 11, 18], [4, 18, 21], 2, [1])
    assert take(columns) == [["b", "g"]]
    assert ragged == [(1, 3)]
    columns, ragged = parse(content, [], [], 2)
    assert take(columns) == [[], []]
    assert ragged == []


@pytest.mark.parametrize("record", [b'"a"b,c\n', b'"a,b\n', b'a,"b""\n', b'"'])
def test_what_is_not_valid_is_left_to_others(record):
    assert parse(record, [0], [len(record)], 2) is None


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_column_that_is_kept_keeps_no_other():
    line, before = ("x" * 2**19 + ",label\n").encode(), resident()
    kept = [pl.Series(native.Exported(parse(line, [0], [len(line)], 2)[0][1])) for _ in range(200)]
    assert resident() - before < 50e6
    assert pl.concat(kept).to_list() == ["label"] * 200


def test_columns_are_freed_with_the_frame_and_where_nobody_takes_them():
    line = ("x" * 2**19 + "," + "y" * 2**19 + "\n").encode()
    before = resident()
    for number in range(200):
        columns, _ = parse(line, [0], [len(line)], 2)
        if number % 2:
            assert [len(text[0]) for text in take(columns)] == [2**19, 2**19]
    assert resident() - before < 50e6


@pytest.mark.parametrize(("starts", "ends"), [([-1], [5]), ([0], [9]), ([5], [0]), ([0, 3], [4, 5]), ([3, 0], [5, 3])])
def test_offsets_that_lead_outside_or_back_are_refused(starts, ends):
    with pytest.raises(ValueError, match="records must rise"):
        parse(b"a,b\n\n", starts, ends, 2)


def test_too_short_arrays_and_fields_that_are_none_are_refused():
    with pytest.raises(ValueError, match="ends: found 0 bytes, expected 1 of int64"):
        parse(b"a,b\n", [0], [], 2)
    one, none = np.zeros(1, np.int64), np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="lines: found 0 bytes, expected 1 of int64"):
        native.scan.find_records(b"a\n", 2, True, 1, ord(","), True, 1, one, one, none)
    for places in ([2], [-1], [0, 0]):
        with pytest.raises(ValueError, match="places: found"):
            parse(b"a,b\n", [0], [4], 2, places)
    with pytest.raises(TypeError):
        parse(b"a,b\n", [0], [4], 2, ["0"])


@given(
    st.lists(
        st.sampled_from(["a", "é", "中", "😀", b"\xff", b"\xc3", b"\xe4\xb8", b"\xed\xa0\x80", b"\xc0\x80", b"\x80"])
    )
)
@settings(quick, max_examples=500)
def test_what_is_utf8_is_what_python_decodes(parts):
    content = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    try:
        expected = content.decode() is not None
    except UnicodeDecodeError:
        expected = False
    assert native.scan.is_utf8(content) == native.scan.is_utf8(b"x" * 9 + content) == expected
