"""A fast backend is used only where it is proved equal to the reference; the fastest is chosen, and it is said why."""

import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tokenizers
from encoded import CHAT, SAMPLE, encode_alone, pieces, strings
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers

from sftdata.errors import TokenizerError
from sftdata.tokenizers.backends import FAST, Proof, choose_backend, huggingface, make_backend
from sftdata.tokenizers.loading import Tokenizer, load_tokenizer

FITTING = {"chat_tokenizer": ("gigatoken", "fastokens", "tokie"), "text_tokenizer": ("tokie",)}


@pytest.fixture(params=FITTING)
def tokenizer(request):
    return load_tokenizer(str(request.getfixturevalue(request.param)))


@pytest.fixture(params=[(name, backend) for name, fitting in FITTING.items() for backend in fitting])
def forced(request):
    """A tokenizer with each backend that fits it."""
    name, backend = request.param
    return load_tokenizer(str(request.getfixturevalue(name))), backend


def with_tokens(directory, *tokens, normalizer=None):
    """The chat tokenizer with more added tokens."""
    loaded = load_tokenizer(str(directory))
    changed = tokenizers.Tokenizer.from_str(loaded.text)
    changed.add_tokens(list(tokens))
    if normalizer is not None:
        changed.normalizer = normalizer
    return Tokenizer("changed", changed.to_str(), {}, None, {})


CASES = [
    strings(),
    strings(""),
    strings("", ""),
    strings("one"),
    strings("", "two words", "", "三", ""),
    strings("\ue000 private", "plain"),
    strings("\U0010ffff", "a\U0010ffffb", "plain"),
    strings(CHAT, "<|endoftext|>", CHAT * 2),
    strings("cut off", "the", "一 two 三", CHAT, "cut off")[1:4],
    pl.concat([strings("the", "quick"), strings(), strings("brown", "fox")], rechunk=False)[1:],
]


@pytest.mark.parametrize("texts", CASES, ids=range(len(CASES)))
def test_every_backend_gives_the_reference_ids_text_by_text(forced, texts):
    tokenizer, backend = forced
    proof = choose_backend(tokenizer, backend, SAMPLE)
    assert proof.backend.startswith(backend)
    for made in (make_backend(tokenizer, proof), make_backend(tokenizer, None)):
        for _ in range(2):  # the second time characters may have been learned
            encoded = made.encode(texts)
            assert pieces(encoded) == encode_alone(tokenizer, texts)
            assert encoded[0].dtype == np.int32
            assert encoded[1].dtype == np.int64


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(max_size=30), max_size=6))
def test_ids_are_the_references_for_any_text(texts, chat_tokenizer: Path, text_tokenizer: Path):
    for directory, fitting in ((chat_tokenizer, FITTING["chat_tokenizer"]), (text_tokenizer, ("tokie",))):
        tokenizer = load_tokenizer(str(directory))
        for backend in fitting:
            made = make_backend(tokenizer, proofs(tokenizer, backend))
            assert pieces(made.encode(strings(*texts))) == encode_alone(tokenizer, texts)


PROOFS: dict[tuple[str, str], Proof] = {}


def proofs(tokenizer, backend):
    """A proof is worth keeping over examples."""
    return PROOFS.setdefault((tokenizer.digest, backend), choose_backend(tokenizer, backend, SAMPLE))


def test_the_fastest_that_fits_is_chosen_and_it_is_said_why_no_faster_one(tokenizer):
    proof = choose_backend(tokenizer, "auto", SAMPLE)
    if tokenizer.special_tokens[0] == "<|endoftext|>":
        assert (proof.backend.split()[0], proof.differs) == ("gigatoken", None)
    else:
        assert proof.backend.startswith("tokie")
        assert "gigatoken" in proof.differs
        assert "fastokens" in proof.differs
        assert "BertNormalizer" in proof.differs


