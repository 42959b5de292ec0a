"""Parse many JSON records at once with Arrow's reader, which is strict about types and lets other threads run.

Nothing is taken from it that `json_records` would not say as well. A record for which that is not certain is doubtful;
where Arrow's reader refuses, it does not say which record it means.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray

from sftdata.column import Column
from sftdata.sources.json_block import Block, Content, Places
from sftdata.sources.json_text import DEEPEST, is_too_deep
from sftdata.sources.parsing import decodes
from sftdata.sources.turn_columns import list_offsets, sum_of_lists, widen_turns
from sftdata.sources.turns import Misfit
from sftdata.sources.values import fit_value, split_column

Mask = NDArray[np.bool_]
"""One boolean a record."""

THREAD_BYTES = 2**20
"""How much Arrow's reader gives to one thread; more where a record is longer."""

MOST_COLONS = 10_000
"""A record with more of them is judged alone: Arrow's reader needs time quadratic in the number of keys."""

MOST_FIELDS, MOST_CELLS = 1000, 2**23
"""So many different keys in a block, and keys times objects, are given a field each, for every object has every one."""

_TEXT = pa.large_string()
_TYPES = {
    "str": _TEXT,
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "list[str]": pa.list_(_TEXT),
    "pairs": pa.list_(pa.list_(_TEXT)),
}


class Refused(Exception):  # noqa: N818
    """Arrow's reader does not take the records; `row` is the one that it complains of, if it says and can count."""

    def __init__(self, row: int | None = None) -> None:
        super().__init__(row)
        self.row = row


def find_odd(block: Block) -> Mask:
    """Tell which records Arrow's reader must not get.

    What is no object: pyarrow 26 crashes on the line `null`. What is not UTF-8, or is nested too deeply: it looks at
    neither. What has NaN or an infinity among its numbers: it takes them, which JSON does not have. What has very many
    keys: it would take minutes.
    """
    content = block.content
    odd: Mask = (content[block.starts] != ord("{")) | (content[block.ends - 1] != ord("}")) | ~_are_utf8(block)
    for place in _find_no_numbers(block.content):
        odd[np.searchsorted(block.starts, place, side="right") - 1] = True
    for position in np.flatnonzero(block.ends - block.starts > 2 * DEEPEST).tolist():
        odd[position] |= is_too_deep(block[position])
    for position in np.flatnonzero(block.ends - block.starts > 4 * MOST_COLONS).tolist():  # a key takes four bytes
        odd[position] |= block[position].count(b":") > MOST_COLONS
    return odd


def parse_block(block: Block, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, Mask]:
    """Parse records of which none is odd.

    Returns:
        The schema's columns, a row a record, and which rows are doubtful.

    Raises:
        Refused: when Arrow's reader does not take a record, or finds more of them.
    """
    table, is_whole = _read_table(block, columns)
    if len(table) != len(block):
        raise Refused
    series, doubtful = {}, np.zeros(len(block), dtype=bool)
    for name, column in columns.items():
        found = table[name] if name in table.column_names else pa.chunked_array([pa.nulls(len(block))])
        convert = _CONVERT.get(column.dtype)
        series[name], mask = convert(found, column) if convert else (pl.Series(found), False)
        doubtful |= mask
    if not is_whole:
        doubtful |= _count_keys(block) != _count_values(table, columns)
    return pl.DataFrame(series), doubtful


def _read_table(block: Block, columns: Mapping[str, Column]) -> tuple[pa.Table, bool]:
    """Return what Arrow's reader finds, and whether it left out no key of a turn and no column of JSON.

    It would leave out in silence the keys of turns for which it has no field. So it is first asked for a field for
    every key that there is; where that fails, for the columns that nobody wants need not be of one type, or where there
    are too many, keys have to be counted.
    """
    types, size = _arrow_types(columns), max(THREAD_BYTES, int((block.ends - block.starts).max(initial=0)) + 2)
    if not _hold_keys(columns):
        return read_known(block, columns, size), True
    with suppress(Refused):
        if _has_few_fields(block):
            return _without_more_keys(_read(pa.py_buffer(block.content), types, size, "infer"), types)
    return read_known(block, columns, size), False


def _hold_keys(columns: Mapping[str, Column]) -> bool:
    """Tell whether keys inside of a column count."""
    return any(column.dtype in ("messages", "json") for column in columns.values())


def read_known(block: Block, columns: Mapping[str, Column], size: int) -> pa.Table:
    """Return the keys that the columns ask for; `size` bytes are given to one thread.

    Raises:
        Refused: when Arrow's reader does not take a record.
    """
    types = _arrow_types(columns)
    content = pa.py_buffer(block.content)
    try:
        return _read(content, types, size)
    except Refused:
        quoted, divided = (None, {}) if _hold_keys(columns) else _loosen(block.content, columns)
        if quoted is None and not divided:
            raise
        return _read(quoted or content, {**types, **divided}, 2 * size)


