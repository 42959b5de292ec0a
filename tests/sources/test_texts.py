"""Texts come out of lines, and out of the columns of tables; what has none is told with its place."""

import polars as pl
import pytest
from examples import write_jsonl

from sftdata.errors import SourceError, UsageError
from sftdata.sources.texts import read_texts

ROWS = [{"text": "one", "text_pair": "two", "id": "7"}, {"text": "三", "text_pair": "four\nlines", "id": "8"}]


def write(path):
    match path.suffix:
        case ".csv":
            pl.DataFrame(ROWS).write_csv(path)
        case ".parquet":
            pl.DataFrame(ROWS).write_parquet(path)
        case _:
            write_jsonl(path, ROWS)
    return path


@pytest.mark.parametrize("name", ["f.csv", "f.jsonl", "f.parquet", "F.JSONL"])
def test_tables_give_their_columns(tmp_path, name):
    assert read_texts(write(tmp_path / name)) == (["one", "三"], ["two", "four\nlines"])


def test_a_table_without_second_texts_has_single_ones(tmp_path):
    assert read_texts(write_jsonl(tmp_path / "f.jsonl", [{"text": "a"}, {"text": "b"}])) == (["a", "b"], None)


@pytest.mark.parametrize("name", ["f.txt", "f", "notes.md"])
def test_other_files_have_a_text_a_line(tmp_path, name):
    (tmp_path / name).write_text("\ufefftext,text_pair\n\n  \n二\r\n", encoding="utf-8")
    assert read_texts(tmp_path / name) == (["text,text_pair", "二"], None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "text_pair": "b"}, {"text": "a"}], "record 2: found no text in a column 'text_pair', but text"),
        ([{"said": "a", "by": "b"}], "record 1: found no text in a column 'text', but said, by"),
        ([{"text": 1}], "record 1: found no text in a column 'text'"),
        ([["text"]], "record 1: found no text in a column 'text', but no columns"),
    ],
)
def test_a_record_without_a_text_is_told(tmp_path, rows, message):
    with pytest.raises(UsageError, match=message):
        read_texts(write_jsonl(tmp_path / "f.jsonl", rows))


def test_what_cannot_be_read_is_told(tmp_path):
    (tmp_path / "f.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_texts(tmp_path / "f.txt")
    with pytest.raises(SourceError, match="no such file"):
        read_texts(tmp_path / "nothing.csv")


def test_lists_of_words_are_read_where_there_are_no_texts(tmp_path):
    file = write_jsonl(tmp_path / "words.jsonl", [{"tokens": ["a", "b c"]}, {"tokens": ["北"], "id": 1}])
    assert read_texts(file) == ([["a", "b c"], ["北"]], None)
    both = write_jsonl(tmp_path / "both.jsonl", [{"tokens": ["a"], "text": "a text"}])
    assert read_texts(both) == (["a text"], None)
    for wrong in ("a b", [], ["a", 1], None):
        file = write_jsonl(tmp_path / "wrong.jsonl", [{"tokens": ["a"]}, {"tokens": wrong}])
        with pytest.raises(UsageError, match="record 2: found no list of words in the column 'tokens'"):
            read_texts(file)
