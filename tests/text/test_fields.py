import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import blanks, detailed_turns, quick, texts

from sftdata.records import FIELDS, MESSAGES, STRINGS, Task
from sftdata.text.fields import has_roles, holds_text, join_texts, map_texts, text_fields, text_rows

string_columns = st.lists(st.none() | blanks | texts, max_size=6)
list_columns = st.lists(st.none() | st.lists(st.none() | blanks | texts, max_size=4), max_size=6)
message_columns = st.lists(st.none() | st.lists(st.none() | detailed_turns, max_size=4), max_size=6)
COLUMNS = {pl.String(): string_columns, STRINGS: list_columns, MESSAGES: message_columns}
columns = st.one_of(
    *(values.map(lambda rows, dtype=dtype: pl.Series("field", rows, dtype=dtype)) for dtype, values in COLUMNS.items())
)


def double(column):
    return column + column


def expected(value, roles=None):
    """What `map_texts` must make of one value, in plain Python."""
    if value is None or isinstance(value, str):
        return None if value is None else value * 2
    if isinstance(value, list):
        return [expected(item, roles) for item in value]
    if roles is not None and value["role"] not in roles:
        return value
    return {**value, "content": expected(value["content"])}


@given(columns, st.none() | st.lists(st.sampled_from(["user", "assistant", ""]), max_size=2))
@quick
def test_every_text_is_mapped_and_nothing_else_changes(column, roles):
    mapped = map_texts(column, double, roles)
    assert (mapped.dtype, mapped.name) == (column.dtype, column.name)
    assert mapped.to_list() == [expected(value, roles) for value in column.to_list()]


@given(columns, st.data())
@quick
def test_slices_and_chunks_give_the_same(column, data):
    cut = data.draw(st.integers(0, len(column)))
    mapped = map_texts(column, double).to_list()
    assert map_texts(column[cut:], double).to_list() == mapped[cut:]
    chunked = pl.concat([column[:cut], column[cut:], column], rechunk=False)
    assert map_texts(chunked, double).to_list() == mapped + mapped


def test_the_function_is_called_once_with_the_texts_alone():
    calls = []
    turns = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, {"role": "user", "content": None}]
    column = pl.Series("m", [turns, None, []], dtype=MESSAGES)
    map_texts(column, lambda texts: calls.append(texts.to_list()) or texts, roles=["user"])
    assert calls == [["a", None]]


def test_turns_of_other_shapes_are_taken_too():
    column = pl.Series("chat", [[{"content": "a", "role": "user"}]])
    assert map_texts(column, double).to_list() == [[{"content": "aa", "role": "user"}]]
    without = pl.Series("chat", [[{"content": "a"}]])
    assert (has_roles(column.dtype), has_roles(without.dtype), has_roles(pl.String())) == (True, False, False)
    assert map_texts(without, double, roles=["user"]).to_list() == [[{"content": "aa"}]]
    with pytest.raises(TypeError, match=r"column 'chat': found Int64, expected String"):
        map_texts(pl.Series("chat", [1]), double)


@given(columns, st.none() | st.lists(st.sampled_from(["user", "assistant", ""]), max_size=2))
@quick
def test_every_text_has_its_row_and_every_row_its_text(column, roles):
    seen = []
    map_texts(column, lambda texts: seen.append(texts) or texts, roles)
    per_row = [texts_of(value, column.dtype, roles) for value in column.to_list()]
    assert seen[0].to_list() == [text for texts in per_row for text in texts]
    owners = text_rows(column, roles)
    assert owners.dtype == pl.UInt32
    assert owners.to_list() == [row for row, texts in enumerate(per_row) for _ in texts]


def texts_of(value, dtype, roles):
    """The texts of one value, in plain Python."""
    if dtype == pl.String:
        return [value]
    if dtype == STRINGS:
        return value or []
    turns = value or []
    if roles is not None:
        turns = [turn for turn in turns if turn is not None and turn["role"] in roles]
    return [turn and turn["content"] for turn in turns]


def test_turns_are_joined_by_lines_and_tokens_by_spaces_but_for_chinese():
    turns = [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, {"role": "user", "content": "c"}]
    column = pl.Series([turns, None, []], dtype=MESSAGES)
    assert join_texts(column).to_list() == ["a\nb\nc", None, None]
    assert join_texts(column, ["user"]).to_list() == ["a\nc", None, None]
    assert join_texts(pl.Series([["a", None, "b"], ["我", "们"], None, []])).to_list() == ["a b", "我们", None, ""]


@pytest.mark.parametrize(
    ("dtype", "holds"),
    [
        (pl.String(), True),
        (STRINGS, True),
        (MESSAGES, True),
        (pl.Int64(), False),
        (pl.List(pl.Int64()), False),
        (pl.Struct({"content": pl.String()}), False),
        (pl.List(pl.Struct({"value": pl.String()})), False),
    ],
)
def test_dtypes_that_hold_text(dtype, holds):
    assert holds_text(dtype) is holds


def test_the_text_fields_of_every_task():
    assert {task: text_fields(task) for task in Task} == {
        Task.TEXT_CLASSIFICATION: ("text",),
        Task.MULTILABEL: ("text",),
        Task.REGRESSION: ("text",),
        Task.TOKEN_CLASSIFICATION: ("tokens",),
        Task.SEQ2SEQ: ("source_text", "target_text"),
        Task.CAUSAL_LM: ("messages",),
    }
    assert text_fields(Task.REGRESSION, has_pairs=True) == ("text", "text_pair")
    assert all(holds_text(FIELDS[task][name]) for task in Task for name in text_fields(task, has_pairs=True))
