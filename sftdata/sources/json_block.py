"""JSON records as they stand in one block of bytes: no Python object a record."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Content = NDArray[np.uint8]
"""Bytes of a file."""

Places = NDArray[np.int64]
"""Positions in a block: of records, or of bytes."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some records of a file.

    Attributes:
        content: the bytes they stand in; UTF-8, and as other bytes what did not decode.
        starts: where each record begins, shape `[records]`, rising.
        ends: where each ends, without white space after it, shape `[records]`.
        lines: the line of the file, from 1, in which each begins, shape `[records]`.
        encoding: what the file is encoded in.
        full_size: bytes of the one record of this block, where it is too large and only its beginning is here.
    """

    content: Content
    starts: Places
    ends: Places
    lines: Places
    encoding: str = "utf-8"
    full_size: int | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, position: int) -> bytes:
        return self.content[self.starts[position] : self.ends[position]].tobytes()

    def take(self, positions: Places) -> "Block":
        """Return the block of some records, in order, one on each line where they do not stand side by side."""
        if len(positions) == len(self):
            return self
        starts, ends = self.starts[positions], self.ends[positions]
        first = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
        last = np.flatnonzero(np.diff(positions, append=-2) != 1)
        parts = [self.content[start:end].data for start, end in zip(starts[first], ends[last], strict=True)]
        content = np.frombuffer(parts[0] if len(parts) == 1 else b"\n".join(parts), dtype=np.uint8)
        sizes = ends[last] - starts[first] + 1
        moved = np.repeat(np.cumsum(sizes) - sizes - starts[first], last - first + 1)
        return Block(content, starts + moved, ends + moved, self.lines[positions], self.encoding)


def make_block(records: Sequence[bytes], lines: Sequence[int], encoding: str = "utf-8") -> Block:
    """Return the block of records that do not stand in one piece of a file; each gets a line of its own."""
    sizes = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    starts = np.cumsum(sizes + 1) - sizes - 1
    content = np.frombuffer(b"\n".join(records), dtype=np.uint8)
    return Block(content, starts, starts + sizes, np.array(lines, dtype=np.int64), encoding)


def cut_block(content: Content, full_size: int, line: int, encoding: str) -> Block:
    """Return the block of one record that is too large, of which `content` has the beginning."""
    return Block(content, np.array([0]), np.array([len(content)]), np.array([line]), encoding, full_size)
