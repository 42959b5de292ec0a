import csv
import io
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from sftdata.errors import NothingToWrite, OutputError, SchemaError, SourceError, TooManyRejected
from sftdata.schema import schema_directory
from sftdata.sources import parsing
from sftdata.validation import EXAMPLES, validate

SAMPLES = Path(__file__).parent.parent / "samples"
TALK = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "ok"}]

RECORDS = {
    "text_label": [
        {"text": "good", "label": "a"},
        {"text": " ", "label": "a", "kept": [1, {"x": None}]},
        {"text": "good", "label": 7},
        {"text": "number", "label": 1.5},
        {"text": None, "label": ""},
        {"text": 5, "label": "a"},
        ["not", "an object"],
        {"label": "中"},
    ],
    "alpaca": [
        {"instruction": "a", "input": "", "output": "b"},
        {"instruction": "a", "output": ""},
        {"instruction": "\u3000", "output": "b", "input": 5},
        {"output": "b"},
        None,
        {"instruction": "a", "output": "b", "system": ["x"]},
    ],
    "messages": [
        {"messages": TALK},
        {"messages": TALK[:1]},
        {"messages": []},
        {"messages": [*TALK, {"role": "tool", "content": "x"}]},
        {"messages": "text"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, TALK[1]]},
        {"messages": [None]},
        {"other": 1},
    ],
    "text_multilabel": [
        {"text": "a", "labels": ["x", "y"]},
        {"text": "a", "labels": []},
        {"text": "a", "labels": "x; y"},
        {"text": "a", "labels": ["x", " "]},
        {"text": "a", "labels": [1]},
        {"text": "a", "labels": None},
        {"text": " ", "labels": {"x": 1}},
    ],
    "text_score": [
        {"text": "a", "score": -1.5},
        {"text": "a", "score": 3},
        {"text": "a", "score": "3"},
        {"text": "a", "score": None},
        {"text": "", "score": True},
    ],
    "source_target": [
        {"source": "a", "target": "b"},
        {"source": "a", "target": "\u3000"},
        {"source": None, "target": "b"},
        {"source": ["a"], "target": "b"},
    ],
    "tokens_tags": [
        {"tokens": ["a", " "], "tags": ["O", "B-X"]},
        {"tokens": ["a", "b"], "tags": ["O"]},
        {"tokens": [], "tags": []},
        {"tokens": "a b", "tags": ["O", "O"]},
        {"tokens": ["a"], "tags": [""]},
        {"tokens": ["a", None], "tags": ["O", "O"]},
    ],
    "prompt_completion": [
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "completion": "b", "system": "s"},
        {"prompt": "a"},
        {"prompt": " ", "completion": 5},
    ],
    "text": [{"text": "a"}, {"text": " "}, {"text": None}, {"text": 5}],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
        {
            "conversations": [
                {"from": "human", "value": "a"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1.10}}'},
                {"from": "observation", "value": "5"},
                {"from": "gpt", "value": "b"},
            ],
            "tools": '[{"name": "f"}]',
        },
        {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "no JSON"}]},
        {"conversations": [{"from": "alien", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "tools": "[no JSON"},
    ],
    "tools": [
        {
            "messages": TALK,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"z": None, "a": 1}}}],
        },
        {
            "messages": [
                TALK[0],
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "5"},
                {"role": "assistant", "content": "five", "weight": 0},
            ]
        },
        {"messages": [*TALK, {"role": "tool", "content": "x"}]},
        {"messages": [TALK[0], {"role": "assistant", "content": None}]},
        {"messages": [TALK[0], {"role": "assistant", "content": [{"type": "image", "url": "x"}]}]},
        {"messages": [TALK[0], {"role": "assistant", "content": "a", "train": "no"}]},
    ],
}
ACCEPTED = {"text_label": 3, "alpaca": 1, "messages": 2, "text_multilabel": 3, "text_score": 2, "source_target": 1}
ACCEPTED |= {"tokens_tags": 1, "prompt_completion": 2, "sharegpt": 2, "tools": 2, "text": 1}


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def assert_closes(report):
    of_files = report.files.values()
    for counts in of_files:
        assert counts["rows"] == counts["accepted"] + counts["rejected"]
    for name in ("rows", "accepted", "rejected"):
        assert sum(counts[name] for counts in of_files) == getattr(report, name)


def test_each_shipped_schema_is_tried():
    assert set(RECORDS) == {path.stem for path in schema_directory().glob("*.yaml")}


