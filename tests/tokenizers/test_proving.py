"""A wrong encoder is caught: for certain where the proof looks, by the law of the sample elsewhere."""

import numpy as np
import pytest
import tokenizers
from encoded import CHAT, SAMPLE, encode_alone, pieces, sabotage, strings
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

from sftdata.errors import TokenizerError
from sftdata.tokenizers.adversarial import ATOMS
from sftdata.tokenizers.backends import FAST, choose_backend, make_backend
from sftdata.tokenizers.characters import candidate_characters
from sftdata.tokenizers.encoders import fast_tokie, reference_encoder
from sftdata.tokenizers.loading import Tokenizer, load_tokenizer
from sftdata.tokenizers.proving import COMPARED_BYTES, COMPARED_TEXTS, draw, prove
from sftdata.tokenizers.routing import CHECKED_EVERY, Router, differences, keep_checking


@pytest.mark.parametrize("spoiled", ["the quick brown fox", "[CLS] [SEP] [MASK] [UNK] [PAD]", "3.14"])
def test_a_backend_with_one_wrong_id_is_caught_and_not_used(text_tokenizer, monkeypatch, spoiled):
    tokenizer = load_tokenizer(str(text_tokenizer))
    monkeypatch.setitem(FAST, "tokie", lambda tokenizer: sabotage(fast_tokie(tokenizer), lambda text: spoiled in text))
    proof = choose_backend(tokenizer, "auto", SAMPLE)
    assert proof.proved is None
    assert proof.backend.startswith("tokenizers")
    assert f"ids differ on {'sample' if 'fox' in spoiled else 'adversarial'} text" in proof.differs
    with pytest.raises(TokenizerError, match=r"ids differ on .* text"):
        choose_backend(tokenizer, "tokie", SAMPLE)


