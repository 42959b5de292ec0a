import json

import polars as pl
import pytest
from json_cases import outcomes

from sftdata.column import Column
from sftdata.rejections import describe_origin, rejected_line
from sftdata.sources import read_chunks, rejected
from sftdata.sources.source import Source

COLUMNS = {
    "text": Column(),
    "label": Column(nullable=True, required=False, coerce=True),
    "n": Column(dtype="int", nullable=True),
    "f": Column(dtype="float", nullable=True, required=False),
    "l": Column(dtype="list[str]", nullable=True),
    "m": Column(dtype="messages", nullable=True),
}


def read_all(path, kind):
    """Return the values or reasons of each record, and its original."""
    found, originals = [], []
    for chunk in read_chunks(Source(path, path.name, "0" * 8, kind)):
        found += outcomes(chunk.parse(COLUMNS), len(chunk))
        originals += [chunk.original(position) for position in range(len(chunk))]
    return found, originals


def reject_all(path, kind, to):
    """Write every record of a file as rejected: for its own reasons, or for one of a check."""
    with to.open("w") as file:
        for chunk in read_chunks(Source(path, path.name, "0" * 8, kind)):
            of_record = {}
            for fault in chunk.parse(COLUMNS).faults:
                of_record.setdefault(fault.position, []).append(fault)
            for position in range(len(chunk)):
                faults = of_record.get(position, [])
                reasons = [fault.reason for fault in faults] or ["text:not_blank"]
                row = {"source": path.name, "record": chunk.first_record + position, "stage": "read"}
                row |= {"reason": reasons[0], "reasons": reasons, "detail": "; ".join(fault.detail for fault in faults)}
                origin = describe_origin(chunk, position)
                file.write(rejected_line(row | origin | {"format": kind if kind != "rejected" else origin["format"]}))


JSON_LINES = rb"""{"text":"good","n":1,"f":1.5,"l":["a"],"m":[{"role":"user","content":"a","x":1.5}]}
{"text":"good","label":3}
{"text":5,"n":"x"}
{"text":"a","text":"b"}
{"f":NaN}
{"f":1e999}
null
"text"
[1, 2]
{broken
"not text
"""
JSON_LINES += b'{"text":"\xff"}\n\xef\xbb\xbf{"text":"a"}\n' + b'{"text":' + b"[" * 600 + b"]" * 600 + b"}\n"
CSV = b"""text,label,n,f,l,m
good,3,1,1.5,"[""a""]","[{""role"": ""user"", ""content"": ""a"", ""x"": 1}]"
good,,,,,
"",x,1,,,
a,b,x,y,z,5
a,b
a,b,1,2,,,,
"a"b,c,,,,
bad \xff,b,,,,
nul \0,b,,,,
\xef\xbb\xbfa,b,,,,
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(JSON_LINES)
    (tmp_path / "in.json").write_bytes(b"[" + JSON_LINES.splitlines()[0] + b', {"text": oops}, {"text": 5}]')
    (tmp_path / "in.csv").write_bytes(CSV)
    pl.DataFrame(
        {
            "text": ["good", None, "a"],
            "n": ["1", "x", None],
            "l": ['["a"]', "a", None],
            "m": [[{"role": "user", "content": "a", "x": None}], [{"role": "user", "content": None, "x": 1}], None],
        }
    ).write_parquet(tmp_path / "in.parquet")
    return tmp_path


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_what_was_rejected_reads_as_it_did_in_its_own_file(files, kind):
    source, once, twice = files / f"in.{kind}", files / "once.jsonl", files / "twice.jsonl"
    first, originals = read_all(source, kind)
    assert any(isinstance(outcome, list) for outcome in first)
    assert any(isinstance(outcome, dict) for outcome in first)
    reject_all(source, kind, once)
    assert read_all(once, "rejected") == (first, originals)
    if kind in ("jsonl", "json"):
        reject_all(once, "rejected", twice)
        assert read_all(twice, "rejected") == (first, originals)


def repaired(path, kind, mend):
    reject_all(path, kind, path.with_name("r.jsonl"))
    rows = [json.loads(line) for line in path.with_name("r.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, "original": mend(row["original"])}) for row in rows]
    path.with_name("r.jsonl").write_text("\n".join(lines))
    return read_all(path.with_name("r.jsonl"), "rejected")[0]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_repaired_originals_are_accepted(files, kind):
    found = repaired(files / f"in.{kind}", kind, lambda original: {"text": "mended", "n": 7, "label": "b"})
    assert {(row["text"], row["n"], row["label"], row["m"]) for row in found} == {("mended", 7, "b", None)}


def test_the_text_of_a_json_line_can_be_repaired_as_text(files):
    found = repaired(files / "in.jsonl", "jsonl", lambda original: '{"text":"mended","label":1.10}')
    assert {(row["text"], row["label"]) for row in found} == {("mended", "1.10")}


def test_cells_of_csv_may_be_repaired_as_text_or_as_values(files):
    found = repaired(
        files / "in.csv", "csv", lambda original: {"text": "", "n": "7", "label": 1.10, "f": 2, "l": ["a"]}
    )
    assert {(row["text"], row["n"], row["label"], row["f"]) for row in found} == {(None, 7, "1.1", 2.0)}
    assert found[0]["l"] == ["a"]
    found = repaired(files / "in.csv", "csv", lambda original: {"text": "a", "n": [7], "f": "x"})
    assert found[0] == ["n:dtype", "f:dtype"]


def test_a_record_that_was_too_large_stays_so_until_it_is_a_record(tmp_path):
    row = {"source": "a", "record": 1, "stage": "read", "reason": "json:record_size", "detail": "d", "original": "{"}
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "original": {"text": "a"}}))
    found, _ = read_all(tmp_path / "r.jsonl", "rejected")
    assert found[0] == ["json:record_size"]
    assert found[1]["text"] == "a"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hello", "json:syntax"),
        ("null", "json:not_an_object"),
        ("{}", "json:not_an_object"),
        ("\ufeff{}", "encoding:bom"),
    ],
)
def test_a_line_that_holds_no_original_is_rejected(tmp_path, line, reason):
    (tmp_path / "r.jsonl").write_text('{"original": {"text": "a"}}\n' + line)
    found, originals = read_all(tmp_path / "r.jsonl", "rejected")
    assert found[0]["text"] == "a"
    assert found[1] == [reason]
    assert originals[1] == (line if reason != "json:not_an_object" else json.loads(line))


def test_the_details_say_that_nothing_was_repaired(files):
    reject_all(files / "in.csv", "csv", files / "r.jsonl")
    (chunk,) = read_chunks(Source(files / "r.jsonl", "r.jsonl", "0" * 8, "rejected"))
    details = [fault.detail for fault in chunk.parse(COLUMNS).faults if fault.reason == "csv:field_count"]
    assert details
    assert all("still so: write the original as an object" in detail for detail in details)
    assert rejected.format_of(chunk.content, 0) == "csv"
    assert chunk.line(3) == 4


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"source":"a","record":1,"stage":"read","reason":"x","reasons":["x"],"detail":"","original":null}\n', True),
        (b'{"source":"a","record":1,"stage":"read","reason":"x"}', False),
        (b'{"text":"a"}', False),
        (b"[1]", False),
        (b"", False),
        (b'{"source"', False),
    ],
)
def test_a_file_of_rejected_rows_is_known_by_its_first_line(line, expected):
    assert rejected.looks_like_rejected(line) is expected


def test_an_empty_file_has_no_chunk(tmp_path):
    (tmp_path / "r.jsonl").touch()
    assert read_all(tmp_path / "r.jsonl", "rejected") == ([], [])
