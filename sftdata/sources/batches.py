"""Bring Arrow batches of any size and type into slices, and give back their records.

Every reader of Arrow data goes through `cut`: it refuses damaged batches before anything follows their offsets, decodes
what polars does not take (dictionaries, views, run ends, extension types), and makes slices that pickle no more than
they hold.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.errors import SourceError
from sftdata.sources import parsing
from sftdata.sources.json_text import Number
from sftdata.sources.source import Slice


def cut(batches: Iterable[pa.RecordBatch], name: str, found: Mapping[str, str] | None = None) -> Iterator[Slice]:
    """Yield slices of at most `CHUNK_ROWS` rows and, where a slice has several rows, `CHUNK_BYTES` bytes.

    Args:
        batches: of any size and type.
        name: what messages call their source.
        found: what was found out about it; for people.

    Raises:
        SourceError: when a batch is damaged.
    """
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for piece in (piece for batch in batches for piece in _divide(batch, name)):
        if held and (
            rows + len(piece) > parsing.CHUNK_ROWS
            or size + piece.nbytes > parsing.CHUNK_BYTES
            or piece.schema != held[0].schema
        ):
            yield Slice(_join(held), size, found or {})
            held, rows, size = [], 0, 0
        held.append(piece)
        rows += len(piece)
        size += piece.nbytes
    if held:
        yield Slice(_join(held), size, found or {})


def original(batch: pa.RecordBatch, position: int) -> Any:
    """Return a record as a JSON value; what JSON cannot hold becomes its text."""
    return {name: to_json(value(batch[place][position])) for place, name in enumerate(batch.schema.names)}


def value(scalar: pa.Scalar) -> Any:
    """Return a value as JSON and Python have it, as text where Python cannot hold it.

    Null fields of structs are left out, and decimal numbers are `Number` as they are written.
    """
    try:
        return _clean(scalar.as_py(maps_as_pydicts="strict"), scalar.type)
    except KeyError:  # a map that has a key twice
        return scalar.as_py()
    except UnicodeDecodeError:
        array = pa.array([scalar], scalar.type)
        return _clean(array.view(_as_bytes(scalar.type))[0].as_py(), scalar.type)
    except (ValueError, OverflowError):  # nanoseconds and far dates, which Python's own types do not hold
        return pa.array([scalar], scalar.type).to_string()


def _clean(found: Any, kind: pa.DataType) -> Any:
    """Leave null fields of structs out: Arrow fills up with them what a record does not have."""
    if isinstance(found, dict):
        if pa.types.is_map(kind):
            return {key: _clean(inner, kind.item_type) for key, inner in found.items()}
        kinds = {field.name: field.type for field in kind}
        return {name: _clean(inner, kinds[name]) for name, inner in found.items() if inner is not None}
    if isinstance(found, list) and not pa.types.is_map(kind):
        return [_clean(inner, kind.value_type) for inner in found]
    return Number(format(found, "f")) if isinstance(found, Decimal) else found


def to_json(found: Any) -> Any:
    """Return a value that JSON can hold; bytes that are not UTF-8 become lone surrogates."""
    if isinstance(found, dict):
        return {str(key): to_json(inner) for key, inner in found.items()}
    if isinstance(found, list | tuple):
        return [to_json(inner) for inner in found]
    if isinstance(found, bytes):
        return found.decode("utf-8", "surrogateescape")
    holds = found is None or isinstance(found, str | int) or (isinstance(found, float) and math.isfinite(found))
    return found if holds else str(found)


def _divide(batch: pa.RecordBatch, name: str) -> Iterator[pa.RecordBatch]:
    try:
        _check(batch)
        for start, rows in _find_spans(batch):
            part = batch.slice(start, rows)
            yield from _halve(pa.RecordBatch.from_arrays([decode(column) for column in part], names=part.schema.names))
    except UnicodeDecodeError:
        raise SourceError(f"{name} is damaged: a column's name is not UTF-8. Fetch or write it again.") from None
    except (pa.ArrowException, ValueError, OverflowError, IndexError) as problem:
        raise SourceError(f"{name} is damaged: {problem}. Fetch or write it again.") from None


def _find_spans(batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
    """Yield where to cut a batch before it is decoded: a long value of a dictionary may stand in every row."""
    ends = np.cumsum(sum((_decoded_sizes(column) for column in batch), np.zeros(len(batch), dtype=np.int64)))
    start = 0
    while start < len(batch):
        room = parsing.CHUNK_BYTES + (ends[start - 1] if start else 0)
        rows = int(np.clip(np.searchsorted(ends, room, "right") - start, 1, parsing.CHUNK_ROWS))
        yield start, min(rows, len(batch) - start)
        start += rows


_TEXT = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def _decoded_sizes(column: pa.Array) -> NDArray[np.int64]:
    """Return how many bytes of text each row of a dictionary stands for; 0 of other columns."""
    if not pa.types.is_dictionary(column.type) or column.type.value_type not in _TEXT:
        return np.zeros(len(column), dtype=np.int64)
    sizes = pc.binary_length(column.dictionary).take(column.indices)
    found: NDArray[np.int64] = pc.fill_null(sizes, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _halve(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if len(batch) == 1 or batch.nbytes <= parsing.CHUNK_BYTES:
        yield batch
    else:
        middle = len(batch) // 2
        yield from _halve(batch.slice(0, middle))
        yield from _halve(batch.slice(middle))


def _join(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Copy pieces into one batch: a slice of a batch would take all of that along when it is pickled."""
    return pa.concat_batches([*pieces, pieces[0].slice(0, 0)])


