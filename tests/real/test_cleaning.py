"""Real texts are cleaned as a plain reading of them says, and a second time changes nothing."""

import csv
import io
import json
import re

import polars as pl
import pytest

from sftdata.stages.cleaning import clean
from sftdata.text.normalization import HALF_OF

pytestmark = pytest.mark.real

USUAL = {
    "repair": True,
    "html": True,
    "unicode": "NFC",
    "control_characters": True,
    "zero_width": True,
    "urls": "replace",
    "emails": "replace",
    "chinese_ids": "replace",
    "card_numbers": "replace",
    "ip_addresses": "replace",
    "phone_numbers": "replace",
    "whitespace": "lines",
}


def clean_twice(texts, **settings):
    """Clean texts, see that the second time changes nothing, and return what the first did."""
    done = clean(pl.DataFrame({"text": texts}), fields="text", **settings)
    again = clean(done.kept, fields="text", **settings)
    assert again.kept.equals(done.kept)
    assert again.changed == {}
    assert not done.rejected["reason"].str.starts_with("unstable").any()
    return done


@pytest.fixture
def reviews(assets):
    files = [assets / f"zh_sent_{kind}.txt" for kind in ("pos", "neg")]
    return [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def test_reviews_in_chinese(reviews):
    done = clean_twice(reviews, **USUAL)
    assert len(done.kept) + len(done.rejected) == len(reviews) == 35_123
    addresses = re.compile(r"https?://\w|www\.\w|\w@\w+\.com", re.ASCII)
    assert any(addresses.search(text) for text in reviews)
    assert not any(addresses.search(text) for text in done.kept["text"])
    assert done.changed["html"] == sum(
        bool(re.search(r"&(\w+|#\d+);|<(br|p|b|a|font|div)\b", text)) for text in reviews
    )


def test_reviews_in_half_width_and_in_traditional_characters(reviews):
    done = clean_twice(reviews, half_width="all")
    assert done.kept["text"].to_list() == ["".join(HALF_OF.get(sign, sign) for sign in text) for text in reviews]
    there = clean_twice(reviews[:5000], chinese="traditional").kept["text"]
    assert (there != pl.Series(reviews[:5000])).mean() > 0.9


def test_the_language_of_reviews_is_chinese(reviews):
    some = [text for text in reviews if len(text) > 60][:1500]
    done = clean_twice(some, language={"keep": ["zh"]})
    assert len(done.kept) > 0.97 * len(some)
    assert clean(pl.DataFrame({"text": some}), fields="text", language={"keep": ["en"]}).kept.is_empty()


def test_english_film_reviews(assets):
    lines = (assets / "vader_movieReviewSnippets.tsv").read_bytes().decode().split("\r\n")
    texts = [line.split("\t")[-1] for line in lines if line.strip()]
    done = clean_twice(texts, **USUAL)
    assert len(done.kept) == len(texts) == 10_605
    assert sum(done.changed.values()) < 0.1 * len(texts)
    stop = clean_twice(texts, stopwords={"languages": ["en"]}, whitespace="words", case="lower")
    words = stop.kept["text"].str.extract_all(r"(?i)\b(?:the|and|of|is)\b").list.len()
    assert words.sum() < 0.02 * len(texts)  # what is left is part of a word such as state-of-the-art


def test_placeholders_of_translations_survive_what_would_eat_them(assets):
    table = json.loads((assets / "jupyterlab_en_zh.json").read_text(encoding="utf-8"))
    texts = [text for key, values in table.items() if key for text in (key, *values) if text.strip()]
    placeholders = re.compile(r"%[1-9]|`[^`\n]+`")
    done = clean(
        pl.DataFrame({"text": texts}),
        fields="text",
        row_id="text",
        protect=["inline_code", "placeholders"],
        case="upper",
        half_width="all",
        stopwords={"words": ["1", "2"]},
        whitespace="words",
    )
    lost = set(done.rejected["row_id"])
    before = [text for text in texts if text not in lost]
    assert len(lost) < 5
    assert sum(len(placeholders.findall(text)) for text in before) > 500
    for text, cleaned in zip(before, done.kept["text"], strict=True):
        assert placeholders.findall(cleaned) == placeholders.findall(text)


def test_broken_csv_text_is_repaired(assets):
    rows = csv.reader(io.StringIO((assets / "csv" / "test_latin1.csv").read_bytes().decode("latin-1")))
    texts = [cell for row in rows for cell in row]
    broken = [text.encode("utf-8").decode("cp1252", errors="replace") for text in texts]
    assert broken != texts
    assert clean_twice(broken, repair=True).kept["text"].to_list() == texts


def test_conversations_hold_no_false_cards_or_identity_numbers(assets):
    chats = json.loads((assets / "chitchat.json").read_text(encoding="utf-8"))
    texts = [turn["text"] for chat in chats.values() for turns in chat["messages"] for turn in turns]
    done = clean(pl.DataFrame({"text": texts}), fields="text", card_numbers="reject", chinese_ids="reject")
    assert len(texts) == 258_145
    assert done.rejected.is_empty()
