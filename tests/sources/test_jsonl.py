import gzip
import json
import pickle
import time

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from json_cases import COLUMNS, block_of, outcomes, records
from strategies import json_values, quick, texts

from sftdata.errors import SourceError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import jsonl, parsing, read_chunks
from sftdata.sources.encodings import MARKS
from sftdata.sources.json_block import Block
from sftdata.sources.source import Source

pytestmark = pytest.mark.usefixtures("scanner")

HUGE = "中" * 1_000_000


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("jsonl")


def chunks_of(path, content, **settings):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_chunks(Source(path, path.name, "0" * 8, "jsonl", SourceSettings(path=str(path), **settings))))


def read_all(path, content, columns=COLUMNS, **settings):
    """Return the values or reasons of each record, its original and its line, from chunks that went through pickle."""
    values, originals, lines = [], [], []
    for chunk in pickle.loads(pickle.dumps(chunks_of(path, content, **settings))):  # noqa: S301  # our own
        assert chunk.first_record == len(values) + 1
        assert 0 < len(chunk) <= parsing.CHUNK_ROWS
        values += outcomes(chunk.parse(columns), len(chunk))
        originals += [chunk.original(position) for position in range(len(chunk))]
        lines += [chunk.line(position) for position in range(len(chunk))]
    return values, originals, lines


def texts_of(values):
    return [value if isinstance(value, list) else value["text"] for value in values]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n \n", "\n\x0c\n"])
def test_line_ends_byte_order_marks_and_blank_lines_do_not_matter(scratch, newline, mark, end):
    content = (mark + '{"text":"a"}\n\n \t\n  {"text":"b"} \n{"text":"c"}' + end).replace("\n", newline)
    values, _, lines = read_all(scratch / "n.jsonl", content)
    assert texts_of(values) == ["a", "b", "c"]
    assert lines == [1, 4, 5]


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", " \r\n\n", "\r\n\r\n", " "])
def test_a_file_without_records_has_no_chunk(scratch, content):
    assert read_all(scratch / "e.jsonl", content) == ([], [], [])


def test_a_carriage_return_alone_ends_no_line(scratch):
    values, _, _ = read_all(scratch / "r.jsonl", '{"text":\r"a"}\r\n{"text":"b"}\r{"text":"c"}\n')
    assert texts_of(values) == ["a", ["json:syntax"]]


def test_a_key_that_first_appears_late_is_not_dropped(scratch):
    lines = ['{"text":"a"}'] * 5000 + ['{"text":"b","n":7}']
    values, _, _ = read_all(scratch / "late.jsonl", "\n".join(lines))
    assert values[-1]["n"] == 7


def test_a_last_line_that_was_cut_off_is_rejected_alone(scratch):
    values, originals, _ = read_all(scratch / "cut.jsonl", '{"text":"a"}\n{"text":"b"}\n{"text":"c')
    assert texts_of(values) == ["a", "b", ["json:syntax"]]
    assert originals[-1] == '{"text":"c'


def test_a_byte_order_mark_spoils_the_record_that_it_stands_before_unless_that_is_the_first(scratch):
    values, originals, _ = read_all(scratch / "b.jsonl", '\ufeff{"text":"a"}\n\ufeff{"text":"b"}\n{"text":"\ufeffc"}')
    assert texts_of(values) == ["a", ["encoding:bom"], "\ufeffc"]
    assert originals[1] == '\ufeff{"text":"b"}'


def test_a_huge_line_is_read_natively_and_line_by_line(scratch):
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in ("a", HUGE, "b", HUGE + "x")]
    for extra in ([], ["null"]):
        values, _, _ = read_all(scratch / "huge.jsonl", "\n".join(lines + extra))
        assert texts_of(values)[:4] == ["a", HUGE, "b", HUGE + "x"]


@pytest.mark.parametrize("end", ["\n", "", '\n{"text":"b"}'])
@pytest.mark.parametrize(("window", "most"), [(1, 20), (7, 20), (20, 20), (64, 64)])
@pytest.mark.parametrize("more", [-1, 0, 1, 2, 100, 1000])
def test_a_line_that_is_too_large_is_rejected_alone_and_its_beginning_kept(
    scratch, monkeypatch, end, window, most, more
):
    monkeypatch.setattr(jsonl, "WINDOW", window)
    monkeypatch.setattr(jsonl, "MAX_RECORD", most)
    large = '{"text":"' + "x" * (most + more - 11) + '"}'
    assert len(large) == most + more
    values, originals, lines = read_all(scratch / "large.jsonl", '{"text":"a"}\n' + large + end)
    assert lines == [1, 2, 3][: len(values)]
    assert texts_of(values)[0] == "a"
    assert texts_of(values)[2:] == (["b"] if "b" in end else [])
    if more > 0:
        assert values[1] == ["json:record_size"]
        assert originals[1] == large[:most]
        (fault,) = (
            chunks_of(scratch / "large.jsonl", '{"text":"a"}\n' + large + end)[-1 - ("b" in end)].parse({}).faults
        )
        assert fault.detail == f"a record of {most + more:,} bytes, expected at most {most}; its beginning is kept"
    else:
        assert values[1]["text"] == large[9:-2]


