"""Texts and pairs of texts have the ids of the reference, and their labels, sets of labels and scores are right."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from examples import WORDS, make_texts
from tokenizing import PARTS, as_chunk, reasons

from sftdata.records import FIELDS, Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.stages.tokenization import Tokenization, texts_to_prove, tokenize_rows
from sftdata.tokenizers.backends import choose_backend
from sftdata.tokenizers.loading import load_tokenizer

LABELS = {
    Task.TEXT_CLASSIFICATION: ("label", ("no", "yes"), ["yes", "no", "no"]),
    Task.MULTILABEL: ("labels", ("no", "so", "yes"), [["yes", "no"], [], ["so"]]),
    Task.REGRESSION: ("score", None, [0.5, -3.25, 1e-3]),
}
"""For each task what the field is called, the names, and values that come round."""


def make_rows(task, count=30, *, pairs=True):
    values = LABELS[task][2]
    said = [row["text"] for row in make_texts(count)]
    others = [f"{WORDS[place % 17]} worth {place % 7}" if pairs else None for place in range(count)]
    return frame(task, said, others, [values[place % 3] for place in range(count)])


def frame(task, texts, pairs, labels):
    return as_chunk(task, [dict(zip(FIELDS[task], row, strict=True)) for row in zip(texts, pairs, labels, strict=True)])


def make(task, directory, *, pairs=True, **options):
    settings = TokenizeSettings(tokenizer=str(directory), **{"max_length": 64, **options})
    return Tokenization(task, load_tokenizer(str(directory)), settings, None, LABELS[task][1], pairs)


@pytest.fixture(params=["fast", "reference"])
def proved(request):
    def prove(settings, rows):
        sample = texts_to_prove(rows, settings)
        proof = choose_backend(settings.tokenizer, "auto", sample) if request.param == "fast" else None
        return replace(settings, proof=proof)

    return prove


@pytest.mark.parametrize("task", LABELS)
def test_pairs_have_the_ids_and_types_of_the_reference(task, pair_tokenizer, proved):
    rows = make_rows(task)
    settings = proved(make(task, pair_tokenizer), rows)
    done = tokenize_rows(rows, settings)
    expected = [settings.tokenizer.reference.encode(*pair) for pair in rows.select("text", "text_pair").rows()]
    assert done.examples["input_ids"].to_pylist() == [encoding.ids for encoding in expected]
    assert done.examples["token_type_ids"].to_pylist() == [encoding.type_ids for encoding in expected]
    assert done.examples.schema.names == ["row_id", "input_ids", "labels", "token_type_ids"]
    assert done.examples.schema.field("token_type_ids").type == pa.list_(pa.int8())
    assert set().union(*done.examples["token_type_ids"].to_pylist()) == {0, 1}


def test_a_tokenizer_without_types_gives_none(text_tokenizer):
    rows = make_rows(Task.TEXT_CLASSIFICATION)
    done = tokenize_rows(rows, make(Task.TEXT_CLASSIFICATION, text_tokenizer))
    assert done.examples.schema.names == ["row_id", "input_ids", "labels"]


@pytest.mark.parametrize("task", LABELS)
def test_rows_without_pairs_are_single_texts(task, pair_tokenizer):
    rows = make_rows(task, pairs=False)
    settings = make(task, pair_tokenizer, pairs=False)
    done = tokenize_rows(rows, settings)
    assert done.examples.schema.names == ["row_id", "input_ids", "labels"]
    expected = [settings.tokenizer.reference.encode(text).ids for text in rows["text"]]
    assert done.examples["input_ids"].to_pylist() == expected


@pytest.mark.parametrize("overflow", ["reject", "truncate", "split"])
@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_rows_gives_what_the_whole_gives(task, part, pairs, overflow, pair_tokenizer):
    rows = make_rows(task, pairs=pairs)
    settings = make(task, pair_tokenizer, pairs=pairs, overflow=overflow, max_length=18)
    whole, done = tokenize_rows(rows, settings), tokenize_rows(PARTS[part](rows), settings)
    chosen = set(PARTS[part](rows)["row_id"])
    expected = [row for row in whole.examples.to_pylist() if row["row_id"].partition("/")[0] in chosen]
    assert done.examples.to_pylist() == expected
    assert done.examples.schema == whole.examples.schema
    assert len(whole.kept) > 10, "the test must not pass on nothing"
    assert set(done.kept.tolist()) | {place for place, _ in enumerate(chosen)} == set(range(len(chosen)))
    assert len(set(done.kept.tolist())) + len(done.rejected) == len(chosen)


def test_either_text_of_a_pair_may_have_a_fault(pair_tokenizer):
    task = Task.TEXT_CLASSIFICATION
    texts = ["fine", "spells [SEP] here", "the fox", "\u200b", "the dog", "fox " * 40, "a bird", "a hand"]
    pairs = ["good", "the fox", "[MASK]", "the dog", "\u200b", "a bird", "dog " * 40, "two"]
    rows = frame(task, texts, pairs, ["yes"] * 7 + ["unknown"])
    done = tokenize_rows(rows, make(task, pair_tokenizer, max_length=32))
    spelled, none, long = "special_token_in_text", "no_tokens", "too_long"
    assert reasons(done) == {2: spelled, 3: spelled, 4: none, 5: none, 6: long, 7: long, 8: "label:not_in_train"}
    assert "text_pair" in done.rejected["detail"][3]
    assert "3 special" in done.rejected["detail"][4]


@pytest.mark.parametrize("handling", ["escape", "allow"])
def test_control_tokens_in_a_pair_are_handled_as_told(handling, pair_tokenizer):
    task = Task.TEXT_CLASSIFICATION
    settings = make(task, pair_tokenizer, special_tokens_in_text=handling)
    done = tokenize_rows(frame(task, ["a [SEP] b", "fox"], ["the dog", "[SEP]"], ["yes", "no"]), settings)
    ends = settings.tokenizer.reference.token_to_id("[SEP]")
    counts = [ids.count(ends) for ids in done.examples["input_ids"].to_pylist()]
    assert counts == ([3, 3] if handling == "allow" else [2, 2])


def test_truncated_pairs_are_those_of_longest_first(pair_tokenizer):
    task = Task.REGRESSION
    rows = make_rows(task)
    rows = rows.with_columns(text=rows["text"] + pl.Series([" fox" * n for n in range(30)]))
    settings = make(task, pair_tokenizer, overflow="truncate", max_length=17)
    done = tokenize_rows(rows, settings)
    reference = load_tokenizer(str(pair_tokenizer)).reference
    reference.enable_truncation(17, strategy="longest_first")
    expected = [reference.encode(*pair) for pair in rows.select("text", "text_pair").rows()]
    assert done.examples["input_ids"].to_pylist() == [encoding.ids for encoding in expected]
    assert done.examples["token_type_ids"].to_pylist() == [encoding.type_ids for encoding in expected]
    assert done.truncated.tolist() == [bool(encoding.overflowing) for encoding in expected]
    assert done.truncated.sum() > 10


def test_a_split_pair_repeats_the_first_text_and_has_all_of_the_second(pair_tokenizer):
    task = Task.MULTILABEL
    long = " ".join(WORDS)
    rows = frame(task, ["the quick fox", long, "a dog"], [long, "a dog", "two"], [["yes"], ["no"], []])
    settings = make(task, pair_tokenizer, overflow="split", max_length=16)
    done = tokenize_rows(rows, settings)
    assert reasons(done) == {2: "too_long"}
    reference = settings.tokenizer.reference
    asked, answered = (reference.encode(text, add_special_tokens=False).ids for text in ("the quick fox", long))
    examples = [row for row in done.examples.to_pylist() if row["row_id"].startswith("s:1")]
    assert [row["row_id"] for row in examples] == ["s:1"] + [f"s:1/{n}" for n in range(2, len(examples) + 1)]
    seconds = []
    for row in examples:
        assert len(row["input_ids"]) <= 16
        assert row["input_ids"][1 : 1 + len(asked)] == asked
        seconds += row["input_ids"][2 + len(asked) : -1]
        assert row["labels"] == [0.0, 0.0, 1.0]
    assert seconds == answered
    assert len(examples) > 1
    assert done.examples.to_pylist()[-1]["row_id"] == "s:3"


def test_no_room_for_both_texts_is_too_long(pair_tokenizer):
    rows = make_rows(Task.REGRESSION, 3)
    for overflow in ("reject", "truncate", "split"):
        done = tokenize_rows(rows, make(Task.REGRESSION, pair_tokenizer, overflow=overflow, max_length=4))
        assert reasons(done) == dict.fromkeys((1, 2, 3), "too_long")


def test_multilabel_rows_have_a_number_a_label(text_tokenizer):
    task = Task.MULTILABEL
    labels = [["yes"], [], ["no", "yes", "no"], None, ["no", "other"], ["so", "else", "other"]]
    rows = frame(task, [f"fox {n}" for n in range(6)], [None] * 6, labels)
    done = tokenize_rows(rows, make(task, text_tokenizer, pairs=False))
    assert done.examples.schema.field("labels").type == pa.list_(pa.float32())
    assert done.examples["labels"].to_pylist() == [[0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert reasons(done) == {5: "label:not_in_train", 6: "label:not_in_train"}
    assert done.rejected["detail"].to_list()[0].endswith("'other'")
    assert done.rejected["detail"].to_list()[1].endswith("'else'")


def test_a_score_that_float32_cannot_hold_is_rejected(text_tokenizer):
    task = Task.REGRESSION
    scores = [0.1, float("nan"), float("inf"), None, -1e39, 3.4e38]
    rows = frame(task, [f"fox {n}" for n in range(6)], [None] * 6, scores)
    done = tokenize_rows(rows, make(task, text_tokenizer, pairs=False))
    assert done.examples["labels"].to_pylist() == [float(np.float32(0.1)), float(np.float32(3.4e38))]
    assert done.examples.schema.field("labels").type == pa.float32()
    assert reasons(done) == dict.fromkeys((2, 3, 4, 5), "score:not_finite")


def test_both_texts_of_pairs_are_proved(text_tokenizer):
    rows = make_rows(Task.REGRESSION, 4)
    proved = texts_to_prove(rows, make(Task.REGRESSION, text_tokenizer))
    assert proved.to_list() == [*rows["text"], *rows["text_pair"]]
