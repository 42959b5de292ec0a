"""Find the files that rows come from, and read them in fixed slices.

A format is three functions (`Format`): read a file in slices, parse a slice into columns, give back one record as it
stood. To read another format, add one entry to `FORMATS`.
"""

import glob
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sftdata.errors import SourceError
from sftdata.recipe import SourceSettings
from sftdata.schema import Column
from sftdata.sources import csv, jsonl, parquet
from sftdata.sources.parsing import Parsed


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        path: where it lies.
        name: how the recipe or the command calls it; the same on any machine.
        id: eight hexadecimal digits from the name; the part of a row id before the colon.
        format: a key of `FORMATS`.
    """

    path: Path
    name: str
    id: str
    format: str


@dataclass(frozen=True)
class Chunk:
    """A fixed slice of one source: records as read, not yet parsed.

    Attributes:
        source: the file.
        first_record: number of the first record; data records count from 1.
        content: what the format's `read` gave.
        bytes: how much of the file this slice covers, roughly; for progress.
    """

    source: Source
    first_record: int
    content: Any
    bytes: int

    def __len__(self) -> int:
        return len(self.content)

    def parse(self, columns: Mapping[str, Column]) -> Parsed:
        """Turn the slice into typed columns and faults."""
        return FORMATS[self.source.format].parse(self.content, columns, self.source.name)

    def original(self, position: int) -> Any:
        """Return the record at `position` of the slice as it stood in the file, as a JSON value."""
        return FORMATS[self.source.format].original(self.content, position)


class Format(NamedTuple):
    """How one file format is read."""

    suffixes: tuple[str, ...]
    read: Callable[[Path], Iterator[tuple[Any, int]]]
    parse: Callable[[Any, Mapping[str, Column], str], Parsed]
    original: Callable[[Any, int], Any]


FORMATS: dict[str, Format] = {
    "csv": Format((".csv", ".csv.gz"), csv.read, csv.parse, csv.original),
    "tsv": Format((".tsv", ".tsv.gz"), csv.read_tabs, csv.parse, csv.original),
    "jsonl": Format((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"), jsonl.read, jsonl.parse, jsonl.original),
    "parquet": Format((".parquet",), parquet.read, parquet.parse, parquet.original),
}


def find_sources(settings: Iterable[SourceSettings], base: Path = Path()) -> list[Source]:
    """Find every file that `settings` names, in their order; the files of a glob or directory in order of name.

    Raises:
        SourceError: with everything that is missing, of no known format, or named twice, at once.
    """
    sources: list[Source] = []
    faults: list[str] = []
    for setting in settings:
        for pattern in [setting.path] if isinstance(setting.path, str) else setting.path:
            names = _expand(pattern, base, setting.format)
            if not names:
                faults.append(_why_nothing(pattern, base))
            for name in names:
                found = setting.format or _format_of(name)
                if found is None:
                    faults.append(f"{name}: no known format by its name; known: {_known()}; or give `format`")
                else:
                    sources.append(_source(base, name, found))
    faults += [f"{path}: named more than once" for path in _repeated(str(s.path.resolve()) for s in sources)]
    faults += [
        f"the id {i} stands for two files; rename one" for i in _repeated({s.name: s.id for s in sources}.values())
    ]
    if faults:
        raise SourceError("\n".join(["sources that cannot be read:", *(f"  {fault}" for fault in faults)]))
    return sources


def read_chunks(source: Source) -> Iterator[Chunk]:
    """Read a file in fixed slices, in order.

    Raises:
        SourceError: when the file cannot be read at all.
    """
    record = 1
    try:
        for content, size in FORMATS[source.format].read(source.path):
            yield Chunk(source, record, content, size)
            record += len(content)
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(f"{source.name} cannot be read: {cause}") from None


def read_originals(sources: Sequence[Source], wanted: pl.DataFrame) -> dict[tuple[str, int], Any]:
    """Read again, as they stood, the records that `wanted` names in its columns `source` and `record`."""
    found: dict[tuple[str, int], Any] = {}
    for source in sources:
        records = wanted.filter(pl.col("source") == source.name)["record"].sort().to_list()
        if not records:
            continue
        for chunk in read_chunks(source):
            inside = [r for r in records if chunk.first_record <= r < chunk.first_record + len(chunk)]
            found |= {(source.name, record): chunk.original(record - chunk.first_record) for record in inside}
            if records[-1] < chunk.first_record + len(chunk):
                break
    return found


def _expand(pattern: str, base: Path, known_format: str | None) -> list[str]:
    path = base / pattern
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        return [(Path(pattern) / name).as_posix() for name in names if known_format or _format_of(name)]
    if path.is_file():
        return [Path(pattern).as_posix()]
    names = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207  # Path.glob refuses absolute patterns
    return [Path(name).as_posix() for name in names if (base / name).is_file()]


def _why_nothing(pattern: str, base: Path) -> str:
    if (base / pattern).is_dir():
        return f"{base / pattern}: a directory without a file of a known format; known: {_known()}"
    kind = "no file matches" if glob.has_magic(pattern) else "no such file"
    return f"{base / pattern}: {kind}"


def _source(base: Path, name: str, found: str) -> Source:
    return Source(base / name, name, hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8], found)


def _format_of(name: str) -> str | None:
    lower = name.lower()
    return next((key for key, known in FORMATS.items() if lower.endswith(known.suffixes)), None)


def _known() -> str:
    return ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)


def _repeated(values: Iterable[str]) -> list[str]:
    seen: dict[str, int] = {}
    for value in values:
        seen[value] = seen.get(value, 0) + 1
    return [value for value, count in seen.items() if count > 1]
