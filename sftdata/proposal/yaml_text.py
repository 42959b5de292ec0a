"""Write YAML as a person would: short mappings in one line, long ones in several, comments where they belong."""

import textwrap
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

WIDTH = 100
"""Most characters of a mapping in one line."""
NOTE = 110
"""Most characters of a line of a comment."""


def write_scalar(value: Any) -> str:
    """Return text, a number or a boolean as it stands in a list or mapping, in quotes only where it needs them."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text: str = yaml.safe_dump(
        [value], default_flow_style=True, default_style=style, allow_unicode=True, width=float("inf")
    )
    return text.strip()[1:-1]


def write_inline(value: Any) -> str:
    """Return any value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{write_scalar(key)}: {write_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write_inline, value)) + "]"
    return write_scalar(value)


def write_entry(
    key: str, value: Any, remarks: Mapping[Any, str], indent: int = 0, left_out: Collection[str] = ()
) -> Iterator[str]:
    """Yield the lines of a key and its value.

    Args:
        key: what it is called.
        value: what it holds: a scalar, a list of scalars, or a mapping to such values.
        remarks: comments for entries of lists, by entry; a list that has some stands in several lines.
        indent: how far to the right it stands.
        left_out: what a list with remarks has as comments alone, among its entries, which are sorted.
    """
    start = f"{' ' * indent}{write_scalar(key)}:"
    inline = f"{start} {write_inline(value)}"
    remarked = any(entry in remarks for entry in _entries_in(value))
    if not value or not isinstance(value, dict | list) or (len(inline) <= WIDTH and not remarked):
        yield inline
        return
    yield start
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from write_entry(name, inner, remarks, indent + 2, left_out)
        return
    entries = sorted([*value, *left_out]) if remarked and left_out else value
    lines = [f"{' ' * (indent + 2)}{'# ' * (entry in left_out)}- {write_scalar(entry)}" for entry in entries]
    column = min(max(map(len, lines)), 60)
    for entry, line in zip(entries, lines, strict=True):
        yield f"{line:<{column}}  # {remarks[entry]}" if entry in remarks else line


def write_comment(text: str, indent: int = 0) -> str:
    """Return a comment in one line."""
    return f"{' ' * indent}# {show_text(text)}"


def write_note(text: str, indent: int = 0) -> Iterator[str]:
    """Yield a comment of as many lines as it takes."""
    start = f"{' ' * indent}# "
    yield from textwrap.wrap(show_text(text), NOTE, initial_indent=start, subsequent_indent=start + "  ")


def show_text(text: str) -> str:
    """Return text with what does not print escaped, which neither a terminal nor a comment in YAML takes."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _entries_in(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _entries_in(inner)
    elif isinstance(value, list):
        yield from value
