"""Read the rows that a query selects: from SQLite through the standard library, from other databases by SQLAlchemy.

The database is never written to: SQLite is opened read-only and allowed to select and nothing else; elsewhere the
query runs in a transaction that is rolled back.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from sftdata.errors import SourceError
from sftdata.manifest import digest_file
from sftdata.settings.sources import SourceSettings
from sftdata.sources import parsing
from sftdata.sources.batches import original as original
from sftdata.sources.columns import parse as parse
from sftdata.sources.source import Slice, Source

SQLITE = "sqlite:///"
BATCH_ROWS = 1000
"""Rows that are asked of a server at a time."""
ROWS_AT_ONCE = 100
"""Rows that are taken before their size is looked at."""


def find(setting: SourceSettings, base: Path) -> tuple[Path | None, str]:
    """Return the file of an SQLite database, None for another one, and the name of the source.

    The name is the database without user and password, and a digest of the query.

    Raises:
        SourceError: when `uri` is no address of a database or `query` is not a SELECT.
    """
    uri, query = str(setting.uri), str(setting.query)
    if "://" not in uri or (uri.startswith("sqlite") and (not _is_sqlite(setting) or uri == SQLITE)):
        raise SourceError(f"uri: found {uri!r}, expected sqlite:///FILE (a fourth slash begins an absolute path)")
    name = f"{anonymize(uri)}?{hashlib.sha256(query.encode()).hexdigest()[:8]}"
    if not _SELECT.match(query):
        raise SourceError(f"{name}: found the query {query!r}, expected a SELECT")
    return base / uri.removeprefix(SQLITE) if _is_sqlite(setting) else None, name


_SELECT = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:SELECT|WITH|VALUES)\b", re.IGNORECASE | re.DOTALL)
_ORDER = re.compile(r"\bORDER\s+BY\b", re.IGNORECASE)


def _is_sqlite(setting: SourceSettings) -> bool:
    return str(setting.uri).startswith(SQLITE)


def anonymize(uri: str) -> str:
    """Return an address without user, password and options."""
    if uri.startswith(SQLITE):
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def identify(source: Source) -> tuple[int, str]:
    """Return the size of an SQLite database and a digest of it and the query; for others 0 and a digest of the name."""
    journal = source.path.with_name(source.path.name + "-wal")  # what is not yet in the file itself
    files = [source.path] if _is_sqlite(source.settings) else []
    files += [journal] if files and journal.is_file() and journal.stat().st_size else []  # readers leave an empty one
    digest = hashlib.sha256("\n".join([source.name, *map(digest_file, files)]).encode()).hexdigest()
    return sum(file.stat().st_size for file in files), f"sha256:{digest}"


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of the rows that the query selects.

    Raises:
        SourceError: when the database cannot be opened, the query is none, or it fails, be it half-way.
    """
    setting = source.settings
    query = str(setting.query)
    opened = _open_sqlite(source.path, query) if _is_sqlite(setting) else _open_server(str(setting.uri), query)
    with opened as (names, rows):
        found = {} if _ORDER.search(query) else {"order": "the query has no ORDER BY, so record numbers may change"}
        for columns, size in _divide(rows, len(names)):
            yield Slice(pa.RecordBatch.from_arrays(list(map(to_array, columns)), names=names), size, found)


def to_array(cells: list[Any]) -> pa.Array:
    """Return the cells of a column as Arrow has them; a union where they are of several types, as SQLite allows."""
    kinds = sorted({type(cell) for cell in cells} - {type(None)}, key=lambda kind: kind.__name__)
    if len(kinds) <= 1:
        return _to_plain_array(cells, kinds[0] if kinds else None)
    children = [_to_plain_array([cell if type(cell) is kind else None for cell in cells], kind) for kind in kinds]
    places = [kinds.index(type(cell)) if cell is not None else 0 for cell in cells]
    return pa.UnionArray.from_sparse(pa.array(places, pa.int8()), children)


def _to_plain_array(cells: list[Any], kind: type | None) -> pa.Array:
    if kind in (dict, list):
        cells, kind = [cell if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells], str
    try:
        return pa.array(cells, pa.large_string() if kind is str else None)
    except UnicodeEncodeError:  # bytes that are not UTF-8; they are told where the row is parsed
        encoded = [cell if cell is None else cell.encode("utf-8", "surrogateescape") for cell in cells]
        return pa.array(encoded, pa.large_binary()).view(pa.large_string())
    except (pa.ArrowException, OverflowError):  # a type of the driver's own
        return pa.array([cell if cell is None else str(cell) for cell in cells], pa.large_string())


def _divide(rows: Iterator[Any], width: int) -> Iterator[tuple[list[list[Any]], int]]:
    """Yield the columns of some rows, and about how many bytes they take."""
    columns: list[list[Any]] = [[] for _ in range(width)]
    size = 0
    while some := list(islice(rows, min(ROWS_AT_ONCE, parsing.CHUNK_ROWS - len(columns[0])))):
        for column, cells in zip(columns, zip(*some, strict=True), strict=True):
            column.extend(cells)
        size += len(repr(some))  # of all ways to measure rows of any type the quickest
        if len(columns[0]) >= parsing.CHUNK_ROWS or size >= parsing.CHUNK_BYTES:
            yield columns, size
            columns, size = [[] for _ in range(width)], 0
    if columns[0]:
        yield columns, size


@contextmanager
def _open_sqlite(path: Path, query: str) -> Iterator[tuple[list[str], Iterator[Any]]]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            rows = connection.execute(query)
            yield [column[0] for column in rows.description], rows
    except (sqlite3.Error, sqlite3.Warning) as problem:
        raise SourceError(f"{path}: SQLite refuses: {problem}; the query: {query}") from None


@contextmanager
def _open_server(uri: str, query: str) -> Iterator[tuple[list[str], Iterator[Any]]]:
    try:
        import sqlalchemy
    except ImportError:
        raise SourceError(f"{anonymize(uri)}: a database other than SQLite needs: pip install 'sftdata[sql]'") from None
    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)  # closes what it opened
        with engine.connect() as connection:  # rolls back when it ends
            options = {"stream_results": True, "yield_per": BATCH_ROWS, "postgresql_readonly": True}
            rows = connection.execution_options(**options).exec_driver_sql(query)
            yield list(rows.keys()), iter(rows)
    except ModuleNotFoundError as problem:
        raise SourceError(f"{anonymize(uri)}: install the driver of this database: {problem.name}") from None
    except sqlalchemy.exc.SQLAlchemyError as problem:
        first = str(getattr(problem, "orig", None) or problem).strip().partition("\n")[0]
        raise SourceError(f"{anonymize(uri)}: the database refuses: {first}; the query: {query}") from None
