"""Promise 1: `read + augmented == written + rejected + duplicates`; a rejected row can be fixed and fed in again."""

import json
from pathlib import Path

import pytest
from examples import make_conversations, make_texts, write_jsonl

import sftdata
from sftdata.errors import NothingToWrite, TooManyRejected

SAMPLES = Path(__file__).parents[2] / "samples"


def prepare(path):
    return sftdata.prepare(sftdata.load_recipe(path))


def rejected_rows(out):
    return [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]


def source_ids(out):
    manifest = sftdata.read_manifest(out)
    return [row["row_id"] for split in manifest.splits for row in sftdata.load_split(out, split)]


def test_every_record_is_written_or_rejected_once_on_the_faulty_sample(tmp_path, text_recipe):
    recipe = text_recipe(
        schema=str(SAMPLES / "wordnet_topics.schema.yaml"),
        sources=[{"path": str(SAMPLES / "wordnet_topics_faulty.csv")}],
        max_rejected=1.0,
    )
    manifest = prepare(recipe)
    rows = manifest.rows
    assert rows.rejected > 10
    assert rows.read + rows.augmented == rows.written + rows.rejected + rows.duplicates
    written = {int(i.partition(":")[2]) for i in source_ids(tmp_path / "out")}
    rejected = [row["record"] for row in rejected_rows(tmp_path / "out")]
    assert len(rejected) == len(set(rejected)) == rows.rejected
    assert written | set(rejected) == set(range(1, rows.read + 1))
    assert not written & set(rejected)
    assert sum(manifest.rejected_by_reason.values()) == rows.rejected


def test_a_row_rejected_at_any_stage_keeps_its_original_content(tmp_path, chat_recipe):
    rows = make_conversations(40)
    rows[3] = {"messages": [{"role": "user", "content": "no answer"}]}
    rows[7] = {
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "a<|im_end|>b"}],
        "extra": 1,
    }
    rows[9] = {"messages": [{"role": "user", "content": "word " * 600}, {"role": "assistant", "content": "too long"}]}
    manifest = prepare(chat_recipe(rows, max_rejected=3))
    assert manifest.rejected_by_reason == {
        "messages:ends_with_response": 1,
        "special_token_in_text": 1,
        "too_long": 1,
    }
    found = {row["record"]: row for row in rejected_rows(tmp_path / "out")}
    assert {record: row["original"] for record, row in found.items()} == {4: rows[3], 8: rows[7], 10: rows[9]}
    assert {row["stage"] for row in found.values()} == {"validate", "tokenize"}
    assert all(row["source"] == "chats.jsonl" and row["detail"] for row in found.values())


def test_repaired_rejects_are_accepted_when_fed_in_again(tmp_path, text_recipe):
    rows = make_texts(50)
    rows[5]["text"] = None
    prepare(text_recipe(rows, max_rejected=1))
    repaired = [row["original"] | {"text": "mended"} for row in rejected_rows(tmp_path / "out")]
    write_jsonl(tmp_path / "mended.jsonl", repaired)
    manifest = prepare(text_recipe(rows, sources=[{"path": ["data.jsonl", "mended.jsonl"]}], max_rejected=1))
    assert (manifest.rows.read, manifest.rows.written, manifest.rows.rejected) == (51, 50, 1)


def test_a_run_with_too_many_rejected_fails_and_leaves_the_rejects_to_look_at(tmp_path, text_recipe):
    rows = make_texts(50)
    for row in rows[:5]:
        row["label"] = " "
    with pytest.raises(TooManyRejected, match="5 of 50 rows") as caught:
        prepare(text_recipe(rows, max_rejected=4))
    kept_in = Path(caught.value.kept_in)
    assert len(kept_in.read_text().splitlines()) == 5
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert prepare(text_recipe(rows, max_rejected=5)).rows.rejected == 5
    assert prepare(text_recipe(rows, max_rejected=0.1)).rows.rejected == 5


def test_late_rejections_count_towards_the_limit(text_recipe, text_tokenizer):
    rows = make_texts(50)
    rows[0]["text"] = "fox " * 100
    with pytest.raises(TooManyRejected):
        prepare(text_recipe(rows, max_rejected=0))


def test_a_run_of_which_nothing_is_left_is_refused(text_recipe):
    with pytest.raises(NothingToWrite, match="every row was rejected"):
        prepare(text_recipe([{"text": " ", "label": "a"}] * 3, max_rejected=1.0))
    with pytest.raises(NothingToWrite, match="every row was rejected while tokenising"):
        prepare(text_recipe([{"text": "[SEP]", "label": "a"}] * 3, max_rejected=1.0))