@pytest.mark.parametrize("name", RECORDS)
def test_a_rejected_record_comes_back_as_it_stood_in_the_source(tmp_path, name):
    given = [json.dumps(record, ensure_ascii=False) for record in RECORDS[name]]
    given += ['{"broken":', '{"a": 1, "a": 2}', '{"text": NaN}']
    (tmp_path / "in.jsonl").write_text("\n\n".join(given), encoding="utf-8")
    report = validate([tmp_path / "in.jsonl"], name, rejected=tmp_path / "rejected.jsonl")
    assert_closes(report)
    rejected = lines_of(tmp_path / "rejected.jsonl")
    assert report.rows == len(given)
    assert len(rejected) == report.rejected
    assert report.accepted == ACCEPTED[name]
    for row in rejected:
        source = given[row["record"] - 1]
        original = row["original"]
        assert original == source or json.dumps(original, ensure_ascii=False) == source
        assert row["source"] == (tmp_path / "in.jsonl").as_posix()
        assert row["reason"] == row["reasons"][0]
        assert row["detail"]

    # what was rejected is rejected again for the same reasons, read from the very file or copied out of it
    fed_in = validate([tmp_path / "rejected.jsonl"], name, rejected=tmp_path / "fed-in.jsonl")
    assert (fed_in.rows, fed_in.accepted, fed_in.reasons) == (len(rejected), 0, report.reasons)
    again = [row["original"] if isinstance(row["original"], str) else json.dumps(row["original"]) for row in rejected]
    (tmp_path / "again.jsonl").write_text("\n".join(again), encoding="utf-8")
    second = validate([tmp_path / "again.jsonl"], name, rejected=tmp_path / "twice.jsonl")
    assert second.accepted == 0
    assert [row["reasons"] for row in lines_of(tmp_path / "twice.jsonl")] == [row["reasons"] for row in rejected]
    assert second.reasons == report.reasons


def test_a_rejected_csv_record_comes_back_cell_by_cell(tmp_path):
    rows = [["good", "a"], [" ", "b\nc"], ["", ""], ["one"], ["x", "y", "z"], ['"q"', ""]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["text", "label"], *rows])
    (tmp_path / "in.csv").write_bytes(text.getvalue().encode() + b"\xff,\xfe\r\n")
    report = validate([tmp_path / "in.csv"], "text_label", rejected=tmp_path / "r.jsonl")
    assert_closes(report)
    found = {row["record"]: row["original"] for row in lines_of(tmp_path / "r.jsonl")}
    assert found.pop(7) == {"text": "\udcff", "label": "\udcfe"}
    expected = {i: row for i, row in enumerate(rows, start=1) if i > 1}
    assert found == {
        i: dict(zip(["text", "label"], row, strict=True)) if len(row) == 2 else row for i, row in expected.items()
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_the_faulty_sample_is_rejected_for_exactly_what_was_spoilt(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 100)
    expected = json.loads((SAMPLES / "wordnet_topics_faulty.expected.json").read_text())
    schema = SAMPLES / "wordnet_topics.schema.yaml"
    out = tmp_path / "rejected.jsonl"
    report = validate([SAMPLES / "wordnet_topics_faulty.csv"], schema, rejected=out, workers=workers)
    assert_closes(report)
    assert (report.rows, report.rejected) == (300, len(expected))
    assert {str(row["record"]): row["reasons"] for row in lines_of(out)} == expected
    assert report.reasons.total() == sum(map(len, expected.values()))
    assert [row["record"] for row in lines_of(out)] == sorted(map(int, expected))


def make_many(folder):
    (folder / "in").mkdir(exist_ok=True)
    records = RECORDS["text_label"] * 30
    (folder / "in" / "a.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    (folder / "in" / "b.csv").write_text("text,label\n" + "x,1\n ,2\ny\n" * 40)
    pl.DataFrame({"text": ["p", None] * 20, "label": [1, 2] * 20}).write_parquet(folder / "in" / "c.parquet")
    (folder / "in" / "d.csv").write_text("text,label\n")
    return folder / "in"


def test_counts_close_for_each_of_several_files_in_order(tmp_path):
    folder = make_many(tmp_path)
    report = validate([folder / "c.parquet", folder / "*.csv", folder / "a.jsonl"], "text_label")
    assert_closes(report)
    assert [Path(name).name for name in report.files] == ["c.parquet", "b.csv", "d.csv", "a.jsonl"]
    assert [counts["rows"] for counts in report.files.values()] == [40, 120, 0, 240]
    assert [counts["rejected"] for counts in report.files.values()] == [20, 80, 0, 150]
    document = report.to_json()
    assert list(document) == ["rows", "accepted", "rejected", "reasons", "files"]
    assert list(document["reasons"]) == sorted(document["reasons"])
    assert [Path(of_file["path"]).name for of_file in document["files"]] == ["c.parquet", "b.csv", "d.csv", "a.jsonl"]
    json.dumps(document)
    assert len(report.examples) == EXAMPLES


def test_neither_workers_nor_chunks_change_the_outcome(tmp_path, monkeypatch):
    folder = make_many(tmp_path)
    outcomes = []
    for workers, most in ((1, 50_000), (1, 7), (2, 16)):
        monkeypatch.setattr(parsing, "CHUNK_ROWS", most)
        seen = []
        out = tmp_path / f"{workers}-{most}.jsonl"
        told = lambda *news, seen=seen: seen.append(news)  # noqa: E731
        report = validate([folder], "text_label", rejected=out, workers=workers, watch=told)
        outcomes.append((report, out.read_bytes()))
        assert report.rows == 400
        assert {stage for stage, _, _ in seen} == {"validate"}
        assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
        assert seen[0][1] == 0 < seen[-1][1]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][0].rejected == 250


def test_the_rejected_file_is_written_aside_and_only_when_all_is_read(tmp_path):
    out = tmp_path / "rejected.jsonl"
    out.write_text("old\n")
    (tmp_path / "bad.jsonl").write_text('{"text": 1}\n')
    (tmp_path / "cut.jsonl.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "empty.jsonl").write_text("")
    for files, error in ((["bad.jsonl", "cut.jsonl.gz"], SourceError), (["empty.jsonl"], NothingToWrite)):
        with pytest.raises(error):
            validate([tmp_path / file for file in files], "text_label", rejected=out)
        assert out.read_text() == "old\n"
    validate([tmp_path / "bad.jsonl"], "text_label", rejected=out)
    assert len(lines_of(out)) == 1
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["in.jsonl", "./x/../in.jsonl", "link.jsonl"])
def test_a_file_is_never_written_over_by_its_own_rejected_rows(tmp_path, name):
    (tmp_path / "x").mkdir()
    content = '{"text": "a", "label": "b"}\n{"text": 1}\n'
    (tmp_path / "in.jsonl").write_text(content)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "in.jsonl")
    with pytest.raises(OutputError, match="is one of the files to validate"):
        validate([tmp_path / "in.jsonl"], "text_label", rejected=tmp_path / name)
    assert (tmp_path / "in.jsonl").read_text() == content


