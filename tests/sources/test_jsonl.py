import gzip
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import conversations, json_values, numbers, quick, texts

from sftdata.errors import SourceError
from sftdata.records import MESSAGES
from sftdata.schema import Column
from sftdata.sources import Source, jsonl, read_chunks

COLUMNS = {
    "text": Column(nullable=True),
    "label": Column(nullable=True, coerce=True),
    "n": Column(dtype="int", nullable=True),
    "f": Column(dtype="float", nullable=True),
    "b": Column(dtype="bool", nullable=True),
    "m": Column(dtype="messages", nullable=True),
}
NO_COERCE = {**COLUMNS, "label": Column(nullable=True)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("jsonl")


def outcomes(parsed, count):
    """Return for each record its values or its reasons, and prove that there is exactly one of the two."""
    of_record = dict(zip(parsed.positions, parsed.frame.rows(named=True), strict=True))
    for fault in parsed.faults:
        assert fault.position not in parsed.positions
        of_record.setdefault(fault.position, []).append(fault.reason)
    assert sorted(of_record) == list(range(count))
    return [of_record[position] for position in range(count)]


def read_all(path, content, columns=COLUMNS):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    values, originals = [], []
    for chunk in read_chunks(Source(path, path.name, "0" * 8, "jsonl")):
        assert chunk.first_record == len(values) + 1
        values += outcomes(chunk.parse(columns), len(chunk))
        originals += [chunk.original(position) for position in range(len(chunk))]
    return values, originals


def parse(*lines, columns=COLUMNS):
    return outcomes(jsonl.parse([as_bytes(line) for line in lines], columns, "file"), len(lines))


def as_bytes(line):
    return line if isinstance(line, bytes) else line.encode()


def natively(lines, columns=COLUMNS):
    frame = jsonl._parse_natively(lines, columns)
    return None if frame is None else frame.rows(named=True)


def one_by_one(lines, columns=COLUMNS):
    return outcomes(jsonl._parse_each(lines, columns), len(lines))


def assert_agree(lines, columns=COLUMNS):
    native = natively(lines, columns)
    if native is not None:
        assert native == one_by_one(lines, columns)
    return native is not None


fields = st.fixed_dictionaries(
    {},
    optional={
        "text": texts | json_values,
        "label": st.none() | texts | numbers | st.booleans(),
        "n": st.none() | st.integers(-(2**64), 2**64) | numbers,
        "f": st.none() | numbers,
        "b": st.none() | st.booleans() | json_values,
        "m": st.none() | conversations | json_values,
        "other": json_values,
    },
)
fitting = st.fixed_dictionaries(
    {"text": st.none() | texts, "n": st.none() | st.integers(-(2**63), 2**63 - 1)},
    optional={
        "label": texts,
        "f": st.none() | numbers,
        "b": st.booleans(),
        "m": st.none() | conversations,
        "other": json_values,
    },
)
records = st.lists(fitting | fields, min_size=1, max_size=4)


def dump(record, ascii_only):
    return json.dumps(record, ensure_ascii=ascii_only).encode()


@given(st.lists(fitting, min_size=1, max_size=4), st.booleans())
@quick
def test_the_native_parser_answers_for_good_lines_and_agrees(rows, ascii_only):
    big = any(isinstance(row.get("f"), int) and abs(row["f"]) > 2**1023 for row in rows)
    assert assert_agree([dump(row, ascii_only) for row in rows]) or big


@given(records, st.booleans())
@quick
def test_both_parsers_agree_on_every_value(rows, ascii_only):
    assert_agree([dump(row, ascii_only) for row in rows])
    assert_agree([dump(row, ascii_only) for row in rows], NO_COERCE)


pieces = st.sampled_from(
    rb"""{ } [ ] , : " \ \u \ud800 \u0000 null true NaN Inf Infinity - 0 01 1e999 .5 // {} {"n":1} [null]""".split()
    + rb"""\x "n":1, "text":"b", "z":1,"z":2, "z":NaN, 999999999999999999999""".split()
    + b"\x00|\t|\r|\x0b|\xff|\xed\xa0\x80|\xef\xbb\xbf".split(b"|")
)


@given(fitting | fields, st.lists(st.tuples(st.floats(0, 1), pieces, st.integers(0, 3)), min_size=1, max_size=3))
@quick
def test_both_parsers_agree_on_spoilt_lines(row, changes):
    line = json.dumps(row).encode()
    for place, piece, drop in changes:
        at = int(place * len(line))
        line = line[:at] + piece + line[at + drop :]
    if b"\n" not in line and line.strip():
        assert_agree([line])
        assert_agree([b"{}", line, line])


AGREE = [
    '{"text":"a","z":1,"z":2}',
    '{"text":"a","text":"b"}',
    '{"text":"a","z":{"y":1,"y":2}}',
    '{"m":[{"role":"user","content":"a","q":1,"q":2}]}',
    '{"m":[{"role":"user","role":"user","content":"a"}]}',
    '{"m":[null]}',
    '{"m":[{}]}',
    '{"m":{}}',
    '{"f":NaN}',
    '{"z":NaN}',
    '{"z":[Inf, -Infinity]}',
    '{"z":-Inf }',
    '{"f":-Infinity}',
    '{"f":1e400}',
    '{"z":1e400}',
    '{"f":1' + "0" * 400 + "}",
    '{"z":1' + "0" * 5000 + "}",
    '{"n":1' + "0" * 5000 + "}",
    '{"n":-0}',
    '{"n":-9223372036854775808}',
    '{"n":9223372036854775808}',
    '{"n":1.0}',
    '{"n":1e2}',
    '{"text":"\\ud800"}',
    '{"text":"\\udc00"}',
    '{"z":"\\udc00"}',
    '{"text":"\\ud83d\\ude00"}',
    '{"text":"a\\u0000b"}',
    '{"\\u0074ext":"a"}',
    '{"text":"a"}{"text":"b"}',
    '{"z":' + "[" * 20_000 + "]" * 20_000 + "}",
    '{"text":"a","z":' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "}",
    '{"text":' + "[" * 980 + "]" * 980 + "}",
    '{"text":"NaN, Inf]"}',
    "{}",
]


@pytest.mark.parametrize("line", AGREE, ids=lambda line: line[:40])
def test_both_parsers_agree_on_what_is_known_to_be_hard(line):
    assert_agree([line.encode()])
    assert_agree([line.encode()], NO_COERCE)
    assert_agree([line.encode(), b'{"text":"x"}'])


FAULTY = [
    ("null", "json:not_an_object"),
    ("true", "json:not_an_object"),
    ("5", "json:not_an_object"),
    ('"text"', "json:not_an_object"),
    ('[{"text":"a"}]', "json:not_an_object"),
    ('{"text":"a"', "json:syntax"),
    ("{'text':'a'}", "json:syntax"),
    ('{"text":"a",}', "json:syntax"),
    ('{"text":"a"}{"text":"b"}', "json:syntax"),
    ('{"z":NaN}', "json:syntax"),
    ('{"z":-Infinity}', "json:syntax"),
    ('{"z":Inf}', "json:syntax"),
    ('{"text":"a\tb"}', "json:syntax"),
    ('{"text":"a\0b"}', "json:syntax"),
    ("{" * 5000, "json:syntax"),
    ("hello", "json:syntax"),
    (b'{"text":"\xff"}', "encoding:utf-8"),
    (b'{"z":"\xed\xa0\x80"}', "encoding:utf-8"),
    ('{"text":5}', "text:dtype"),
    ('{"text":["a"]}', "text:dtype"),
    ('{"text":"a","text":"a"}', "text:dtype"),
    ('{"text":"\\ud800"}', "text:dtype"),
    ('{"label":["a"]}', "label:dtype"),
    ('{"n":"1"}', "n:dtype"),
    ('{"n":true}', "n:dtype"),
    ('{"n":1.0}', "n:dtype"),
    ('{"n":9223372036854775808}', "n:dtype"),
    ('{"f":"1"}', "f:dtype"),
    ('{"f":true}', "f:dtype"),
    ('{"f":1e400}', "f:dtype"),
    ('{"f":1' + "0" * 400 + "}", "f:dtype"),
    ('{"b":1}', "b:dtype"),
    ('{"m":"a"}', "m:dtype"),
    ('{"m":[null]}', "m:dtype"),
    ('{"m":[{"role":"user","content":5}]}', "m:dtype"),
    ('{"m":[{"role":"user","content":[{"type":"text"}]}]}', "m:dtype"),
    ('{"m":[{"role":"user","role":"user","content":"a"}]}', "m:dtype"),
    ('{"text":' + "[" * 5000 + "]" * 5000 + "}", "json:syntax"),
    ('{"text":' + "[" * 600 + "]" * 600 + "}", "json:syntax"),
    ('{"text":' + "[" * 400 + "]" * 400 + "}", "text:dtype"),
]


@pytest.mark.parametrize(("line", "reason"), FAULTY, ids=[str(line)[:40] for line, _ in FAULTY])
def test_a_fault_has_its_reason_and_hides_no_other_row(line, reason):
    good = [{"text": "first", "n": 1}, {"text": "last", "n": 2}]
    found = parse(dump(good[0], True), line, dump(good[1], True))
    assert found[1] == [reason]
    assert [found[0]["text"], found[2]["text"]] == ["first", "last"]
    assert [found[0]["n"], found[2]["n"]] == [1, 2]


@given(st.lists(fitting, max_size=3), st.sampled_from(FAULTY), st.lists(fitting, max_size=3))
@quick
def test_rows_are_the_same_with_a_faulty_neighbour_and_without(before, faulty, after):
    lines = [dump(row, True) for row in before + after]
    alone = parse(*lines) if lines else []
    found = parse(*lines[: len(before)], faulty[0], *lines[len(before) :])
    assert found.pop(len(before)) == [faulty[1]]
    assert found == alone


def test_every_fault_of_a_record_is_told():
    assert parse('{"text":5,"n":"x","b":null,"f":[]}') == [["text:dtype", "n:dtype", "f:dtype"]]


def test_details_name_the_value_short_and_printable():
    faults = jsonl.parse([b'{"text":["\\ud800"]}', b'{"m":[{"role":"user","content":5}]}'], COLUMNS, "f").faults
    assert faults[0].detail == "text: found ['\\ud800'], expected str"
    assert faults[1].detail.startswith("m: found [{'role': 'user', 'content': 5}], expected a list of turns")
    (fault,) = jsonl.parse([b'{"text":[' + b"1," * 5000 + b"1]}"], COLUMNS, "f").faults
    assert len(fault.detail) < 120


@pytest.mark.parametrize(
    ("written", "text"),
    [(t, t) for t in ("1", "1.10", "1e5", "-0", "true", "false", "1e400", "0.12345678901234567890", "1" * 5000)],
)
def test_a_coerced_number_is_the_text_that_stood_in_the_file(written, text):
    assert parse(f'{{"label":{written}}}')[0]["label"] == text


def test_without_coercion_a_number_is_no_text():
    assert parse('{"label":1}', '{"label":true}', columns=NO_COERCE) == [["label:dtype"], ["label:dtype"]]


def test_a_key_that_a_line_lacks_is_null_and_an_unknown_key_does_not_matter():
    assert parse('{"z":{"deep":[1,{}]}}', '{"text":"a"}') == [
        dict.fromkeys(COLUMNS),
        {**dict.fromkeys(COLUMNS), "text": "a"},
    ]


def test_a_key_that_first_appears_late_is_not_dropped(scratch):
    lines = ['{"text":"a"}'] * 5000 + ['{"text":"b","n":7}']
    values, _ = read_all(scratch / "late.jsonl", "\n".join(lines))
    assert values[-1]["n"] == 7


def test_messages_have_the_dtype_of_conversations_however_they_were_parsed():
    line = b'{"m":[{"role":"user","content":"a","name":"x"},{"content":null}]}'
    for extra in ([], [b'{"label":5}']):
        frame = jsonl.parse([line, *extra], COLUMNS, "f").frame
        assert frame["m"].dtype == MESSAGES
        assert frame["m"].to_list()[0] == [{"role": "user", "content": "a"}, {"role": None, "content": None}]


def test_nothing_to_parse_gives_an_empty_frame_with_the_dtypes():
    frame = jsonl.parse([], COLUMNS, "f").frame
    assert frame.schema == {name: column.polars_dtype for name, column in COLUMNS.items()}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
def test_line_ends_byte_order_marks_and_blank_lines_do_not_matter(scratch, newline, mark, end):
    content = (mark + '{"text":"a"}\n\n \t\n  {"text":"b"} \n{"text":"c"}' + end).replace("\n", newline)
    values, _ = read_all(scratch / "n.jsonl", content)
    assert [value["text"] for value in values] == ["a", "b", "c"]


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", " \r\n\n"])
def test_a_file_without_records_has_no_chunk(scratch, content):
    assert read_all(scratch / "e.jsonl", content) == ([], [])


def test_a_last_line_that_was_cut_off_is_rejected_alone(scratch):
    values, originals = read_all(scratch / "cut.jsonl", '{"text":"a"}\n{"text":"b"}\n{"text":"c')
    assert [value if isinstance(value, list) else value["text"] for value in values] == ["a", "b", ["json:syntax"]]
    assert originals[-1] == '{"text":"c'


def test_a_huge_line_is_read_natively_and_line_by_line(scratch):
    huge = "中" * 1_000_000
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in ("a", huge, "b", huge + "x")]
    for extra in ([], ["null"]):
        values, _ = read_all(scratch / "huge.jsonl", "\n".join(lines + extra))
        assert [value["text"] for value in values[:4]] == ["a", huge, "b", huge + "x"]


