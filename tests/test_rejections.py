import json
from pathlib import Path

import polars as pl
import pytest
from examples import write_jsonl
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.errors import OutputError
from sftdata.records import no_rejections
from sftdata.rejections import (
    add_reasons,
    describe_origin,
    describe_rejected,
    describe_repeated,
    file_aside,
    merge_rejected,
    rejected_line,
    write_rejected,
)
from sftdata.schema import Schema
from sftdata.settings.sources import SourceSettings
from sftdata.sources import find_sources, read_chunks
from sftdata.sources.source import Source
from sftdata.stages.validation import validate_rows
from sftdata.uniqueness import Uniqueness, make_keys

NAMES = ["b.csv", "a.csv", "c.csv"]
"""Sources in the order in which they are read, which is not that of their names."""

SOURCES = [Source(Path(name), name, "0" * 8, "csv") for name in NAMES]

originals = st.dictionaries(texts, texts | st.none() | st.integers(), max_size=2) | st.sampled_from(
    ["\udc80", "a\udcff\n"]
)
places = st.sets(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=12).map(sorted)


def row(place, reason, original="x"):
    source, record = place
    words = {"reason": reason, "reasons": [reason], "detail": f"{reason} of {record}", "format": "csv"}
    return {"source": NAMES[source], "record": record, "line": record + 1, "stage": "s", **words, "original": original}


def place_of(row):
    return NAMES.index(row["source"]), row["record"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("rejected") / "r.jsonl"


@given(early=places, late=places, original=originals)
@example(early=[], late=[], original="x")
@example(early=[(0, 1)], late=[], original="x")
@example(early=[], late=[(2, 3)], original="x")
@example(early=[(0, 9), (1, 1)], late=[(0, 9), (0, 10), (1, 1), (2, 1)], original={"a": "\udc80"})
@quick
def test_merged_rows_stand_in_the_order_of_reading_and_none_is_lost(file, early, late, original):
    with file.open("w", encoding="utf-8") as lines:
        write_rejected(lines, (row(place, "early", original) for place in early))
    merge_rejected(file, (row(place, "late", original) for place in late), SOURCES)
    text = file.read_text(encoding="utf-8")
    merged = [json.loads(line) for line in text.split("\n")[:-1]]
    assert text == "".join(map(rejected_line, merged))
    assert list(map(place_of, merged)) == sorted({*early, *late})
    for found in merged:
        place = place_of(found)
        reasons = ["early"] * (place in early) + ["late"] * (place in late)
        assert found["reasons"] == reasons
        assert found["reason"] == reasons[0]
        assert found["detail"] == "; ".join(f"{reason} of {place[1]}" for reason in reasons)
        assert found["original"] == original
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@given(texts, originals)
@example("\n\u2028\x85", "\ud800")
@quick
def test_a_line_is_one_line_of_utf_8_and_gives_the_row_back(detail, original):
    given_row = {**row((0, 1), "r", original), "detail": detail}
    line = rejected_line(given_row)
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert json.loads(line.encode()) == given_row


def test_the_keys_of_a_line_stand_in_a_fixed_order_and_a_line_number_only_where_there_is_one():
    shuffled = dict(reversed(row((0, 1), "r").items()))
    names = ["source", "record", "line", "stage", "reason", "reasons", "detail", "format", "original"]
    assert list(json.loads(rejected_line(shuffled))) == names
    del shuffled["line"]
    assert list(json.loads(rejected_line(shuffled))) == [name for name in names if name != "line"]


def test_reasons_that_come_late_are_added_and_the_first_stays():
    both = add_reasons(row((0, 1), "a"), {**row((0, 1), "b"), "detail": ""})
    assert (both["reason"], both["reasons"], both["detail"]) == ("a", ["a", "b"], "a of 1")


SCHEMA = Schema.model_validate(
    {
        "name": "s",
        "columns": {"id": {"unique": True}, "n": {"dtype": "int", "nullable": True}},
        "unique": ["id", "n"],
    }
)


def test_rows_that_share_a_value_are_told_with_what_and_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(
        tmp_path / "b.jsonl", [{"id": "x", "n": 1}, {"id": "y", "n": 1}, {"id": 5, "n": 1}, {"id": "x", "n": 1}]
    )
    write_jsonl(tmp_path / "a.jsonl", [{"id": "z" * 500, "n": None}, {"id": "x", "n": 2}, {"id": "z" * 500, "n": 3}])
    sources = find_sources([SourceSettings(path=name) for name in ("b.jsonl", "a.jsonl")], tmp_path)
    keeper = Uniqueness()
    for source in sources:
        for chunk in read_chunks(source):
            parsed = chunk.parse(SCHEMA.columns)
            records = pl.Series([chunk.first_record + at for at in parsed.positions], dtype=pl.Int64)
            rows = parsed.frame.with_columns(records.alias("@record"), pl.lit(source.name).alias("@source"))
            keeper.add(source.name, make_keys(rows, validate_rows(rows, SCHEMA).rejected.to_dicts(), SCHEMA.uniques))
    repeated = keeper.find_repeated()
    late = list(describe_repeated(sources, SCHEMA, repeated))
    assert [(r["source"], r["record"], r["reasons"]) for r in late] == [
        ("b.jsonl", 1, ["id:unique", "row:unique"]),
        ("b.jsonl", 4, ["id:unique", "row:unique"]),
        ("a.jsonl", 1, ["id:unique"]),
        ("a.jsonl", 2, ["id:unique"]),
        ("a.jsonl", 3, ["id:unique"]),
    ]
    assert late[0]["detail"] == "id: found 'x', which 3 rows have; id: found 'x', n: found 1, which 2 rows have"
    assert late[0]["original"] == {"id": "x", "n": 1}
    assert late[1]["line"] == 4
    assert len(late[2]["detail"]) < 200
    again = {(r["source"], r["record"]): r for r in describe_rejected(sources, repeated)}
    assert [again[r["source"], r["record"]]["original"] for r in late] == [r["original"] for r in late]
    assert [again[r["source"], r["record"]]["line"] for r in late] == [r["line"] for r in late]
    assert list(describe_repeated(sources, SCHEMA, repeated[:0])) == []
    assert list(describe_rejected(sources, no_rejections())) == []


def test_an_origin_has_no_line_where_the_format_has_none(tmp_path):
    pl.DataFrame({"id": ["a", "b"]}).write_parquet(tmp_path / "p.parquet")
    (source,) = find_sources([SourceSettings(path="p.parquet")], tmp_path)
    (chunk,) = read_chunks(source)
    assert describe_origin(chunk, 1) == {"format": "parquet", "original": {"id": "b"}}


def test_a_file_aside_appears_when_the_block_ends_well_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "r.jsonl"
    with file_aside(path) as aside:
        aside.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    with pytest.raises(ZeroDivisionError), file_aside(path) as aside:
        aside.write_text(str(1 / 0))
    assert path.read_text() == "x"
    assert [found.name for found in path.parent.iterdir()] == ["r.jsonl"]


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(OutputError, match=r"r\.jsonl cannot be written"), file_aside(tmp_path / "f" / "r.jsonl"):
        pass
