"""Promises 3 and 4 for a tokenizer of one's own: it sees the training part alone, and the same bytes come out."""

import hashlib
import json

import pytest
from examples import make_conversations, make_texts

import sftdata
from sftdata.sources import parsing

HALVES = {"train": 0.5, "validation": 0.25, "test": 0.25, "seed": 3}
WORDS = {"kind": "word", "segmenter": "nltk", "min_frequency": 1}
KINDS = {
    "bpe": {"kind": "bpe", "vocab_size": 400},
    "bpe-jieba": {"kind": "bpe", "vocab_size": 400, "segmenter": "jieba"},
    "word-jieba": {"kind": "word", "segmenter": "jieba"},
    "char": {"kind": "char"},
}


def tokenize(**options):
    return {"train_tokenizer": {**WORDS, **options}, "max_length": 64}


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def vocabulary(out):
    return set(json.loads((out / "tokenizer/tokenizer.json").read_text())["model"]["vocab"])


def rows_of(out, split):
    return [int(row["row_id"].partition(":")[2]) - 1 for row in sftdata.load_split(out, split) if not row["parent_id"]]


@pytest.mark.parametrize("folds", [False, True])
def test_words_that_stand_in_no_training_row_are_not_in_the_vocabulary(tmp_path, monkeypatch, text_recipe, folds):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 30)
    rows = make_texts(200)  # each with a number that no other has
    rows[10] = {"text": "only in rejected", "label": None}
    split = {"folds": 4, "test": 0.25, "seed": 3} if folds else HALVES
    # oversampled rows stand twice, so that every example has a parent_id
    manifest = prepare(text_recipe(rows, split=split, tokenize=tokenize(), balance={"oversample": "largest"},
                                   max_rejected=1.0))  # fmt: skip
    out = tmp_path / "out"
    train = rows_of(out, "train")
    known = {word for row in train for word in rows[row]["text"].split()}
    assert vocabulary(out) == {"[UNK]", *known}
    assert len(known) < len({word for row in rows for word in row["text"].split()}), "something must be left to see"
    assert manifest.rows.rejected == 1
    assert all(0 in row["input_ids"] for row in sftdata.load_split(out, "test")), "their numbers are unknown"


def test_dropped_duplicates_and_copies_do_not_count(tmp_path, text_recipe):
    rows = make_texts(200)
    first = prepare(text_recipe(rows, split=HALVES, tokenize=tokenize(min_frequency=2)))
    drop = {"deduplicate": {"exact": True}}
    twice = prepare(text_recipe([*rows, *rows], split=HALVES, tokenize=tokenize(min_frequency=2), **drop))
    assert twice.rows.duplicates == 200
    assert not any(word.isdigit() for word in vocabulary(tmp_path / "out")), "each stands once, but for its duplicate"
    more = {"augment": [{"typing_noise": {"rate": 0.5, "copies": 3}}], "balance": {"oversample": "largest"}}
    changed = prepare(text_recipe(rows, split=HALVES, tokenize=tokenize(min_frequency=2), **more))
    assert changed.rows.augmented > 100
    assert first.tokenizer.digest == twice.tokenizer.digest == changed.tokenizer.digest


@pytest.mark.parametrize("kind", KINDS)
def test_runs_chunks_and_workers_give_the_same_tokenizer_byte_for_byte(tmp_path, monkeypatch, chat_recipe, kind):
    settings = {"train_tokenizer": KINDS[kind], "max_length": 512}
    recipe = chat_recipe(make_conversations(120), tokenize=settings, max_rejected=1.0)
    found = []
    for workers, chunk in ((1, 50_000), (1, 50_000), (1, 7), (2, 30)):
        monkeypatch.setattr(parsing, "CHUNK_ROWS", chunk)
        manifest = prepare(recipe, workers=workers)
        files = [path for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()]
        found.append({path.name: path.read_bytes() for path in files if path.parent.name == "tokenizer"})
        text = found[-1]["tokenizer.json"]
        assert manifest.tokenizer.digest == "sha256:" + hashlib.sha256(text).hexdigest()
    assert sorted(found[0]) == ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]
    assert found[0] == found[1] == found[2] == found[3]
