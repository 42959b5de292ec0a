"""Find the JSON records that Arrow's reader refuses, among those that it takes."""

from collections.abc import Mapping

import numpy as np

from sftdata.column import Column
from sftdata.sources.json_block import Block
from sftdata.sources.json_native import Mask, Refused, read_known

STRETCH, LEAST = 256, 8
"""To find the records that Arrow's reader refuses it is given so many at a time; so few need not be told apart."""


def find_refused(block: Block, columns: Mapping[str, Column]) -> Mask:
    """Tell which records Arrow's reader does not take, of records of which none is odd.

    It is given a few at a time, and goes on behind each that it complains of. Where two objects stand in one record it
    counts wrong, so what it complains of is given to it once more, alone. A record before it may then be overlooked.
    """
    refused = np.zeros(len(block), dtype=bool)
    pending = [(start, min(start + STRETCH, len(block))) for start in range(0, len(block), STRETCH)]
    while pending:
        start, end = pending.pop()
        row = _try(block, columns, start, end)
        if row is not None and start + row < end and _try(block, columns, start + row, start + row + 1) is not None:
            refused[start + row] = True
            pending.append((start + row + 1, end))
        elif row is not None and end - start <= LEAST:
            refused[start:end] = True
        elif row is not None:
            pending += [(start, (start + end) // 2), ((start + end) // 2, end)]
    return refused


def _try(block: Block, columns: Mapping[str, Column], start: int, end: int) -> int | None:
    """Return None if Arrow's reader takes the records from `start` to `end`; else which it complains of, if it says."""
    part = block.take(np.arange(start, end))
    try:
        whole = start == end or len(read_known(part, columns, 2 * len(part.content))) == len(part)
    except Refused as problem:
        return len(part) if problem.row is None else problem.row
    return None if whole else len(part)