@pytest.mark.parametrize(("wrong_in", "sampled"), [(10_000, 1000), (1000, 1000), (1000, 300)])
def test_the_law_of_the_sample_holds(chat_tokenizer, monkeypatch, wrong_in, sampled):
    monkeypatch.setattr("sftdata.tokenizers.proving.COMPARED_TEXTS", sampled)
    tokenizer = load_tokenizer(str(chat_tokenizer))
    reference = reference_encoder(tokenizer.reference)
    texts = strings(*[f"row {i}" for i in range(10_000)])
    drawn = set(draw(texts))
    assert len(drawn) == sampled
    rng = np.random.default_rng(0)
    caught = 0
    for trial in range(200):
        wrong = set(texts.gather(rng.choice(10_000, 10_000 // wrong_in, replace=False)))
        caught += bool(wrong & drawn)
        if trial < 2:  # what is drawn is what is compared
            fast = sabotage(reference, wrong.__contains__)
            assert (prove("x", fast, tokenizer, texts).proved is None) == bool(wrong & drawn)
    expected = 1 - (1 - 1 / wrong_in) ** sampled
    assert abs(caught / 200 - expected) < 4 * np.sqrt(expected * (1 - expected) / 200)


def test_one_wrong_text_among_the_compared_is_caught_whichever_it_is(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    reference = reference_encoder(tokenizer.reference)
    texts = strings(*[f"row {i}" for i in range(10_000)])
    for wrong in list(draw(texts))[::250]:
        proof = prove("x", sabotage(reference, wrong.__eq__), tokenizer, texts)
        assert proof.proved is None
        assert wrong in proof.differs


def test_an_encoder_that_goes_wrong_later_is_caught_while_encoding(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    reference = reference_encoder(tokenizer.reference)
    texts = strings(*[f"row {i}" for i in range(3 * CHECKED_EVERY)])
    checked = CHECKED_EVERY // 2
    for row in (checked, checked + CHECKED_EVERY):
        encode = keep_checking(sabotage(reference, texts[row].__eq__), reference, "fast 1.0")
        with pytest.raises(TokenizerError, match=f"fast 1.0 gives other ids than Hugging Face's for '{texts[row]}'"):
            encode(texts)
    right = keep_checking(reference, reference, "fast 1.0")
    assert pieces(right(texts)) == pieces(reference(texts))


def test_a_character_that_differs_is_left_to_the_reference(text_tokenizer, monkeypatch):
    tokenizer = load_tokenizer(str(text_tokenizer))
    # adversarial texts hold the same character, so they must not be compared
    wrong = lambda tokenizer: sabotage(fast_tokie(tokenizer), lambda text: "你" in text)  # noqa: E731
    monkeypatch.setitem(FAST, "tokie", wrong)
    proof = choose_backend(tokenizer, "tokie", SAMPLE)
    assert "你" not in proof.proved
    assert "好" in proof.proved
    for _ in range(2):
        encoded = make_backend(tokenizer, proof).encode(strings("你好", "hi"))
        assert pieces(encoded) == encode_alone(tokenizer, ["你好", "hi"])


def test_the_draw_is_bounded_in_texts_and_bytes_and_the_same_each_time():
    short, long = strings(*map(str, range(50_000))), strings(*["x" * 20_000] * 100)
    assert len(draw(short)) == COMPARED_TEXTS
    assert len(draw(long)) == COMPARED_BYTES // 20_000
    assert len(draw(strings("x" * 10 * COMPARED_BYTES))) == 1
    assert draw(short).to_list() == draw(short).to_list()
    assert draw(strings()).to_list() == []


def test_candidates_leave_out_private_unassigned_and_control_characters():
    assert candidate_characters(strings("a\ue000b\U000e0fff\U0010ffff\x00你\n")) == ["\n", "a", "b", "你"]


def test_an_encoder_that_may_see_few_texts_only_is_refused(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    fast = sabotage(reference_encoder(tokenizer.reference), lambda text: "<|im_end|>" in text)
    for texts, refused in ((strings(CHAT, CHAT, "plain"), True), (strings(CHAT, "plain", "other"), False)):
        proof = prove("x", fast, tokenizer, texts)
        assert (proof.proved is None) == refused
        assert proof.differs == ("ids differ: 2 of 3 texts hold what it gets wrong" if refused else None)


def test_an_encoder_that_cannot_encode_a_text_is_refused(chat_tokenizer):
    trained = tokenizers.Tokenizer.from_str(load_tokenizer(str(chat_tokenizer)).text)
    only = trainers.BpeTrainer(vocab_size=100, show_progress=False)  # has the bytes of what it is trained on, no others
    trained.model = models.BPE()
    trained.train_from_iterator(["the quick brown fox"], only)
    with pytest.raises(TokenizerError, match=r"fastokens .*: it cannot encode a text \(model error: byte 0x"):
        choose_backend(Tokenizer("few", trained.to_str(), {}, None, {}), "fastokens", SAMPLE)


def test_characters_that_an_encoder_cannot_encode_are_not_learned(chat_tokenizer):
    tokenizer = load_tokenizer(str(chat_tokenizer))
    reference = reference_encoder(tokenizer.reference)

    def fast(texts):
        if texts.str.contains("你").any():
            raise TokenizerError("it cannot encode a text")
        return reference(texts)

    router = Router(fast, reference, "abc", (), tokenizer.vocab_size)
    for _ in range(2):
        assert pieces(router(strings("abc", "你"))) == encode_alone(tokenizer, ["abc", "你"])


WORDS = Regex(r"\p{L}+|\p{N}{1,3}|[^\p{L}\p{N}]")
AFTER = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
CUTS = {
    "prefix": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "whole": AFTER,
    "words": pre_tokenizers.Sequence([pre_tokenizers.Split(WORDS, "isolated"), AFTER]),
    "removed": pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "removed"), AFTER]),
    "signs": pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), AFTER]),
}
NORMALIZERS = {
    "none": None,
    "nfkc": normalizers.NFKC(),
    "strip": normalizers.Strip(),
    "a-b": normalizers.Replace("a", "b"),
}


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("cut", CUTS)
def test_what_is_proved_equal_is_equal_on_other_texts(chat_tokenizer, cut, normalizer):
    """Tokenizers of many kinds: most backends support some of them only in appearance."""
    changed = tokenizers.Tokenizer.from_str(load_tokenizer(str(chat_tokenizer)).text)
    changed.pre_tokenizer = CUTS[cut]
    if NORMALIZERS[normalizer] is not None:
        changed.normalizer = NORMALIZERS[normalizer]
    tokenizer = Tokenizer("changed", changed.to_str(), {}, None, {})
    draws = np.random.default_rng(1).integers(len(ATOMS), size=(2000, 8))
    texts = strings(*("".join(ATOMS[i] for i in row) for row in draws.tolist()), CHAT, "é ½", "e\u0301 你好")
    expected = reference_encoder(tokenizer.reference)(texts)
    for backend in FAST:
        try:
            proof = choose_backend(tokenizer, backend, SAMPLE)
        except TokenizerError:
            continue
        made = make_backend(tokenizer, proof)
        for _ in range(2):
            assert differences(made.encode(texts), expected) == []
