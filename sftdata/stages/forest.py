"""Connected components over arrays: eight bytes a row, and no Python object a row (union-find, Tarjan 1975)."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def find_roots(parents: Rows, rows: Rows) -> Rows:
    """Return the first row of the component of each of `rows`, and shorten the ways to them."""
    while True:
        above = parents[rows]
        top = parents[above]
        if np.array_equal(above, top):
            return above
        parents[rows] = top


def join(parents: Rows, left: Rows, right: Rows) -> None:
    """Put the components of each pair together. A parent is never a later row, so a root is the first of its rows."""
    while len(left):
        left, right = find_roots(parents, left), find_roots(parents, right)
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parents, np.maximum(left, right), np.minimum(left, right))
