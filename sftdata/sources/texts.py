"""Read plain texts, or pairs of them, out of a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftdata.errors import UsageError
from sftdata.settings.sources import SourceSettings
from sftdata.sources import FORMATS, find_sources, read_chunks


def read_texts(file: Path) -> tuple[list[str] | list[list[str]], list[str] | None]:
    """Return the texts of a file, and the second texts where it has them.

    A table, which its name tells (`.csv`, `.jsonl`, `.parquet` and so on), has them in the columns `text` and
    `text_pair`, or as lists of words in the column `tokens`, where there is no `text`; any other file has one text a
    line, and lines without any are left out.

    Raises:
        UsageError: when the file is neither, or a record lacks a text.
        SourceError: when a table cannot be read.
    """
    known = {suffix for format_ in FORMATS.values() for suffix in format_.suffixes}
    if not known.intersection(suffix.lower() for suffix in file.suffixes):
        return _read_lines(file), None
    records = list(_read_records(file))
    if records and all("tokens" in record and "text" not in record for record in records):
        return [_check_words(record["tokens"], number, file) for number, record in enumerate(records, start=1)], None
    if not any("text_pair" in record for record in records):
        return _take(records, "text", file), None
    return _take(records, "text", file), _take(records, "text_pair", file)


def _read_lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as cause:
        raise UsageError(f"{file} is not UTF-8 text: {cause.reason} at byte {cause.start}") from None


def _read_records(file: Path) -> Iterator[dict[str, Any]]:
    for source in find_sources([SourceSettings(path=str(file))]):
        for chunk in read_chunks(source):
            for position in range(len(chunk)):
                record = chunk.original(position)
                yield record if isinstance(record, dict) else {}


def _take(records: list[dict[str, Any]], name: str, file: Path) -> list[str]:
    texts = [record.get(name) for record in records]
    wrong = next((number for number, text in enumerate(texts, start=1) if not isinstance(text, str)), None)
    if wrong is not None:
        found = ", ".join(records[wrong - 1]) or "no columns"
        raise UsageError(f"{file}, record {wrong}: found no text in a column '{name}', but {found}")
    return texts  # type: ignore[return-value]  # each was looked at


def _check_words(words: Any, number: int, file: Path) -> list[str]:
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        return words
    raise UsageError(f"{file}, record {number}: found no list of words in the column 'tokens', but {words!r:.80}")
