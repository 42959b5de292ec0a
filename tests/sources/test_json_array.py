import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_cases import FLAT, outcomes, records
from strategies import json_values, quick

from sftdata.errors import SourceError
from sftdata.sources import json_array, jsonl, parsing, read_chunks
from sftdata.sources.source import Source

pytestmark = pytest.mark.usefixtures("scanner")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("json")


@pytest.fixture(scope="module")
def read_all(scratch):
    def read_all(content, columns=FLAT):
        """Return the values or reasons of each record, its original, its line, and what was found out at the end."""
        path = scratch / "a.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        values, originals, lines, found = [], [], [], {}
        for chunk in read_chunks(Source(path, "a.json", "0" * 8, "json")):
            assert chunk.first_record == len(values) + 1
            assert len(chunk)
            values += outcomes(chunk.parse(columns), len(chunk))
            originals += [chunk.original(position) for position in range(len(chunk))]
            lines += [chunk.line(position) for position in range(len(chunk))]
            found = dict(chunk.found)
        return values, originals, lines, found

    return read_all


def texts_of(values):
    return [value if isinstance(value, list) else value["text"] for value in values]


@given(records, st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(1, 80), st.integers(1, 3))
@quick
def test_an_array_is_read_as_its_records_are_line_by_line(read_all, rows, indent, ascii_only, window, most):
    content = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    found, originals, lines, _ = read_all(content)
    assert found == outcomes(jsonl.parse(_block(rows), FLAT, "f"), len(rows))
    assert [original if isinstance(original, str) else json.dumps(original) for original in originals] == [
        line if isinstance(original, str) else json.dumps(json.loads(line))
        for original, line in zip(originals, map(json.dumps, rows), strict=True)
    ]
    assert lines == _lines(rows, indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "WINDOW", window)
        assert read_all(content)[0] == found
        patch.setattr(parsing, "CHUNK_ROWS", most)
        assert read_all(content)[0] == found


def _block(rows):
    from json_cases import block_of

    return block_of([json.dumps(row) for row in rows])


def _lines(rows, indent):
    if indent is None:
        return [1] * len(rows)
    heights = [json.dumps(row, indent=indent).count("\n") + 1 for row in rows]
    return [2 + sum(heights[:place]) for place in range(len(rows))]


GOOD = '{"text":"a","n":1}'
BROKEN = [
    '{"text":"b",}',
    '{"text":"b",,"n":2}',
    '{"text":b}',
    "{'text':'b'}",
    '{"text":"b" "n":2}',
    '{"text":"b","n":2} # done',
    '{"text":"b","n":2}}',
    '{"text":"b","l":["x"}',
    '{"text":"b","n":2',
    '{"text":"b',
    '{"text":"b,"n":2}',
    "oops",
    '"x',
    "{",
    '{"text":"b"};{"text":"c"}',
    '{"text":"b","m":[{"text":"c"},{"text":"d"} {}]}',
    '{"text":"b\n"}',
]


@pytest.mark.parametrize("between", [",", ", ", ",\n  "])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("window", [3, 2**20])
def test_a_broken_record_is_rejected_alone(read_all, monkeypatch, broken, between, window):
    monkeypatch.setattr(json_array, "WINDOW", window)
    for place in range(4):
        parts = [GOOD] * place + [broken] + [GOOD] * (3 - place)
        values, originals, _, found = read_all("[" + between.join(parts) + "]")
        if place == 3 and not found and originals[-1] != broken:  # nothing shows where the last one would have ended
            assert originals[-1].startswith(broken)
        elif place < 3:
            assert texts_of(values) == ["a"] * place + [["json:syntax"]] + ["a"] * (3 - place), (place, originals)
            assert originals[place] == broken
        assert texts_of(values)[place] == ["json:syntax"]
        assert texts_of(values)[:place] == ["a"] * place


@pytest.mark.parametrize(
    ("content", "expected", "cut"),
    [
        (f'[{GOOD}, {{"text": "b', ["a", ["json:syntax"]], True),
        (f'[{GOOD}, {{"text": "b"', ["a", ["json:syntax"]], True),
        (f'[{GOOD}, {{"text": "b"}}', ["a", "b"], True),
        (f"[{GOOD},", ["a"], True),
        (f"[{GOOD}", ["a"], True),
        (f"[{GOOD}]", ["a"], False),
    ],
)
def test_an_array_that_is_cut_off_keeps_what_is_there_and_it_is_told(read_all, content, expected, cut):
    values, _, _, found = read_all(content)
    assert texts_of(values) == expected
    assert ("not closed" in found.get("end", "")) == cut


