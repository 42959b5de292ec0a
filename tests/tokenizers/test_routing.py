"""Texts that a fast encoder may get wrong go to the reference, until it was seen to get them right."""

import numpy as np
from encoded import CHAT, SAMPLE, encode_alone, pieces, sabotage, strings
from hypothesis import given
from hypothesis import strategies as st

from sftdata.tokenizers.characters import find_doubtful
from sftdata.tokenizers.encoders import fast_gigatoken, reference_encoder
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.tokenizers.proving import prove
from sftdata.tokenizers.routing import Router, weave


def spy(real, saw):
    return lambda texts: (saw.extend(texts), real(texts))[1]


def test_a_row_with_an_untried_character_goes_to_the_reference_until_the_character_is_learned(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    saw: list[str] = []
    proof = prove("x", fast_gigatoken(tokenizer), tokenizer, strings("abc"))
    reference = reference_encoder(tokenizer.reference)
    router = Router(spy(fast_gigatoken(tokenizer), saw), reference, proof.proved, (), tokenizer.vocab_size)
    texts = strings("plain", "你好", "also plain", "private \ue000")
    assert pieces(router(texts)) == encode_alone(tokenizer, texts)
    assert saw[-2:] == ["plain", "also plain"]
    assert not any("\ue000" in text for text in saw)
    saw.clear()
    assert pieces(router(texts)) == encode_alone(tokenizer, texts)
    assert saw == ["plain", "你好", "also plain"]


def test_a_character_that_is_wrong_on_a_whole_text_only_is_not_learned(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    real = fast_gigatoken(tokenizer)

    def wrong(texts):
        ids, lengths = real(texts)
        spoiled = texts.str.contains("你好", literal=True).to_numpy()
        return np.where(np.repeat(spoiled, lengths), (ids + 1) % tokenizer.vocab_size, ids).astype(np.int32), lengths

    router = Router(wrong, reference_encoder(tokenizer.reference), "abc ", (), tokenizer.vocab_size)
    for texts in (strings("你好", "a 世", "abc"), strings("你", "世", "你好 a"), strings("你好", "世界")):
        assert pieces(router(texts)) == encode_alone(tokenizer, texts)


def test_an_added_token_that_differs_sends_its_texts_to_the_reference(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    reference = reference_encoder(tokenizer.reference)
    fast = sabotage(reference, lambda text: "<|im_end|>" in text)
    proof = prove("x", fast, tokenizer, SAMPLE)
    assert proof.doubtful == ("<|im_end|>",)
    assert proof.counts["added_tokens"] == len(tokenizer.added_tokens) - 1
    router = Router(fast, reference, proof.proved, proof.doubtful, tokenizer.vocab_size)
    texts = strings(CHAT, "<|im_start|>", "<|im_end|", "im_end|>")
    assert pieces(router(texts)) == encode_alone(tokenizer, texts)


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.text(max_size=20))
def test_doubt_is_any_other_character_or_one_of_the_tokens(characters, tokens, text):
    expected = bool(set(text) - set(characters)) or any(token in text for token in tokens)
    assert strings(text).str.contains(find_doubtful(characters, tokens))[0] == expected


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=3)), max_size=6))
def test_weaving_puts_every_text_in_its_place(rows):
    def encoded(wanted):
        chosen = [ids for slow, ids in rows if slow == wanted]
        return np.array([i for ids in chosen for i in ids], np.int32), np.array([len(ids) for ids in chosen], np.int64)

    woven = weave(encoded(False), encoded(True), np.array([slow for slow, _ in rows], np.bool_))
    assert pieces(woven) == [ids for _, ids in rows]