def _check(batch: pa.RecordBatch) -> None:
    """Refuse a batch whose offsets lead outside; text that is not UTF-8 is no damage, for it is told row by row."""
    _read_names(batch.schema)
    batch.validate()
    try:
        for column in batch:
            _follow(column)
    except pa.ArrowInvalid as problem:
        if "UTF8" not in str(problem) or not _is_sound(batch):
            raise


def _follow(array: pa.Array) -> None:
    """Validate an array in full; of a slice of lists only its own entries, where pyarrow looks at those of all."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        ends = array.offsets.to_numpy()
        if ends[0] < 0 or ends[-1] > len(array.values) or (np.diff(ends) < 0).any():
            raise pa.ArrowInvalid("the offsets of lists lead outside")
        _follow(array.values.slice(ends[0], ends[-1] - ends[0]))
    elif pa.types.is_struct(array.type):
        for field in array.flatten():
            _follow(field)
    else:
        array.validate(full=True)


def _read_names(fields: Iterable[pa.Field]) -> None:
    for field in fields:
        _ = field.name
        _read_names(field.type.field(place) for place in range(field.type.num_fields))


def _is_sound(batch: pa.RecordBatch) -> bool:
    try:
        for column in batch:
            _follow(column.view(_as_bytes(column.type)))
    except pa.ArrowException:
        return False
    return True


def decode(array: pa.Array) -> pa.Array:
    """Return `array` without dictionaries, views, run ends and extension types, wherever in it they stand."""
    kind = array.type
    if not _is_coded(kind):
        return array
    if isinstance(kind, pa.BaseExtensionType):
        return decode(array.storage)
    if pa.types.is_dictionary(kind):
        return decode(array.dictionary).take(array.indices)
    if pa.types.is_run_end_encoded(kind):
        return _decode_runs(array)
    if pa.types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        return pa.StructArray.from_arrays([decode(inner) for inner in array.flatten()], names, mask=array.is_null())
    if kind in _PLAIN:
        return array.cast(_PLAIN[kind])
    return _decode_lists(array)


_PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def _decode_runs(array: pa.Array) -> pa.Array:
    """Repeat values by hand: pyarrow 26 does not decode runs of dictionaries, views or lists."""
    rows = np.arange(array.offset, array.offset + len(array))
    return decode(array.values).take(pa.array(np.searchsorted(array.run_ends, rows, side="right")))


def _decode_lists(array: pa.Array) -> pa.Array:
    """Build lists anew from their lengths: pyarrow 26 loses entries when it casts a list view that has nulls."""
    if pa.types.is_map(array.type):
        array = array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    return pa.LargeListArray.from_arrays(offsets, decode(pc.list_flatten(array)), mask=array.is_null())


def _is_coded(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType) or kind in _PLAIN:
        return True
    types = pa.types
    if any(
        is_(kind)
        for is_ in (types.is_dictionary, types.is_run_end_encoded, types.is_list_view, types.is_large_list_view)
    ):
        return True
    return any(_is_coded(kind.field(place).type) for place in range(kind.num_fields))


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """Return the type of the same layout that has bytes where `kind` has text, which need not be UTF-8 then."""
    if kind in _BYTES:
        return _BYTES[kind]
    types = pa.types
    if types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _as_bytes(kind.value_type), kind.ordered)
    fields = [(inner := kind.field(place)).with_type(_as_bytes(inner.type)) for place in range(kind.num_fields)]
    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_map(kind):
        return pa.map_(fields[0].type.field(0), fields[0].type.field(1), kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(fields[0], kind.list_size)
    makers = {types.is_list: pa.list_, types.is_large_list: pa.large_list, types.is_list_view: pa.list_view}
    return next((make(fields[0]) for is_, make in makers.items() if is_(kind)), kind)


_BYTES = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}
