"""The compiled scanner: made from the sources that are here, equal to what is done in Python, and safe to call."""

import random
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from sftdata.sources import csv_records, csv_scan, native
from sftdata.sources.csv_judge import Block
from sftdata.sources.dialect import Dialect

SIGNS = ['"', ",", "\n", "\r\n", "\r", "a", "bc", '"a"', '"a,b"', '""', "", "x" * 70]


def parse(content, starts, ends, width, places=None, names=None, quoting=True):
    places = list(range(width)) if places is None else places
    places_of_records = np.array(starts, np.int64), np.array(ends, np.int64)
    names = names or [str(place) for place in places]
    return native.scan.parse_cells(content, *places_of_records, ord(","), quoting, width, places, names)


def test_the_module_is_compiled_and_of_the_sources_that_are_here():
    assert native.scan is not None, "compile it: python hatch_build.py"


def test_a_module_of_other_sources_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "__file__", str(tmp_path / "__init__.py"))
    assert native._is_current(native.scan)  # where it was installed there are no sources
    (tmp_path / "module.c").write_text("/* changed */")
    assert not native._is_current(native.scan)


def test_it_finds_the_places_of_records_that_numpy_finds():
    draw, found_some = random.Random(6), 0  # noqa: S311  # no secret
    for _ in range(5000):
        content = "".join(draw.choices(SIGNS, [0.05, 4, 4, 1, 0.02, 4, 4, 2, 2, 0.2, 1, 1], k=draw.randrange(60)))
        block = Block(bytearray(content.encode()), draw.random() < 0.5)
        given = block, draw.randrange(len(content) + 9), draw.randrange(1, 20), Dialect(header=("a", "b"))
        found = csv_records.find_compiled(*given)
        if found is None:
            continue
        expected = csv_scan.find_records(*given)
        assert [list(part) for part in found[:3]] == [list(part) for part in expected[:3]]
        assert found[3:] == expected[3:]
        found_some += len(found.starts) > 1
    assert found_some > 300


def test_cells_of_any_size_are_kept_with_their_nulls():
    cells = ["", "x", "y" * 12, "z" * 13, 'say "so"', "中" * 5, "long " * 1000]
    rows = [(one, two) for one in cells for two in cells]
    written = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = ("\n".join(written) + "\n").encode()
    ends = np.cumsum([len(line.encode()) + 1 for line in written])
    capsules, ragged = parse(content, np.append(0, ends[:-1]), ends, 2)
    frame = pl.DataFrame(native.Columns(capsules))
    assert not ragged
    assert frame.rows() == [tuple(cell or None for cell in row) for row in rows]
    again, _ = parse(content, np.append(0, ends[:-1]), ends, 2)
    table = pa.table(pa.record_batch(native.Columns(again)))
    table.validate(full=True)
    assert table.to_pylist() == frame.to_dicts()


def test_records_may_have_gaps_between_them_or_be_none():
    content = b'a,b\njunk,"\nc,d,e\r\nf,g'
    capsules, ragged = parse(content, [0, 11, 18], [4, 18, 21], 2, [1], ["second"])
    assert pl.DataFrame(native.Columns(capsules)).to_dict(as_series=False) == {"second": ["b", "g"]}
    assert ragged == [(1, 3)]
    capsules, ragged = parse(content, [], [], 2)
    assert pl.DataFrame(native.Columns(capsules)).shape == (0, 2)
    assert ragged == []


@pytest.mark.parametrize("record", [b'"a"b,c\n', b'"a,b\n', b'a,"b""\n', b'"'])
def test_what_is_not_valid_is_left_to_others(record):
    assert parse(record, [0], [len(record)], 2) is None


def test_columns_are_freed_with_the_frame_and_where_nobody_takes_them():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    line = ("x" * 2**19 + "," + "y" * 2**19 + "\n").encode()
    before = resident()
    for number in range(200):
        capsules, _ = parse(line, [0], [len(line)], 2)
        if number % 2:
            assert len(pl.DataFrame(native.Columns(capsules))) == 1
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
    with pytest.raises(ValueError, match="each place must have a name"):
        parse(b"a,b\n", [0], [4], 2, [0], ["a", "b"])
    with pytest.raises(TypeError):
        parse(b"a,b\n", [0], [4], 2, ["0"], ["a"])
