"""Copies of real text keep what they promise, and the table of synonyms is what its script makes."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sftdata.augmentation import augment
from sftdata.settings.augmentation import AugmentationStep
from sftdata.text.cutting import cut_texts
from sftdata.text.segmentation import Segmenter
from sftdata.text.synonyms import read_english

WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
STEPS = [name for name in AugmentationStep.model_fields if name != "nlpaug"]


def english_reviews(assets, count):
    lines = (assets / "vader_movieReviewSnippets.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[-1] for line in lines[:count]]


def chinese_reviews(assets, count):
    return (assets / "zh_sent_neg.txt").read_text(encoding="utf-8").splitlines()[:count]


@pytest.mark.real
@pytest.mark.parametrize("name", STEPS)
def test_real_reviews_are_changed_and_nothing_but_words(name, assets):
    frame = pl.DataFrame({"text": english_reviews(assets, 2000) + chinese_reviews(assets, 1000)}).unique(
        maintain_order=True
    )
    made = augment(frame, [{name: {}}], seed=1)
    assert sum(made.counts[name].values()) == len(frame)
    texts = made.rows["text"]
    assert not set(texts) & set(frame["text"])
    assert texts.n_unique() == len(texts)
    least = {"sentence_reordering": 0.1, "homophone_noise": 0.25, "typing_noise": 0.5}.get(name, 0.6)
    assert len(texts) > least * len(frame)
    if name in ("synonym_replacement", "typing_noise", "homophone_noise"):
        parents = frame["text"].gather(made.rows["parent_id"].cast(pl.UInt32) - 1)
        for before, after in zip(parents, texts, strict=True):
            assert re.sub(WORD, "", after) == re.sub(WORD, "", before)
    shuffled = augment(frame.with_row_index("id")[::-1], [{name: {}}], seed=1, row_id="id")
    straight = augment(frame.with_row_index("id"), [{name: {}}], seed=1, row_id="id")
    assert shuffled.rows.sort("row_id").equals(straight.rows.sort("row_id"))


@pytest.mark.real
def test_real_texts_are_cut_without_loss(assets):
    texts = pl.Series(english_reviews(assets, 20_000) + chinese_reviews(assets, 5000))
    pieces = cut_texts(texts, Segmenter())
    assert (pieces.texts() == texts).all()
    assert np.bincount(pieces.unit[pieces.kind[pieces.code] >= 2], minlength=len(texts)).mean() > 5


@pytest.mark.real
def test_the_english_table_is_what_its_script_makes(assets, tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    from stopwordsiso import stopwords

    from sftdata.text.make_synonyms import make_table, open_wordnet

    path = Path(__file__).resolve().parents[2] / "benchmarks" / "augment.py"
    spec = importlib.util.spec_from_file_location("benchmark_augment", path)
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")  # the benchmark sets it; give it back
    monkeypatch.syspath_prepend(str(path.parents[1] / "samples"))
    spec.loader.exec_module(benchmark)
    benchmark.write_nltk_data(assets / "wordnet", tmp_path / "nltk")
    monkeypatch.setattr(nltk.data, "path", [])
    table = make_table(open_wordnet(tmp_path / "nltk" / "corpora" / "wordnet"), set(stopwords("en")))
    assert table.equals(read_english())