def test_other_faults_of_records_have_their_reasons(read_all):
    parts = [
        GOOD.encode(),
        b'{"text":"\xff"}',
        b'{"text":' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"f":NaN}',
        b'{"text":"a","text":"b"}',
        b"null",
        b"[]",
        GOOD.encode(),
    ]
    values, originals, _, _ = read_all(b"[" + b",".join(parts) + b"]")
    reasons = ["encoding:utf-8", "json:depth", "json:syntax", "text:dtype", "json:not_an_object", "json:not_an_object"]
    assert texts_of(values) == ["a", *([reason] for reason in reasons), "a"]
    assert [original.encode("utf-8", "surrogateescape") for original in originals[1:5]] == parts[1:5]


@pytest.mark.parametrize("content", ["", " \n", "[]", "[ ]", "[\n]\n"])
def test_a_file_without_records_has_no_chunk(read_all, content):
    assert read_all(content) == ([], [], [], {})


@pytest.mark.parametrize(
    "content", [f"[{GOOD}][{GOOD}]", f"[{GOOD},]", f"[,{GOOD}]", f"[{GOOD}],{GOOD}]", f"[{GOOD}]\n"]
)
def test_stray_commas_and_brackets_cost_no_record(read_all, content):
    assert texts_of(read_all(content)[0]) == ["a"] * content.count("text")


@pytest.mark.parametrize("window", [30, 2**20])
@pytest.mark.parametrize("size", [100, 500])
def test_a_record_that_is_too_large_is_rejected_alone_and_its_beginning_kept(read_all, monkeypatch, window, size):
    monkeypatch.setattr(json_array, "WINDOW", window)
    monkeypatch.setattr(json_array, "MAX_RECORD", 60)
    monkeypatch.setattr(jsonl, "MAX_RECORD", 60)
    for large in ('{"text":"' + "x" * size + '"}', '{"text":"' + "中" * (size // 3) + '"}', '{"text":"' + "x" * size):
        values, originals, _, _ = read_all(f"[{GOOD},\n{large},\n{GOOD},{GOOD}]")
        assert texts_of(values) == ["a", ["json:record_size"], "a", "a"]
        assert large.startswith(originals[1])
        assert 57 <= len(originals[1].encode()) <= 60


@given(
    st.lists(st.fixed_dictionaries({"text": st.text("ab", max_size=3)}), min_size=1), st.lists(json_values, max_size=2)
)
@quick
def test_an_array_may_be_a_value_of_an_object(read_all, rows, more):
    before = {f"k{place}": value for place, value in enumerate(more)}
    document = json.dumps({**before, "data": rows, "end": 1})
    if "[{" in document[: document.index('"data"')]:
        return
    values, _, _, found = read_all(document)
    assert texts_of(values) == [row["text"] for row in rows]
    assert found == {"records": "under the key 'data'"}


@pytest.mark.parametrize("window", [40, 2**20])
def test_an_object_with_two_arrays_is_refused(read_all, monkeypatch, window):
    monkeypatch.setattr(json_array, "WINDOW", window)
    content = json.dumps({"train": [{"text": "a"}] * 9, "n": 1, "test": [{"text": "a"}] * 9})
    with pytest.raises(SourceError, match=r"a\.json: more arrays follow the one under 'train'"):
        read_all(content)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('{"text":"a"}\n{"text":"b"}\n', ["a", "b"]),
        ('\ufeff{"text":"a"}\n\n{"text":"b"}', ["a", "b"]),
        ('{"text":"a"}', ["a"]),
        ('{"text":\n{"text":"b"}\n{"text":"c"}', [["json:syntax"], "b", "c"]),
        ('{"text":"a","m":[{"role":"user","content":"b"}]}', ["a"]),
        ('{"text":"a","z":[{"b":1}]}\n{"text":"b","z":[{"b":1}]}', ["a", "b"]),
    ],
)
def test_json_lines_are_known_by_their_content(read_all, content, texts):
    assert texts_of(read_all(content)[0]) == texts


@pytest.mark.parametrize(
    "content", ['{\n"text": "a"\n}', '{"a": {"text": "b"}, \n"b": {"text": "c"}}', "hello", "5", '"x"']
)
def test_what_holds_no_array_is_refused_with_what_to_do(read_all, content):
    with pytest.raises(SourceError, match=r"a\.json: found .*, expected an array of records.*`format: jsonl`"):
        read_all(content)


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_the_suffix_names_the_format(tmp_path, name):
    from sftdata.settings.sources import SourceSettings
    from sftdata.sources import find_sources

    (tmp_path / name).touch()
    (source,) = find_sources([SourceSettings(path=name)], tmp_path)
    assert source.format == "json"
