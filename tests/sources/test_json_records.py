import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_cases import COLUMNS, STRICT, block_of, dump, fitting, parse
from strategies import quick

from sftdata.records import MESSAGES
from sftdata.sources import jsonl
from sftdata.sources.json_records import judge

pytestmark = pytest.mark.usefixtures("scanner")

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
    ("hello", "json:syntax"),
    (b'{"text":"\xff"}', "encoding:utf-8"),
    (b'{"z":"\xed\xa0\x80"}', "encoding:utf-8"),
    ('\ufeff{"text":"a"}', "encoding:bom"),
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
    ('{"l":"a"}', "l:dtype"),
    ('{"l":["a",null]}', "l:dtype"),
    ('{"s":["a",5]}', "s:dtype"),
    ('{"p":["a","b"]}', "p:dtype"),
    ('{"p":[["a","b","c"]]}', "p:dtype"),
    ('{"j":{"a":1,"a":2}}', "j:dtype"),
    ("{" * 5000, "json:depth"),
    ('{"text":' + "[" * 5000 + "]" * 5000 + "}", "json:depth"),
    ('{"z":' + "[" * 500 + "]" * 500 + "}", "json:depth"),
    ('{"text":' + "[" * 499 + "]" * 499 + "}", "text:dtype"),
]


@pytest.mark.parametrize(("line", "reason"), FAULTY, ids=[str(line)[:40] for line, _ in FAULTY])
def test_a_fault_has_its_reason_and_hides_no_other_row(line, reason):
    good = [{"text": "first", "n": 1}, {"text": "last", "n": 2}]
    found = parse(dump(good[0]), line, dump(good[1]))
    assert found[1] == [reason]
    assert [found[0]["text"], found[2]["text"]] == ["first", "last"]
    assert [found[0]["n"], found[2]["n"]] == [1, 2]


@given(st.lists(fitting, max_size=3), st.sampled_from(FAULTY), st.lists(fitting, max_size=3))
@quick
def test_rows_are_the_same_with_a_faulty_neighbour_and_without(before, faulty, after):
    lines = [dump(row) for row in before + after]
    alone = parse(*lines) if lines else []
    found = parse(*lines[: len(before)], faulty[0], *lines[len(before) :])
    assert found.pop(len(before)) == [faulty[1]]
    assert found == alone


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5])
def test_a_few_faults_among_many_records_cost_no_other_and_few_are_judged_one_by_one(share, monkeypatch):
    judged = []
    monkeypatch.setattr(jsonl, "judge", lambda content, *rest: judged.append(content) or judge(content, *rest))
    count = 20_000
    bad = set(range(7, count, round(1 / share)))
    lines = ['{"n":"x"}' if place in bad else f'{{"n":{place}}}' for place in range(count)]
    parsed = jsonl.parse(block_of(lines), COLUMNS, "f")
    assert parsed.frame["n"].to_list() == [place for place in range(count) if place not in bad]
    assert list(parsed.positions) == parsed.frame["n"].to_list()
    assert [fault.position for fault in parsed.faults] == sorted(bad)
    if share < 0.001:
        assert len(judged) < count // 4


def test_every_fault_of_a_record_is_told():
    assert parse('{"text":5,"n":"x","b":null,"f":[]}') == [["text:dtype", "n:dtype", "f:dtype"]]


def test_details_name_the_value_short_and_printable():
    lines = ['{"text":["\\ud800"]}', '{"m":[{"role":"user","content":5}]}', '{"n":1.5}']
    details = [fault.detail for fault in jsonl.parse(block_of(lines), COLUMNS, "f").faults]
    assert details == [
        "text: found ['\\ud800'], expected str",
        "m: found 5 as content of turn 1, expected text or a list of text parts",
        "n: found 1.5, expected int",
    ]
    (fault,) = jsonl.parse(block_of(['{"text":[' + "1," * 5000 + "1]}"]), COLUMNS, "f").faults
    assert len(fault.detail) < 120


def test_the_encoding_of_the_file_names_the_reason():
    (verdict,) = judge(b'{"text":"\x81"}', COLUMNS, "gb18030")
    assert verdict == ("encoding:gb18030", "byte 0x81 at position 9 is not GB18030")


@pytest.mark.parametrize(
    ("written", "text"),
    [(t, t) for t in ("1", "1.10", "1e5", "-0", "true", "false", "1e400", "0.12345678901234567890", "1" * 5000)],
)
def test_a_coerced_number_is_the_text_that_stood_in_the_file(written, text):
    assert parse(f'{{"label":{written}}}')[0]["label"] == text


def test_without_coercion_a_number_is_no_text():
    assert parse('{"label":1}', '{"label":true}', columns=STRICT) == [["label:dtype"], ["label:dtype"]]


def test_a_key_that_a_record_lacks_is_null_and_an_unknown_key_does_not_matter():
    assert parse('{"z":{"deep":[1,{}]}}', '{"text":"a"}') == [
        dict.fromkeys(COLUMNS),
        {**dict.fromkeys(COLUMNS), "text": "a"},
    ]


def test_messages_have_the_dtype_of_conversations_however_they_were_parsed():
    line = '{"m":[{"role":"user","content":"a","name":"x"},{"content":null}]}'
    for extra in ([], ['{"label":5}']):
        frame = jsonl.parse(block_of([line, *extra]), COLUMNS, "f").frame
        assert frame["m"].dtype == MESSAGES
        first, second = frame["m"].to_list()[0]
        assert first == {"role": "user", "content": "a", "weight": None, "details": '{"name": "x"}'}
        assert second == {"role": None, "content": None, "weight": None, "details": None}


def test_nothing_to_parse_gives_an_empty_frame_with_the_dtypes():
    frame = jsonl.parse(block_of([]), COLUMNS, "f").frame
    assert frame.schema == {name: column.polars_dtype for name, column in COLUMNS.items()}


@pytest.mark.parametrize("depth", [1, 90, 400, 498])
def test_any_depth_of_nesting_below_the_limit_is_parsed_and_kept(depth):
    line = '{"text":"a","z":' + "[" * depth + "]" * depth + "}"
    assert parse(line, "null")[0]["text"] == "a"