def _read(content: pa.Buffer, types: Mapping[str, pa.DataType], size: int, unknown: str = "ignore") -> pa.Table:
    options = pa.json.ParseOptions(explicit_schema=pa.schema(types.items()), unexpected_field_behavior=unknown)
    try:
        return pa.json.read_json(pa.BufferReader(content), pa.json.ReadOptions(content.size > size, size), options)
    except pa.ArrowException as problem:  # such as ArrowMemoryError
        counts = content.size <= size  # from the start of what a thread has
        row = _ROW.search(str(problem)) if counts else None
        raise Refused(int(row[1]) if row else None) from None


_ROW = re.compile(r" in row (\d+)$")


def _arrow_types(columns: Mapping[str, Column]) -> dict[str, pa.DataType]:
    return {name: _arrow_type(column) for name, column in columns.items() if column.dtype != "json"}


def _arrow_type(column: Column) -> pa.DataType:
    if column.dtype != "messages":
        return _TYPES[column.dtype]
    parts = {column.keys.role: _TEXT, column.keys.content: _TEXT, "weight": pa.float64(), "train": pa.bool_()}
    return pa.list_(pa.struct(parts.items()))


def _without_more_keys(table: pa.Table, types: Mapping[str, pa.DataType]) -> tuple[pa.Table, bool]:
    """Take away the fields of turns that were not asked for; tell whether there were none."""
    more = [name for name, wanted in types.items() if table[name].type != wanted]
    for name in more:
        table = table.set_column(table.column_names.index(name), name, table[name].cast(types[name]))
    return table, not more


def _loosen(content: Content, columns: Mapping[str, Column]) -> tuple[pa.Buffer | None, dict[str, pa.DataType]]:
    """Put numbers and booleans of columns that take their text in quotes; read lists that a separator divides as text.

    The quotes make no difference where else the name is a key, for only columns without keys inside are here. Inside
    of a text the pattern cannot match: the quote before the name would have a backslash before it.
    """
    divided = {name: _TEXT for name, column in columns.items() if column.dtype == "list[str]" and column.separator}
    keys = [
        re.escape(json.dumps(name, ensure_ascii=False)) for name, column in columns.items() if _takes_numbers(column)
    ]
    if not keys:
        return None, divided
    text = _as_series(pa.large_string(), content, [0, len(content)])
    for key in keys:
        text = text.str.replace_all(rf"([{{,]\s*{key}\s*:\s*)({_SCALAR})(\s*[,}}])", '${1}"${2}"${3}')
    return text.to_arrow()[0].as_buffer(), divided


def _takes_numbers(column: Column) -> bool:
    return column.coerce and (column.dtype == "str" or (column.dtype == "list[str]" and column.separator is not None))


_SCALAR = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false"


def _convert_floats(found: pa.ChunkedArray, column: Column) -> tuple[pl.Series, Mask]:
    series = pl.Series(found)
    return series, ~series.is_finite().fill_null(True).to_numpy()


def _convert_strings(found: pa.ChunkedArray, column: Column) -> tuple[pl.Series, Mask]:
    series = pl.Series(found)
    if series.dtype == pl.String:
        series = split_column(series, str(column.separator))
    return series, _to_mask(series.list.eval(pl.element().is_null()).list.any())


def _convert_pairs(found: pa.ChunkedArray, column: Column) -> tuple[pl.Series, Mask]:
    series = pl.Series(found)
    whole = (pl.element().list.len() == 2) & (pl.element().list.drop_nulls().list.len() == 2)
    return series, ~_to_mask(series.list.eval(whole.fill_null(False)).list.all().fill_null(True))


def _convert_json(found: pa.ChunkedArray, column: Column) -> tuple[pl.Series, Mask]:
    """Take texts, each value once; anything else has lost its spelling."""
    if not pa.types.is_string(found.type):  # not combined: pyarrow 26 cannot, where lists hold nothing but nulls
        return pl.Series([None] * len(found), dtype=pl.String), pl.Series(found.is_valid()).to_numpy()
    texts = found.combine_chunks()
    coded = texts.dictionary_encode()
    fitted = pl.Series([_fit(text, column) for text in coded.dictionary.to_pylist()], dtype=pl.String)
    series = fitted.gather(pl.Series(coded.indices))
    return series, (pl.Series(texts.is_valid()) & series.is_null()).to_numpy()


def _fit(text: str, column: Column) -> str | None:
    try:
        return str(fit_value(text, column))
    except Misfit:
        return None


_CONVERT = {
    "float": _convert_floats,
    "list[str]": _convert_strings,
    "pairs": _convert_pairs,
    "json": _convert_json,
    "messages": widen_turns,
}
"""What turns a column of Arrow's reader into one of ours, and tells which records are doubtful."""


def _to_mask(series: pl.Series) -> Mask:
    return series.fill_null(False).to_numpy()


