"""Pairs are framed, truncated and split as Hugging Face's tokenizers package does it, whatever the post-processor."""

import json
from dataclasses import replace

import numpy as np
import pytest
from examples import WORDS
from hypothesis import given
from hypothesis import strategies as st

from sftdata.errors import TokenizerError
from sftdata.stages.tokenization.flat import take_rows
from sftdata.stages.tokenization.pairs import Pairs, find_pair_template, frame_pairs, split_pairs, truncate_pairs
from sftdata.tokenizers.loading import load_tokenizer

SENTENCES = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
LISTS = st.lists(st.lists(st.integers(10, 99), max_size=7), min_size=1, max_size=6)


def template(single, pair):
    ids = {"[CLS]": 2, "[SEP]": 3}
    specials = {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()}

    def read(text):
        parts = [part.partition(":") for part in text.split()]
        return [
            {"Sequence": {"id": name[1:], "type_id": int(kind or 0)}}
            if name in ("$A", "$B")
            else {"SpecialToken": {"id": name, "type_id": int(kind or 0)}}
            for name, _, kind in parts
        ]

    return {
        "type": "TemplateProcessing",
        "single": read(single),
        "pair": read(pair),
        "special_tokens": specials,
    }


PROCESSORS = {
    "bert": template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": template("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),
    "xlnet": template("$A [SEP] [CLS]:2", "$A [SEP] $B:1 [SEP]:1 [CLS]:2"),
    "reversed": template("[CLS] $A", "[CLS] $B:1 [SEP] $A"),
    "none": None,
}
TYPED = {"bert", "xlnet", "reversed"}


@pytest.fixture(params=PROCESSORS, scope="module")
def family(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(family, text_tokenizer):
    return make_tokenizer(family, text_tokenizer)


def make_tokenizer(family, directory, **config):
    loaded = load_tokenizer(str(directory))
    changed = json.loads(loaded.text) | {"post_processor": PROCESSORS[family]}
    return replace(loaded, text=json.dumps(changed), config={**loaded.config, **config})


def lay_out(lists):
    lengths = np.array([len(ids) for ids in lists], dtype=np.int64)
    return np.array([i for ids in lists for i in ids], dtype=np.int32), lengths


def as_rows(encoded):
    ids, lengths = encoded
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []


def encode(tokenizer, texts):
    return lay_out([tokenizer.reference.encode(text, add_special_tokens=False).ids for text in texts])


@given(texts=st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=5))
def test_framed_pairs_have_the_ids_and_types_of_the_reference(tokenizer, family, texts):
    found = find_pair_template(tokenizer)
    ids, lengths, types = frame_pairs(*(encode(tokenizer, side) for side in zip(*texts, strict=True)), found)
    expected = [tokenizer.reference.encode(*pair) for pair in texts]
    assert as_rows((ids, lengths)) == [encoding.ids for encoding in expected]
    if family in TYPED:
        assert as_rows((types, lengths)) == [encoding.type_ids for encoding in expected]
    assert found.has_types == (family in TYPED)
    assert (ids.dtype, types.dtype) == (np.int32, np.int8)


def test_no_pair_is_no_token(tokenizer):
    ids, lengths, types = frame_pairs(lay_out([]), lay_out([]), find_pair_template(tokenizer))
    assert (len(ids), len(lengths), len(types)) == (0, 0, 0)


def test_types_that_the_tokenizer_files_leave_out_are_left_out(text_tokenizer):
    silent = make_tokenizer("bert", text_tokenizer, model_input_names=["input_ids", "attention_mask"])
    assert not find_pair_template(silent).has_types


def test_a_tokenizer_that_says_a_text_twice_is_refused(text_tokenizer, monkeypatch):
    monkeypatch.setitem(PROCESSORS, "odd", template("[CLS] $A", "[CLS] $A [SEP] $B $A"))
    with pytest.raises(TokenizerError, match="changes texts when it makes a pair"):
        find_pair_template(make_tokenizer("odd", text_tokenizer))


def pairs_of(first, second):
    rows = min(len(first), len(second))
    first, second = lay_out(first[:rows]), lay_out(second[:rows])
    return Pairs(np.arange(rows), first, second, np.zeros(rows, np.bool_))


@given(first=SENTENCES, second=SENTENCES, longest=st.integers(5, 20))
def test_truncation_is_that_of_longest_first(tokenizer, first, second, longest):
    found = find_pair_template(tokenizer)
    pairs = pairs_of(*([ids] for ids in (encode(tokenizer, [text])[0].tolist() for text in (first, second))))
    cut = truncate_pairs(pairs, longest - found.special)
    reference = load_tokenizer_with_truncation(tokenizer, longest)
    expected = reference.encode(first, second)
    assert frame_pairs(cut.first, cut.second, found)[0].tolist() == expected.ids
    assert cut.truncated.tolist() == [len(pairs.first[0]) + len(pairs.second[0]) > longest - found.special]


def load_tokenizer_with_truncation(tokenizer, longest):
    reference = replace(tokenizer).reference  # its own copy
    reference.enable_truncation(longest, strategy="longest_first")
    return reference


@given(first=LISTS, second=LISTS, room=st.integers(-2, 9))
def test_split_equals_a_naive_loop(first, second, room):
    pairs = pairs_of(first, second)
    expected = []
    for row, (one, other) in enumerate(zip(first, second, strict=False)):
        left = room - len(one)
        size = left if left > 0 else max(len(other), 1)
        starts = range(0, max(len(other), 1), size)
        expected += [(row, one, other[start : start + size]) for start in starts]
    found = split_pairs(pairs, room)
    assert list(zip(found.rows, as_rows(found.first), as_rows(found.second), strict=True)) == expected


@given(lists=LISTS, chosen=st.lists(st.integers(0, 5), max_size=9))
def test_rows_are_taken_as_lists_are(lists, chosen):
    rows = [row % len(lists) for row in chosen]
    assert as_rows(take_rows(*lay_out(lists), np.array(rows, np.int64))) == [lists[row] for row in rows]
