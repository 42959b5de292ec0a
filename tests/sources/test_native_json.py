"""What compiled code says of JSON records is what the judge says, whatever the bytes are."""

import json
import random
import resource
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from json_cases import FLAT, SHAREGPT, block_of, dump, fields, fitting, one_by_one, outcomes, records
from strategies import conversations, json_values, quick, texts

from sftdata.column import Column
from sftdata.sources import jsonl, native
from sftdata.sources.json_block import Block
from sftdata.sources.json_compiled import parse_compiled

PLAIN = {name: FLAT[name] for name in ("text", "label", "n", "f", "b", "l")}
CHATS = {
    "m": Column(dtype="messages", nullable=True),
    "text": Column(),
    "中": Column(dtype="messages", keys={"role": "角色", "content": "text"}, roles={"human": "user", "": "system"}),
}
SCHEMAS = [PLAIN, CHATS, SHAREGPT, {"text": Column()}, {"f": Column(dtype="float"), "": Column(coerce=True)}]


def compiled(lines, columns):
    """Return what compiled code says of each record: its values, or nothing."""
    frame, odd = parse_compiled(block_of(lines), columns)
    assert frame.schema == {name: column.polars_dtype for name, column in columns.items()}
    rows = frame.iter_rows(named=True)
    return [None if is_odd else next(rows) for is_odd in odd]


def assert_agree(lines, columns):
    """Assert that the judge says what compiled code says; return whether that had an answer for every record."""
    found, judged = compiled(lines, columns), one_by_one(lines, columns)
    expected = [None if here is None else verdict for here, verdict in zip(found, judged, strict=True)]
    assert repr(found) == repr(expected), "0.0 and -0.0 are equal"
    return None not in found


def both_ways(block, columns):
    """Return what `jsonl.parse` gives with compiled code and without."""
    yield jsonl.parse(block, columns, "file")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "scan", None)
        yield jsonl.parse(block, columns, "file")


ordinary = st.fixed_dictionaries(
    {"text": st.none() | texts, "n": st.none() | st.integers(-(2**63), 2**63 - 1)},
    optional={
        "label": texts | st.booleans() | st.integers(),
        "f": st.none() | st.floats(1e-9, 1e9) | st.integers(-(10**18), 10**18),
        "b": st.booleans(),
        "l": st.none() | st.lists(texts, max_size=3),
        "m": st.none() | conversations,
        "other": json_values,
    },
)


@given(st.lists(ordinary, min_size=1, max_size=4), st.booleans())
@quick
def test_ordinary_records_are_answered(rows, ascii_only):
    lines = [dump(row, ascii_only) for row in rows]
    assert assert_agree(lines, PLAIN)
    assert assert_agree(lines, CHATS)


@given(records, st.booleans(), st.sampled_from(SCHEMAS))
@quick
def test_it_agrees_with_the_judge_on_every_value(rows, ascii_only, columns):
    assert_agree([dump(row, ascii_only) for row in rows], columns)


pieces = st.sampled_from(
    rb"""{ } [ ] , : " \ \u \ud800 \udc00 \u0000 \ud83d\ude00 \ud83d\ud83d \x null true nul NaN Infinity - + .
    e E5 0 01 1e999 .5 // {} {"n":1} [null] "n":1, "text":"b", "z":{"z":[{}]}, 9223372036854775808
    "label":1, "label":"x" """.split()
    + b"\x00|\t|\r|\n|\x0b|\x1f|\x7f|\x80|\xff|\xc3|\xc0\x80|\xe4\xb8|\xe0\x80\x80|\xed\xa0\x80|\xf0\x9f\x98\x80|"
    b"\xf4\x90\x80\x80|\xf0\x80\x80\x80|\xef\xbb\xbf| : |  |\xe3\x80\x80".split(b"|")
) | st.binary(max_size=2)


@given(
    fitting | fields | ordinary,
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), pieces, st.integers(0, 3)), max_size=3),
    st.floats(0, 1),
    st.sampled_from(SCHEMAS),
)
@quick
def test_it_agrees_with_the_judge_on_spoilt_records(row, ascii_only, changes, end, columns):
    line = dump(row, ascii_only)
    for place, piece, drop in changes:
        at = int(place * len(line))
        line = line[:at] + piece + line[at + drop :]
    for spoilt in (line, line[: int(end * len(line))]):
        assert_agree([b"{}", spoilt, b'{"text":"' + b"a" * 20 + b'"}', spoilt], columns)