def _are_utf8(block: Block) -> Mask:
    try:
        _as_series(pa.large_binary(), block.content, [0, len(block.content)]).cast(pl.String)
        return np.ones(len(block), dtype=bool)
    except pl.exceptions.ComputeError:
        return np.array([decodes(block[position]) for position in range(len(block))])


def _as_series(kind: pa.DataType, content: Content, offsets: Sequence[int] | Places) -> pl.Series:
    """Return the parts of `content` between `offsets`, not copied."""
    buffers = [None, pa.py_buffer(np.asarray(offsets, dtype=np.int64)), pa.py_buffer(content)]
    return pl.Series(pa.Array.from_buffers(kind, len(offsets) - 1, buffers))


def _find_no_numbers(content: Content) -> Iterator[int]:
    """Yield where NaN or an infinity may stand as a value."""
    for pair, before in ((b"aN", 1), (b"In", 0)):
        for place in _find_pair(content, pair):
            if _NO_NUMBER.match(content.data, place - before):
                yield place


_NO_NUMBER = re.compile(rb"(?:NaN|Inf(?:inity)?)\s*[,\]}]")


def _find_pair(content: Content, pair: bytes) -> list[int]:
    """Find two bytes, comparing both at once at every even place and then at every odd one."""
    code = np.frombuffer(pair, dtype=np.uint16)
    found = [
        shift + 2 * np.flatnonzero(content[shift : len(content) - (len(content) - shift) % 2].view(np.uint16) == code)
        for shift in (0, 1)
    ]
    places: list[int] = np.concatenate(found).tolist()
    return places


def _has_few_fields(block: Block) -> bool:
    """Tell whether fields for all keys fit in memory: by the keys of the block, and by the fields of a few records.

    The first finds a stretch of records that are unlike all others, the second the same keys in ever new places.
    """
    objects = int(np.count_nonzero(block.content == ord("{")))
    most = min(MOST_FIELDS, MOST_CELLS // max(1, objects))
    if _count_names(block.content) > most:
        return False
    few = block.take(np.unique(np.linspace(0, len(block) - 1, 256, dtype=np.int64)))
    content = pa.py_buffer(few.content)
    return _count_fields(_read(content, {}, content.size + 1, "infer").schema) <= most


def _count_fields(fields: Iterable[pa.Field]) -> int:
    """Count fields at all depths, level by level: they may be nested deeper than functions may call each other."""
    level, count = list(fields), 0
    while level:
        count += len(level)
        level = [outer.type.field(place) for outer in level for place in range(outer.type.num_fields)]
    return count


def _count_names(content: Content) -> int:
    """Count different keys, by the 64 bytes before the quote that ends each; of many only those in an eighth of it."""
    size = len(content) // _STRIPE * _STRIPE
    row, place = np.divmod(_find_ends(content[:size].reshape(-1, _STRIPE)[:, : _STRIPE // 8]), _STRIPE // 8 - 1)
    ends = np.append(row * _STRIPE + place, size + _find_ends(content[size:]))
    ends = ends[content[ends - 1] != ord("\\")]  # else in a text that holds JSON
    ends = ends[:: len(ends) // 2**16 + 1]
    inside, code = np.ones(len(ends), dtype=bool), np.zeros(len(ends), dtype=np.uint64)
    for back in range(1, 65):
        byte = content[np.maximum(ends - back, 0)]
        inside &= byte != ord('"')
        if not inside.any():
            break
        code = np.where(inside, code * np.uint64(0x100000001B3) + byte, code)
    return len(np.unique(code))


_STRIPE = 2**12


def _find_ends(content: Content) -> Places:
    """Find the quotes before colons, row by row; flatnonzero is much faster than nonzero."""
    return np.flatnonzero((content[..., :-1] == ord('"')) & (content[..., 1:] == ord(":")))


def _count_keys(block: Block) -> NDArray[np.int64]:
    """Count in each record the colons behind a quote: at least as many as the record has keys."""
    colons = np.flatnonzero(block.content == ord(":"))
    before = colons - 1
    for _ in range(4):  # a little white space may stand between; a colon behind more of it counts as well
        before[block.content[before] <= ord(" ")] -= 1
    keys = colons[(block.content[before] == ord('"')) | (block.content[before] <= ord(" "))]
    return np.searchsorted(keys, block.ends) - np.searchsorted(keys, block.starts)


def _count_values(table: pa.Table, columns: Mapping[str, Column]) -> NDArray[np.int64]:
    """Count in each record the keys that the columns were made of: at most as many as the record has."""
    count = np.zeros(len(table), dtype=np.int64)
    for name in table.column_names:
        count += table[name].is_valid().to_numpy()
        if name in columns and columns[name].dtype == "messages":
            lists = pa.concat_arrays(table[name].chunks)
            values = sum(
                part.is_valid().to_numpy(zero_copy_only=False).astype(int) for part in lists.flatten().flatten()
            )
            count += sum_of_lists(values, list_offsets(lists))
    return count
