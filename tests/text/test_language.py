import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from strategies import quick, texts

from sftdata.settings.cleaning import LANGUAGES
from sftdata.text.language import LANGUAGE_WINDOW, detect_languages

SNIPPETS = [
    "The weather",
    " is lovely",
    "今天天气很好",
    "Guten Tag",
    "SHOUTING",
    "Добар дан",
    "é",
    "123",
    "\U0001f600",
    " ",
]
values = st.lists(texts | st.lists(st.sampled_from(SNIPPETS), max_size=8).map("".join), max_size=6)


@pytest.fixture(scope="module")
def identifier():
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@given(values=values)
@quick
def test_languages_are_those_of_py3langid(identifier, values):
    found = detect_languages(pl.Series(values, dtype=pl.String)).rows()
    for value, (language, confidence) in zip(values, found, strict=True):
        expected, probability = identifier.classify(value)
        assert confidence == pytest.approx(probability, abs=1e-4)
        if probability > 0.02:  # below it has no letter, and all languages are alike
            assert language == expected


def test_blocks_do_not_matter(identifier, monkeypatch):
    values = [" ".join(SNIPPETS[place % 7 :]) * (place % 5) for place in range(40)]
    whole = detect_languages(pl.Series(values))
    monkeypatch.setattr("sftdata.text.language.BLOCK", 7)
    assert detect_languages(pl.Series(values))["confidence"].to_list() == pytest.approx(whole["confidence"].to_list())


def test_languages_and_confidence():
    values = [
        "The weather is lovely today, let us go out.",
        None,
        "今天天气很好，我们去公园散步吧",
        "",
        "Guten Tag, wie geht es Ihnen heute?",
    ]
    found = detect_languages(pl.Series(values))
    assert found["language"].to_list() == ["en", None, "zh", found["language"][3], "de"]
    confidence = found["confidence"].to_list()
    assert confidence[1] is None
    assert confidence[3] < 0.05
    assert all(confidence[place] > 0.5 for place in (0, 2, 4))


def test_only_the_beginning_counts_and_equal_texts_agree():
    start = "The weather is lovely today. " * 50
    found = detect_languages(pl.Series([start[:LANGUAGE_WINDOW], start[:LANGUAGE_WINDOW] + "今天" * 5000, start]))
    assert found["confidence"].n_unique() == 1


def test_no_texts():
    assert detect_languages(pl.Series([None], dtype=pl.String)).to_dicts() == [{"language": None, "confidence": None}]
    assert detect_languages(pl.Series([], dtype=pl.String)).shape == (0, 2)


def test_the_settings_know_the_languages_of_the_model(identifier):
    assert set(identifier.labels) == LANGUAGES