def test_a_proof_pickles_and_makes_the_same_backend(forced):
    tokenizer, backend = forced
    proof = choose_backend(tokenizer, backend, SAMPLE)
    copy = pickle.loads(pickle.dumps(proof))  # noqa: S301 - our own bytes
    assert copy == proof
    assert make_backend(tokenizer, copy).name == proof.backend


def test_a_package_that_is_not_installed_is_passed_over(chat_tokenizer, monkeypatch):
    def absent(tokenizer):
        raise ModuleNotFoundError("No module named 'gigatoken'")

    monkeypatch.setitem(FAST, "gigatoken", absent)
    tokenizer = load_tokenizer(str(chat_tokenizer))
    proof = choose_backend(tokenizer, "auto", SAMPLE)
    assert proof.backend.startswith("fastokens")
    assert proof.differs == "gigatoken: it is not installed"
    with pytest.raises(TokenizerError, match="gigatoken: it is not installed"):
        choose_backend(tokenizer, "gigatoken", SAMPLE)


@pytest.mark.parametrize("backend", ["gigatoken", "fastokens"])
def test_a_forced_backend_that_does_not_fit_is_refused(text_tokenizer, backend):
    with pytest.raises(TokenizerError, match=f"{backend} .*does not support this tokenizer.*backend: auto"):
        choose_backend(load_tokenizer(str(text_tokenizer)), backend, SAMPLE)


def test_huggingface_is_used_without_proof_when_it_is_forced(tokenizer):
    assert choose_backend(tokenizer, "huggingface", SAMPLE) == Proof(huggingface(tokenizer).name)
    assert huggingface(tokenizer).name.startswith("tokenizers")


def test_the_proof_says_how_large_it_was(tokenizer):
    counts = choose_backend(tokenizer, "auto", SAMPLE).counts
    ascii_and_breaks = 0x7F - 0x20 + 3
    own = set("".join(SAMPLE)) - set(map(chr, range(0x20, 0x7F)))
    assert counts["characters"] == ascii_and_breaks + len(own)
    assert counts["sample"] == len(SAMPLE)
    assert counts["added_tokens"] == len(tokenizer.added_tokens)
    assert counts["adversarial"] > 35


FLAGGED = {
    "plain": AddedToken("<|x|>", normalized=False),
    "lstrip": AddedToken("<|x|>", lstrip=True, normalized=False),
    "rstrip": AddedToken("<|x|>", rstrip=True, normalized=False),
    "both": AddedToken("<|x|>", lstrip=True, rstrip=True, normalized=False),
    "single_word": AddedToken("wordy", single_word=True, normalized=False),
    "normalized": AddedToken("Wordy", normalized=True),
}


@pytest.mark.parametrize("flag", FLAGGED)
@pytest.mark.parametrize("backend", FITTING["chat_tokenizer"])
@pytest.mark.parametrize("normalizer", [None, normalizers.Lowercase(), normalizers.NFC()], ids=["none", "lower", "nfc"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_texts_with_added_tokens_are_equal_whatever_their_flags(chat_tokenizer, backend, flag, normalizer, data):
    tokenizer = with_tokens(chat_tokenizer, FLAGGED[flag], normalizer=normalizer)
    try:
        made = make_backend(tokenizer, proofs(tokenizer, backend))
    except TokenizerError:
        return
    part = st.sampled_from([FLAGGED[flag].content, " ", "\n", "a", "  ", "<|im_start|>", "wordy", "WORDY", ".", "é"])
    texts = data.draw(st.lists(st.lists(part, max_size=6).map("".join), max_size=4))
    assert pieces(made.encode(strings(*texts))) == encode_alone(tokenizer, texts)


def test_gigatoken_fits_added_tokens_with_every_flag(chat_tokenizer):
    """The test above says nothing about a backend that fits none of these tokenizers."""
    proved = {
        flag: choose_backend(with_tokens(chat_tokenizer, token), "gigatoken", SAMPLE) for flag, token in FLAGGED.items()
    }
    assert proved["plain"].doubtful == proved["lstrip"].doubtful == proved["rstrip"].doubtful == ()
    assert proved["single_word"].doubtful == ("wordy",)