@pytest.mark.parametrize("out", ["in.jsonl/rejected.jsonl", "folder"])
def test_a_rejected_file_that_cannot_be_written_is_told(tmp_path, out):
    (tmp_path / "folder").mkdir()
    (tmp_path / "in.jsonl").write_text('{"text": 1}\n')
    with pytest.raises(OutputError, match="cannot be written"):
        validate([tmp_path / "in.jsonl"], "text_label", rejected=tmp_path / out)


def test_what_is_missing_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(SchemaError, match="no schema of that name ships"):
        validate([tmp_path / "none.csv"], "nope")
    with pytest.raises(SourceError, match="no such file"):
        validate([tmp_path / "none.csv"], "text_label")
    with pytest.raises(NothingToWrite):
        validate([], "text_label")


def test_a_wrong_header_is_refused_by_any_number_of_workers(tmp_path):
    (tmp_path / "in.csv").write_text("txt,label\na,b\n")
    for workers in (1, 2):
        with pytest.raises(SourceError, match="missing column 'text'") as caught:
            validate([tmp_path / "in.csv"], "text_label", workers=workers)
        assert caught.value.exit_code == 1


def test_the_limit_is_judged_on_all_files(tmp_path):
    folder = make_many(tmp_path)
    report = validate([folder], "text_label")
    report.check_limit(250)
    report.check_limit(250 / 400)
    for limit in (249, 0.62, 0, 0.0):
        with pytest.raises(TooManyRejected, match="250 of 400 rows were rejected"):
            report.check_limit(limit)


def test_a_source_file_is_left_as_it_was(tmp_path):
    copy = tmp_path / "copy.csv"
    shutil.copy(SAMPLES / "wordnet_topics_faulty.csv", copy)
    before = copy.stat().st_mtime_ns, copy.read_bytes()
    validate([copy], SAMPLES / "wordnet_topics.schema.yaml", rejected=tmp_path / "r.jsonl")
    assert (copy.stat().st_mtime_ns, copy.read_bytes()) == before


def test_the_folder_of_the_rejected_file_is_made(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": 1}\n')
    validate([tmp_path / "in.jsonl"], "text_label", rejected=tmp_path / "new" / "bad.jsonl")
    assert (tmp_path / "new" / "bad.jsonl").read_text().count("\n") == 1