def test_the_beginning_of_a_line_that_is_too_large_ends_with_a_whole_character(scratch, monkeypatch):
    monkeypatch.setattr(jsonl, "WINDOW", 8)
    monkeypatch.setattr(jsonl, "MAX_RECORD", 11)
    assert read_all(scratch / "large.jsonl", "中" * 20)[1] == ["中中中"]


@given(records, st.integers(1, 3), st.integers(1, 60), st.sampled_from(["\n", "\r\n", "\n\n", " \n"]))
@quick
def test_chunking_changes_nothing(scratch, rows, most_rows, window, newline):
    content = newline.join(json.dumps(row) for row in rows)
    whole = read_all(scratch / "whole.jsonl", content)
    assert len(whole[0]) == len(rows)
    assert whole[2] == [1 + place * newline.count("\n") for place in range(len(rows))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "CHUNK_ROWS", most_rows)
        assert read_all(scratch / "whole.jsonl", content) == whole
        patch.setattr(jsonl, "WINDOW", window)
        assert read_all(scratch / "whole.jsonl", content) == whole


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"{}", b"\n", b"\r", b" ", b'{"text":', b'"a"}', b"\xff"])).map(b"".join)
)
@example(b"\r\n{}")
@quick
def test_any_bytes_are_records_or_blank_and_come_back_as_they_stood(scratch, content):
    assume(not content.startswith(MARKS["gb18030"]))
    packings = (b"\x1f\x8b", b"BZh", b"\xfd7z", b"\x28\xb5")
    assume(not content.startswith(packings))
    _, originals, lines = read_all(scratch / "any.jsonl", content, encoding="utf-8")
    bare = [line.strip() for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    assert lines == [number for number, line in enumerate(bare, start=1) if line]
    for number, original in zip(lines, originals, strict=True):
        if isinstance(original, str) and not bare[number - 1].startswith(b'"'):
            assert original.encode("utf-8", "surrogateescape") == bare[number - 1]


@given(st.dictionaries(texts, json_values, max_size=3) | json_values)
@example({"a": [[[]]], "b": -0.0, "c": 10**40})
@quick
def test_the_original_is_the_value_that_stood_in_the_file(value):
    original = jsonl.original(block_of([json.dumps(value)]), 0)
    assert json.dumps(original) == json.dumps(value)


@pytest.mark.parametrize(
    "line",
    [b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e400}', b"{broken", b'{"a":"\xff\xfe"}', b'{"a":1' + b"0" * 5000 + b"}"]
    + [b'{"a":' + b"[" * depth + b"]" * depth + b"}" for depth in (200, 980, 5000)],
    ids=lambda line: line[:20],
)
def test_an_original_that_a_value_would_change_is_the_line_itself(line):
    original = jsonl.original(block_of([line]), 0)
    assert original.encode("utf-8", "surrogateescape") == line
    json.dumps(original, allow_nan=False)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
@quick
def test_a_block_of_some_records_holds_these_and_no_others(blanks, data):
    lines = [b"{%d}" % place + b" " * blank for place, blank in enumerate(blanks)]
    content = np.frombuffer(b"\n".join([*lines, b""]), np.uint8)
    block = Block(content, *jsonl._find_lines(content, 1)[:3], "gb18030")
    chosen = sorted(data.draw(st.sets(st.integers(0, len(lines) - 1))))
    part = block.take(np.array(chosen, dtype=np.int64))
    assert [part[place] for place in range(len(part))] == [b"{%d}" % place for place in chosen]
    assert part.lines.tolist() == [place + 1 for place in chosen]
    assert part.encoding == "gb18030"


def test_originals_and_lines_are_found_without_looking_at_the_records_before():
    block = block_of(['{"text":1}'] * 40_000)
    begin = time.perf_counter()
    assert all(jsonl.original(block, place) == {"text": 1} for place in range(0, 40_000, 4))
    assert all(jsonl.line(block, place) == place + 1 for place in range(40_000))
    assert time.perf_counter() - begin < 5


def test_other_encodings_become_text_and_name_the_reason(scratch):
    content = '{"text":"中文文本"}\n'.encode("gb18030") * 40 + b'{"text":"\x81"}\n'
    (chunk,) = chunks_of(scratch / "gb.jsonl", content, encoding="gb18030")
    parsed = chunk.parse(COLUMNS)
    assert parsed.frame["text"].to_list() == ["中文文本"] * 40
    assert [fault.reason for fault in parsed.faults] == ["encoding:gb18030"]
    assert "gb18030" in chunk.found["encoding"]


def test_gzip_is_unpacked_and_damaged_gzip_is_told(scratch):
    path = scratch / "z.jsonl.gz"
    packed = gzip.compress(b"\xef\xbb\xbf" + b"".join(b'{"text":"%d"}\n' % i for i in range(20_000)))
    assert len(read_all(path, packed)[0]) == 20_000
    damaged = packed[:2000] + bytes(50) + packed[2050:]
    for content in (packed[: len(packed) // 2], damaged, b'{"text":"a"}\n'):
        with pytest.raises(SourceError, match=r"z\.jsonl\.gz"):
            read_all(path, content)
