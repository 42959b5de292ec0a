"""What init proposes for real data, and that the data is accepted: the few rows that are truly faulty are counted."""

import csv
import json

import pytest

from sftdata.errors import SftdataError
from sftdata.proposal import init
from sftdata.recipe import load_recipe
from sftdata.records import Task
from sftdata.schema import load_schema
from sftdata.validation import validate

pytestmark = pytest.mark.real


def propose(path, tmp_path, **options):
    """Return the proposal, the schema and validation's report on all rows."""
    written = init(str(path), tmp_path / "made.yaml", **options)
    chosen = written.schema or written.proposal.shipped
    if written.recipe:
        assert load_recipe(written.recipe).task == written.proposal.draft.task
    return written, load_schema(chosen), validate([written.proposal.sample.settings], chosen)


def texts_in(written):
    return [doubt.text for doubt in written.proposal.doubts]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_chinese_reviews(assets, tmp_path, encoding):
    with (tmp_path / "reviews.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["评论", "情感"])
        for name, label in (("pos", "正面"), ("neg", "负面")):
            lines = (assets / f"zh_sent_{name}.txt").read_text(encoding="utf-8").splitlines()
            writer.writerows((line.strip(), label) for line in lines if line.strip())
    written, schema, report = propose(tmp_path / "reviews.csv", tmp_path)
    assert (report.rows, report.rejected) == (35_123, 0)
    assert (schema.task, schema.parts) == (Task.TEXT_CLASSIFICATION, {"text": "评论", "label": "情感"})
    assert schema.columns["情感"].checks == {"isin": ["正面", "负面"]}
    assert "47 texts with more than one 情感" in texts_in(written)
    assert written.proposal.max_length == 512


def test_scored_snippets_without_a_header(assets, tmp_path):
    written, schema, report = propose(assets / "vader_movieReviewSnippets.tsv", tmp_path)
    assert (report.rows, report.rejected) == (10_605, 0)
    assert (schema.task, schema.parts) == (Task.REGRESSION, {"text": "text", "score": "score"})
    assert schema.columns["id"].unique
    assert load_recipe(written.recipe).split.stratify == "score"


@pytest.mark.parametrize(("name", "rows", "illegal"), [("msra_train", 50_289, 6), ("msra_test", 5_000, 11)])
def test_chinese_names_of_people_and_places(assets, tmp_path, name, rows, illegal):
    written, schema, report = propose(assets / f"{name}.txt", tmp_path)
    assert (report.rows, report.reasons) == (rows, {"tags:legal_tags": illegal})
    assert (written.proposal.verdict.rows, written.proposal.verdict.rejected) == (rows, illegal)
    assert (schema.task, schema.parts) == (Task.TOKEN_CLASSIFICATION, {"tokens": "tokens", "tags": "tags"})
    assert schema.columns["tags"].checks["legal_tags"] == "BMES"
    assert len(schema.columns["tags"].checks["entries_isin"]) == 13
    assert written.proposal.options == " --format conll"


def test_chunks_in_four_columns(assets, tmp_path):
    written, schema, report = propose(assets / "conll2000_chunks.txt", tmp_path)
    assert (report.rows, report.rejected) == (40, 0)
    assert schema.task == Task.TOKEN_CLASSIFICATION
    assert "legal_tags" not in schema.columns["tags"].checks  # the last column is a guess of the gold one
    assert any(text.startswith("as long as the tokens too: column_2") for text in texts_in(written))


@pytest.mark.parametrize("name", ["bfcl_simple_python", "bfcl_simple_python_answer"])
def test_questions_without_answers_have_no_task(assets, tmp_path, name):
    written, schema, report = propose(assets / f"{name}.jsonl", tmp_path)
    assert (report.rows, report.rejected, schema.task, written.recipe) == (400, 0, None, None)
    assert schema.columns["id"].unique


def test_glosses_and_their_topics(assets, tmp_path):
    with (tmp_path / "wordnet.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["offset", "gloss", "file"])
        for part in ("noun", "verb", "adj", "adv"):
            for line in (assets / "wordnet" / f"data.{part}").read_text(encoding="utf-8").splitlines():
                if not line.startswith("  "):
                    fields, _, gloss = line.partition(" | ")
                    writer.writerow([part + fields.split()[0], gloss.strip(), "topic " + fields.split()[1]])
    written, schema, report = propose(tmp_path / "wordnet.csv", tmp_path)
    assert (report.rows, report.rejected) == (117_659, 0)
    assert (schema.task, schema.parts) == (Task.TEXT_CLASSIFICATION, {"text": "gloss", "label": "file"})
    assert len(schema.columns["file"].checks["isin"]) == 45
    assert any("told by what is in the columns" in text for text in texts_in(written))


def test_conversations_of_which_many_have_no_response(assets, tmp_path):
    conversations = json.loads((assets / "chitchat.json").read_text(encoding="utf-8"))
    with (tmp_path / "chat.jsonl").open("w", encoding="utf-8") as file:
        for name, talk in conversations.items():
            said = [message for block in talk["messages"] for message in block]
            turns = [
                {"from": "human" if one["sender"] == said[0]["sender"] else "gpt", "value": one["text"]} for one in said
            ]
            file.write(json.dumps({"id": name, "conversations": turns}) + "\n")
    written, schema, report = propose(tmp_path / "chat.jsonl", tmp_path)
    assert schema.parts == {"messages": "conversations"}
    assert schema.columns["conversations"].roles == {"gpt": "assistant", "human": "user"}
    assert report.reasons["conversations:has_response"] == 3_150
    assert written.proposal.verdict.rejected == report.rejected
    assert any(text.startswith("user and assistant do not take turns in") for text in texts_in(written))
    assert any("rows are rejected" in text for text in texts_in(written))


@pytest.mark.parametrize("name", ["qwen3", "smollm2", "minilm"])
def test_tokens_are_counted_with_a_real_tokenizer(assets, tmp_path, name):
    rows = [{"prompt": "什么是幸福?", "completion": "Happiness is a warm puppy."} for _ in range(5)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written, _, _ = propose(tmp_path / "data.jsonl", tmp_path, tokenizer=str(assets / name))
    lengths = written.proposal.lengths
    assert lengths.how == f"counted with {assets / name}"
    assert 20 < lengths.tokens.most < 40


def test_csvkit_files(assets, tmp_path):
    for path in sorted((assets / "csv").glob("*.csv")):
        _, schema, report = propose(path, tmp_path / path.stem)
        assert schema.task is None
        assert report.rejected == {"bad": 2, "null_byte": 1}.get(path.stem, 0), path.name


@pytest.mark.parametrize("name", ["zh_sent_pos.txt", "zh_sent_neg.txt"])
def test_text_without_columns_is_refused(assets, tmp_path, name):
    with pytest.raises(SftdataError, match="neither its name nor its content"):
        init(str(assets / name), tmp_path / "made.yaml")
