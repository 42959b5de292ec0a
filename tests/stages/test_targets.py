"""Sources and targets have Hugging Face's ids, and a target has an end."""

import numpy as np
import pyarrow as pa
import pytest
import tokenizing
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts
from tokenizing import PARTS, as_chunk, check_part, reasons, start

from sftdata.errors import TokenizerError
from sftdata.records import Task
from sftdata.stages.tokenization import find_target_wrapping, texts_to_prove, tokenize_rows
from sftdata.tokenizers.backends import choose_backend
from sftdata.tokenizers.loading import load_tokenizer

KINDS = {
    "t5": tokenizing.unigram,
    "bart": lambda folder: tokenizing.byte_level(folder, "<s> $A </s>"),
    "bert": tokenizing.word_piece,
    "gpt": tokenizing.byte_level,
    "llama": tokenizing.prepending,
}
ENDLESS = {"gpt", "llama"}
"""Those that put nothing behind a text."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def settings(kind, tmp_path_factory):
    folder = KINDS[kind](tmp_path_factory.mktemp("tokenizers") / kind)
    return start(Task.SEQ2SEQ, folder, special_tokens_in_text="allow")


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    return start(Task.SEQ2SEQ, tokenizing.unigram(tmp_path_factory.mktemp("t5")))


def change(settings, **options):
    return start(settings.task, settings.settings.tokenizer, **options)


def chunk(*rows):
    return as_chunk(Task.SEQ2SEQ, [{"source_text": source, "target_text": target} for source, target in rows])


def pairs(count):
    return chunk(*((f"the dog {i}", "你好，世界。"[: 1 + i % 6] + " café" * (i % 3)) for i in range(count)))


def expected(settings, kind, text, *, target):
    """Return the ids of a text as the reference has them; of a target that it does not end, with the end behind."""
    reference = settings.tokenizer.reference
    end = [reference.token_to_id("</s>")] if target and kind in ENDLESS else []
    return [*reference.encode(text).ids, *end]


@quick
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_ids_are_those_of_the_reference_and_targets_end(settings, kind, rows):
    done = tokenize_rows(chunk(*rows), settings)
    for place, example in zip(done.kept, done.examples.to_pylist(), strict=True):
        source, target = rows[place]
        assert example["input_ids"] == expected(settings, kind, source, target=False)
        assert example["labels"] == expected(settings, kind, target, target=True)
        assert example["labels"][-1] == settings.tokenizer.reference.token_to_id("[SEP]" if kind == "bert" else "</s>")
    for record, reason in reasons(done).items():
        plain = [settings.tokenizer.reference.encode(text, add_special_tokens=False).ids for text in rows[record - 1]]
        assert reason == ("target_no_tokens" if plain[0] else "no_tokens")
        assert not all(plain)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_gives_what_the_whole_gives(settings, part):
    rows = pairs(30)
    check_part(rows, PARTS[part](rows), settings)


def test_the_fast_backend_gives_the_same(settings):
    proof = choose_backend(settings.tokenizer, "auto", texts_to_prove(pairs(30), settings))
    fast = type(settings)(settings.task, settings.tokenizer, settings.settings, proof)
    assert tokenize_rows(pairs(30), fast).examples == tokenize_rows(pairs(30), settings).examples


def test_labels_are_lists_of_int32(t5):
    schema = tokenize_rows(pairs(2), t5).examples.schema
    assert schema.names == ["row_id", "input_ids", "labels"]
    assert schema.field("labels").type == pa.list_(pa.int32())


def test_each_fault_has_its_reason(t5):
    rows = chunk(
        *[("the dog", "the fox"), ("the dog " * 30, "a"), ("a", "the dog " * 30), ("a", "</s>"), ("</s>", "a")],
        *[("", "a"), ("a", ""), (None, "a"), ("a", None)],
    )
    done = tokenize_rows(rows, change(t5, max_length=20))
    assert reasons(done) == {
        2: "too_long",
        3: "target_too_long",
        4: "special_token_in_text",
        5: "special_token_in_text",
        6: "no_tokens",
        7: "target_no_tokens",
        8: "no_tokens",
        9: "target_no_tokens",
    }
    details = dict(zip(done.rejected["record"], done.rejected["detail"], strict=True))
    assert details[2] == "source_text has more than max_length 20 tokens"
    assert details[3] == "target_text has more than max_target_length 20 tokens"
    assert done.kept.tolist() == [0]


def test_each_side_has_a_length_of_its_own(t5):
    long, short = "the dog " * 10, "a"
    limits = {"max_length": 100, "max_target_length": 5}
    assert reasons(tokenize_rows(chunk((long, short)), change(t5, **limits))) == {}
    assert reasons(tokenize_rows(chunk((short, long)), change(t5, **limits))) == {1: "target_too_long"}


def test_truncation_keeps_the_end_of_each_side(t5):
    long, end = "the dog " * 10, t5.tokenizer.reference.token_to_id("</s>")
    cut = change(t5, overflow="truncate", max_length=6, max_target_length=4)
    done = tokenize_rows(chunk((long, long), ("a", long), (long, "a"), ("a", "a")), cut)
    whole = t5.tokenizer.reference.encode(long, add_special_tokens=False).ids
    first, *rest = done.examples.to_pylist()
    assert first["input_ids"] == [*whole[:5], end]
    assert first["labels"] == [*whole[:3], end]
    assert all(example["labels"][-1] == example["input_ids"][-1] == end for example in rest)
    assert done.truncated.tolist() == [True, True, True, False]


def test_a_length_with_room_for_special_tokens_alone_rejects_every_row(t5):
    done = tokenize_rows(pairs(3), change(t5, overflow="truncate", max_length=1))
    assert set(reasons(done).values()) == {"too_long"}
    assert not len(done.kept)
    done = tokenize_rows(pairs(3), change(t5, overflow="truncate", max_target_length=1))
    assert np.unique(list(reasons(done).values())).tolist() == ["target_too_long"]


@pytest.mark.parametrize("name", ["NllbTokenizerFast", "MBartTokenizer", "MarianTokenizer"])
def test_a_tokenizer_with_targets_of_its_own_is_refused(tmp_path, name):
    folder = tokenizing.unigram(tmp_path, tokenizer_class=name)
    with pytest.raises(TokenizerError, match="encodes a target otherwise than a source"):
        find_target_wrapping(load_tokenizer(str(folder)))


def test_a_tokenizer_without_any_end_is_refused(tmp_path):
    folder = tokenizing.byte_level(tmp_path, eos_token=None)
    with pytest.raises(TokenizerError, match="names no eos_token"):
        find_target_wrapping(load_tokenizer(str(folder)))
