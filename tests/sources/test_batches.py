import datetime
import json
import math
import pickle

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, texts

from sftdata.errors import SourceError
from sftdata.sources import batches, parsing
from sftdata.sources.batches import cut, decode, original


def rows_of(slices):
    return [row for content, _, _ in slices for row in content.to_pylist()]


@given(st.lists(st.lists(texts, max_size=5), max_size=5), st.integers(1, 4), st.integers(1, 60))
@quick
def test_batches_of_any_size_become_slices_within_the_limits(groups, most_rows, most_bytes):
    batches = [pa.record_batch({"text": pa.array(group, pa.string())}) for group in groups]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "CHUNK_ROWS", most_rows)
        patch.setattr(parsing, "CHUNK_BYTES", most_bytes)
        slices = list(cut(batches, "f"))
    assert [row["text"] for row in rows_of(slices)] == [text for group in groups for text in group]
    for content, size, _ in slices:
        assert 1 <= len(content) <= most_rows
        assert len(content) == 1 or size <= most_bytes


def test_a_slice_pickles_what_it_holds_and_no_more(monkeypatch):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 100)
    values = [f"{place:090}" for place in range(10_000)]
    for kind in (pa.string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        batch = pa.record_batch(
            {"text": pa.array(values).cast(kind) if kind != pa.string_view() else pa.array(values, kind)}
        )
        slices = list(cut([batch], "f"))
        assert [len(content) for content, _, _ in slices] == [100] * 100
        assert max(len(pickle.dumps(content)) for content, _, _ in slices) < 15_000
        assert rows_of(slices) == batch.to_pylist()


def test_batches_of_different_types_are_not_joined():
    batches = [pa.record_batch({"a": [1]}), pa.record_batch({"a": ["x"]}), pa.record_batch({"a": ["y"]})]
    assert [content.to_pylist() for content, _, _ in cut(batches, "f")] == [[{"a": 1}], [{"a": "x"}, {"a": "y"}]]


def list_view(*, large=False):
    make = pa.LargeListViewArray if large else pa.ListViewArray
    return make.from_arrays(
        [2, 0, 1, 0], [1, 2, 0, 2], pa.array(["a", "b", "c"]), mask=pa.array([False, True, False, False])
    )


LABELS = pa.array(["a", None, "b", "a"])
VIEWS = pa.array(["a", "b" * 20], pa.string_view())
CODES = VIEWS.dictionary_encode()
NULLS = pa.array([False, True, False, False])
CODED = {
    "dictionary": LABELS.dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(pa.array([0, None, 1]), VIEWS),
    "null in the dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None])),
    "string view": pa.array(["a" * 20, None, ""], pa.string_view()),
    "binary view": pa.array([b"a" * 20, None, b""], pa.binary_view()),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 7], pa.int32()), pa.array(["a", None, "b"])),
    "run ends of dictionaries": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), CODES),
    "list view": list_view(),
    "large list view": list_view(large=True),
    "list view of views": pa.array([["a"], None, ["b", "c"], []], pa.list_view(pa.string_view())),
    "list": pa.ListArray.from_arrays(pa.array([0, None, 1, 4]), LABELS.dictionary_encode()),
    "fixed size list": pa.FixedSizeListArray.from_arrays(LABELS.dictionary_encode(), 2, mask=pa.array([True, False])),
    "struct": pa.StructArray.from_arrays([LABELS.dictionary_encode(), LABELS], ["x", "y"], mask=NULLS),
    "map": pa.array([[("k", "v" * 20)], None, []], pa.map_(pa.string(), pa.string_view())),
    "extension": pa.array(["[1]", None], pa.json_()),
    "plain": pa.array([1, None, 3]),
}  # fmt: skip


@pytest.mark.parametrize("name", CODED)
def test_what_is_coded_is_decoded_in_any_slice(name):
    array = CODED[name]
    for start in range(len(array) + 1):
        for length in range(len(array) - start + 1):
            part = array.slice(start, length)
            decoded = decode(part)
            decoded.validate(full=True)
            expected = [
                [{"key": key, "value": value} for key, value in entry] if name == "map" and entry is not None else entry
                for entry in part.to_pylist()
            ]
            assert decoded.to_pylist() == expected
            assert decode(decoded) is decoded


