"""Fitted tokenizers: the same bytes for the same texts, nothing learned of control tokens, equal ids elsewhere."""

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.errors import NothingToWrite, TokenizerError
from sftdata.records import Task
from sftdata.settings.tokenizing import TrainTokenizerSettings
from sftdata.text.segmentation import Segmenter
from sftdata.tokenizers.backends import choose_backend, make_backend
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.tokenizers.training import CHATML, begin_tokenizer, digest_texts, fit_tokenizer

KINDS = {
    "bpe": {"kind": "bpe", "vocab_size": 330},
    "bpe-jieba": {"kind": "bpe", "vocab_size": 330, "segmenter": "jieba"},
    "word-whitespace": {"kind": "word", "segmenter": "whitespace"},
    "word-nltk": {"kind": "word", "segmenter": "nltk"},
    "word-jieba": {"kind": "word", "segmenter": "jieba"},
    "char": {"kind": "char"},
}
LOSSLESS = ("bpe", "bpe-jieba", "word-jieba", "char")

CORPUS = [
    "The quick brown fox jumps over the lazy dog, but the dog doesn't care.",
    "我爱北京天安门，天安门上太阳升。",
    "the dog  barks\n\tat 北京大学 in 2024, and naïve foxes don't.",
    "今天天气很好，我们去北京大学看看。",
    "",
    " a lazy 天气 dog 🙂🙂 ",
]
HARD = [*CORPUS, "unknown 豫剧 zebra", "[UNK] <|im_end|> [PAD]", "e\u0301te\u0301 नमस्ते", "\x00\x1f\u3000", "中" * 300]


def settings_of(kind, **options):
    return TrainTokenizerSettings(**{"min_frequency": 1, **KINDS[kind], **options})


def fit(kind, chunks=(CORPUS,), task=Task.TEXT_CLASSIFICATION, template=None, segmenter=None, **options):
    settings, segmenter = settings_of(kind, **options), segmenter or Segmenter()
    begun = begin_tokenizer(settings, task, template)
    series = (chunk if isinstance(chunk, pl.Series) else pl.Series(chunk, dtype=pl.String) for chunk in chunks)
    return fit_tokenizer(begun, settings, task, [digest_texts(chunk, begun, settings, segmenter) for chunk in series])


def save(tokenizer, folder):
    for name, content in tokenizer.as_files().items():
        (folder / name).write_bytes(content)
    return str(folder)


def encode(tokenizer, text):
    return tokenizer.reference.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.SEQ2SEQ, Task.CAUSAL_LM])
def test_transformers_and_sftdata_open_it_and_give_the_same_ids(tmp_path, kind, task):
    import transformers

    tokenizer = fit(kind, task=task, template=CHATML if task == Task.CAUSAL_LM else None)
    loaded = load_tokenizer(save(tokenizer, tmp_path))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.text, loaded.template) == (tokenizer.text, tokenizer.template)
    for text in HARD:
        expected = tokenizer.reference.encode(text).ids
        assert theirs(text)["input_ids"] == loaded.reference.encode(text).ids == expected
        assert max(expected, default=0) < tokenizer.vocab_size == len(theirs)
    named = {"pad_token", "cls_token", "sep_token"} if task == Task.TEXT_CLASSIFICATION else {"pad_token", "eos_token"}
    assert named <= set(tokenizer.named_tokens())
    assert all(getattr(theirs, role) == token for role, token in tokenizer.named_tokens().items())
    assert ("token_type_ids" in theirs("a", "b")) == (task == Task.TEXT_CLASSIFICATION), "a decoder takes none"


@pytest.mark.parametrize("kind", KINDS)
def test_order_and_chunks_do_not_change_a_byte(kind):
    pieces = [[text] for text in CORPUS[::-1]]
    assert fit(kind).as_files() == fit(kind).as_files() == fit(kind, pieces).as_files()
    whole = pl.Series(["not", *CORPUS, None, "seen"])
    parts = [whole[1:3], whole[3:3], pl.concat([whole[3:4], whole[4:8]], rechunk=False), whole[:0]]
    assert fit(kind, parts).as_files() == fit(kind).as_files()
    assert fit(kind, [CORPUS, ["another text"] * 3]).as_files() != fit(kind).as_files(), "it depends on the texts"


@pytest.mark.parametrize("kind", KINDS)
@given(chunks=st.lists(st.lists(texts, max_size=3), min_size=1, max_size=3), data=st.data())
@quick
def test_the_same_texts_give_the_same_bytes(kind, chunks, data):
    every = [text for chunk in chunks for text in chunk]
    mixed = data.draw(st.permutations(every))
    try:
        expected = fit(kind, chunks).as_files()
    except NothingToWrite:
        assume(False)
    assert fit(kind, [mixed]).as_files() == expected


@pytest.mark.parametrize("kind", LOSSLESS)
@given(corpus=st.lists(texts, min_size=1, max_size=4))
@quick
def test_known_texts_come_back_from_their_ids(kind, corpus):
    assume(any(text.strip("\U0010ffff") for text in corpus))
    tokenizer = fit(kind, [corpus], vocab_size=5000)
    for text in corpus:
        if not any(token in text for token in (*tokenizer.special_tokens, "\U0010ffff")):
            assert tokenizer.reference.decode(encode(tokenizer, text).ids) == text


