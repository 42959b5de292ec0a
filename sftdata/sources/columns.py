"""Turn Arrow columns into those that a schema wants: whole columns where the types fit, value by value where not.

Text that holds JSON stands for what it holds where turns, lists or pairs are wanted. A null field of a struct is no
value: Arrow has to fill up what a record does not have, so such fields are left out.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.column import Column
from sftdata.sources.batches import decode, to_json, value
from sftdata.sources.parsing import Fault, Parsed, cast_column, drop_faulty, require_columns
from sftdata.sources.turn_columns import list_offsets, sum_of_lists, widen_turns
from sftdata.sources.turns import Misfit, is_text, show
from sftdata.sources.values import SPACES, as_written, fit_value, parse_cell

Mask = NDArray[np.bool_]


def parse(batch: pa.RecordBatch, columns: Mapping[str, Column], source: str) -> Parsed:
    """Take the schema's columns in the dtypes that it gives; a column that is not there is null."""
    require_columns(batch.schema.names, columns, source)
    found = {name: decode(batch[name]) for name in columns if name in batch.schema.names}
    faults = _find_undecodable(found)
    series = {}
    for name, column in columns.items():
        series[name], misfits = _fit(found.get(name, pa.nulls(len(batch))), name, column)
        faults += misfits
    return drop_faulty(pl.DataFrame(series), list(range(len(batch))), faults)


def _find_undecodable(found: dict[str, pa.Array]) -> list[Fault]:
    """Find text that is not UTF-8, which nothing checks when it is written; null it, so that nothing stumbles on it."""
    faults: list[Fault] = []
    for name, array in found.items():
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            rows = [row for row in range(len(array)) if not _decodes(array[row])]
            faults += [Fault(row, "encoding:utf-8", f"{name}: bytes that are not UTF-8") for row in rows]
            sound = np.ones(len(array), dtype=bool)
            sound[rows] = False
            found[name] = array.take(pa.array(np.where(sound, np.arange(len(array)), -1), mask=~sound))
    return faults


def _decodes(scalar: pa.Scalar) -> bool:
    try:
        scalar.as_py()
    except ValueError as problem:
        return not isinstance(problem, UnicodeDecodeError)
    return True


def _fit(array: pa.Array, name: str, column: Column) -> tuple[pl.Series, list[Fault]]:
    series, odd = _convert(array, column)
    rows, values, faults = [], [], []
    for row in np.flatnonzero(odd & array.is_valid().to_numpy(zero_copy_only=False)).tolist():
        try:
            values.append(_fit_scalar(array[row], column))
            rows.append(row)
        except Misfit as problem:
            faults.append(Fault(row, f"{name}:dtype", f"{name}: {problem}"))
    if odd.any():
        places = np.where(odd, len(series), np.arange(len(series)))
        places[rows] = len(series) + 1 + np.arange(len(rows))
        fitted = pa.array([None, *values], series.clear().to_arrow().type)  # polars is slow at lists of Python's own
        series = pl.concat([series, pl.Series(fitted)])[places]
    return series.alias(name), faults


def _convert(array: pa.Array, column: Column) -> tuple[pl.Series, Mask]:
    """Convert what can be converted as a whole; also return for each row whether only `_fit_scalar` can judge it."""
    kind, types = array.type, pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        return _convert_text(pl.Series(array), column)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return _convert_numbers(pl.Series(array.cast(pa.float32()) if types.is_float16(kind) else array), column)
    if column.dtype == "messages" and _is_list(kind, types.is_struct):
        return _convert_turns(array, column)
    if column.dtype == "list[str]" and _is_list(kind, _is_text):
        lists, odd = _convert_strings(array)
        return pl.Series(lists), odd
    if column.dtype == "pairs" and _is_list(kind, lambda inner: _is_list(inner, _is_text)):
        return _convert_pairs(array)
    return _leave(len(array), column)


def _leave(rows: int, column: Column) -> tuple[pl.Series, Mask]:
    return pl.Series([None], dtype=column.polars_dtype).new_from_index(0, rows), np.ones(rows, dtype=bool)


def _convert_text(series: pl.Series, column: Column) -> tuple[pl.Series, Mask]:
    if column.dtype == "str":
        return series, np.zeros(len(series), dtype=bool)
    if column.dtype == "list[str]" and column.separator:
        entries = pl.element().str.strip_chars(SPACES)
        return series.str.split(column.separator).list.eval(entries), np.zeros(len(series), dtype=bool)
    if column.dtype in ("int", "float", "bool"):
        after = cast_column(series, column)
        return after, _is_lost(series, after)
    return _leave(len(series), column)


