"""What is found in a file of JSON lines is what reading all of it finds, wherever one stops and goes on."""

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import json_values, quick, texts

from sftdata.rejections import rejected_line
from sftdata.view import lines as module
from sftdata.view.lines import find_lines, json_pattern, previous, text_pattern, texts_of

some_text = texts | st.sampled_from(["É é", 'a "quoted"\nline', "tab\there", "😀 你好", "back\\slash", "\udce9", "ſK"])


def everything(path, most, **options):
    found, start = [], 0
    while start is not None:
        lines = find_lines(path, start, most, 0.0, **options)
        assert lines.go_on is None or lines.go_on > start
        found, start = found + lines.lines, lines.go_on
    return found


@given(originals=st.lists(json_values | some_text, max_size=8), data=st.data())
@quick
def test_a_text_is_found_however_json_writes_it(tmp_path_factory, originals, data):
    path = tmp_path_factory.mktemp("lines") / "rejected.jsonl"
    rows = [{"source": "s", "record": place, "original": each} for place, each in enumerate(originals)]
    path.write_bytes("".join(map(rejected_line, rows)).encode())
    said = [text for each in originals for text in texts_of(each)]
    source = data.draw(st.sampled_from(said)) if said else data.draw(texts)
    begin = data.draw(st.integers(0, len(source)))
    query = data.draw(st.sampled_from([str, str.lower, str.upper]))(source[begin : begin + 4])
    assume(query.split())
    assume(not re.search("[ſKıİ]", "".join([query, *said])))  # to Python's patterns alike with ASCII letters
    wanted = text_pattern(query)
    fits = lambda row: any(map(wanted.search, texts_of(row["original"])))  # noqa: E731
    expected = [place for place, each in enumerate(rows) if fits(each)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", data.draw(st.sampled_from([1, 40, 2**22])))
        most = data.draw(st.sampled_from([1, 2, 100]))
        found = everything(path, most, fits=fits, pattern=json_pattern(query))
    assert [line.row["record"] for line in found] == expected


@given(
    contents=st.lists(st.sampled_from(['{"a": 1}', '{"b": [2]}', "no json", "[1]", "", "   "]), max_size=10),
    last=st.sampled_from(["", "\n"]),
    data=st.data(),
)
@quick
def test_every_line_comes_once_and_in_order(tmp_path_factory, contents, last, data):
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    path.write_text("\n".join(contents) + last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", data.draw(st.sampled_from([1, 10, 2**22])))
        found = everything(path, data.draw(st.sampled_from([1, 3, 100])))
    kept = [line for line in contents if line.strip()]
    assert [line.row for line in found] == [json.loads(line) if line[0] == "{" else None for line in kept]
    content = path.read_bytes()
    assert [content[line.at :].split(b"\n")[0].decode() for line in found] == kept


def test_one_begins_at_the_next_line_and_goes_back_by_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(10)))
    size = len('{"n": 0}\n')
    assert find_lines(path, size + 3, 1, 60).lines[0].row == {"n": 2}
    assert find_lines(path, 2 * size, 1, 60).lines[0].row == {"n": 2}
    assert [previous(path, place * size, 3) for place in (0, 2, 3, 7, 10, 99)] == [
        0,
        0,
        0,
        4 * size,
        7 * size,
        7 * size,
    ]
    assert find_lines(path, 10 * size, 1, 60) == module.Lines([], None, 10 * size)


@pytest.mark.parametrize("content", [None, b""])
def test_a_file_that_is_missing_or_empty_has_no_lines(tmp_path, content):
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert find_lines(path, 0, 5, 60) == module.Lines([], None, 0)
    assert previous(path, 0, 5) == previous(path, 7, 5) == 0


def test_a_pattern_finds_no_line_by_what_stands_in_two(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"original": "ends with a"}\n{"original": "b begins; a b too"}\n')
    found = find_lines(path, 0, 5, 60, lambda row: "a b" in row["original"], json_pattern("a b"))
    assert [line.row["original"] for line in found.lines] == ["b begins; a b too"]
