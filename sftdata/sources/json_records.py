"""Judge one JSON record: its values as the schema's columns take them, or everything that is wrong with it.

What it says is what counts; `json_native` answers for the records that it can answer for, and says the same.
"""

import json
from collections.abc import Mapping
from typing import Any

from sftdata.column import Column
from sftdata.sources.json_text import Number, TooDeep, load_json
from sftdata.sources.turns import Misfit
from sftdata.sources.values import fit_value

BOM = b"\xef\xbb\xbf"

Reason = tuple[str, str]
"""A reason against a record, and its detail."""

Verdict = dict[str, Any] | list[Reason]
"""The value of every column by its name, or the reasons against the record."""


def judge(content: bytes, columns: Mapping[str, Column], encoding: str = "utf-8") -> Verdict:
    """Judge a record as it stands in a file, without white space around it.

    Args:
        content: the record; UTF-8, and as other bytes what did not decode.
        columns: what is wanted of it.
        encoding: what the file was encoded in, for the reason.
    """
    record, faults = load_record(content, encoding)
    return faults or fit_record(record, columns)


def load_record(content: bytes, encoding: str = "utf-8") -> tuple[Any, list[Reason]]:
    """Parse a record; return what it is, as `load_json` gives it, or what is wrong with it."""
    if content.startswith(BOM):
        return None, [("encoding:bom", "a byte order mark stands before the record: were files joined here?")]
    try:
        return load_json(content), []
    except UnicodeDecodeError as problem:
        found = f"byte {content[problem.start]:#04x} at position {problem.start}"
        return None, [(f"encoding:{encoding}", f"{found} is not {encoding.upper()}")]
    except TooDeep as problem:
        return None, [("json:depth", str(problem))]
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column" if problem.lineno > 1 else "column"
        return None, [("json:syntax", f"{problem.msg.removesuffix(' at')} at {where} {problem.colno}")]
    except ValueError as problem:
        return None, [("json:syntax", str(problem))]


def fit_record(record: Any, columns: Mapping[str, Column]) -> Verdict:
    """Judge a record that was parsed already."""
    if not isinstance(record, dict):
        return [("json:not_an_object", f"found {_kind(record)}, expected an object")]
    values: dict[str, Any] = {}
    faults: list[Reason] = []
    for name, column in columns.items():
        try:
            values[name] = fit_value(record.get(name), column)
        except Misfit as problem:
            faults.append((f"{name}:dtype", f"{name}: {problem}"))
    return faults or values


def _kind(value: Any) -> str:
    names = {list: "an array", str: "text", bool: "a boolean", Number: "a number"}
    return names.get(type(value), "null")
