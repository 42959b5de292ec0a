"""Real files through the readers that are neither CSV nor JSON: every sentence and every tag is counted."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sftdata.schema import load_schema
from sftdata.settings.sources import SourceSettings
from sftdata.sources import Chunk, find_sources, read_chunks

pytestmark = pytest.mark.real


def read(assets: Path, name: str, **settings: Any) -> tuple[pl.DataFrame, list[Chunk]]:
    (source,) = find_sources([SourceSettings(path=name, format="conll", **settings)], assets)
    chunks = list(read_chunks(source))
    parsed = [chunk.parse(load_schema("tokens_tags").columns) for chunk in chunks]
    assert [fault for part in parsed for fault in part.faults] == []
    return pl.concat([part.frame for part in parsed]), chunks


def by_hand(path: Path) -> list[list[list[str]]]:
    """Read the plainest way: lines of a file with CRLF or LF, sentences between blank ones."""
    text = path.read_bytes().decode().replace("\r\n", "\n")
    return [[line.split(" ") for line in block.split("\n")] for block in text.strip("\n").split("\n\n")]


@pytest.mark.parametrize(
    ("name", "sentences", "tokens"), [("msra_train.txt", 50_289, 2_153_462), ("msra_test.txt", 5_000, 189_018)]
)
def test_msra_is_read_whole(assets, name, sentences, tokens):
    frame, chunks = read(assets, name)
    assert len(frame) == sentences
    assert frame["tokens"].list.len().sum() == tokens
    assert [chunk.found for chunk in chunks] == [{}] * len(chunks)
    expected = by_hand(assets / name)
    assert frame["tokens"].to_list() == [[line[0] for line in sentence] for sentence in expected]
    assert frame["tags"].to_list() == [[line[1] for line in sentence] for sentence in expected]


def test_the_tags_of_msra_are_the_slightly_broken_ones(assets):
    tags = Counter(read(assets, "msra_train.txt")[0]["tags"].explode())
    assert (tags["B-ORG"], tags["E-ORG"]) == (20_391, 20_394)


def test_a_sentence_of_msra_has_the_line_in_which_it_begins(assets):
    _, chunks = read(assets, "msra_test.txt")
    lines = (assets / "msra_test.txt").read_bytes().decode().split("\r\n")
    for position in (0, 1, 4_999):
        first = chunks[0].original(position)
        assert lines[chunks[0].line(position) - 1] == f"{first['tokens'][0]} {first['tags'][0]}"


def test_conll2000_has_four_columns(assets):
    frame, (chunk,) = read(assets, "conll2000_chunks.txt", header=["tokens", "pos", "tags", "predicted"])
    assert chunk.found == {"columns": "tokens, pos, tags, predicted"}
    expected = by_hand(assets / "conll2000_chunks.txt")
    assert frame["tokens"].to_list() == [[line[0] for line in sentence] for sentence in expected]
    assert frame["tags"].to_list() == [[line[2] for line in sentence] for sentence in expected]
    assert (len(frame), frame["tokens"].list.len().sum()) == (40, 961)
    assert list(chunk.original(0)) == ["tokens", "pos", "tags", "predicted"]
