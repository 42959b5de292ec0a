"""Trained tokens are those that lie inside a response; a torn edge is told, never guessed."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.records import IGNORE_INDEX
from sftdata.tokenizers.backends import huggingface
from sftdata.tokenizers.labels import Places, apply_mask, byte_table, find_trained, mark_trained
from sftdata.tokenizers.loading import load_tokenizer


def naive(places, starts, ends, weights):
    spans = list(zip(starts, ends, weights, strict=True))
    trained = [sum(w for s, e, w in spans if s <= a and b <= e) for a, b in zip(*places, strict=True)]
    edges_a, edges_b = set(places[0]), set(places[1])
    tiled = [s in edges_a and e in edges_b for s, e in zip(starts, ends, strict=True)]
    return trained, tiled


@given(st.data())
def test_marks_equal_a_naive_loop(data):
    cuts = sorted(data.draw(st.sets(st.integers(1, 40), max_size=15)))
    edges = [0, *cuts]
    places = (np.array(edges[:-1], np.int64), np.array(edges[1:], np.int64))
    points = sorted(data.draw(st.lists(st.integers(0, edges[-1]), max_size=8, unique=True)))
    spans = list(zip(points[::2], points[1::2], strict=False))
    starts, ends = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
    weights = data.draw(st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=len(spans), max_size=len(spans)))
    trained, tiled = mark_trained(Places(*places), starts, ends, np.array(weights, np.float32))
    expected_trained, expected_tiled = naive((edges[:-1], edges[1:]), starts.tolist(), ends.tolist(), weights)
    assert tiled.tolist() == [t and e > s for t, (s, e) in zip(expected_tiled, spans, strict=True)]
    assert trained.tolist() == expected_trained


def rendered(rows):
    places, numbers = pl.List(pl.Int64), pl.List(pl.Float32)
    schema = {"text": pl.String, "starts": places, "ends": places, "weights": numbers}
    return pl.DataFrame([(*row, [0.5] * len(row[1])) for row in rows], schema=schema, orient="row")


TEXTS = [
    ("user says 你好 and bot answers", [17], [32]),
    ("", [], []),
    ("nothing trained", [], []),
    ("<|im_start|>assistant\nhello<|im_end|>", [22], [37]),
]


@pytest.mark.parametrize("rows", [TEXTS, TEXTS[1:2], [], TEXTS[3:]])
def test_byte_places_and_offsets_agree(chat_tokenizer, rows):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    frame = rendered(rows)
    encoded = huggingface(tokenizer).encode(frame["text"])
    by_bytes = find_trained(frame, encoded, tokenizer, byte_table(tokenizer.reference))
    by_offsets = find_trained(frame, encoded, tokenizer, None)
    assert by_bytes[0].tolist() == by_offsets[0].tolist()
    assert by_bytes[1].tolist() == by_offsets[1].tolist()


def test_a_sliced_frame_gives_the_same_marks(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    frame = pl.concat([rendered(TEXTS), rendered(TEXTS)], rechunk=False).slice(3, 3)
    encoded = huggingface(tokenizer).encode(frame["text"])
    table = byte_table(tokenizer.reference)
    whole = find_trained(frame.rechunk(), encoded, tokenizer, table)
    sliced = find_trained(frame, encoded, tokenizer, table)
    assert sliced[0].tolist() == whole[0].tolist()
    assert sliced[0].any()


def test_a_row_whose_tokens_do_not_spell_its_text_falls_back_to_offsets_alone(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    frame = rendered([("hello world", [6], [11]), ("hello there", [6], [11])])
    encoded = huggingface(tokenizer).encode(frame["text"])
    # a table that lies about one token of the second row: `the` of `there` is not in the first
    token = tokenizer.reference.encode("hello there").ids[-1]
    table = byte_table(tokenizer.reference).to_pylist()
    table[token] = b"xx"
    import pyarrow as pa

    trained, torn = find_trained(frame, encoded, tokenizer, pa.array(table, pa.large_binary()))
    assert trained.tolist() == find_trained(frame, encoded, tokenizer, None)[0].tolist()
    assert torn.tolist() == find_trained(frame, encoded, tokenizer, None)[1].tolist()


def test_a_torn_edge_names_its_row(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    word = "the quick brown fox"
    ids = tokenizer.reference.encode(word).tokens
    assert ids[0] == "the", "the span below must cut a token in two"
    frame = rendered([(word, [1], [len(word)]), (word, [0], [len(word)])])
    trained, torn = find_trained(
        frame, huggingface(tokenizer).encode(frame["text"]), tokenizer, byte_table(tokenizer.reference)
    )
    assert torn.tolist() == [0]
    assert trained[len(ids) :].all()


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=40))
def test_the_byte_table_spells_any_text(text, chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    table = byte_table(tokenizer.reference).to_pylist()
    assert b"".join(table[i] for i in tokenizer.reference.encode(text).ids) == text.encode()


def test_wordpiece_has_no_byte_table(text_tokenizer):
    assert byte_table(load_tokenizer(str(text_tokenizer)).reference) is None


def test_labels_are_ids_or_the_ignored_index():
    labels = apply_mask(np.array([5, 6, 7], np.int32), np.array([False, True, False]))
    assert labels.tolist() == [IGNORE_INDEX, 6, IGNORE_INDEX]
    assert labels.dtype == np.int32
