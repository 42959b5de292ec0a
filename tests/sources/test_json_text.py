import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values, quick, texts

from sftdata.sources.json_text import DEEPEST, TooDeep, dump_json, is_too_deep, load_json

WRITTEN = [
    '{"b": 1.10, "a": 1e5, "c": -0, "d": 123456789012345678901234567890, "e": 1E-7}',
    '{"": [true, false, null, "中文 \\" \\\\ \\n \\u0000", {}]}',
    '["\\ud800", "😀"]',
    '"text"',
    "1.10",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_parsed_is_written_as_it_was(text):
    assert dump_json(load_json(text)) == text


@given(json_values)
@quick
def test_writing_changes_white_space_and_escapes_alone(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert dump_json(load_json(text)) == json.dumps(value, ensure_ascii=False)


def test_values_of_python_are_written_too():
    assert dump_json({"a": (1, 2.5, None), "b": {"c": True}}) == '{"a": [1, 2.5, null], "b": {"c": true}}'
    for value in (float("nan"), float("inf"), load_json('{"a": 1, "a": 2}')):
        with pytest.raises(ValueError, match=r"not JSON compliant|given twice"):
            dump_json([value])
    with pytest.raises(TypeError):
        dump_json({1, 2})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "", "'a'", "[1,]", '"\t"'])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  # any
        load_json(text)


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1, 5000, 100_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('["[",', "]"), ('["\\"[",1,', "]")])
def test_the_depth_limit_is_exact_whatever_stands_in_texts(depth, begin, end):
    text = begin * depth + "1" + end * depth
    assert is_too_deep(text.encode()) == (depth > DEEPEST)
    if depth > DEEPEST:
        with pytest.raises(TooDeep):
            load_json(text)
    else:
        assert dump_json(load_json(text)).replace(" ", "") == text


@given(st.lists(st.sampled_from(["[", "]", "{", "}", '"', "\\", "a", ","]), max_size=40).map("".join) | texts)
@quick
def test_depth_counts_brackets_outside_of_texts(text):
    depth = deepest = 0
    inside = escaped = False
    for sign in text:
        if inside:
            escaped, inside = sign == "\\" and not escaped, sign != '"' or escaped
        elif sign == '"':
            inside = True
        else:
            depth += (sign in "[{") - (sign in "]}")
            deepest = max(deepest, depth)
    start = DEEPEST - 3
    assert is_too_deep(b"[" * start + text.encode()) == (start + deepest > DEEPEST)
