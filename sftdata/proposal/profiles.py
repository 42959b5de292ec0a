"""What the values of a column are: their dtype, how many there are of each, how long they are."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sftdata.column import names_one
from sftdata.proposal.names import TURN_KEYS
from sftdata.records import RAW_PROVENANCE
from sftdata.sources.values import as_written

FAULTY = 0.01
"""A share of values up to which what does not fit is taken for faults, not for another kind of column."""


@dataclass(frozen=True)
class Profile:
    """One column of the sample.

    Attributes:
        name: what it is called.
        rows: records of the sample.
        values: the values of those that have one, in order; JSON, what stands as JSON text in a cell among it.
        typed: whether the format tells numbers from text.
    """

    name: str
    rows: int
    values: Sequence[Any]
    typed: bool

    @property
    def missing(self) -> int:
        """How many records have no value."""
        return self.rows - len(self.values)

    @cached_property
    def dtype(self) -> str:
        """The first of a schema's dtypes that nearly all values are of; `str` where there is no value.

        Nothing looks like a conversation by chance, so where most rows are one, the others are faults.
        """
        if not self.values:
            return "str"
        talks = sum(map(_is_conversation_of_any_keys, self.values)) > len(self.values) / 2
        known = _TYPED if self.typed else _WRITTEN
        return next((dtype for dtype, fits in known if self._mostly(fits)), "messages" if talks else "json")

    @property
    def coerce(self) -> bool:
        """Whether numbers or booleans stand where text is taken."""
        return self.typed and not all(isinstance(value, str) for value in self.values)

    @cached_property
    def turn_keys(self) -> tuple[str, str]:
        """What turns call their role and content, for a column of conversations."""
        return max(TURN_KEYS, key=lambda keys: sum(_is_conversation(value, keys) for value in self.values))

    @property
    def is_date(self) -> bool:
        """Whether nearly all values are dates or times, as people write them."""
        return self.dtype == "str" and bool(self.texts) and self._mostly(lambda value: bool(_DATE.match(str(value))))

    def _mostly(self, fits: Callable[[Any], bool]) -> bool:
        return sum(not fits(value) for value in self.values) <= FAULTY * len(self.values)

    @cached_property
    def texts(self) -> list[str]:
        """The values that are not lists or objects, as text."""
        return [as_written(value) for value in self.values if not isinstance(value, list | dict)]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each of the texts stands there, the most frequent first, then by name."""
        return _count(self.texts)

    @cached_property
    def entries(self) -> dict[str, int]:
        """How often each entry of the lists stands there, the most frequent first, then by name."""
        lists = (value for value in self.values if isinstance(value, list))
        return _count(entry for entries in lists for entry in entries if isinstance(entry, str))

    @cached_property
    def length(self) -> float:
        """How many characters the texts have on average."""
        return sum(map(len, self.texts)) / max(1, len(self.texts))

    @property
    def is_distinct(self) -> bool:
        """Whether every record has a value, and each another one."""
        return not self.missing and len(self.texts) == self.rows == len(self.counts)

    @property
    def is_label(self) -> bool:
        """Whether the values look like labels: short, few, and each again and again."""
        short = max(map(len, self.counts), default=99) <= 60
        few = 2 <= len(self.counts) <= min(500, len(self.texts) / 3)
        return self.dtype in ("str", "int", "bool") and short and few and not self.is_date

    @property
    def is_prose(self) -> bool:
        """Whether the values look like text that a model could learn from: not short, and seldom twice the same."""
        wide = sum(len(text) != len(text.encode("utf-8", "replace")) for text in self.texts) * 2 > len(self.texts)
        return self.dtype == "str" and self.length >= (8 if wide else 20) and 3 * len(self.counts) >= len(self.texts)

    @property
    def is_nested_conversation(self) -> bool:
        """Whether turns stand in lists inside a list."""
        lists = [value for value in self.values if isinstance(value, list)]
        inner = [entry for value in lists for entry in value if isinstance(entry, list)]
        return bool(inner) and all(map(_is_conversation_of_any_keys, inner[:1000]))


def profile_columns(records: Sequence[Mapping[str, Any]], source_format: str) -> dict[str, Profile]:
    """Look at each column that the records have, in the order in which they come up.

    Args:
        records: JSON values; where the format knows text alone, null or empty text is no value.
        source_format: a key of `FORMATS`.
    """
    typed = source_format not in ("csv", "tsv")
    names = [name for name in dict.fromkeys(name for record in records for name in record) if _is_usable(name)]
    profiles = {}
    for name in names:
        values = [value for record in records if (value := record.get(name)) is not None and (typed or value != "")]
        if source_format not in ("json", "jsonl"):
            values = _decode(_drop_nan(values))
        profiles[name] = Profile(name, len(records), values, typed)
    return profiles


def _is_usable(name: str) -> bool:
    """Tell whether a schema can name a column: it has a name for UTF-8, and not one of those that sftdata adds."""
    return len(name) <= 200 and names_one(name) and name not in RAW_PROVENANCE and _is_utf8(name)


def _is_utf8(text: str) -> bool:
    return text.isascii() or text.encode("utf-8", "replace").decode() == text


def _drop_nan(values: list[Any]) -> list[Any]:
    """Leave out what is no number among numbers; `original` gives it as text."""
    return [value for value in values if value != "nan"] if any(type(value) is float for value in values) else values


def _decode(values: list[Any]) -> list[Any]:
    """Return what cells of text hold, where they hold lists or objects as JSON."""
    first = next(iter(values), None)
    if not isinstance(first, str) or not first.lstrip().startswith(("[", "{")):
        return values
    decoded = [decode_cell(value) for value in values]
    return decoded if sum(isinstance(value, str) for value in decoded) <= FAULTY * len(values) else values


def decode_cell(cell: Any) -> Any:
    """Return what a cell of text holds, where that is a list or an object as JSON; any other value as it is."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _count(texts: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0])))


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_float(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= 2**53)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(_is_strings(pair) and len(pair) == 2 for pair in value)


def _is_conversation(value: Any, keys: tuple[str, str]) -> bool:
    return isinstance(value, list) and all(
        isinstance(turn, dict) and isinstance(turn.get(keys[0]), str) and keys[1] in turn for turn in value
    )


def _is_conversation_of_any_keys(value: Any) -> bool:
    return any(_is_conversation(value, keys) for keys in TURN_KEYS)


_DATE = re.compile(r"\d{4}[-/.年]\d{1,2}([-/.月]\d{1,2}|月$)|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}(\D|$)")
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")

_LISTS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("list[str]", _is_strings),
    ("pairs", _is_pairs),
    ("messages", _is_conversation_of_any_keys),
)

_TYPED: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("bool", lambda value: isinstance(value, bool)),
    ("int", _is_int),
    ("float", _is_float),
    ("str", lambda value: isinstance(value, str | int | float)),
    *_LISTS,
)

_WRITTEN: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("bool", lambda value: isinstance(value, str) and value.lower() in ("true", "false")),
    ("int", lambda value: isinstance(value, str) and _INT.fullmatch(value) is not None),
    ("float", lambda value: isinstance(value, str) and _FLOAT.fullmatch(value) is not None),
    ("str", lambda value: isinstance(value, str)),
    *_LISTS,
)
