"""Memory of slices that is used again: fresh memory costs a page fault for each 4 KB, as long as it takes to parse."""

import sys

from sftdata.sources import native

MOST = 5
"""Buffers that are remembered: those of the slices that one process works on at a time, and the next."""


class Spares:
    """Buffers that were handed out; one that nobody else holds any more is handed out again."""

    def __init__(self) -> None:
        self._given: list[bytearray] = []

    def give(self, size: int) -> bytearray:
        """Return a buffer of so many bytes, whatever they are."""
        for place in range(len(self._given)):
            if _holders(self._given, place) <= _ALONE:
                return _resize(self._given.pop(place), size)
        make = bytearray if native.scan is None else native.scan.make_buffer
        return _resize(make(size + size // 4), size)  # so that it need not be moved when a bit more is asked for

    def remember(self, buffer: bytearray) -> None:
        """Take note of a buffer that others hold from now on."""
        self._given = [*self._given[1 - MOST :], buffer]


def _holders(buffers: list[bytearray], place: int) -> int:
    return sys.getrefcount(buffers[place])


_ALONE = _holders([bytearray()], 0)
"""What is counted of a buffer that stands in one list and nowhere else; Python's versions count differently."""


def _resize(buffer: bytearray, size: int) -> bytearray:
    if size > len(buffer):
        buffer += bytes(size - len(buffer))
    else:
        del buffer[size:]
    return buffer