def test_an_original_is_json_whatever_the_columns_hold():
    columns = {
        "text": ["a"],
        "nan": [math.nan],
        "inf": [-math.inf],
        "bytes": [b"\xff"],
        "nanoseconds": pa.array([1234567891234567891], pa.timestamp("ns")),
        "date": [datetime.date(2020, 1, 2)],
        "map": pa.array([[("k", 1), ("n", None)]], pa.map_(pa.string(), pa.int64())),
        "twice": pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64())),
        "big": pa.array([2**64 - 1], pa.uint64()),
        "nested": [{"x": [math.nan, None], "padding": None}],
        "nothing": pa.nulls(1),
    }
    found = original(pa.record_batch(columns), 0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == list(columns)
    assert found.pop("nanoseconds").endswith(".234567891")
    assert found == {
        "text": "a",
        "nan": "nan",
        "inf": "-inf",
        "bytes": "\udcff",
        "date": "2020-01-02",
        "map": {"k": 1, "n": None},
        "twice": [["k", 1], ["k", 2]],
        "big": 2**64 - 1,
        "nested": {"x": ["nan", None]},
        "nothing": None,
    }


def test_an_original_keeps_bytes_that_are_no_text_wherever_they_stand():
    bad = pa.array([b"a\xff", b"b"]).view(pa.string())
    turns = pa.StructArray.from_arrays([bad, pa.array([1, 2])], ["x", "y"])
    batch = pa.record_batch({"s": bad, "l": pa.ListArray.from_arrays([0, 1, 2], turns)})
    assert original(batch, 0) == {"s": "a\udcff", "l": [{"x": "a\udcff", "y": 1}]}
    assert original(batch, 1) == {"s": "b", "l": [{"x": "b", "y": 2}]}


def damaged(kind, ends):
    """Return three texts, or lists of texts, whose second does not end where it may."""
    offsets = pa.array(ends, pa.int64() if "large" in str(kind) else pa.int32()).buffers()[1]
    if kind in (pa.string(), pa.large_string()):
        return pa.Array.from_buffers(kind, 3, [None, offsets, pa.py_buffer(b"hello")])
    return pa.Array.from_buffers(kind, 3, [None, offsets], children=[pa.array(list("hello"))])


@pytest.mark.parametrize("ends", [[0, 1, 1_000_000, 5], [0, 4, 2, 5], [0, -7, 2, 5]], ids=str)
@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.list_(pa.string()), pa.large_list(pa.string())], ids=str
)
def test_offsets_that_lead_outside_are_refused_before_they_are_followed(kind, ends):
    array = damaged(kind, ends)
    nested = pa.StructArray.from_arrays([pa.ListArray.from_arrays([0, 1, 1, 3], array)], ["x"])
    for found in (array, nested):
        with pytest.raises(SourceError, match=r"f is damaged: .*Fetch or write it again"):
            list(cut([pa.record_batch({"c": found})], "f"))


def test_lists_are_checked_in_their_own_slice_alone():
    assert [
        len(content) for content, _, _ in cut([pa.record_batch({"c": damaged(pa.string(), [0, 9, 2, 5])[2:]})], "f")
    ] == [1]


def test_text_that_is_not_utf8_is_no_damage_to_the_file():
    bad = pa.array([b"a", b"\xff"]).view(pa.string())
    nested = pa.record_batch(
        {"l": pa.ListArray.from_arrays([0, 1, 2], bad), "d": pa.DictionaryArray.from_arrays([0, 1], bad)}
    )
    assert [len(content) for content, _, _ in cut([nested], "f")] == [2]


def test_a_view_into_a_buffer_that_is_not_there_is_damage():
    text, views = pa.array(["\xe9"], pa.string()), pa.array([b"\xff", b"b" * 20], pa.binary_view()).buffers()
    lost = pa.Array.from_buffers(pa.string_view(), 2, views[:2])
    for found in (lost, pa.DictionaryArray.from_arrays(pa.array([0, 1]), lost)):
        with pytest.raises(SourceError, match=r"f is damaged: .*Fetch or write it again"):
            list(cut([pa.record_batch({"c": found, "d": text.take(pa.array([0, 0]))})], "f"))


def test_a_batch_that_cannot_be_converted_is_damage(monkeypatch):
    for problem in (pa.ArrowIndexError("i"), pa.ArrowNotImplementedError("n"), OverflowError("o"), ValueError("v")):

        def fail(_, problem=problem):
            raise problem

        monkeypatch.setattr(batches, "decode", fail)
        with pytest.raises(SourceError, match="f is damaged"):
            list(cut([pa.record_batch({"c": ["a"]})], "f"))


def test_a_date_that_python_does_not_have_is_its_number_or_text():
    dates = pa.array([2**31 - 1], pa.int32()).view(pa.date32())
    found = original(pa.record_batch({"d": dates}), 0)
    assert json.loads(json.dumps(found)) == found
