import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_cases import (
    CHAT,
    COLUMNS,
    FLAT,
    SCHEMAS,
    SHAREGPT,
    assert_agree,
    block_of,
    dump,
    fields,
    fitting,
    natively,
    one_by_one,
    parse,
    records,
)
from strategies import conversations, quick

from sftdata.column import Column
from sftdata.sources import native
from sftdata.sources.json_native import MOST_COLONS, Refused, _has_few_fields, find_odd, parse_block


@pytest.fixture(scope="module", autouse=True)
def _without_compiled_code():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "scan", None)
        yield


def without(rows, *names):
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@given(st.lists(fitting, min_size=1, max_size=4), st.booleans())
@quick
def test_the_native_parser_answers_for_good_records(rows, ascii_only):
    big = any(isinstance(row.get("f"), int) and abs(row["f"]) > 2**1023 for row in rows)
    assert assert_agree([dump(row, ascii_only) for row in rows], FLAT) or big
    assert assert_agree([dump(row, ascii_only) for row in without(rows, "other")], CHAT)


@given(records, st.booleans(), st.sampled_from(SCHEMAS))
@quick
def test_both_parsers_agree_on_every_value(rows, ascii_only, columns):
    assert_agree([dump(row, ascii_only) for row in rows], columns)


pieces = st.sampled_from(
    rb"""{ } [ ] , : " \ \u \ud800 \u0000 null true NaN Inf Infinity - 0 01 1e999 .5 // {} {"n":1} [null]""".split()
    + rb"""\x "n":1, "text":"b", "z":1,"z":2, "z":NaN, 999999999999999999999""".split()
    + rb""""label":1, "label":"x", "name":1,""".split()
    + b'\x00|\t|\r|\x0b|\xff|\xed\xa0\x80|\xef\xbb\xbf| : |,"label": 3|\xe3\x80\x80'.split(b"|")
)


@given(
    fitting | fields,
    st.lists(st.tuples(st.floats(0, 1), pieces, st.integers(0, 3)), min_size=1, max_size=3),
    st.sampled_from(SCHEMAS),
)
@quick
def test_both_parsers_agree_on_spoilt_records(row, changes, columns):
    line = json.dumps(row).encode()
    for place, piece, drop in changes:
        at = int(place * len(line))
        line = line[:at] + piece + line[at + drop :]
    if b"\n" not in line and line.strip() == line:
        assert_agree([line], columns)
        assert_agree([b"{}", line, line], columns)


AGREE = [
    '{"text":"a","z":1,"z":2}',
    '{"text":"a","text":"b"}',
    '{"text":"a","z":{"y":1,"y":2}}',
    '{"m":[{"role":"user","content":"a","q":1,"q":2}]}',
    '{"m":[{"role":"user","role":"user","content":"a"}]}',
    '{"m":[null]}',
    '{"m":[{}]}',
    '{"m":{}}',
    '{"m":[{"role":"user","content":"a","weight":0}]}',
    '{"m":[{"role":"user","content":"a","weight":1e999}]}',
    '{"m":[{"role":"user","content":"a","weight":null,"train":false}]}',
    '{"m":[{"role":"user","content":"a","weight":1,"train":false}]}',
    '{"m":[{"role":"user","content":"a","name":null}]}',
    '{"m":[{"role":"user","content":"a","\\u006eame":"b"}]}',
    '{"m":[{"role" :"user","content":  "a"}]}',
    '{"m":[{"role":"user","content":"a \\":b"}],"z":1}',
    '{"m":[{"role":"user","content":[{"type":"text","text":"a"}]}]}',
    '{"m":[{"from":"human","value":"a"},{"from":"gpt","value":"b"},{"from":"user","value":null}]}',
    '{"m":[{"from":"function_call","value":"{\\"name\\":\\"f\\",\\"arguments\\":{}}"}]}',
    '{"m":[{"from":"human","value":"a"}],"id":1}\n{"m":[{"from":"human","value":"a"}],"id":"x"}',
    '{"m":[{"from":"human","value":"a","x":1}],"id":1}\n{"m":[{"from":"human","value":"a"}],"id":"x"}',
    '{"m":[{"from":"human","value":"a","x":1}]}\n{"m":[{"from":"human","value":"a"}]}',
    '{"j":"[1.10]"}\n{"j":" {} "}\n{"j":null}\n{"j":"x"}',
    '{"j":{"a":1.10}}',
    '{"j":"2024-01-01"}\n{"j":"2024-01-02"}',
    '{"j":{}}\n{"j":1}',
    '{"text":"a","m":[],"\\u006a":5}',
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
    '{"l":[null]}',
    '{"l":["a",1]}',
    '{"l":[[]]}',
    '{"s":" a ;b;"}\n{"s":["a;b"," c "]}',
    '{"s":""}',
    '{"s":["x"]}\n{"s":null}',
    '{"p":[["a","b"],["c"]]}',
    '{"p":[["a",null]]}',
    '{"p":[null]}',
    '{"p":[]}\n{"p":[["a","b"]]}',
    '{"label":1}\n{"label":"1"}\n{"label":true}\n{"label":1.10}\n{"label":-0}\n{"label":null}\n{"label":1E+5}',
    '{"label":01}',
    '{"label":1,"label":2}',
    '{"z":{"label":1},"label":2}',
    '{"z":["label",1],"label":3}',
    '{"text":"{\\"label\\": 3, ","label":3}',
    '{"text":",\\"label\\":1,","label":3}',
    '{"z":"\\\\","label":3}',
    '{"label" : 3 }',
    '{"label":\u00a03}',
    "{}",
]


