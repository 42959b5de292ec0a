"""What a source is, and what a reader of a format gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sftdata.settings.sources import SourceSettings


@dataclass(frozen=True)
class Source:
    """One file, or one table that is no file.

    Attributes:
        path: where it lies; the folder that relative paths start from where it is no file.
        name: how the recipe or the command calls it; the same on any machine.
        id: eight hexadecimal digits from the name; the part of a row id before the colon.
        format: a key of `FORMATS`.
        settings: what the recipe or the command says about it.
        frame: the rows as an Arrow table, where they are in memory; it stays here when the source is pickled, for each
            chunk brings its own part of them.
    """

    path: Path
    name: str
    id: str
    format: str
    settings: SourceSettings = field(default_factory=lambda: SourceSettings(path="-"))
    frame: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "frame": None}


class Slice(NamedTuple):
    """A fixed slice of a source, as its reader gives it.

    Attributes:
        content: the records, not yet parsed; `len` gives their number.
        bytes: how much of the file it covers, roughly; for progress.
        found: what was found out about the file, such as its encoding; for people.
    """

    content: Any
    bytes: int
    found: Mapping[str, str] = {}