@given(st.lists(st.binary(max_size=30) | pieces, max_size=6))
@quick
def test_it_agrees_with_the_judge_on_any_bytes(lines):
    assert_agree(lines, PLAIN)
    assert_agree([b'{"text":"' + line + b'"}' for line in lines], PLAIN)
    assert_agree([b'{"f":' + line + b"}" for line in lines], PLAIN)


@given(st.lists(st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)))
@example(["-0", "-0.0", "0e9", "9007199254740993", "-9223372036854775808", "9223372036854775807", "1e22", "1E-22"])
@example(["9007199254740993e1", "9007199254740992.5e-1", "1e23", "123456789012345678e-27", "0.1e-0", "0e99999999999"])
@quick
def test_numbers_are_the_same_however_they_are_written(numbers):
    for name in ("f", "n", "label", "z"):
        assert_agree([f'{{"{name}":{number}}}' for number in numbers], PLAIN)


@given(st.lists(st.floats(1e-9, 1e9) | st.floats(0, 1).filter(lambda number: number == 0 or number > 1e-9)))
@quick
def test_floats_as_programs_write_them_are_answered(numbers):
    assert assert_agree([json.dumps({"f": number}) for number in numbers], PLAIN)
    assert assert_agree([json.dumps({"f": -number}) for number in numbers], PLAIN)


def test_halves_between_two_floats_are_rounded_as_by_the_judge():
    draw = random.Random(5)  # noqa: S311  # no secret
    lines = []
    for _ in range(20_000):
        number = draw.randrange(2**53, 2**54) * 2 + 1 if draw.random() < 0.3 else draw.randrange(10**19)
        lines.append(f'{{"f":{number}e{draw.randrange(-30, 30)}}}')
        lines.append(f'{{"f":{(draw.randrange(2**52, 2**53) * 2 + 1) / 4!r}}}')
    frame, odd = parse_compiled(block_of(lines), PLAIN)
    expected = [json.loads(line)["f"] for line, is_odd in zip(lines, odd, strict=True) if not is_odd]
    assert frame["f"].to_list() == expected
    assert len(frame) > 35_000


@pytest.mark.parametrize(
    "line",
    [
        ' { "text" : "a" , "n" : 1 } ',
        '\t{"text"\r:\n"a"}\n',
        '{"text":"","":1}',
        r'{"text":"\"\\\/\b\f\n\r\t\u4e2d\u0000\ud83d\ude00 and \u00e9"}',
        '{"z":"\\ud800","y":{"\\u0074":[[],{},[{}],"\\udc00",-0.5e-7,true,false,null]}}',
        '{"z":1,"z":2}',
        '{"label":1.10}',
        '{"label":true}',
        '{"text":"x234567890123","label":"x23456789012"}',
        '{"m":[{"content":null,"role":"user"},{},{"role":null}],"text":"a"}',
        '{"m":[],"中":[{"角色":"human","text":"a"},{"角色":"","text":"b"}]}',
        "{" + ",".join(f'"{key}":{key}' for key in range(200)) + ',"text":"a"}',
        '{"z":' + "[" * 64 + "]" * 64 + "}",
        "{}",
    ],
)
def test_what_is_common_is_answered_wherever_it_stands(line):
    for columns in (PLAIN, CHATS):
        for lines in ([line], ['{"text":"b"}', line, "{}"], [line, line]):
            assert assert_agree(lines, columns)


ODD = [
    '{"text":"a","text":"a"}',
    '{"\\u0074ext":"a"}',
    '{"z\\n":1}',
    '{"text":"\\ud800"}',
    '{"text":"\\udc00\\ud800"}',
    '{"z":' + "[" * 65 + "]" * 65 + "}",
    '{"f":1e400}',
    '{"f":1' + "0" * 20 + "}",
    '{"n":1.0}',
    '{"n":9223372036854775808}',
    '{"text":1}',
    '{"b":0}',
    '{"l":["a",null]}',
    '\ufeff{"text":"a"}',
    b'{"z":"\xed\xa0\x80"}',
    '{"z":NaN}',
    '{"z":01}',
    '{"z":1}x',
    '{"z":1',
    "",
    "[]",
]


@pytest.mark.parametrize("line", ODD, ids=lambda line: repr(line)[:30])
def test_what_is_not_certain_is_left_and_costs_no_other(line):
    assert [row and row["n"] for row in compiled(['{"n":1}', line, '{"n":2}'], PLAIN)] == [1, None, 2]
    first, second = (outcomes(parsed, 3) for parsed in both_ways(block_of(['{"n":1}', line, '{"n":2}']), PLAIN))
    assert first == second


