"""Read text in another encoding as UTF-8, so that nothing after this knows of encodings."""

import codecs
import io
import re
from typing import Any, BinaryIO

from sftdata.sources.compression import BUFFER
from sftdata.sources.parsing import decodes

CODECS = {"shift_jis": "cp932", "big5": "big5hkscs"}
"""Python's codecs for encodings that it has under another name, with what files under their name have besides."""

REPAIRS = {
    # Bytes that are no Shift-JIS, which Python passes through as control and private characters.
    "shift_jis": tuple(zip("\x80\uf8f0\uf8f1\uf8f2\uf8f3", "\udc80\udca0\udcfd\udcfe\udcff", strict=True)),
    # Signs that Windows, and so what is written in Big5, has where Python's big5hkscs has others.
    "big5": tuple(zip("•､‾∼♁☉¥¢£￭", "‧﹑¯～⊕⊙￥￠￡▓", strict=True)),
}
"""Characters that are replaced after decoding, by encoding."""


def transcode(file: BinaryIO, encoding: str) -> BinaryIO:
    """Return a file that gives the text of another as UTF-8, and closes it when it is closed.

    What does not decode stays in its place as bytes that are not UTF-8: the bytes as they are, after a byte 0xff where
    they would be UTF-8 by chance; in UTF-16 and UTF-32, where they could be line feeds, each as the lone surrogate
    U+DC00 + byte. No line feed, quote or delimiter is ever taken for a part of them.

    Args:
        file: the text, without a byte order mark.
        encoding: one of `ENCODINGS` but UTF-8, with its byte order.
    """
    return io.BufferedReader(_Transcoded(file, encoding), BUFFER)


class _Transcoded(io.RawIOBase):
    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._repairs = REPAIRS.get(encoding, ())
        self._spans = encoding.startswith(("utf-16", "utf-32"))
        decoder = codecs.getincrementaldecoder(CODECS.get(encoding, encoding))
        self._decoder = decoder(_ESCAPE_SPAN if self._spans else "surrogateescape")
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = self._file.read(BUFFER)
            self._rest = memoryview(self._transcode(block))
            if not block:
                break
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _transcode(self, block: bytes) -> bytes:
        """Return the text that a block completes; without a block, what is left."""
        text = self._decoder.decode(block, final=not block)
        for wrong, right in self._repairs:
            text = text.replace(wrong, right)
        try:
            return text.encode()
        except UnicodeEncodeError:
            if self._spans:
                return text.encode("utf-8", "surrogatepass")
            return _keep_broken(text, whole=not block).encode("utf-8", "surrogateescape")

    def close(self) -> None:
        self._file.close()
        super().close()


_BROKEN_RUN = re.compile("[\udc80-\udcff]+")


def _keep_broken(text: str, *, whole: bool) -> str:
    """Put a byte before broken ones that would be UTF-8, or might be with those of the next block."""

    def guard(run: re.Match[str]) -> str:
        in_doubt = run.end() == len(text) and not whole
        return f"\udcff{run[0]}" if in_doubt or decodes(run[0].encode("utf-8", "surrogateescape")) else run[0]

    return _BROKEN_RUN.sub(guard, text)


def _escape_span(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


_ESCAPE_SPAN = "sftdata.escape_span"
codecs.register_error(_ESCAPE_SPAN, _escape_span)
