import gzip
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.column import Column
from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import conll, parsing, read_chunks
from sftdata.sources.parsing import MissingColumns
from sftdata.sources.source import Source

LIST = Column(dtype="list[str]")
PLAIN = {"tokens": LIST, "tags": LIST}


def chunks_of(path, content, **settings):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_chunks(Source(path, path.name, "0" * 8, "conll", SourceSettings(path="-", **settings))))


def read(path, content, columns=PLAIN, **settings):
    """Return for each record its columns or its reasons."""
    records = []
    for chunk in chunks_of(path, content, **settings):
        assert chunk.first_record == len(records) + 1
        parsed = chunk.parse(columns)
        assert parsed.frame.schema == {name: column.polars_dtype for name, column in columns.items()}
        of_record = dict(zip(parsed.positions, parsed.frame.rows(), strict=True))
        of_record |= {fault.position: fault.reason for fault in parsed.faults}
        assert len(of_record) == len(chunk) == len(parsed.positions) + len(parsed.faults)
        records += [of_record[position] for position in range(len(chunk))]
    return records


@pytest.fixture
def file(tmp_path):
    return tmp_path / "f.conll"


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=repr)
@pytest.mark.parametrize("blank", ["", " ", "\t"], ids=repr)
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"], ids=repr)
def test_a_blank_line_ends_a_sentence(file, newline, blank, end):
    text = f"\n\n中 B-LOC\n国\tE-LOC\n{blank}\n{blank}\n{blank}\nyes   O" + end
    expected = [(["中", "国"], ["B-LOC", "E-LOC"]), (["yes"], ["O"])]
    assert read(file, text.replace("\n", newline)) == expected
    assert [chunk.line(1) for chunk in chunks_of(file, text.replace("\n", newline))] == [8]


def test_the_first_column_is_the_token_and_the_last_the_tag(file):
    text = "Rockwell NNP B-NP I-NP\nsaid VBD B-VP O\n"
    assert read(file, text) == [(["Rockwell", "said"], ["I-NP", "O"])]
    (chunk,) = chunks_of(file, text)
    assert chunk.found == {"columns": "tokens, column_2, column_3, tags"}
    assert read(file, "alone\n\nwords\n", {"tokens": LIST}) == [(["alone"],), (["words"],)]


def test_a_header_names_all_columns(file):
    text = "a DT B-NP X\nb NN I-NP Y\n"
    columns = {"pos": LIST, "words": LIST, "none": Column(dtype="list[str]", nullable=True, required=False)}
    assert read(file, text, columns, header=["words", "pos", "chunk", "ner"]) == [(["DT", "NN"], ["a", "b"], None)]
    with pytest.raises(SourceError, match="header: found 2 names, but the lines have 4 columns"):
        read(file, text, header=["tokens", "tags"])
    with pytest.raises(SourceError, match=r"header: found 1, expected the names of the columns"):
        read(file, text, header=1)
    with pytest.raises(MissingColumns, match="missing column 'words'; found 'tokens', 'column_2', 'column_3', 'tags'"):
        read(file, text, {"words": LIST})


def test_what_divides_lines_is_found_or_given(file):
    assert read(file, "New York\tLOC\n　\tO\n") == [(["New York", "　"], ["LOC", "O"])]
    assert read(file, "中\u3000x O\n\u00a0 O\n") == [(["中\u3000x", "\u00a0"], ["O", "O"])], (
        "only blanks and tabs divide"
    )
    assert read(file, "a|b|O\n", delimiter="|") == [(["a"], ["O"])]
    assert read(file, "a b O\n", {"tokens": LIST, "column_2": LIST}, delimiter=" ") == [(["a"], ["b"])]


def test_a_line_of_other_columns_rejects_its_sentence_alone(file):
    text = "a O\nb O\n\nc\n\nd O\ne O O\n\nf O\n" + "g O\n\n" * 5
    assert read(file, text) == [
        (["a", "b"], ["O", "O"]),
        "conll:columns",
        "conll:columns",
        (["f", "g"], ["O", "O"]),
        *[(["g"], ["O"])] * 4,
    ]
    (chunk,) = chunks_of(file, text)
    assert [chunk.original(position) for position in range(4)] == [
        {"tokens": ["a", "b"], "tags": ["O", "O"]},
        "c",
        "d O\ne O O",
        {"tokens": ["f", "g"], "tags": ["O", "O"]},
    ]
    assert pickle.loads(pickle.dumps(chunk)) == chunk, "chunks go to other processes"  # noqa: S301  # our own
    assert chunk.parse(PLAIN).faults[1].detail == "found the line 'e O O', expected 2 columns: tokens, tags"