@pytest.mark.parametrize("columns", SCHEMAS, ids=["flat", "strict", "chat", "sharegpt", "all"])
@pytest.mark.parametrize("lines", AGREE, ids=lambda line: line[:40])
def test_both_parsers_agree_on_what_is_known_to_be_hard(lines, columns):
    lines = lines.split("\n")
    assert_agree(lines, columns)
    assert_agree([*lines, '{"text":"x"}'], columns)
    for line in lines:
        assert_agree([line], columns)


@given(st.floats(allow_nan=False, allow_infinity=False))
@quick
def test_floats_are_exact_in_both_parsers(number):
    line = f'{{"f":{number!r}}}'.encode()
    for found in (natively([line], FLAT)[0]["f"], one_by_one([line], FLAT)[0]["f"]):
        assert found == number
        assert math.copysign(1, found) == math.copysign(1, number)


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ('{"label":3}', FLAT),
        ('{"label":1.10,"other":{"label":true}}', FLAT),
        ('{"s":"a;b"}', FLAT),
        ('{"m":[{"role":"user","content":"a"}],"j":"{}","id":1,"more":{"deep":[1]}}', CHAT),
        ('{"m":[{"from":"human","value":"a"}]}', SHAREGPT),
        ('{"m":[{"role":"user","content":"a","weight":0.5},{"role":"assistant","content":"b","train":true}]}', CHAT),
    ],
)
def test_what_is_common_is_answered_natively(line, columns):
    assert natively([line], columns) == one_by_one([line], columns)
    assert natively([line], columns)[0] is not None


def test_one_turn_with_more_to_say_makes_its_record_doubtful_and_no_other():
    plain = '{"m":[{"role":"user","content":"a"}]}'
    more = '{"m":[{"role":"user","content":"a","name":"x"}]}'
    assert [row is None for row in natively([plain, more, plain], CHAT)] == [False, True, False]
    # where columns that nobody wants have no one type, so that Arrow cannot infer them
    others = ['{"z":1}', '{"z":"a"}']
    assert [row is None for row in natively([plain, more, *others], CHAT)] == [False, True, True, True]


ODD = ["null", "[1]", "5", '{"a":1', 'x{"a":1}', b'{"a":"\xff"}', '{"a":NaN}', '{"a":-Inf}', '{"a":' + "[" * 501]


@pytest.mark.parametrize("line", ODD, ids=lambda line: str(line)[:20])
def test_what_arrow_must_not_see_is_odd_wherever_it_stands(line):
    plain = '{"a":"NaN Inf In [[[["}'
    closed = line + "]" * 501 + "}" if line == ODD[-1] else line
    for place in range(3):
        lines = [plain] * place + [closed] + [plain] * (2 - place)
        assert find_odd(block_of(lines)).tolist() == [here == place for here in range(3)]


