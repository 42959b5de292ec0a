"""gigatoken is fed with one buffer: no text shifts another, missing bytes are no hindrance, its cache is bounded."""

import json
import mmap

import gigatoken as native
import numpy as np
import pytest
from encoded import CHAT, SAMPLE, encode_alone, pieces, strings, without_bytes

from sftdata.errors import TokenizerError
from sftdata.tokenizers import gigatoken
from sftdata.tokenizers.backends import choose_backend, make_backend
from sftdata.tokenizers.encoders import fast_gigatoken, reference_encoder
from sftdata.tokenizers.loading import Tokenizer, load_tokenizer
from sftdata.tokenizers.routing import Router


def test_a_vocabulary_that_lacks_bytes_gets_gigatoken_all_the_same(chat_tokenizer):
    tokenizer = without_bytes(load_tokenizer(str(chat_tokenizer)), "~", "û", "q")
    with pytest.raises(RuntimeError, match="no single-byte vocab entry"):
        native.Tokenizer.from_json(tokenizer.text)
    proof = choose_backend(tokenizer, "gigatoken", SAMPLE)
    assert not set("~q") & set(proof.proved)
    texts = strings("the fox", "~", "quick", "a ~ b", "", "so")
    assert pieces(make_backend(tokenizer, proof).encode(texts)) == encode_alone(tokenizer, texts)
    fast = fast_gigatoken(tokenizer)
    assert fast(texts)[0].max() >= tokenizer.vocab_size
    everything = "".join(map(chr, range(0x20, 0x7F)))
    router = Router(fast, reference_encoder(tokenizer.reference), everything, (), tokenizer.vocab_size)
    assert pieces(router(texts)) == encode_alone(tokenizer, texts)


def test_gigatoken_is_loaded_anew_when_its_cache_has_grown(chat_tokenizer, monkeypatch):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    gigatoken.gigatoken_encoder.cache_clear()
    loads, memory = [], iter([100, 100 + gigatoken.CACHE_BYTES, 101 + gigatoken.CACHE_BYTES, 5000, 5001])
    real = gigatoken._load
    monkeypatch.setattr(gigatoken, "resident_bytes", lambda: next(memory))
    monkeypatch.setattr(gigatoken, "_load", lambda text: (loads.append(text), real(text))[1])
    encode = fast_gigatoken(tokenizer)
    for expected in (1, 2, 2):
        assert pieces(encode(SAMPLE)) == encode_alone(tokenizer, SAMPLE)
        assert len(loads) == expected
    gigatoken.gigatoken_encoder.cache_clear()


def test_memory_is_measured():
    before = gigatoken.resident_bytes()
    held = np.frombuffer(mmap.mmap(-1, 50_000_000), np.uint8)  # malloc may give back what another test let go
    held[:] = 1
    assert gigatoken.resident_bytes() - before > 0.5 * len(held)


def test_a_text_with_the_separator_never_shifts_the_others(chat_tokenizer):
    encode = fast_gigatoken(load_tokenizer(str(chat_tokenizer)))
    with pytest.raises(TokenizerError, match="found 3 texts where 2 were given"):
        encode(strings("a\U0010ffffb", "c"))


def test_a_tokenizer_without_added_tokens_gets_a_separator(chat_tokenizer):
    loaded = load_tokenizer(str(chat_tokenizer))
    content = json.loads(loaded.text)
    content["added_tokens"] = []
    tokenizer = Tokenizer("none", json.dumps(content), {}, None, {})
    texts = strings("the fox", "", CHAT)
    assert pieces(fast_gigatoken(tokenizer)(texts)) == encode_alone(tokenizer, texts)