@pytest.mark.parametrize("line", ["\tO", "a\t", "a\t\tO", "a\r\tO"], ids=repr)
def test_an_empty_cell_between_tabs_is_no_column(file, line):
    assert read(file, f"x\tO\n\n{line}\n\ny\tO\n\nz\tO\n")[1] == "conll:columns"


def test_comments_are_left_out_and_a_token_that_looks_like_one_is_not(file):
    text = "-DOCSTART- -X- -X- O\n\n# text = it costs\n# id 5\n# 5 X O\n3 5 X O\n# N N O\n\n#  \n\n4 5 X O\n# note\n"
    columns = {"tokens": LIST, "tags": LIST}
    assert read(file, text, columns) == [(["#", "3", "#"], ["O", "O", "O"]), "conll:columns"]
    (chunk,) = chunks_of(file, text)
    assert [chunk.line(0), chunk.line(1)] == [5, 11]


def test_a_given_comment_is_one_anywhere_and_the_only_one(file):
    text = "// a file\na O\n// between\nb O\n\n// nothing\n\n# O\n"
    assert read(file, text, comment="//") == [(["a", "b"], ["O", "O"]), (["#"], ["O"])]


def test_bytes_that_do_not_decode_reject_their_sentence_alone(file):
    assert read(file, b"a O\n\n\xff O\n\n\xef\xbb\xbfb O\n\nc O\n", encoding="utf-8") == [
        (["a"], ["O"]),
        "encoding:utf-8",
        "encoding:bom",
        (["c"], ["O"]),
    ]
    (chunk,) = chunks_of(file, b"a O\n\n\xff O\n", encoding="utf-8")
    assert chunk.original(1) == {"tokens": ["\udcff"], "tags": ["O"]}


def test_encodings_and_compression(tmp_path):
    text = "中 B-LOC\r\n国 E-LOC\r\n\r\n好 O\r\n" * 50
    for encoding in ("utf-8-sig", "gb18030", "utf-16"):
        assert read(tmp_path / "f.conll", text.encode(encoding))[0] == (["中", "国"], ["B-LOC", "E-LOC"])
    assert len(read(tmp_path / "f.conll.gz", gzip.compress(text.encode()))) == 51


def test_a_sentence_without_end_is_one_record_and_is_not_held(file, monkeypatch):
    monkeypatch.setattr(conll, "BLOCK", 64)
    monkeypatch.setattr(parsing, "MAX_RECORD", 200)
    text = "a O\n\n" + "b O\n" * 1000 + "  \n" + "c O\n\n" + "d O\n" * 60
    assert read(file, text) == [(["a"], ["O"]), "conll:record_size", (["c"], ["O"]), "conll:record_size"]
    (chunk,) = chunks_of(file, text)
    assert [len(record.text) for record in chunk.content.records] == [3, 200, 3, 200]
    assert chunk.original(1) == "b O\n" * 50 + " [the beginning of 3,999 bytes]"
    assert [chunk.line(position) for position in range(4)] == [1, 3, 1004, 1006]


def test_no_sentence_at_all(file):
    for text in ("", "\n\n \n", "-DOCSTART- O\n\n", "# nothing at all\n"):
        assert read(file, text) == []


def test_tags_that_are_wanted_as_something_else_are_rejected(file):
    assert read(file, "a 1\n", {"tokens": LIST, "tags": Column(dtype="int")}) == ["tags:dtype"]


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" \ufeff#-"), min_size=1, max_size=4)
sentences = st.lists(st.lists(st.tuples(cells, cells), min_size=1, max_size=4), max_size=8)


@given(sentences, st.sampled_from(["\n", "\r\n"]), st.sampled_from([" ", "\t", "  \t"]), st.data())
@quick
def test_what_is_written_comes_back_whatever_the_blocks_and_slices(tmp_path_factory, written, newline, gap, data):
    text = "".join("".join(f"{token}{gap}{tag}\n" for token, tag in sentence) + "\n" for sentence in written)
    path = tmp_path_factory.getbasetemp() / "property.conll"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conll, "BLOCK", data.draw(st.integers(1, 9)))
        patch.setattr(conll, "_find_layout", lambda *_: conll.Layout(("tokens", "tags"), None, "utf-8"))
        patch.setattr(parsing, "CHUNK_ROWS", data.draw(st.integers(1, 3)))
        found = read(path, text.replace("\n", newline).encode(), encoding="utf-8")
    assert found == [tuple(map(list, zip(*sentence, strict=True))) for sentence in written]
