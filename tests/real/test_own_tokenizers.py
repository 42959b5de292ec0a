"""Tokenizers fitted on real texts: how near the saved file comes to jieba, and that it cuts as nltk does."""

import polars as pl
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from sftdata.records import Task
from sftdata.settings.tokenizing import TrainTokenizerSettings
from sftdata.text.segmentation import Segmenter
from sftdata.tokenizers.training import begin_tokenizer, digest_texts, fit_tokenizer

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def reviews(assets):
    lines = [(assets / f"zh_sent_{label}.txt").read_text(encoding="utf-8").split("\n") for label in ("pos", "neg")]
    return pl.Series([line for of_label in lines for line in of_label if line.strip()]).unique(maintain_order=True)


@pytest.fixture(scope="module")
def glosses(assets):
    lines = (assets / "wordnet" / "data.noun").read_text(encoding="utf-8").split("\n")
    return pl.Series([line.split(" | ", 1)[1] for line in lines if " | " in line]).gather_every(4)


def fit(texts, **options):
    settings, task, segmenter = TrainTokenizerSettings(**options), Task.TEXT_CLASSIFICATION, Segmenter()
    begun = begin_tokenizer(settings, task)
    return fit_tokenizer(begun, settings, task, [digest_texts(texts, begun, settings, segmenter)])


def share_cut_alike(tokenizer, texts, words, known):
    """Return how many of the known words of `texts` are tokens, as a share."""
    found = seen = 0
    for encoding, of_text in zip(tokenizer.encode_batch(texts, add_special_tokens=False), words, strict=True):
        tokens, place = set(encoding.offsets), 0
        for word in of_text:
            seen += word in known
            found += word in known and (place, place + len(word)) in tokens
            place += len(word)
    assert seen > 100_000
    return found / seen


def test_known_words_are_cut_as_jieba_cuts_them_and_better_than_by_longest_match(reviews):
    train, test = reviews.gather_every(2), reviews.gather_every(2, 1)
    tokenizer = fit(train, kind="word", segmenter="jieba").reference
    known, words, texts = tokenizer.get_vocab(), Segmenter().split_column(test).to_list(), test.to_list()
    longest = Tokenizer(models.WordPiece(known, unk_token="[UNK]", continuing_subword_prefix=""))
    longest.pre_tokenizer = pre_tokenizers.Split(Regex(r"\p{Han}+"), "isolated")
    assert share_cut_alike(tokenizer, texts, words, known) == pytest.approx(0.985, abs=0.005)
    assert share_cut_alike(longest, texts, words, known) < 0.9


def test_glosses_and_reviews_are_cut_as_nltk_cuts_them(glosses, reviews):
    from nltk.tokenize import WordPunctTokenizer

    cut = WordPunctTokenizer().tokenize
    texts = [*glosses, *reviews.gather_every(4)]
    encodings = fit(glosses, kind="word", segmenter="nltk").reference.encode_batch(texts, add_special_tokens=False)
    assert len(texts) > 20_000
    for text, encoding in zip(texts, encodings, strict=True):
        assert [text[start:end] for start, end in encoding.offsets] == cut(text)


def test_parts_of_words_come_back_as_the_texts_they_were(glosses, reviews):
    """Texts that bpe was not fitted on, and fewer tokens where it was fitted on their language."""
    chinese = reviews.gather_every(8, 1).to_list()
    of_both = {name: fit(texts, kind="bpe", vocab_size=4000) for name, texts in
               {"english": glosses, "chinese": reviews.gather_every(8)}.items()}  # fmt: skip
    counts = {}
    for name, tokenizer in of_both.items():
        found = tokenizer.reference.encode_batch(chinese, add_special_tokens=False)
        assert tokenizer.reference.decode_batch([encoding.ids for encoding in found]) == chinese
        counts[name] = sum(map(len, found))
    assert counts["chinese"] < 0.4 * counts["english"]
