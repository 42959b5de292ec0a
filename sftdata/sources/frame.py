"""Read rows that are in memory already: a frame of polars, pandas, pyarrow, or whatever else speaks Arrow."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from sftdata.arrays import to_arrow
from sftdata.errors import SourceError
from sftdata.sources.batches import cut
from sftdata.sources.batches import original as original
from sftdata.sources.columns import parse as parse
from sftdata.sources.source import Slice, Source

NAME = "frame"
"""How messages call a frame, which has no name of its own, and what stands for it in the ids of its rows."""


def make_source(frame: Any) -> Source:
    """Return a frame as a source.

    Raises:
        SourceError: it is no frame, or Arrow cannot hold what is in it.
    """
    return Source(Path(NAME), NAME, NAME, "frame", frame=to_table(frame))


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of a frame, without a copy where its types are those of Arrow."""
    yield from cut(source.frame.to_batches(), source.name)


def to_table(frame: Any) -> pa.Table:
    """Return a frame as an Arrow table.

    Raises:
        SourceError: it is no frame, or Arrow cannot hold what is in it.
    """
    try:
        if _is_pandas(frame):
            return pa.Table.from_pandas(frame, preserve_index=False)
        if isinstance(frame, pl.LazyFrame):
            return frame.collect().to_arrow()
        if hasattr(frame, "with_format"):  # a dataset of `datasets`
            return frame.with_format("arrow")[:]
        if hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__"):
            return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as cause:
        raise SourceError(f"the frame cannot be read as Arrow: {'; '.join(map(str, cause.args))}") from None
    raise SourceError(
        f"found {type(frame).__name__}, expected files, or a frame of polars, pandas or pyarrow. Rows in a list: "
        "polars.DataFrame(rows)."
    )


def drop_rows(frame: Any, table: pa.Table, rows: pl.Series) -> Any:
    """Return a frame without some of its rows: of its own kind where that is polars or pandas, else as Arrow.

    Args:
        frame: what `to_table` was given.
        table: what it made of it.
        rows: positions, from 0.
    """
    keep = np.ones(len(table), dtype=np.bool_)
    keep[rows.to_numpy()] = False
    if isinstance(frame, pl.LazyFrame):
        return pl.from_arrow(table).filter(keep)
    if isinstance(frame, pl.DataFrame):
        return frame.filter(keep)
    if _is_pandas(frame):
        return frame[keep]
    return table.filter(to_arrow(keep))


def _is_pandas(frame: Any) -> bool:
    pandas = sys.modules.get("pandas")  # who has a frame of pandas has imported it
    return pandas is not None and isinstance(frame, pandas.DataFrame)
