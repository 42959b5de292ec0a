"""Pieces join to the text, Chinese words are cut by a private jieba, and nothing outside is touched."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.text import segmentation
from sftdata.text.segmentation import WORD, DictionaryError, Segmenter, read_dictionary

SEGMENTER = Segmenter()

SCRIPTS = (
    "我们喜欢",
    "北京大学",
    "々〇",
    "𠮷野",
    "カタカナ",
    "한국어",
    "العربية",
    "don't",
    "e-mail",
    "3.14",
    "e\u0301",
)
SIGNS = ("\r\n", "\r", "\n", "\u3000", "\u200b", "\u00a0", "\x00", "\u200d", "\ufe0f", "_", "<b>", "，。", "……")
PICTURES = ("❤️", "🇨🇳", "👍🏽", "👨\u200d👩\u200d👧")

fragments = st.sampled_from(SCRIPTS + SIGNS + PICTURES)
mixed = st.lists(fragments | texts, max_size=8).map("".join)


@quick
@given(st.lists(st.none() | mixed, max_size=6))
def test_pieces_join_to_the_text_and_none_is_empty(values):
    column = pl.Series("text", values, dtype=pl.String)
    pieces = SEGMENTER.split_column(column)
    assert (pieces.dtype, pieces.name) == (pl.List(pl.String), "text")
    joined = ["".join(of_text) if of_text is not None else None for of_text in pieces.to_list()]
    assert joined == values
    assert "" not in pieces.drop_nulls().explode(empty_as_null=False).to_list()


@quick
@given(st.lists(st.none() | mixed, max_size=6), st.data())
def test_a_text_is_cut_the_same_wherever_it_stands(values, data):
    column = pl.Series(values, dtype=pl.String)
    whole = SEGMENTER.split_column(column).to_list()
    cut = data.draw(st.integers(0, len(values)))
    assert SEGMENTER.split_column(column[cut:]).to_list() == whole[cut:]
    assert SEGMENTER.split_column(pl.concat([column[:cut], column[cut:]], rechunk=False)).to_list() == whole
    assert [None if value is None else SEGMENTER.split_pieces(value) for value in values] == whole


@quick
@given(mixed.filter(lambda text: not set("\r\n") & set(text)))
def test_line_breaks_are_pieces_of_their_own(text):
    pieces = SEGMENTER.split_pieces(f"{text}\r\n{text}\n\r{text}")
    assert [piece for piece in pieces if set("\r\n") & set(piece)] == ["\r\n", "\n", "\r"]


known = st.characters(exclude_categories=["Cs", "Cn"])  # what one Unicode version does not know, another calls a letter


@quick
@given(st.lists(st.none() | st.text(known, max_size=12), max_size=5))
def test_words_are_counted_as_they_are_cut(values):
    counts = SEGMENTER.count_words(pl.Series("text", values, dtype=pl.String))
    expected = [v if v is None else sum(map(SEGMENTER.is_word, SEGMENTER.split_pieces(v))) for v in values]
    assert (counts.dtype, counts.name, counts.to_list()) == (pl.UInt32, "text", expected)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("We don't re-use 3.14kg.", ["We", " ", "don't", " ", "re-use", " ", "3.14", "kg", "."]),
        ("它’s  1,000元", ["它", "’", "s", "  ", "1,000", "元"]),
        ("我们喜欢北京大学！", ["我们", "喜欢", "北京大学", "！"]),
        ("乒乓球拍卖完了", ["乒乓球", "拍卖", "完", "了"]),
        ("a\r\n\n b\t", ["a", "\r\n", "\n", " ", "b", "\t"]),
        ("❤️👨‍👩‍👧🇨🇳🇩🇪👍🏽ok", ["❤️", "👨‍👩‍👧", "🇨🇳", "🇩🇪", "👍🏽", "ok"]),
        ("cafe\u0301 naïve", ["cafe\u0301", " ", "naïve"]),
        ("用GPT-4写C++", ["用", "GPT-4", "写", "C", "+", "+"]),
    ],
)
def test_pieces(text, pieces):
    assert SEGMENTER.split_pieces(text) == pieces


def test_what_is_a_word():
    assert all(map(Segmenter.is_word, ["我们", "don't", "3.14", "é", "カ", "½"]))
    assert not any(map(Segmenter.is_word, ["", " ", "\n", "，", "…", "❤️", "_", "\u200b"]))
    assert pl.Series(["我们", "3.14", "，", "_"]).str.contains(WORD).to_list() == [True, True, False, False]


def test_nothing_to_cut():
    assert SEGMENTER.split_column(pl.Series([], dtype=pl.String)).to_list() == []
    assert SEGMENTER.count_words(pl.Series([None, None], dtype=pl.String)).to_list() == [None, None]


def test_a_user_word_is_cut_as_one_in_that_segmenter_only():
    text = "石墨烯电暖画很暖"
    assert "电暖画" not in SEGMENTER.split_pieces(text)
    for word in [("电暖画", None), ("电暖画", 100_000)]:
        own = Segmenter(words=(word,))
        assert "电暖画" in own.split_pieces(text)
        assert pickle.loads(pickle.dumps(own)).split_pieces(text) == own.split_pieces(text)  # noqa: S301  # our own bytes
    assert "电暖画" not in SEGMENTER.split_pieces(text)


def test_reading_a_dictionary(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeff云计算 5\r\n\r\n李小福 2 nr\r\neasy_install 3 eng\r\n台中\r\n".encode())
    assert read_dictionary(path) == (("云计算", 5), ("李小福", 2), ("easy_install", 3), ("台中", None))


def test_a_faulty_dictionary_is_told_line_by_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("云计算 5\n两个 词语 5\n零次 0\n" + "x 1 NZ\n" * 30, encoding="utf-8")
    with pytest.raises(DictionaryError) as caught:
        read_dictionary(path)
    message = str(caught.value)
    assert "line 2: found '两个 词语 5', expected a word" in message
    assert "line 3: found '零次 0'" in message
    assert "and 12 more" in message
    assert "line 1:" not in message


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_dictionary_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DictionaryError, match="cannot be read"):
        read_dictionary(path)


def test_threads_that_start_together_load_jieba_once(monkeypatch):
    loaded = []
    build = segmentation._build_tokenizer.__wrapped__
    cached = segmentation.lru_cache(lambda words: loaded.append(words) or build(words))
    monkeypatch.setattr(segmentation, "_build_tokenizer", cached)
    found = []
    threads = [threading.Thread(target=lambda: found.append(SEGMENTER.split_pieces("我们喜欢它"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [()]
    assert found == [["我们", "喜欢", "它"]] * 4


CHILD = """
import sys
import polars as pl
from sftdata.text.segmentation import Segmenter
Segmenter().split_column(pl.Series(["plain words, no Chinese"]))
assert "jieba" not in sys.modules
print(Segmenter().split_column(pl.Series(["小明硕士毕业于中国科学院", "我来到北京清华大学"])).to_list())
import jieba
assert not jieba.dt.initialized
"""


def run_child(folder: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", CHILD],
        env={"TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_fresh_process_cuts_the_same_in_silence_and_leaves_no_cache_file(tmp_path):
    folder = tmp_path / "temp"
    folder.mkdir()
    first = run_child(folder)
    compiled = run_child(folder, "-X", f"pycache_prefix={tmp_path / 'compiled'}")  # jieba's own warnings come here
    assert first == compiled
    assert "'中国科学院'" in first
    assert list(folder.iterdir()) == []


def test_the_global_tokenizer_of_jieba_stays_idle():
    SEGMENTER.split_pieces("我们喜欢它")
    import jieba

    assert not jieba.dt.initialized
    assert not jieba.dt.FREQ
    assert segmentation._load_jieba(()) is not jieba.dt
