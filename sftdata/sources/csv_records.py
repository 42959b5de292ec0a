"""Find the records in a block of bytes: in compiled code where nothing is wrong, else with numpy and the judge."""

from array import array
from typing import TYPE_CHECKING, NamedTuple

from sftdata.sources import native
from sftdata.sources.csv_judge import Block, Broken
from sftdata.sources.dialect import Dialect

if TYPE_CHECKING:  # numpy takes a fifth of the start, and plain files do not need it
    import numpy as np
    from numpy.typing import NDArray

    Offsets = NDArray[np.int64] | array[int]


class Records(NamedTuple):
    """The records in a block; lines without a record are left out.

    Attributes:
        starts: where each begins, shape `[records]`, int64.
        ends: where each ends, its line break included, shape `[records]`, int64.
        lines: how many line breaks stand before each, shape `[records]`, int64.
        broken: what is wrong with those that cannot be read, by position.
        end: where the next record begins; 0 where more of the file must be known to tell.
        breaks: how many line breaks stand before `end`.
        doomed: how far after `end` a quote that was opened before is known to make no record.
        plain: whether all of it is known to be ASCII without NUL.
    """

    starts: "Offsets"
    ends: "Offsets"
    lines: "Offsets"
    broken: dict[int, Broken]
    end: int
    breaks: int
    doomed: int = 0
    plain: bool = False


def find_records(block: Block, limit: int, most: int, dialect: Dialect, doomed: int = 0) -> Records:
    """Find the records of a block that begin before `limit`, at most `most` of them."""
    right = None if doomed else find_compiled(block, limit, most, dialect)
    if right is not None:
        return right
    from sftdata.sources import csv_scan

    return csv_scan.find_records(block, limit, most, dialect, doomed)


def find_compiled(block: Block, limit: int, most: int, dialect: Dialect) -> Records | None:
    """Find the records of a block; None where one looks wrong, or compiled code does not know its dialect."""
    if native.scan is None or dialect.comment or dialect.newline != b"\n":
        return None
    size = min(limit, len(block.data))
    starts, ends, lines = (array("q", [0]) * most for _ in range(3))
    found = native.scan.find_records(
        block.data,
        size,
        block.final and size == len(block.data),
        most,
        ord(dialect.delimiter),
        dialect.quoting,
        len(dialect.header or ()),
        starts,
        ends,
        lines,
    )
    if found is None:
        return None
    count, end, breaks, plain = found
    for places in (starts, ends, lines):
        del places[count:]  # in place, for fresh memory costs page faults
    return Records(starts, ends, lines, {}, end, breaks, plain=plain)