def _convert_numbers(series: pl.Series, column: Column) -> tuple[pl.Series, Mask]:
    if column.dtype == "str" and column.coerce and not series.dtype.is_float():
        return series.cast(pl.String), np.zeros(len(series), dtype=bool)
    if column.dtype == "bool" and series.dtype == pl.Boolean:
        return series, np.zeros(len(series), dtype=bool)
    wanted = {"int": series.dtype.is_integer(), "float": series.dtype.is_numeric()}
    if not wanted.get(column.dtype):
        return _leave(len(series), column)
    after = series.cast(column.polars_dtype, strict=False)
    changed = (after.cast(series.dtype, strict=False) != series).fill_null(False)  # a float holds no large integer
    return after, _is_lost(series, after) | changed.to_numpy()


def _is_lost(before: pl.Series, after: pl.Series) -> Mask:
    lost = before.is_not_null() & after.is_null()
    return (lost | ~after.is_finite().fill_null(True) if after.dtype.is_float() else lost).to_numpy()


def _convert_turns(array: pa.Array, column: Column) -> tuple[pl.Series, Mask]:
    """Convert conversations of which the turns have text, weights and nothing else, as most of them are."""
    turns, offsets = pc.list_flatten(array), list_offsets(array)
    fields = dict(zip((field.name for field in turns.type), turns.flatten(), strict=True))
    kinds = {column.keys.role: _is_text, column.keys.content: _is_text, "weight": _is_number, "train": _is_flag}
    known = {name: fields.pop(name, pa.nulls(len(turns))) for name in kinds}
    if len(fields) + len(known) < turns.type.num_fields or not all(kinds[name](known[name].type) for name in kinds):
        return _leave(len(array), column)
    known["weight"] = known["weight"].cast(pa.float64(), safe=False)
    plain = pa.StructArray.from_arrays(list(known.values()), list(known), mask=turns.is_null())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), plain, mask=array.is_null())
    series, odd = widen_turns(lists, column)
    for more in fields.values():
        odd |= sum_of_lists(more.is_valid().to_numpy(zero_copy_only=False), offsets) > 0
    return series, odd


def _convert_strings(array: pa.Array) -> tuple[pa.Array, Mask]:
    entries, offsets = pc.list_flatten(array).cast(pa.large_string()), list_offsets(array)
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), entries, mask=array.is_null())
    return lists, sum_of_lists(entries.is_null().to_numpy(zero_copy_only=False), offsets) > 0


def _convert_pairs(array: pa.Array) -> tuple[pl.Series, Mask]:
    inner, offsets = pc.list_flatten(array), list_offsets(array)
    pairs, odd = _convert_strings(inner)
    odd |= np.diff(list_offsets(inner)) != 2
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), pairs, mask=array.is_null())
    return pl.Series(lists), sum_of_lists(odd, offsets) > 0


def _is_list(kind: pa.DataType, is_entry: Callable[[pa.DataType], bool]) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_(kind) for is_ in lists) and is_entry(kind.value_type)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_(kind) for is_ in (pa.types.is_string, pa.types.is_large_string, pa.types.is_null))


def _is_number(kind: pa.DataType) -> bool:
    return any(is_(kind) for is_ in (pa.types.is_floating, pa.types.is_integer, pa.types.is_null))


def _is_flag(kind: pa.DataType) -> bool:
    return any(is_(kind) for is_ in (pa.types.is_boolean, pa.types.is_null))


def _fit_scalar(scalar: pa.Scalar, column: Column) -> Any:
    """Return a value as the column takes it.

    Raises:
        Misfit: when it is not what the column takes.
    """
    found = value(scalar)
    if type(found) is str and column.dtype in ("messages", "list[str]", "pairs"):  # a `Number` is text too
        return parse_cell(found, column)
    if column.dtype == "float" and isinstance(found, int) and not isinstance(found, bool) and float(found) != found:
        raise Misfit(f"found {show(found)}, expected float, which does not hold so large a number exactly")
    if column.dtype == "str" and column.coerce:
        found = _write(found, scalar.type)
    return fit_value(found, column)


def _write(found: Any, kind: pa.DataType) -> Any:
    """Return a number, date, time or bytes as text; what has none as it is.

    Raises:
        Misfit: for a number that is none.
    """
    if isinstance(found, float):
        if not math.isfinite(found):
            raise Misfit(f"found {found}, expected str")
        return str(np.float32(found) if kind in (pa.float16(), pa.float32()) else np.float64(found))
    if isinstance(found, bytes):
        text = to_json(found)
        return text if is_text(text) else found
    return found if found is None or isinstance(found, list | dict) else as_written(to_json(found))
