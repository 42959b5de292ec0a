"""Open files that may be packed with gzip, bzip2, xz or Zstandard, and read what is in them."""

import bz2
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from sftdata.errors import SourceError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
"""How names of packed files end."""

BOMB_SIZE = 256 * 2**20
"""Unpacked bytes from which on the ratio to the packed bytes is looked at."""
BOMB_RATIO = 200
"""How many times larger than its packed bytes a file may get; text packs 3 to 30 times."""
XZ_MEMORY = 256 * 2**20
"""Bytes that unpacking xz may take: its highest level takes 65 MiB. Zstandard's own limit is 128 MiB."""
BUFFER = 2**18
"""Bytes that are read at a time."""

_NAMES = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_LONGEST_MAGIC = 10
_JUDGED = 2**23
"""Unpacked bytes by which it is judged how much a file packs."""


def open_binary(path: Path) -> BinaryIO:
    """Open a file for buffered reading and unpack it, by its first bytes, if it is packed.

    Files of several members or frames give them all, one after the other.

    Raises:
        SourceError: when the name says that the file is packed and it is not. While reading: when the packed data is
            cut off or damaged, or unpacks to so much more than it is that it must be made to fill a disk.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST_MAGIC)
    packing = find_packing(start)
    if packing is None:
        if path.suffix.lower() in COMPRESSIONS:
            raise SourceError(_not_packed(path, start))
        return path.open("rb", buffering=BUFFER)
    return io.BufferedReader(_Unpacked(path, packing), BUFFER)


def find_packing(start: bytes) -> str | None:
    """Tell from the first ten bytes of a file how it is packed: gzip, bz2, xz or zstd, or not at all."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BZh") and start[4:10] in (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"):
        return "bz2"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if start.startswith(b"\x28\xb5\x2f\xfd") or (start[:1] and start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5):
        return "zstd"
    return None


def unpacked_size(path: Path) -> int:
    """Return how many bytes are in a file; of a packed one, judged by its first megabytes, about how many.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        packing = find_packing(file.read(_LONGEST_MAGIC))
    if packing is None:
        return size
    with _Unpacked(path, packing) as unpacked:
        try:
            count = len(unpacked.read(_JUDGED) or b"")
        except SourceError:  # told when the file is read
            return size
        return count if count < _JUDGED else size * count // unpacked.place


class _Unpacked(io.RawIOBase):
    """What is in a packed file; each read fills its buffer as long as there is more."""

    def __init__(self, path: Path, packing: str) -> None:
        self._path, self._packing = path, packing
        self._packed = path.open("rb", buffering=0)
        self._fill = _open_stream(self._packed, packing)
        self._size = 0

    @property
    def place(self) -> int:
        """How many of the packed bytes are read."""
        return self._packed.tell()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer, count = memoryview(buffer), 0
        try:
            while count < len(buffer) and (more := self._fill(buffer[count:])):
                count += more
        except (OSError, EOFError, lzma.LZMAError) as fault:
            raise SourceError(self._explain(fault)) from None
        self._size += count
        if self._size > BOMB_SIZE and self._size > BOMB_RATIO * self._packed.tell():
            raise SourceError(
                f"{self._path} cannot be read: {self._packed.tell():,} bytes of it unpack to over {self._size:,}, and "
                f"text does not pack that well (at most {BOMB_RATIO} times); if the file is what it should be, unpack "
                "it and name the unpacked file"
            )
        return count

    def close(self) -> None:
        self._packed.close()
        super().close()

    def _explain(self, fault: Exception) -> str:
        if isinstance(fault, EOFError) or "Truncated" in str(fault):
            problem = "ends too early: the file is cut off"
        else:
            problem = f"is damaged ({fault})"
        place = f"after {self._size:,} unpacked bytes"
        return f"{self._path} cannot be read: its {self._packing} data {problem}, {place}; get it again"


def _open_stream(packed: BinaryIO, packing: str) -> Callable[[memoryview], int]:
    """Return what fills a buffer with unpacked bytes, or gives 0 at the end."""
    if packing == "bz2":  # Arrow's fails on an empty stream
        return _Streams(packed, bz2.BZ2Decompressor).readinto
    if packing == "xz":
        return _Streams(packed, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY), padding=b"\0").readinto
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), packing)
    return cast("Callable[[memoryview], int]", stream.readinto)


class _Streams:
    """The bzip2 or xz streams of a file, one after the other.

    The readers of the standard library pass over, in silence, what follows the first stream and is none itself, such
    as a damaged one.
    """

    def __init__(self, packed: BinaryIO, start: Callable[[], Any], padding: bytes = b"") -> None:
        self._packed, self._start, self._padding = packed, start, padding
        self._stream = start()

    def readinto(self, buffer: memoryview) -> int:
        while True:
            data = b""
            if self._stream.eof:
                data = self._find_next()
                if not data:
                    return 0
                self._stream = self._start()
            elif self._stream.needs_input and not (data := self._packed.read(BUFFER)):
                raise EOFError
            unpacked = self._stream.decompress(data, len(buffer))
            if unpacked:
                buffer[: len(unpacked)] = unpacked
                return len(unpacked)

    def _find_next(self) -> bytes:
        """Return some bytes of the next stream, without what may stand between streams."""
        data: bytes = self._stream.unused_data
        while not (rest := data.lstrip(self._padding)) and (data := self._packed.read(BUFFER)):
            pass
        return rest


def _not_packed(path: Path, start: bytes) -> str:
    found = f"begins with {start!r}" if start else "is empty"
    expected = _NAMES[path.suffix.lower()]
    return f"{path} cannot be read: its name ends in {path.suffix}, but it {found} and is no {expected} file; rename it"
