import numpy as np
import pyarrow as pa
import pytest

from sftdata.training.columns import TokenLists, open_column, open_columns

LISTS = [[4, 5, 6], [], [7], [8, 9], [1, 2, 3, 4], [5], [], [6, 7], [8], [9, 1, 2], [3], [4, 4]]


def layouts_of(values: pa.Array) -> dict[str, tuple[pa.ChunkedArray, slice]]:
    """The same rows in every layout that Arrow has for them."""
    rows, column = len(values), pa.chunked_array([values])
    pieces = [values.slice(0, 3), values.slice(3, 0), values.slice(3, 1), values.slice(4)]
    chunked = pa.chunked_array(pieces)
    copied = pa.chunked_array([pa.array(piece.to_pylist(), values.type) for piece in pieces])
    return {
        "whole": (column, slice(0, rows)),
        "sliced": (column.slice(2, rows - 5), slice(2, rows - 3)),
        "chunked": (chunked, slice(0, rows)),
        "chunked and sliced": (chunked.slice(2, rows - 5), slice(2, rows - 3)),
        "copied chunks": (copied, slice(0, rows)),
        "one row": (column.slice(3, 1), slice(3, 4)),
        "no rows": (column.slice(3, 0), slice(3, 3)),
        "no chunks": (pa.chunked_array([], values.type), slice(0, 0)),
    }


LAYOUTS = list(layouts_of(pa.array(LISTS)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("inner", [pa.int8(), pa.int32(), pa.int64(), pa.float32()])
def test_lists_are_read_right_from_any_layout(layout, inner):
    column, part = layouts_of(pa.array(LISTS, pa.list_(inner)))[layout]
    lists = open_column(column)
    assert isinstance(lists, TokenLists)
    assert [lists[row].tolist() for row in range(len(column))] == LISTS[part]
    assert all(lists[row].dtype == inner.to_pandas_dtype() for row in range(len(column)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_single_values_are_read_right_from_any_layout(layout):
    values = list(range(12))
    column, part = layouts_of(pa.array(values, pa.int64()))[layout]
    assert open_column(column).tolist() == values[part]


def test_a_row_is_a_view_and_no_copy():
    column = pa.chunked_array([pa.array(LISTS, pa.list_(pa.int32()))])
    buffer = np.frombuffer(column.chunk(0).values.buffers()[1], np.int32)
    assert np.shares_memory(TokenLists(column)[4], buffer)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", [(), ("weight",), ("weights",), ("weight", "weights")])
def test_weights_and_sources_are_read_right_from_any_layout(layout, names):
    of_rows, of_labels = [0.5 + row for row in range(len(LISTS))], [[value / 4 for value in row] for row in LISTS]
    made = {"weight": pa.array(of_rows, pa.float32()), "weights": pa.array(of_labels, pa.list_(pa.float32()))}
    lists, part = layouts_of(pa.array(LISTS, pa.list_(pa.int32())))[layout]
    columns = {"input_ids": lists, "labels": lists} | {name: layouts_of(made[name])[layout][0] for name in names}
    sources = np.arange(len(LISTS), dtype=np.int8)[part]
    shard = open_columns(pa.table(columns), sources)
    assert shard.is_weighed == bool(names)
    for row, (whole, each, ids) in enumerate(zip(of_rows[part], of_labels[part], LISTS[part], strict=True)):
        found = shard.weigh(row, len(ids))
        factors = [one if "weights" in names else 1.0 for one in each]
        assert found.tolist() == [one * (whole if "weight" in names else 1.0) for one in factors]
        assert found.dtype == np.float32
        assert shard.trace(row, len(ids)).tolist() == [sources[row]] * len(ids)
