"""Read the rejected rows that an earlier run wrote: the originals, repaired or not, are the records.

An original is judged as its format has it: what stood in CSV is text, of which an empty one is no value; text in an
Arrow column may stand for a number or hold JSON; and what stood in JSON is what it is. An original that is still not a
record is rejected again, for the same reasons.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from sftdata.column import Column
from sftdata.sources import jsonl
from sftdata.sources.json_block import Block
from sftdata.sources.json_records import Reason, Verdict, fit_record, judge, load_record
from sftdata.sources.json_text import LONE_SURROGATE
from sftdata.sources.jsonl import Piece, make_frame, merge
from sftdata.sources.parsing import Fault, Parsed, cast_text
from sftdata.sources.turns import Misfit
from sftdata.sources.values import as_written, fit_value

KEYS = {"source", "record", "stage", "reason", "original"}
"""Keys that every line of such a file has."""

read = jsonl.read
line = jsonl.line

_JSON = {"jsonl", "json", "rejected"}
_CSV = {"csv", "tsv"}


def looks_like_rejected(first_line: bytes) -> bool:
    """Tell from its first line whether a file of JSON Lines holds rejected rows."""
    row, _ = load_record(first_line.strip())
    return isinstance(row, dict) and row.keys() >= KEYS


def parse(block: Block, columns: Mapping[str, Column], source: str) -> Parsed:
    """Turn originals into columns."""
    good: dict[int, dict[str, Any]] = {}
    cells: dict[int, dict[str, Any]] = {}
    faults: list[Fault] = []
    for position in range(len(block)):
        row, found = load_record(block[position], block.encoding)
        verdict = found or _find_spoilt(row) or _judge(row, columns)
        if isinstance(verdict, list):
            faults += [Fault(position, *reason) for reason in verdict]
        else:
            (good if _format(row) in _JSON else cells)[position] = verdict
    fitted, misfits = _fit_cells(cells, columns)
    whole = Piece(make_frame(good.values(), columns), np.array(list(good), dtype=np.int64))
    return merge([whole, fitted], faults + misfits)


def original(block: Block, position: int) -> Any:
    """Return the original as it stands in its line; the line itself where it has none."""
    try:
        return jsonl.load_original(block[position], jsonl.DEPTH + 1)["original"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return jsonl.original(block, position)


def format_of(block: Block, position: int) -> str:
    """Return the format of the file in which an original stood first."""
    row, _ = load_record(block[position])
    return _format(row) if isinstance(row, dict) else "jsonl"


def _format(row: dict[str, Any]) -> str:
    return str(row.get("format") or "jsonl")


def _judge(row: dict[str, Any], columns: Mapping[str, Column]) -> Verdict:
    """Judge an original that is JSON; of another one, return the cells that the schema wants."""
    found, kind = row["original"], _format(row)
    if kind not in _JSON:
        return {name: _read_cell(found.get(name), kind) for name in columns}
    if not isinstance(found, str):
        return fit_record(found, columns)
    verdict = judge(found.encode("utf-8", "surrogateescape"), columns, _encoding(row))
    was_text = isinstance(verdict, list) and row.get("reason") == "json:not_an_object"
    return fit_record(found, columns) if was_text else verdict


def _find_spoilt(row: Any) -> list[Reason]:
    """Return why an original is no record yet: what was said before, where it is not in the form of a record."""
    if not isinstance(row, dict) or "original" not in row:
        return [
            ("json:not_an_object", "found no object with `original` in it, expected a line of a file of rejected rows")
        ]
    found, kind = row["original"], _format(row)
    if kind in _JSON:
        return _repeat(row) if isinstance(found, str) and str(row.get("reason")).endswith(":record_size") else []
    if not isinstance(found, dict):
        return _repeat(row)
    texts = [value for value in found.values() if isinstance(value, str)]
    if any(map(LONE_SURROGATE.search, texts)):
        return [(f"encoding:{_encoding(row)}", "bytes that do not decode are still in the original")]
    if kind in _CSV and any("\0" in text for text in texts):
        return [("csv:nul_byte", "a NUL byte is still in the original")]
    if kind in _CSV and texts and texts[0].startswith("\ufeff"):
        return [("encoding:bom", "a byte order mark is still in the original")]
    return []


def _repeat(row: dict[str, Any]) -> list[Reason]:
    reasons = row.get("reasons") or [row.get("reason")]
    detail = f"{row.get('detail')} (still so: write the original as an object of columns and their values)"
    return [(str(reason), detail) for reason in reasons]


def _encoding(row: dict[str, Any]) -> str:
    stage, _, name = str(row.get("reason")).partition(":")
    return name if stage == "encoding" and name != "bom" else "utf-8"


def _read_cell(value: Any, kind: str) -> Any:
    return (as_written(value) or None) if kind in _CSV and not isinstance(value, list | dict) else value


def _fit_cells(cells: dict[int, dict[str, Any]], columns: Mapping[str, Column]) -> tuple[Piece, list[Fault]]:
    """Cast what is text, and fit what is not."""
    places = np.array(list(cells), dtype=np.int64)
    series, faults = [], []
    for name, column in columns.items():
        values = [record[name] for record in cells.values()]
        texts = pl.DataFrame({name: [value if type(value) is str else None for value in values]}, {name: pl.String})
        frame, misfits = cast_text(texts, {name: column})
        fitted, more = _fit_others(values, frame[name], column)
        series.append(fitted)
        faults += [fault._replace(position=int(places[fault.position])) for fault in [*misfits, *more]]
    keep = ~np.isin(places, [fault.position for fault in faults])
    return Piece(pl.DataFrame(series).filter(keep), places[keep]), faults


def _fit_others(values: list[Any], fitted: pl.Series, column: Column) -> tuple[pl.Series, list[Fault]]:
    faults, whole = [], fitted.to_list()
    for row, value in enumerate(values):
        try:
            whole[row] = whole[row] if type(value) is str else fit_value(value, column)
        except Misfit as problem:
            faults.append(Fault(row, f"{fitted.name}:dtype", f"{fitted.name}: {problem}"))
    return pl.Series(fitted.name, whole, dtype=fitted.dtype), faults
