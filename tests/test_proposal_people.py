"""Files as people have them: columns with names of their own, faults in some rows, dates and users beside the text."""

import json

import polars as pl
import pytest
from examples import write_jsonl

from sftdata.proposal import init
from sftdata.proposal.parts import has_word
from sftdata.schema import load_schema


def look(path, tmp_path):
    proposal = init(str(path), tmp_path / f"{path.stem}.yaml", None).proposal
    return proposal, [doubt.text for doubt in proposal.doubts]


def write_reviews(path, **more):
    rows = [
        {
            "编号": number + 1,
            "评论内容": f"第{number}次来这家店,味道一直不错,服务也很周到",
            "评价": ("好评", "差评")[number % 2],
            "日期": f"2026/{number % 3 + 1}/{number % 5 + 1}",
            **more,
        }
        for number in range(90)
    ]
    lines = [",".join(map(str, row.values())) for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]]
    path.write_bytes("\r\n".join(lines).replace(",味", "，味").replace(",服", "，服").encode("gb18030"))
    return path


def test_a_chinese_spreadsheet_has_its_text_and_label_found_and_no_date_taken_for_a_label(tmp_path):
    proposal, _ = look(write_reviews(tmp_path / "点评.csv"), tmp_path)
    assert proposal.draft.parts == {"text": "评论内容", "label": "评价"}
    assert load_schema("点评.schema.yaml", tmp_path).columns["评价"].checks["isin"] == ["好评", "差评"]


@pytest.mark.parametrize("date", ["2026-01-0{}", "2026/1/{}", "2026年1月{}日", "0{}.01.2026", "1/{}/2026 10:15"])
def test_dates_are_no_labels(tmp_path, date):
    rows = [{"note": f"number {i} of the notes that were made", "when": date.format(i % 3 + 1)} for i in range(60)]
    assert look(write_jsonl(tmp_path / "a.jsonl", rows), tmp_path)[0].draft.task is None


def test_a_column_called_review_may_be_the_label(tmp_path):
    rows = [{"review": ("good", "bad")[i % 2], "text_body": f"what somebody wrote on day {i} of it"} for i in range(60)]
    assert look(write_jsonl(tmp_path / "a.jsonl", rows), tmp_path)[0].draft.parts == {
        "text": "text_body",
        "label": "review",
    }


@pytest.mark.parametrize(
    ("name", "word", "found"),
    [
        ("review_body", "body", True),
        ("评论内容", "内容", True),
        ("nobody", "body", False),
        ("字数", "字", False),
        ("text", "text", True),
    ],
)
def test_a_name_is_made_up_with_whole_words(name, word, found):
    assert has_word(name, word) is found


def conversations(count, faults):
    """Return rows of ShareGPT, some of them with faults."""
    rows = []
    for number in range(count):
        talk = [{"from": "human", "value": f"What is {number}?"}, {"from": "gpt", "value": f"A number, {number}."}]
        rows.append({"id": f"c{number}", "conversations": talk})
    for place, fault in zip(range(7, count, count // len(faults)), faults, strict=True):
        fault(rows[place])
    return rows


FAULTS = [
    lambda row: row.update(conversation=row.pop("conversations")),
    lambda row: row.update(conversations=json.dumps(row["conversations"])),
    lambda row: row["conversations"].__setitem__(1, {"role": "assistant", "content": "hi"}),
    lambda row: row["conversations"].pop(),
    lambda row: row["conversations"][1].update(value=""),
    lambda row: row["conversations"].insert(0, dict(row["conversations"][0])),
]


def test_conversations_with_faults_stay_conversations_and_keep_their_checks(tmp_path):
    path = tmp_path / "talks.json"
    path.write_text(json.dumps(conversations(120, FAULTS)))
    proposal, doubts = look(path, tmp_path)
    assert proposal.draft.parts == {"messages": "conversations"}
    assert proposal.verdict.rejected == len(FAULTS)
    assert not [text for text in doubts if "not asked for" in text]


def test_what_is_missing_is_no_repeat_and_has_no_length(tmp_path):
    rows = [{"text": f"what was written on day {i}", "label": ("yes", "no")[i % 2]} for i in range(80)]
    for number, row in enumerate(rows[:3]):
        row["text"], row["label"] = None, str(number)
    proposal, doubts = look(write_jsonl(tmp_path / "a.jsonl", rows), tmp_path)
    assert not [text for text in doubts if "repeat" in text or "more than one" in text]
    assert proposal.lengths.tokens.least > 2


def test_rows_of_one_user_can_be_kept_together(tmp_path):
    rows = [
        {"text": f"what was written on day {i}", "label": ("a", "b")[i % 2], "user": f"u{i % 9}"} for i in range(90)
    ]
    frame = pl.DataFrame(rows)
    frame.write_parquet(tmp_path / "a.parquet")
    assert any("split.group: user" in text for text in look(tmp_path / "a.parquet", tmp_path)[1])
    frame.with_columns(user=pl.int_range(pl.len())).write_parquet(tmp_path / "b.parquet")
    assert not any("group" in text for text in look(tmp_path / "b.parquet", tmp_path)[1])
