"""Real text in every encoding that it can be written in, through the real readers: nothing is lost or changed."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sftdata.column import Column
from sftdata.settings.sources import SourceSettings
from sftdata.sources import Chunk, find_sources, read_chunks

pytestmark = pytest.mark.real

CODECS = {"shift_jis": "cp932", "big5": "big5hkscs"}
ORDER = f"{sys.byteorder[0]}e"
FOUND = {"utf-8-sig": "utf-8", "gbk": "gb18030", "utf-16": f"utf-16-{ORDER}", "utf-32": f"utf-32-{ORDER}"}
COLUMNS = {"text": Column(nullable=True), "label": Column(nullable=True)}


def read(path: Path, **settings: Any) -> tuple[list[Any], list[Chunk]]:
    """Return the values of each record, or its reasons and its original, in order."""
    (source,) = find_sources([SourceSettings(path=str(path), **settings)])
    chunks, records = list(read_chunks(source)), []
    for chunk in chunks:
        parsed = chunk.parse(COLUMNS)
        found: dict[int, Any] = dict(zip(parsed.positions, parsed.frame.rows(), strict=True))
        found |= {fault.position: (fault.reason, chunk.original(fault.position)) for fault in parsed.faults}
        records += [found[position] for position in range(len(chunk))]
    return records, chunks


@pytest.fixture(scope="module")
def reviews(assets: Path) -> list[tuple[str, str]]:
    """Chinese reviews and their labels."""
    rows = []
    for label in ("pos", "neg"):
        lines = (assets / f"zh_sent_{label}.txt").read_text(encoding="utf-8").split("\n")
        rows += [(line.strip(), label) for line in lines if line.strip()]
    assert len(rows) > 35_000
    return rows


def restrict(rows: list[tuple[str, str]], codec: str) -> list[tuple[str, str]]:
    """Leave out the characters that a codec does not have."""
    return [(text.encode(codec, "ignore").decode(codec), label) for text, label in rows]


def to_csv(rows: list[tuple[str, str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("text", "label"), *rows])
    return text.getvalue()


def expected(rows: list[tuple[str, str]]) -> list[tuple[str | None, str]]:
    return [(text or None, label) for text, label in rows]


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "gb18030", "gbk", "big5", "utf-16", "utf-16-le", "utf-32"])
def test_reviews_are_detected_and_read_in_any_encoding(reviews, tmp_path, name):
    codec = CODECS.get(name, name)
    rows = restrict(reviews, codec)
    path = tmp_path / "reviews.csv"
    path.write_bytes(to_csv(rows).encode(codec))
    records, chunks = read(path)
    assert records == expected(rows)
    assert chunks[0].found.get("encoding", "utf-8").split()[0] == FOUND.get(name, name)


@pytest.mark.parametrize("name", ["shift_jis", "euc_jp", "cp949"])
def test_reviews_are_read_in_an_encoding_that_is_given(reviews, tmp_path, name):
    rows = restrict(reviews, CODECS.get(name, name))
    (tmp_path / "reviews.csv").write_bytes(to_csv(rows).encode(CODECS.get(name, name)))
    records, chunks = read(tmp_path / "reviews.csv", encoding=name)
    assert records == expected(rows)
    assert {chunk.found["encoding"] for chunk in chunks} == {f"{name} (given)"}


@pytest.mark.parametrize("name", ["gb18030", "big5"])
def test_a_bad_byte_in_every_hundredth_review_costs_these_rows_alone(reviews, tmp_path, name):
    codec = CODECS.get(name, name)
    rows = restrict(reviews, codec)
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False).encode(codec) for text, label in rows]
    bad = range(50, len(lines), 100)
    for number in bad:
        place = 10 + number % (len(lines[number]) - 30)
        lines[number] = lines[number][:place] + b"\xff" + lines[number][place:]
    (tmp_path / "reviews.jsonl").write_bytes(b"\n".join(lines))
    records, _ = read(tmp_path / "reviews.jsonl")
    assert len(records) == len(rows)
    for number, (record, row) in enumerate(zip(records, expected(rows), strict=True)):
        if number in bad:
            assert record[0] == f"encoding:{name}"
            assert "\udcff" in record[1]
        else:
            assert record == (row[0] or "", row[1])


def test_pairs_of_english_and_chinese_are_told_by_their_few_characters(assets, tmp_path):
    pairs = json.loads((assets / "jupyterlab_en_zh.json").read_text(encoding="utf-8"))
    rows = [(english, chinese[0]) for english, chinese in pairs.items() if english and chinese[0]]
    assert len(rows) > 2000
    (tmp_path / "pairs.csv").write_bytes(to_csv(rows).encode("gb18030"))
    records, chunks = read(tmp_path / "pairs.csv")
    assert records == rows
    assert chunks[0].found["encoding"] == "gb18030 (confidence 0.99)"


@pytest.mark.parametrize(
    ("name", "columns", "last", "how"),
    [
        ("test_latin1.csv", "abc", ("4", "5", "©"), "cp1252 (confidence 0.6"),
        ("test_utf16_big.csv", "abc", ("4", "5", "ʤ"), "utf-16-be (confidence 1.00)"),
        ("test_utf8_bom.csv", ["foo", "bar", "baz"], ("4", "5", "ʤ"), ""),
    ],
)
def test_tiny_files_of_csvkit(assets, name, columns, last, how):
    (source,) = find_sources([SourceSettings(path=name)], assets / "csv")
    (chunk,) = read_chunks(source)
    parsed = chunk.parse({column: Column(nullable=True) for column in columns})
    assert parsed.frame.rows() == [("1", "2", "3"), last]
    assert chunk.found.get("encoding", "").startswith(how)
