"""A fast backend is used only where it is proved equal to the reference, and a wrong one is caught."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.errors import TokenizerError
from sftdata.tokenizers import backends
from sftdata.tokenizers.backends import candidate_characters, choose_backend, huggingface, make_backend, prove
from sftdata.tokenizers.loading import load_tokenizer

SAMPLE = ["the quick brown fox", "你好，世界。", "What is 1 + 1?", "😀 emoji"] * 5


@pytest.fixture(params=["chat_tokenizer", "text_tokenizer"])
def tokenizer(request):
    return load_tokenizer(str(request.getfixturevalue(request.param)))


def encode_alone(tokenizer, texts):
    return [tokenizer.reference.encode(text, add_special_tokens=False).ids for text in texts]


def pieces(encoded):
    ids, lengths = encoded
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["", "two words", "", "三"], ["\ue000 private", "plain"]])
def test_every_backend_gives_the_reference_ids_text_by_text(tokenizer, texts):
    proof = choose_backend(tokenizer, "auto", SAMPLE)
    assert proof.backend.startswith("tokie")
    for proved in (None, proof.proved):
        encoded = make_backend(tokenizer, proved).encode(texts)
        assert pieces(encoded) == encode_alone(tokenizer, texts)
        assert encoded[0].dtype == np.int32
        assert encoded[1].dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=30), max_size=6))
def test_ids_are_the_references_for_any_text(texts, chat_tokenizer: Path, text_tokenizer: Path):
    for directory in (chat_tokenizer, text_tokenizer):
        tokenizer = load_tokenizer(str(directory))
        proof = choose_backend(tokenizer, "auto", SAMPLE)
        assert pieces(make_backend(tokenizer, proof.proved).encode(texts)) == encode_alone(tokenizer, texts)


def test_a_row_with_an_untried_character_goes_to_the_reference(tokenizer, monkeypatch):
    proof = prove(tokenizer, ["abc"])
    fast_saw: list[str] = []
    real = backends._tokie_encode(tokenizer.text)
    monkeypatch.setattr(backends, "_tokie_encode", lambda text: lambda texts: (fast_saw.extend(texts), real(texts))[1])
    texts = ["plain", "你好", "also plain", "private \ue000"]
    encoded = make_backend(tokenizer, proof.proved).encode(texts)
    assert fast_saw == ["plain", "also plain"]
    assert pieces(encoded) == encode_alone(tokenizer, texts)


@pytest.mark.parametrize("spoiled", ["the quick brown fox", "[CLS] [SEP] [MASK] [UNK] [PAD]"])
def test_a_backend_with_one_wrong_id_is_caught_and_not_used(text_tokenizer, monkeypatch, spoiled):
    tokenizer = load_tokenizer(str(text_tokenizer))
    real = backends._tokie_encode(tokenizer.text)

    def sabotage(text):
        def encode(texts):
            ids, lengths = real(texts)
            for row, said in enumerate(texts):
                if said == spoiled:
                    ids = ids.copy()
                    ids[int(lengths[:row].sum())] += 1
            return ids, lengths

        return encode

    monkeypatch.setattr(backends, "_tokie_encode", sabotage)
    proof = choose_backend(tokenizer, "auto", SAMPLE)
    assert proof.proved is None
    assert proof.backend.startswith("tokenizers")
    assert spoiled[:50] in proof.differs
    with pytest.raises(TokenizerError, match="differs from Hugging Face"):
        choose_backend(tokenizer, "tokie", SAMPLE)


def test_a_character_that_differs_is_left_to_the_reference(text_tokenizer, monkeypatch):
    tokenizer = load_tokenizer(str(text_tokenizer))
    real = backends._tokie_encode(tokenizer.text)

    def sabotage(text):
        def encode(texts):
            ids, lengths = real(texts)
            wrong = np.repeat(["你" in said for said in texts], lengths) if len(texts) else np.zeros(0, bool)
            return np.where(wrong, ids + 1, ids).astype(np.int32), lengths

        return encode

    # adversarial texts hold the same character, so the route must keep them from the fast backend as well
    monkeypatch.setattr(backends, "_tokie_encode", sabotage)
    proof = choose_backend(tokenizer, "auto", SAMPLE)
    assert proof.differs is None
    assert pieces(make_backend(tokenizer, proof.proved).encode(["你好", "hi"])) == encode_alone(
        tokenizer, ["你好", "hi"]
    )


def test_huggingface_is_used_without_proof_when_it_is_forced(tokenizer):
    assert choose_backend(tokenizer, "huggingface", SAMPLE).proved is None
    assert huggingface(tokenizer).name.startswith("tokenizers")


def test_the_proof_says_how_large_it_was(tokenizer):
    counts = prove(tokenizer, SAMPLE).counts
    assert counts["characters"] == len(candidate_characters(SAMPLE))
    assert counts["sample"] == len(SAMPLE)
    assert counts["added_tokens"] == 4 * len(tokenizer.added_tokens)
    assert counts["adversarial"] > 80


def test_candidates_leave_out_private_and_unassigned_characters():
    assert "\ue000" not in candidate_characters(["a\ue000b\U000e0fff"])
    assert set("a你😀\n") <= set(candidate_characters(["a你😀\n"]))