@pytest.mark.parametrize("pad", [0, 1, 2, 3])
@pytest.mark.parametrize("word", ["NaN", "Inf", "Infinity", "-Infinity", "[NaN]", "Inf "])
def test_numbers_that_are_none_are_found_at_every_place(word, pad):
    assert find_odd(block_of(['{"a":"' + "x" * pad + '","b":' + word + "}"])).all()


@pytest.mark.parametrize("depth", [499, 500, 501])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('["]]",', "]"), ('{"a":', "}")])
def test_the_depth_of_a_record_is_the_same_on_both_paths(depth, begin, end):
    line = '{"z":' + begin * (depth - 1) + "1" + end * (depth - 1) + "}"
    assert find_odd(block_of([line])).tolist() == [depth > 500]
    assert (one_by_one([line], FLAT)[0] == ["json:depth"]) == (depth > 500)


@given(st.lists(st.builds(lambda m: {"m": m}, conversations), min_size=4, max_size=8), st.data())
@quick
def test_a_part_of_a_block_says_the_same_as_the_block(rows, data):
    block = block_of([dump(row) for row in rows])
    chosen = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))
    whole, doubtful = parse_block(block, CHAT)
    part, doubtful_part = parse_block(block.take(np.array(chosen)), CHAT)
    assert part.rows() == whole[chosen].rows()
    assert doubtful_part.tolist() == doubtful[chosen].tolist()


def test_a_column_that_no_record_has_is_null():
    frame, doubtful = parse_block(block_of(["{}", '{"z":1}']), COLUMNS)
    assert frame.null_count().row(0) == (2,) * len(COLUMNS)
    assert not doubtful[0]
    assert parse_block(block_of(["{}"]), {"l": Column(dtype="list[str]")})[0].height == 1


def unlike_keys(place):
    return {f"key {place} {number}": number for number in range(5)}


def nested(place):
    """Return the same ten keys in ever new places."""
    value = 1
    for digit in f"{place * 7919 % 100_000:05}":
        value = {digit: value}
    return value


@pytest.mark.parametrize(("make", "before"), [(unlike_keys, 0), (unlike_keys, 3000), (nested, 0)])
def test_records_with_ever_new_keys_are_not_given_a_field_for_each(make, before):
    plain, new = [{"text": "a", "z": 1}] * before, [{"text": "a", "z": make(place)} for place in range(2500)]
    assert not _has_few_fields(block_of([json.dumps(row) for row in plain + new + plain]))


def test_ordinary_records_are_given_a_field_for_each_key():
    calls = json.dumps({f"argument {number}": number for number in range(5000)})
    row = {"m": [{"role": "user", "content": calls}] * 3, **{f"key {number}": number for number in range(50)}}
    assert _has_few_fields(block_of([json.dumps(row)] * 200))


@pytest.mark.parametrize("columns", [FLAT, CHAT], ids=["flat", "chat"])
def test_a_record_of_very_many_keys_is_judged_alone(columns):
    many = json.dumps({"text": "a", "z": {str(key): key for key in range(MOST_COLONS)}})
    block = block_of(['{"text":"a"}', many, '{"text":"b"}'])
    assert find_odd(block).tolist() == [False, True, False]
    assert [row["text"] for row in parse('{"text":"a"}', many, columns=columns)] == ["a", "a"]


def test_memory_that_does_not_suffice_makes_arrows_reader_refuse(monkeypatch):
    def fail(*_):
        raise pa.ArrowMemoryError("malloc failed")

    monkeypatch.setattr(pa.json, "read_json", fail)
    with pytest.raises(Refused):
        parse_block(block_of(['{"text":"a"}']), CHAT)


@pytest.mark.parametrize("value", ["[null,null]", "[[null],null]", "[]", "{}"])
def test_a_value_of_nothing_but_nulls_is_kept_as_json(value):
    columns = {"text": Column(nullable=True), "j": Column(dtype="json", nullable=True)}
    rows = parse(f'{{"j":{value}}}', '{"text":"a"}', columns=columns)
    assert [json.loads(row["j"]) if row["j"] else None for row in rows] == [json.loads(value), None]