@pytest.mark.parametrize(
    "turn",
    [
        '{"from":"function_call","value":"{}"}',
        '{"from":"gpt","value":"a","weight":1}',
        '{"from":"gpt","value":"a","value":"b"}',
        '{"from":"gpt","val\\u0075e":"a"}',
        '{"from":"gpt","value":["a"]}',
        '{"from":"gpt","value":"\\ud800"}',
        "null",
        '"a"',
    ],
)
def test_a_turn_that_says_more_than_plain_text_is_left(turn):
    plain = '{"from":"human","value":"a"}'
    lines = [f'{{"m":[{plain},{turn}]}}', f'{{"m":[{plain}]}}', f'{{"m":[{turn}]}}']
    assert [row is None for row in compiled(lines, SHAREGPT)] == [True, False, True]
    assert compiled(lines, SHAREGPT)[1]["m"][0]["role"] == "user"
    first, second = (outcomes(parsed, 3) for parsed in both_ways(block_of(lines), SHAREGPT))
    assert first == second


@given(records, st.lists(st.sampled_from(list(filter(None, ODD))), max_size=2), st.sampled_from(SCHEMAS), st.randoms())
@quick
def test_a_block_parses_to_the_same_with_compiled_code_and_without(rows, odd, columns, draw):
    lines = [*map(dump, rows), *odd]
    draw.shuffle(lines)
    first, second = both_ways(block_of(lines), columns)
    assert repr(first.frame.rows()) == repr(second.frame.rows())
    assert first.frame.schema == second.frame.schema
    assert list(first.positions) == list(second.positions)
    assert first.faults == second.faults


@pytest.mark.parametrize("few", [0, 1000])
def test_what_is_left_goes_to_arrows_reader_or_to_the_judge(few, monkeypatch):
    monkeypatch.setattr(jsonl, "FEW", few)
    lines = [ODD[place % len(ODD)] if place % 3 else f'{{"n":{place}}}' for place in range(900)]
    first, second = both_ways(block_of(lines), PLAIN)
    assert outcomes(first, 900) == outcomes(second, 900)
    assert first.faults == second.faults


@given(st.lists(st.tuples(ordinary.map(dump), st.binary(max_size=9)), max_size=5), st.binary(max_size=9))
@quick
def test_records_may_have_anything_between_them(parts, before):
    starts, ends, content = [], [], before
    for line, after in parts:
        starts.append(len(content))
        content += line
        ends.append(len(content))
        content += after
    places = np.array(starts, np.int64), np.array(ends, np.int64), np.arange(len(parts))
    frame, odd = parse_compiled(Block(np.frombuffer(content, np.uint8), *places), PLAIN)
    assert not odd.any()
    assert repr(frame.rows(named=True)) == repr(one_by_one([line for line, _ in parts], PLAIN))


def test_a_schema_that_compiled_code_does_not_know_is_left_to_others():
    block = block_of(["{}"])
    for column in (
        Column(dtype="json"),
        Column(dtype="pairs"),
        Column(dtype="list[str]", separator=","),
        Column(dtype="messages", keys={"role": "weight"}),
        Column(dtype="messages", roles={"a": "a name that is long"}),
    ):
        assert parse_compiled(block, {"text": Column(), "m": column}) is None
    assert parse_compiled(block, {}) is None
    assert parse_compiled(block, {"a\0b": Column()}) is None


def test_many_columns_and_lists_of_any_length_are_kept():
    columns = {f"column {number}": Column(nullable=True) for number in range(300)}
    names = list(columns)
    rows = [dict.fromkeys(names[place::7], f"value {place}") for place in range(20)]
    rows += [dict(reversed(row.items())) for row in rows]
    assert assert_agree([json.dumps(row) for row in rows], columns)
    lists = [{"l": ["中" * (place % 9)] * place, "text": "x" * place} for place in (0, 1, 40, 0, 3000, 2)]
    assert assert_agree([dump(row) for row in lists], PLAIN)
    turn = {"role": "user", "content": "a text of some length, " * 3}
    assert assert_agree([json.dumps({"m": [turn] * count}) for count in (0, 1, 100, 5000, 1)], CHATS)


def assert_valid(found, expected):
    for capsules, name in zip(found, expected[0], strict=True):
        values = pa.array(native.Exported(capsules))
        values.validate(full=True)
        assert values.to_pylist() == [row[name] for row in expected]