@pytest.mark.parametrize("kind", ["word-whitespace", "word-nltk", "char"])
@given(corpus=st.lists(texts, min_size=1, max_size=4))
@quick
def test_the_saved_tokenizer_finds_the_words_that_were_counted(kind, corpus):
    corpus = [text.replace("\U0010ffff", "") for text in corpus]
    assume(any(text.strip() for text in corpus))
    try:
        tokenizer = fit(kind, [corpus], vocab_size=5000)
    except NothingToWrite:  # white space that Unicode calls so, and Python does not
        assume(False)
    unknown = tokenizer.reference.token_to_id("[UNK]")
    spelled = [text for text in corpus if not any(token in text for token in tokenizer.special_tokens)]
    assert not any(unknown in encode(tokenizer, text).ids for text in spelled)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x24F) | st.sampled_from("\n，。北京’“")))
@quick
def test_nltk_is_nltks_word_punct_tokenizer(text):
    from nltk.tokenize import WordPunctTokenizer

    tokenizer = begin_tokenizer(settings_of("word-nltk"), Task.REGRESSION)
    found = [text[start:end] for start, end in encode(tokenizer, text.replace("[", "(")).offsets]
    assert found == WordPunctTokenizer().tokenize(text), "the tokens are unknown here; their places are not"


def test_words_of_jieba_are_cut_by_the_saved_tokenizer_alone():
    segmenter = Segmenter()
    tokenizer = fit("word-jieba")
    for text in CORPUS:
        assert encode(tokenizer, text).tokens == segmenter.split_pieces(text)
    assert encode(tokenizer, "我们爱北京大学").tokens == ["我们", "爱", "北京大学"], "a text that was not seen"
    frequent = fit("word-jieba", [["a b ab", *["a b"] * 50]])
    assert encode(frequent, "ab a").tokens == ["ab", " ", "a"], "a word that is known stays whole"


def test_the_own_dictionary_is_respected():
    corpus = ["天安门上太阳升"] * 2
    assert "上太阳" not in fit("word-jieba", [corpus]).reference.get_vocab()
    own = Segmenter((("上太阳", 10**9),))
    assert "上太阳" in fit("word-jieba", [corpus], segmenter=own).reference.get_vocab()


def test_bpe_with_jieba_learns_no_token_across_words():
    corpus = ["我爱北京", "北京爱我", "the fox", "the fox"] * 20
    plain, cut = (fit(kind, [corpus], vocab_size=600) for kind in ("bpe", "bpe-jieba"))
    assert len(encode(plain, "我爱北京").ids) == 1
    assert [cut.reference.decode([i]) for i in encode(cut, "我爱北京").ids] == ["我", "爱", "北京"]
    assert encode(cut, "the fox").tokens == encode(plain, "the fox").tokens == ["the", "Ġfox"], "others are not cut"


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_are_learned_from_no_text(kind):
    corpus = [*CORPUS, *["[PAD] [PAD]x[CLS]", "a[SEP]", "[PAD][UNK]"] * 50]
    tokenizer = fit(kind, [corpus], vocab_size=600)
    control = {tokenizer.reference.token_to_id(token) for token in tokenizer.special_tokens} - {
        tokenizer.reference.token_to_id("[UNK]")
    }
    assert len(control) == 3
    plain = tokenizer.plain_reference
    for text in ("[PAD]", "a [CLS] b", "[SEP][SEP]"):
        assert not control & set(plain.encode(text, add_special_tokens=False).ids), "as plain characters"
        assert control & set(encode(tokenizer, text).ids)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", Task)
def test_the_vocabulary_is_as_large_as_was_said_and_no_larger(kind, task):
    corpus = [*CORPUS, *(f"word{i} {chr(0x4E00 + i)}{chr(0x5E00 + i)}" for i in range(400))]
    assert fit(kind, [corpus], task, vocab_size=300).vocab_size == 300
    with pytest.raises(TokenizerError, match="vocab_size: found 3, expected at least"):
        begin_tokenizer(settings_of(kind, vocab_size=3), task, CHATML)


def test_rare_words_are_unknown():
    tokenizer = fit("word-whitespace", [["b a b c a", "d"]], min_frequency=2)
    assert encode(tokenizer, "a b c d").tokens == ["a", "b", "[UNK]", "[UNK]"]
    assert encode(tokenizer, "a b").ids == [1, 2], "of words that are as frequent the spelling decides"
    with pytest.raises(NothingToWrite, match="no word occurs 9 times in the training part"):
        fit("word-whitespace", [["a"] * 8], min_frequency=9)


def test_a_template_decides_on_the_control_tokens():
    own = "{{ bos_token }}{% for m in messages %}<|start_{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|sum|>"
    tokenizer = fit("bpe", task=Task.CAUSAL_LM, template=own)
    assert tokenizer.special_tokens == ("[PAD]", "<|endoftext|>", "<|startoftext|>", "<|end|>", "<|sum|>")
    assert fit("bpe", task=Task.CAUSAL_LM, template=CHATML).special_tokens == ("[PAD]", "<|im_end|>", "<|im_start|>")
    assert fit("char", task=Task.CAUSAL_LM).special_tokens == ("[UNK]", "[PAD]", "<|endoftext|>")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fast_backend_is_found_or_refused_but_never_wrong(kind):
    tokenizer = fit(kind)
    proof = choose_backend(tokenizer, "auto", pl.Series(CORPUS))
    assert proof.backend.startswith({"bpe": "gigatoken", "bpe-jieba": "gigatoken"}.get(kind, ""))
    ids, lengths = make_backend(tokenizer, proof).encode(pl.Series(HARD))
    assert ids.tolist() == [i for text in HARD for i in encode(tokenizer, text).ids]
    assert lengths.sum() == len(ids) > 0
