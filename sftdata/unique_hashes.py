"""Hash rows, and find the hashes that several rows have."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sftdata.keys import mix
from sftdata.uniqueness import Keys

Hashes = NDArray[np.uint64]


def find_shared(hashes: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return the hashes that more than one row has, ascending."""
    every = np.concatenate(hashes)
    every.sort()
    repeated = every[1:][every[1:] == every[:-1]]
    first_of_each: NDArray[np.uint64] = repeated[np.diff(repeated, prepend=~repeated[:1]) != 0]
    return first_of_each


def look_up(chunk: int, keys: Keys, pair: Hashes, shared: NDArray[np.uint64]) -> pl.DataFrame:
    """Return the rows of a chunk whose first hash is one of `shared`."""
    places = np.searchsorted(shared, pair[0])
    rows = np.flatnonzero(np.append(shared, 0)[places] == pair[0]) if len(shared) else np.arange(0)
    records = rows + keys.records.start if isinstance(keys.records, range) else keys.records[rows]
    return pl.DataFrame(
        {
            "chunk": np.full(len(rows), chunk),
            "record": records,
            "already": np.isin(records, keys.already),
            "first": pair[0][rows],
            "second": pair[1][rows],
        }
    )


def hash_rows(rows: pl.DataFrame, names: Sequence[str]) -> Hashes:
    """Return two independent hashes of some columns for each row, shape `[2, rows]`."""
    both = np.zeros((2, len(rows)), dtype=np.uint64)
    for name in names:
        column = rows[name]
        # a second hash of the same bytes could share the weakness of the first, so its text begins otherwise
        other = ("\x00" + column) if column.dtype == pl.String else column
        for place, (series, seed) in enumerate(((column, 7), (other, 11))):
            both[place] = mix(both[place] + series.hash(seed).to_numpy())
    return both
