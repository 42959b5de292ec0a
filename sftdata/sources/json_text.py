"""Read and write JSON exactly: numbers as they are written, keys in their order, nothing that is not JSON."""

import json
import re
from collections import Counter
from typing import Any

DEEPEST = 500
"""How deep a record may be nested. Python's own limit is near a thousand, and another in each version."""

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which JSON can escape and UTF-8 cannot hold."""


class Number(str):
    """A number as it is written, so that `1.10` stays what it is and no size is too large."""

    __slots__ = ()
    __repr__ = str.__str__


class TooDeep(ValueError):  # noqa: N818
    """JSON is nested deeper than `DEEPEST`."""


class Twice:
    """Stands for the value of a key that is given twice; a fault only where the value is needed."""

    def __repr__(self) -> str:
        return "a key that is given twice"


def load_json(text: str | bytes) -> Any:
    """Parse JSON; numbers become `Number`, and the value of a key that is given twice becomes `Twice`.

    Raises:
        UnicodeDecodeError: when bytes are not UTF-8.
        TooDeep: when brackets are nested deeper than `DEEPEST`, be it JSON or not.
        ValueError: when it is not JSON; `json.JSONDecodeError` where the place is known.
    """
    text, content = (text, text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else (text.decode(), text)
    if is_too_deep(content):
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    return _DECODER.decode(text)


def dump_json(value: Any) -> str:
    """Write a value as JSON: numbers as they were written, keys in their order, characters unescaped.

    Raises:
        ValueError: when a key is given twice, or a float is none.
        TypeError: when the value is of a type that JSON does not have.
    """
    written: list[str] = []
    pending = [value]  # no recursion, for Python's limit of it depends on who calls
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list | tuple):
            pending += reversed(_open_up(item))
        elif isinstance(item, str):
            written.append(item if type(item) in (Number, _Sign) else _write_text(item))
        elif isinstance(item, Twice):
            raise ValueError("a key is given twice")
        else:
            written.append(_UNESCAPED.encode(item))
    return "".join(written)


def is_too_deep(content: bytes) -> bool:
    """Tell whether brackets outside of texts are nested deeper than `DEEPEST`, be the content JSON or not."""
    if content.count(b"[") + content.count(b"{") <= DEEPEST:
        return False
    import numpy as np

    brackets = np.frombuffer(_TEXT.sub(b"", content).translate(None, _NO_BRACKETS), dtype=np.uint8)
    steps = np.where(np.isin(brackets, (ord("["), ord("{"))), 1, -1)
    return bool(steps.cumsum().max(initial=0) > DEEPEST)


def refuse_constant(word: str) -> Any:
    """Refuse NaN and the infinities, which Python takes for JSON.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{word} is not JSON")


_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_UNESCAPED = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ESCAPED = json.JSONEncoder()


class _Sign(str):
    """What stands between values."""

    __slots__ = ()


def _open_up(value: dict[str, Any] | list[Any] | tuple[Any, ...]) -> list[Any]:
    """Return the entries of a value and the signs between them."""
    if isinstance(value, dict):
        entries = [part for key, inner in value.items() for part in (_Sign(f", {_write_text(key)}: "), inner)]
        return [_Sign("{"), *_without_comma(entries), _Sign("}")]
    entries = [part for inner in value for part in (_Sign(", "), inner)]
    return [_Sign("["), *_without_comma(entries), _Sign("]")]


def _without_comma(entries: list[Any]) -> list[Any]:
    return [_Sign(entries[0][2:]), *entries[1:]] if entries else []


def _write_text(text: str) -> str:
    return _ESCAPED.encode(text) if LONE_SURROGATE.search(text) else _UNESCAPED.encode(text)


def _mark_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        count = Counter(name for name, _ in pairs)
        record |= {name: Twice() for name in record if count[name] > 1}
    return record


_DECODER = json.JSONDecoder(
    parse_constant=refuse_constant, parse_int=Number, parse_float=Number, object_pairs_hook=_mark_twice
)
