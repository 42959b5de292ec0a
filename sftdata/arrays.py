"""Go between numpy and Arrow without pandas.

Where pandas is installed, pyarrow loads it at the first `pa.array`, `pa.scalar` or `to_numpy`, to see whether it was
given something of pandas' own: 0.4 s for nothing. polars makes the same arrays without it, and without a copy.
"""

from typing import Any

import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def to_arrow(values: NDArray[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Return a numpy array of one dimension as an Arrow array, of another type where `kind` names one."""
    array = pl.Series(values).to_arrow()
    return array if kind is None or array.type == kind else array.cast(kind)


def to_numpy(array: pa.Array) -> NDArray[Any]:
    """Return numbers or booleans without nulls as a numpy array."""
    return pl.Series(array).to_numpy()
