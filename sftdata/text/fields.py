"""Reach the texts of a column, whether it holds texts, lists of texts or conversations."""

from collections.abc import Callable, Collection

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.arrays import to_arrow
from sftdata.records import FIELDS, MESSAGES, Task

TEXT_COLUMNS = ("text", "text_pair", "tokens", "source_text", "target_text", "messages")
"""The fields of `records.FIELDS` that hold text; labels, tags, scores and tool schemas are none."""


def text_fields(task: Task, *, has_pairs: bool = False) -> tuple[str, ...]:
    """Return the names of the fields of `task` that hold text, in the order of `records.FIELDS`.

    Without `has_pairs` the column `text_pair` holds nulls alone, and is none of them.
    """
    return tuple(name for name in FIELDS[task] if name in TEXT_COLUMNS and (has_pairs or name != "text_pair"))


def holds_text(dtype: pl.DataType) -> bool:
    """Tell whether `map_texts` takes a column of this dtype."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if isinstance(inner, pl.Struct) and isinstance(dtype, pl.List):
        return {"content": pl.String()}.items() <= dict(inner).items()
    return inner == pl.String()


def has_roles(dtype: pl.DataType) -> bool:
    """Tell whether a column of this dtype holds turns that name a role."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return isinstance(inner, pl.Struct) and dict(inner).get("role") == pl.String()


def map_texts(
    column: pl.Series, function: Callable[[pl.Series], pl.Series], roles: Collection[str] | None = None
) -> pl.Series:
    """Apply `function` to every text of `column`, in one call.

    Args:
        column: String, List(String), or a list of turns such as `records.MESSAGES`, whose `content` is the text.
        function: takes the texts in order, a String series that may hold nulls, and returns as many.
        roles: for turns, whose `content` is meant; that of all when it is not given. Turns without roles and
            other columns ignore it.

    Returns:
        The column with the new texts. Its name and dtype, nulls, the lengths of lists and the other fields of turns
        are as before.

    Raises:
        TypeError: if the column holds something else.
    """
    if not holds_text(column.dtype):
        raise TypeError(f"column {column.name!r}: found {column.dtype}, expected String, List(String) or {MESSAGES}")
    if column.dtype == pl.String:
        return function(column).alias(column.name)
    items = flatten(column)
    if items.dtype == pl.String:
        return nest(function(items), column)
    content, chosen = items.struct.field("content"), _choose(items, roles)
    mapped = function(content.filter(chosen))
    place = chosen.cum_sum().cast(pl.Int64) - 1
    content = mapped.gather(place.set(~chosen, None)).zip_with(chosen, content).alias("content")
    turns = pl.select(pl.lit(items).alias("turn").struct.with_fields(content)).to_series()
    return nest(turns, column)


def text_rows(column: pl.Series, roles: Collection[str] | None = None) -> pl.Series:
    """Return the row of each text that `map_texts` hands to its function: UInt32, ascending, shape `[texts]`."""
    rows = pl.int_range(len(column), dtype=pl.UInt32, eager=True)
    if column.dtype == pl.String:
        return rows
    items = flatten(column)
    owners = pl.Series(np.repeat(rows.to_numpy(), column.list.len().fill_null(0).to_numpy()))
    return owners if items.dtype == pl.String else owners.filter(_choose(items, roles))


def join_texts(column: pl.Series, roles: Collection[str] | None = None) -> pl.Series:
    r"""Return one text a row: String, shape `[rows]`; null where there is none.

    Turns are joined by `\n`; tokens by a space, and by nothing where they hold Chinese characters.
    """
    if column.dtype == pl.String:
        return column
    items = flatten(column)
    if items.dtype != pl.String:
        table = pl.DataFrame(
            {"row": text_rows(column, roles), "text": items.filter(_choose(items, roles)).struct.field("content")}
        )
        joined = table.drop_nulls().group_by("row", maintain_order=True).agg(pl.col("text").str.join("\n"))
        rows = pl.DataFrame({"row": pl.int_range(len(column), dtype=pl.UInt32, eager=True)})
        return rows.join(joined, on="row", how="left", maintain_order="left")["text"].alias(column.name)
    glued = column.list.join("", ignore_nulls=True)
    return column.list.join(" ", ignore_nulls=True).zip_with(~glued.str.contains(r"\p{Han}"), glued)


def _choose(turns: pl.Series, roles: Collection[str] | None) -> pl.Series:
    if roles is None or "role" not in turns.struct.fields:
        return pl.repeat(True, len(turns), dtype=pl.Boolean, eager=True)
    return turns.struct.field("role").is_in(list(roles)).fill_null(False)


def flatten(column: pl.Series) -> pl.Series:
    """Return the items of all lists of `column` in order; a null or empty list has none."""
    return column.filter(column.list.len() > 0).list.explode()


def nest(items: pl.Series, column: pl.Series) -> pl.Series:
    """Undo `flatten`: put `items` into lists as long as those of `column`."""
    lengths = column.list.len()
    offsets = np.zeros(len(column) + 1, dtype=np.int64)
    np.cumsum(lengths.fill_null(0).to_numpy(), out=offsets[1:])
    values = items.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    missing = lengths.is_null().to_arrow()
    lists = pa.LargeListArray.from_arrays(to_arrow(offsets), values, mask=missing)
    return pl.Series(column.name, lists, dtype=column.dtype)