@given(records, st.integers(1, 3), st.integers(1, 60))
@quick
def test_chunking_changes_nothing(scratch, rows, most_rows, most_bytes):
    content = "\n\n".join(json.dumps(row) for row in rows)
    whole = read_all(scratch / "whole.jsonl", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK_ROWS", most_rows)
        assert read_all(scratch / "whole.jsonl", content) == whole
        patch.setattr(jsonl, "CHUNK_BYTES", most_bytes)
        assert read_all(scratch / "whole.jsonl", content) == whole


@given(st.dictionaries(texts, json_values, max_size=3) | json_values)
@example({"a": [[[]]], "b": -0.0, "c": 10**40})
@quick
def test_the_original_is_the_value_that_stood_in_the_file(value):
    line = json.dumps(value).encode()
    original = jsonl.original([line], 0)
    assert json.dumps(original) == json.dumps(value)


@pytest.mark.parametrize(
    "line",
    [b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":1e400}', b"{broken", b'{"a":"\xff\xfe"}', b'{"a":1' + b"0" * 5000 + b"}"]
    + [b'{"a":' + b"[" * depth + b"]" * depth + b"}" for depth in (200, 980, 5000)],
    ids=lambda line: line[:20],
)
def test_an_original_that_a_value_would_change_is_the_line_itself(line):
    original = jsonl.original([line], 0)
    assert original.encode("utf-8", "surrogateescape") == line
    json.dumps(original, allow_nan=False)


@pytest.mark.parametrize("depth", [1, 90, 900, 970, 990, 999, 1100])
def test_any_depth_of_nesting_is_parsed_and_kept(depth):
    line = b'{"text":"a","z":' + b"[" * depth + b"]" * depth + b"}"
    assert parse(line, "null")[0]["text"] == "a"
    assert natively([line])[0]["text"] == "a"
    bad = b'{"text":' + b"[" * depth + b"]" * depth + b"}"
    assert parse(bad)[0] in (["text:dtype"], ["json:syntax"])
    json.dumps(jsonl.original([bad], 0))


def test_gzip_is_unpacked_and_damaged_gzip_is_told(scratch):
    path = scratch / "z.jsonl.gz"
    packed = gzip.compress(b"\xef\xbb\xbf" + b"".join(b'{"text":"%d"}\n' % i for i in range(20_000)))
    assert len(read_all(path, packed)[0]) == 20_000
    damaged = packed[:2000] + bytes(50) + packed[2050:]
    for content in (packed[: len(packed) // 2], damaged, b'{"text":"a"}\n'):
        with pytest.raises(SourceError, match=r"z\.jsonl\.gz cannot be read: "):
            read_all(path, content)


@given(st.floats(allow_nan=False, allow_infinity=False))
@quick
def test_floats_are_exact_in_both_parsers(number):
    line = f'{{"f":{number!r}}}'.encode()
    for found in (natively([line])[0]["f"], one_by_one([line])[0]["f"]):
        assert found == number
        assert math.copysign(1, found) == math.copysign(1, number)
