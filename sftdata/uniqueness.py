"""Find values that may stand in one row only and stand in several, across the whole data.

A chunk cannot tell, so each gives two 64-bit hashes a row and constraint, and these are compared at the end: 16 bytes a
row until then and 24 at the end, however long the values are. By pandera's rule every row that shares a value falls,
the first as well, and a null equals a null.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:  # numpy is loaded where something must be unique
    import numpy as np
    from numpy.typing import NDArray

    from sftdata.unique_hashes import Hashes

REPEATED: dict[str, pl.DataType] = {
    "source": pl.String(),
    "record": pl.Int64(),
    "already": pl.Boolean(),
    "reason": pl.String(),
    "rows": pl.UInt32(),
}
"""A row that shares a value: whether it was rejected already, and how many rows have the value."""


@dataclass(frozen=True)
class Keys:
    """What a chunk remembers of its rows.

    Attributes:
        records: record numbers, ascending; int64, shape `[rows]`, or a range where none is left out.
        already: record numbers of the rows that are rejected for another reason, int64, shape `[rejected]`.
        hashes: for each constraint two independent hashes of its columns, shape `[2, rows]`.
    """

    records: "NDArray[np.int64] | range"
    already: "NDArray[np.int64]"
    hashes: "dict[str, Hashes]"


def make_keys(
    rows: pl.DataFrame, rejected: Iterable[Mapping[str, Any]], uniques: Mapping[str, Sequence[str]]
) -> Keys | None:
    """Hash the rows of a chunk, which have `@record` and the columns of the constraints; None without constraints.

    `rejected` are those that are rejected for another reason; each has its `record`.
    """
    if not uniques:
        return None
    import numpy as np

    from sftdata.unique_hashes import hash_rows

    records = rows["@record"].to_numpy()
    whole = range(int(records[0]), int(records[-1]) + 1) if len(records) else range(0)
    hashes = {why: hash_rows(rows, names) for why, names in uniques.items()}
    already = np.array([row["record"] for row in rejected], np.int64)
    return Keys(whole if len(whole) == len(records) else records, already, hashes)


@dataclass
class Uniqueness:
    """The keys of all chunks so far."""

    _sources: list[str] = field(default_factory=list)
    _keys: list[Keys] = field(default_factory=list)

    def add(self, source: str, keys: Keys | None) -> None:
        """Remember the keys of one chunk."""
        if keys is not None:
            self._sources.append(source)
            self._keys.append(keys)

    def find_repeated(self) -> pl.DataFrame:
        """Return every row that shares a value which may stand once only, as `REPEATED`, in the order of reading."""
        if not self._keys:
            return pl.DataFrame(schema=REPEATED)
        found = pl.concat([self._find(reason) for reason in self._keys[0].hashes])
        return found.sort("chunk", "record", maintain_order=True).select(*REPEATED)

    def _find(self, reason: str) -> pl.DataFrame:
        from sftdata.unique_hashes import find_shared, look_up

        pairs = [keys.hashes[reason] for keys in self._keys]
        shared = find_shared([first for first, _ in pairs])
        rows = pl.concat([look_up(*place, shared) for place in zip(range(len(pairs)), self._keys, pairs, strict=True)])
        rows = rows.with_columns(pl.len().over("first", "second").alias("rows")).filter(pl.col("rows") > 1)
        source = pl.Series(self._sources, dtype=pl.String).gather(rows["chunk"])
        return rows.select("chunk", "record", "already", "rows", pl.lit(reason).alias("reason"), source.alias("source"))
