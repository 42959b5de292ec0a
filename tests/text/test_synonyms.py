import pickle

import numpy as np
import polars as pl
from stopwordsiso import stopwords

from sftdata.text.synonyms import make_table, read_english, synonym_table

TABLE = make_table(
    pl.Series(["big", "movie", "unit"]),
    pl.Series([["large", "huge"], ["film"], ["apple", "union", "hour", "European".lower(), "umbrella"]]),
    pl.Series([[3, 1], [5], [1, 1, 1, 1, 1]]),
)


def test_words_are_found_in_any_case():
    assert TABLE.find(pl.Series(["Movie", "BIG", "none", ""])).tolist() == [1, 0, -1, -1]
    assert TABLE.find(pl.Series([], dtype=pl.String)).tolist() == []


def test_synonyms_are_drawn_by_weight_and_never_of_another_word():
    uniform = np.linspace(0, 1, 4000, endpoint=False)
    drawn = TABLE.synonyms.gather(TABLE.draw(np.zeros(4000, dtype=np.int64), uniform))
    assert drawn.value_counts().sort("count")["count"].to_list() == [1000, 3000]
    assert set(drawn) == {"large", "huge"}
    ends = np.array([0.0, np.nextafter(1.0, 0.0)])
    assert TABLE.synonyms.gather(TABLE.draw(np.array([1, 1]), ends)).to_list() == ["film", "film"]
    assert TABLE.synonyms.gather(TABLE.draw(np.array([2, 2]), ends)).to_list() == ["apple", "umbrella"]


def test_a_table_knows_what_an_stands_before():
    assert TABLE.takes_an.tolist() == [False, False, False, True, False, True, False, True]


def test_the_english_table_keeps_its_promises():
    english = read_english()
    stops = stopwords("en")
    synonyms = english["synonyms"].explode()
    assert english["word"].is_sorted()
    assert english["word"].n_unique() == len(english) > 40_000
    assert not set(english["word"]) & stops
    assert not set(synonyms) & stops
    assert english["synonyms"].list.len().min() >= 1
    assert english["weights"].list.eval(pl.element().min() > 0).list.all().all()
    assert synonyms.str.contains(r"^[a-z]+(?:-[a-z]+)*$").all()
    assert english.explode("synonyms", "weights").filter(pl.col("word") == pl.col("synonyms")).is_empty()


def test_forms_are_replaced_by_the_same_forms():
    found = dict(read_english().select("word", "synonyms").iter_rows())
    assert "films" in found["movies"]
    assert "larger" in found["bigger"]
    assert "commenced" in found["started"]
    assert "kids" in found["children"]
    assert "taught" not in found.get("instruct", [])


def test_chinese_words_join_the_table_and_stopwords_leave_it():
    table = synonym_table({"高兴": ("开心", "的")}, {"高兴": ("快乐",), "影片": ("电影",)}, without=frozenset({"的"}))
    rows = table.find(pl.Series(["高兴", "影片", "movie"]))
    assert (rows >= 0).all()
    assert table.synonyms.gather(table.draw(rows[:1], np.array([0.99]))).to_list() == ["开心"]


def test_a_table_pickles():
    again = pickle.loads(pickle.dumps(TABLE))  # noqa: S301  # our own
    assert again.words.equals(TABLE.words)
    assert again.find(pl.Series(["big"])).tolist() == [0]
