"""Examples are right for whole, sliced, chunked, empty and one-row chunks; every row is kept or has a reason."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from examples import as_rows, make_conversations, make_texts
from hypothesis import given
from hypothesis import strategies as st

from sftdata.errors import TokenizerError
from sftdata.records import IGNORE_INDEX, Task
from sftdata.settings.tokenizing import TokenizeSettings
from sftdata.stages.tokenization import Tokenization, texts_to_prove, tokenize_rows
from sftdata.stages.tokenization.flat import positions_in_rows, wrap
from sftdata.tokenizers.backends import choose_backend
from sftdata.tokenizers.loading import load_tokenizer

LABELS = ("animal", "place", "thing")


def texts(rows):
    frame = pl.DataFrame(rows, schema={"text": pl.String, "label": pl.String})
    return add_provenance(frame)


def chats(rows):
    return add_provenance(as_rows([row["messages"] for row in rows]))


def add_provenance(frame):
    records = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    return frame.select(
        pl.format("s:{}", records).alias("row_id"), pl.lit("s").alias("source"), records.alias("record"), pl.all()
    )


def make(task, directory, names=None, **options):
    options = TokenizeSettings(tokenizer=str(directory), **options)
    return Tokenization(task, load_tokenizer(str(directory)), options, None, names)


def change(settings, **options):
    return replace(settings, settings=settings.settings.model_copy(update=options))


@pytest.fixture(params=["fast", "reference"])
def classification(request, text_tokenizer):
    settings = make(Task.TEXT_CLASSIFICATION, text_tokenizer, LABELS, max_length=64)
    sample = texts_to_prove(texts(make_texts(50)), settings)
    return replace(
        settings, proof=choose_backend(settings.tokenizer, "auto", sample) if request.param == "fast" else None
    )


@pytest.fixture(params=["fast", "reference"])
def chat(request, chat_tokenizer):
    settings = make(Task.CAUSAL_LM, chat_tokenizer, max_length=512)
    sample = texts_to_prove(chats(make_conversations(50)), settings)
    return replace(
        settings, proof=choose_backend(settings.tokenizer, "auto", sample) if request.param == "fast" else None
    )


def reasons(done):
    return dict(zip(done.rejected["record"], done.rejected["reason"], strict=True))


def test_classification_ids_equal_the_reference_with_special_tokens(classification):
    rows = texts(make_texts(40))
    done = tokenize_rows(rows, classification)
    reference = classification.tokenizer.reference
    assert done.examples["input_ids"].to_pylist() == [reference.encode(text).ids for text in rows["text"]]
    assert [LABELS[label] for label in done.examples["labels"].to_pylist()] == rows["label"].to_list()
    assert done.examples.schema.field("input_ids").type == pa.list_(pa.int32())
    assert done.examples.schema.field("labels").type == pa.int64()


def test_chat_ids_equal_the_reference_and_trained_text_equals_the_responses(chat):
    rows = chats(make_conversations(40))
    done = tokenize_rows(rows, chat)
    assert len(done.kept) > 30, "the test must not pass on nothing"
    reference, template = chat.tokenizer.reference, chat.renderer.template
    for place, example in zip(done.kept, done.examples.to_pylist(), strict=True):
        messages = rows["messages"][int(place)].to_list()
        assert example["input_ids"] == reference.encode(template.render(messages), add_special_tokens=False).ids
        trained = [i for i in example["labels"] if i != IGNORE_INDEX]
        said = "".join(turn["content"] + "<|im_end|>" for turn in messages if turn["role"] == "assistant")
        assert reference.decode(trained, skip_special_tokens=False) == said
        assert all(label in (IGNORE_INDEX, i) for label, i in zip(example["labels"], example["input_ids"], strict=True))


PARTS = {
    "slice": lambda rows: rows.slice(11, 9),
    "chunks": lambda rows: pl.concat([rows[11:14], rows[14:20]], rechunk=False),
    "one": lambda rows: rows[12:13],
    "none": lambda rows: rows[:0],
}


def check_part(rows, part, settings):
    whole, done = tokenize_rows(rows, settings), tokenize_rows(part, settings)
    expected = {row["row_id"]: row for row in whole.examples.to_pylist()}
    assert len(expected) > len(rows) / 2, "the test must not pass on nothing"
    assert done.examples.schema == whole.examples.schema
    assert done.examples.to_pylist() == [expected[i] for i in part["row_id"] if i in expected]
    assert len(done.kept) + len(done.rejected) == len(part)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_texts_gives_what_the_whole_gives(classification, part):
    rows = texts(make_texts(30))
    check_part(rows, PARTS[part](rows), classification)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_conversations_gives_what_the_whole_gives(chat, part):
    rows = chats(make_conversations(30))
    check_part(rows, PARTS[part](rows), chat)


def test_the_input_is_not_touched(chat):
    rows = chats(make_conversations(10))
    before = rows.clone()
    tokenize_rows(rows, chat)
    assert rows.equals(before)


def test_each_fault_has_its_reason(classification):
    rows = texts(
        [
            {"text": "fine", "label": "place"},
            {"text": "spells [SEP] here", "label": "place"},
            {"text": "\u200b", "label": "place"},
            {"text": "fox " * 100, "label": "place"},
            {"text": "unseen label", "label": "nowhere"},
        ]
    )
    done = tokenize_rows(rows, classification)
    assert reasons(done) == {2: "special_token_in_text", 3: "no_tokens", 4: "too_long", 5: "label:not_in_train"}
    assert done.kept.tolist() == [0]


def test_each_conversation_fault_has_its_reason(chat):
    def talk(asked, answered):
        return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}

    rows = chats([talk("hi", "yo"), talk("hi", "yo<|im_end|>"), talk("<|im_start|>", "yo"), talk("hi " * 400, "yo")])
    assert reasons(tokenize_rows(rows, chat)) == {2: "special_token_in_text", 3: "special_token_in_text", 4: "too_long"}


def test_truncation_keeps_the_special_tokens_of_a_text(classification):
    done = tokenize_rows(texts([{"text": "fox " * 100, "label": "place"}]), change(classification, overflow="truncate"))
    ids = done.examples["input_ids"].to_pylist()[0]
    vocabulary = classification.tokenizer.reference
    assert len(ids) == 64
    assert (ids[0], ids[-1]) == (vocabulary.token_to_id("[CLS]"), vocabulary.token_to_id("[SEP]"))


def test_truncation_never_leaves_a_row_without_a_trained_token(chat):
    short = change(chat, overflow="truncate", max_length=24)
    done = tokenize_rows(chats(make_conversations(30)), short)
    assert "nothing_trained" in reasons(done).values()
    for example in done.examples.to_pylist():
        assert len(example["input_ids"]) == len(example["labels"]) <= 24
        assert any(label != IGNORE_INDEX for label in example["labels"][1:])


def test_a_tokenizer_without_a_chat_template_is_refused_for_conversations(text_tokenizer):
    settings = make(Task.CAUSAL_LM, text_tokenizer, max_length=64)
    with pytest.raises(TokenizerError, match="no chat template"):
        tokenize_rows(chats(make_conversations(2)), settings)


@given(
    lengths=st.lists(st.integers(0, 5), max_size=8),
    before=st.lists(st.integers(90, 99), max_size=2),
    after=st.lists(st.integers(80, 89), max_size=2),
)
def test_wrapping_equals_a_naive_loop(lengths, before, after):
    rows = [list(range(10 * row, 10 * row + length)) for row, length in enumerate(lengths)]
    ids = np.array([i for row in rows for i in row], np.int32)
    wrapped, new = wrap(ids, np.array(lengths, np.int64), before, after)
    assert wrapped.tolist() == [i for row in rows for i in [*before, *row, *after]]
    assert new.tolist() == [length + len(before) + len(after) for length in lengths]


@given(lengths=st.lists(st.integers(0, 5), max_size=8))
def test_positions_count_from_zero_in_each_row(lengths):
    expected = [position for length in lengths for position in range(length)]
    assert positions_in_rows(np.array(lengths, np.int64)).tolist() == expected
