"""Promise 2: a trained token belongs to a response or ends it; a row that would train nothing is rejected."""

import json
import shutil

import pytest
from examples import make_conversations, make_translations, trained_texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sftdata
from sftdata import IGNORE_INDEX
from sftdata.tokenizers.loading import load_tokenizer

SAID = st.text(min_size=1, max_size=20).filter(
    lambda text: text.strip() and not any("\ud800" <= c <= "\udfff" for c in text)
)
TALK = st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3)


def check(out, rows, tokenizer, record_of=lambda row: int(row["row_id"].partition(":")[2])):
    seen = 0
    for split in sftdata.read_manifest(out).splits:
        for row in sftdata.load_split(out, split):
            messages = rows[record_of(row) - 1]["messages"]
            said = [turn["content"] + "<|im_end|>" for turn in messages if turn["role"] == "assistant"]
            assert trained_texts(tokenizer, row["labels"]) == said
            seen += 1
    return seen


def test_every_trained_run_decodes_to_its_response_and_the_token_that_ends_it(tmp_path, chat_recipe, chat_tokenizer):
    rows = make_conversations(80)
    manifest = sftdata.prepare(sftdata.load_recipe(chat_recipe(rows, max_rejected=1.0)))
    assert check(tmp_path / "out", rows, load_tokenizer(str(chat_tokenizer))) == manifest.rows.written > 60
    assert set(manifest.rejected_by_reason) <= {"response_boundary"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(talks=st.lists(TALK, min_size=1, max_size=8))
def test_any_text_is_trained_exactly_or_rejected(tmp_path, chat_recipe, chat_tokenizer, talks):
    rows = [
        {
            "messages": [
                turn for q, a in talk for turn in ({"role": "user", "content": q}, {"role": "assistant", "content": a})
            ]
        }
        for talk in talks
    ]
    try:
        sftdata.prepare(sftdata.load_recipe(chat_recipe(rows, max_rejected=1.0)))
    except sftdata.errors.NothingToWrite:
        return
    check(tmp_path / "out", rows, load_tokenizer(str(chat_tokenizer)))


def test_a_token_that_spans_the_edge_of_a_response_rejects_the_row(tmp_path, chat_recipe, chat_tokenizer):
    """A tokenizer that may merge the header's newline with one that begins the answer."""
    folder = tmp_path / "merging"
    shutil.copytree(chat_tokenizer, folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["pre_tokenizer"]["use_regex"] = False
    document["model"]["vocab"]["ĊĊ"] = 1 + max(document["model"]["vocab"].values())
    document["model"]["merges"].append(["Ċ", "Ċ"])
    (folder / "tokenizer.json").write_text(json.dumps(document))
    rows = make_conversations(20)
    rows[0] = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "\nstarts with a newline"}]
    }
    recipe = chat_recipe(rows, max_rejected=1.0, tokenize={"tokenizer": str(folder), "max_length": 512})
    manifest = sftdata.prepare(sftdata.load_recipe(recipe))
    assert manifest.rejected_by_reason["response_boundary"] >= 1
    first = json.loads((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()[0])
    assert (first["record"], first["reason"], first["original"]) == (1, "response_boundary", rows[0])
    check(tmp_path / "out", rows, load_tokenizer(str(folder)))


def test_labels_are_unshifted_and_equal_their_ids(tmp_path, chat_recipe):
    sftdata.prepare(sftdata.load_recipe(chat_recipe()))
    trained = 0
    for row in sftdata.load_split(tmp_path / "out", "train"):
        assert len(row["labels"]) == len(row["input_ids"])
        assert all(label in (IGNORE_INDEX, i) for label, i in zip(row["labels"], row["input_ids"], strict=True))
        assert row["labels"][0] == IGNORE_INDEX
        trained += sum(label != IGNORE_INDEX for label in row["labels"])
    assert trained == sftdata.read_manifest(tmp_path / "out").splits["train"].trained_tokens > 0


@pytest.mark.parametrize(("overflow", "most"), [("reject", 40), ("truncate", 24)])
def test_no_row_is_kept_that_trains_nothing(tmp_path, chat_recipe, chat_tokenizer, overflow, most):
    tokenize = {"tokenizer": str(chat_tokenizer), "max_length": most, "overflow": overflow}
    recipe = chat_recipe(max_rejected=1.0, tokenize=tokenize)
    manifest = sftdata.prepare(sftdata.load_recipe(recipe))
    assert manifest.rows.rejected > 0
    for split in manifest.splits:
        for row in sftdata.load_split(tmp_path / "out", split):
            assert len(row["input_ids"]) <= most
            assert any(label != IGNORE_INDEX for label in row["labels"][1:])


WORD = st.sampled_from(["Paris", "bird's", "北京", "\u200b", "[SEP]", "naïve", "a b"]) | SAID
TAGGED = st.lists(st.tuples(WORD, st.sampled_from(["O", "B-LOC", "I-LOC", "B-PER"])), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentences=st.lists(TAGGED, min_size=1, max_size=8), overflow=st.sampled_from(["reject", "split"]))
def test_the_tag_of_any_word_stands_on_its_first_piece_or_the_row_is_rejected(
    tmp_path, tag_recipe, text_tokenizer, sentences, overflow
):
    rows = [dict(zip(("tokens", "tags"), map(list, zip(*words, strict=True)), strict=True)) for words in sentences]
    tokenize = {"tokenizer": str(text_tokenizer), "max_length": 16, "overflow": overflow}
    try:
        manifest = sftdata.prepare(sftdata.load_recipe(tag_recipe(rows, max_rejected=1.0, tokenize=tokenize)))
    except sftdata.errors.NothingToWrite:
        return
    parts = {}
    for split in manifest.splits:
        for row in sftdata.load_split(tmp_path / "out", split):
            record, _, part = row["row_id"].partition(":")[2].partition("/")
            parts.setdefault(int(record) - 1, {})[int(part or 1)] = row
    for place, found in parts.items():
        ids, labels = [], []
        for _, row in sorted(found.items()):
            ids += row["input_ids"][1:-1]
            labels += row["labels"][1:-1]
            assert row["labels"][0] == row["labels"][-1] == IGNORE_INDEX
        encoding = load_tokenizer(str(text_tokenizer)).reference.encode(
            rows[place]["tokens"], is_pretokenized=True, add_special_tokens=False
        )
        assert ids == encoding.ids
        expected = [IGNORE_INDEX] * len(ids)
        for number, tag in enumerate(rows[place]["tags"]):
            expected[encoding.word_ids.index(number)] = manifest.label_names.index(tag)
        assert labels == expected


def test_every_target_is_trained_to_its_end(tmp_path, translation_recipe, chat_tokenizer):
    rows = make_translations(60)
    manifest = sftdata.prepare(sftdata.load_recipe(translation_recipe(rows)))
    reference = load_tokenizer(str(chat_tokenizer)).reference
    for split in manifest.splits:
        for row in sftdata.load_split(tmp_path / "out", split):
            target = rows[int(row["row_id"].partition(":")[2]) - 1]["target"]
            assert reference.decode(row["labels"], skip_special_tokens=False) == target + "<|im_end|>"
    assert manifest.rows.written == 60
