"""Make damaged copies of content: seeded, so that a number gives the same copy again."""

import random
from collections.abc import Callable, Sequence

TOKENS = [
    b"\0",
    b"\xff",
    b"\xc0",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\x1f\x8b",
    b"\r",
    b"\n",
    b"\r\n",
]
TOKENS += [
    b'"',
    b'""',
    b"'",
    b",",
    b"\t",
    b" ",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"#",
    b"-",
    b"~",
    b"<<: ",
    b"&a ",
    b"*a",
]
TOKENS += [
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b"1e999",
    b"9" * 40,
    b"\\ud800",
    b"[" * 600,
    b"---\n",
    b"!!int ",
    b"|\n",
]
"""What readers stumble over, put in the middle of what they expect."""


def damage(content: bytes, seed: int, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """Return `content` with one to six changes, which depend on `seed` alone."""
    draw = random.Random(seed)  # noqa: S311  # a sample, no secret
    for _ in range(draw.choice([1, 1, 2, 3, 6])):
        content = draw.choice(CHANGES)(draw, content, tokens)
    return content


def _span(draw: random.Random, content: bytes) -> tuple[int, int]:
    """Choose a piece, more often a short one."""
    start = draw.randrange(len(content) + 1)
    return start, min(len(content), start + draw.choice([1, 2, 4, 16, 100, 1000]))


def _flip(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    flipped = bytearray(content)
    if flipped:
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    return bytes(flipped)


def _put(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, _ = _span(draw, content)
    return content[:start] + draw.choice(tokens) + content[start:]


def _replace(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _span(draw, content)
    return content[:start] + draw.choice(tokens) + content[end:]


def _delete(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _span(draw, content)
    return content[:start] + content[end:]


def _repeat(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _span(draw, content)
    return content[:end] + content[start:end] * draw.choice([1, 2, 50]) + content[end:]


def _move(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _span(draw, content)
    place, _ = _span(draw, content)
    return content[:place] + content[start:end] + content[place:]


def _overwrite(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _span(draw, content)
    return content[:start] + draw.randbytes(end - start) + content[end:]


def _cut(draw: random.Random, content: bytes, tokens: Sequence[bytes]) -> bytes:
    start, _ = _span(draw, content)
    return draw.choice([content[:start], content[start:]])


Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

CHANGES: list[Change] = [_flip, _put, _put, _replace, _replace, _delete, _repeat, _move, _overwrite, _cut]