def test_arrow_finds_the_columns_valid():
    lines = ['{"text":"a","n":1,"l":["a","x234567890123"]}', "{}", '{"b":true,"l":[],"f":0.5}', "null"]
    starts, ends = block_of(lines).starts, block_of(lines).ends
    odd = np.empty(4, bool)
    content = block_of(lines).content
    capsules = native.scan.parse_json(content, starts, ends, odd, list(PLAIN), b"scifbl", [None] * 6)
    assert_valid(capsules, one_by_one(lines[:3], PLAIN))
    turns = ['{"m":[{"role":"a","content":"b"}]}', '{"m":null}', '{"m":[{},{"role":"user user user"}]}']
    content, starts, ends = block_of(turns).content, block_of(turns).starts, block_of(turns).ends
    capsules = native.scan.parse_json(content, starts, ends, odd, ["m"], b"m", [("role", "content")])
    assert_valid(capsules, one_by_one(turns, {"m": CHATS["m"]}))


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_column_that_is_kept_keeps_no_other():
    block = block_of([json.dumps({"text": "x" * 2**19, "label": "a"})])
    before = resident()
    kept = [parse_compiled(block, {"text": Column(), "label": Column()})[0]["label"] for _ in range(200)]
    assert resident() - before < 60e6
    assert pl.concat(kept).to_list() == ["a"] * 200


def test_columns_are_freed_with_the_frame_and_where_nobody_takes_them():
    turn = {"role": "user", "content": "x" * 2**19}
    block = block_of([json.dumps({"m": [turn], "text": "y" * 2**19}), "null"])
    schema = {"m": CHATS["m"], "text": Column()}
    before = resident()
    for number in range(200):
        if number % 2:
            assert len(parse_compiled(block, schema)[0]) == 1
        else:
            given = block.content, block.starts, block.ends, np.empty(2, bool), ["m", "text"], b"ms"
            native.scan.parse_json(*given, [("role", "content"), None])
    assert resident() - before < 60e6


def call(content=b"{}", starts=(0,), ends=(2,), odd=1, names=("a",), kinds=b"s", turns=(None,)):
    places = np.array(starts, np.int64), np.array(ends, np.int64)
    return native.scan.parse_json(content, *places, np.empty(odd, bool), names, kinds, turns)


def test_what_does_not_fit_together_is_refused():
    assert pl.Series(native.Exported(call()[0])).to_list() == [None]
    for wrong in (
        {"starts": [-1]},
        {"ends": [3]},
        {"starts": [1], "ends": [0]},
        {"starts": [0, 0], "ends": [2, 2], "odd": 2},
        {"odd": 0},
        {"kinds": b"ss"},
        {"turns": ()},
    ):
        with pytest.raises(ValueError, match="records must rise"):
            call(**wrong)
    with pytest.raises(ValueError, match="ends: found 0 bytes, expected 1 of int64"):
        call(ends=())
    for kind in (b"x", b"\0"):
        with pytest.raises(ValueError, match="kinds: found"):
            call(kinds=kind)
    long = ("role", "content", "a", "a name that is long")
    for turns in (None, (), ("role",), ("role", "content", "a"), (None, "content"), ("role", None), long):
        with pytest.raises(ValueError, match="turns: expected"):
            call(kinds=b"m", turns=[turns])
    for names in ([None], [5], None):
        with pytest.raises(TypeError):
            call(names=names)
    with pytest.raises(TypeError):
        call(kinds=b"m", turns=[("role", "content", "a", 5)])
    with pytest.raises(UnicodeEncodeError):
        call(names=["\ud800"])


@given(
    st.lists(st.sampled_from([b"{}", b"\n", b"\r", b" ", b"\t", b"\x0b", b"\x0c", b"\x00", b"\x1f", b"ab", b"\x85"])),
    st.integers(1, 9),
)
@quick
def test_lines_are_found_as_without_a_compiler(parts, line):
    content = np.frombuffer(b"".join(parts), np.uint8)
    found, expected = jsonl._find_lines(content, line), jsonl._find_without_compiler(content, line)
    assert [part.tolist() for part in found[:3]] == [part.tolist() for part in expected[:3]]
    assert found[3:] == expected[3:]


def test_arrays_that_are_too_short_for_lines_are_told():
    places = np.empty((3, 1), np.int64)
    assert native.scan.find_lines(b"a\nb\n", 1, *places) is None
    assert native.scan.find_lines(b"a\n\nb", 1, *places) == (1, 2, 1, 2)
    with pytest.raises(ValueError, match="lines: found 0 bytes, expected 1 of int64"):
        native.scan.find_lines(b"a\n", 1, *places[:2], places[2, :0])
