"""Validate files against a schema: every row, every reason, nothing written but the rejected rows if asked."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from sftdata.errors import NothingToWrite, OutputError
from sftdata.ledger import check_limit
from sftdata.rejections import Rejected, describe_repeated, file_aside, merge_rejected, write_rejected
from sftdata.schema import read_schema
from sftdata.screening import Screened, screen
from sftdata.settings.sources import SourceSettings
from sftdata.sources import find_sources
from sftdata.sources.source import Source
from sftdata.uniqueness import Uniqueness

EXAMPLES = 10
"""Rejected rows that a report keeps to show."""


@dataclass
class ValidationReport:
    """What validation found.

    Attributes:
        rows: records read.
        accepted: records that satisfy the schema.
        rejected: records that do not.
        reasons: how many rows each `column:check` rejects; a row counts once for each of its reasons.
        files: the same counts a file.
        found: what was found out about each file, such as its encoding.
        examples: the first rejected rows, as `rejected.jsonl` has them.
    """

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    found: dict[str, dict[str, str]] = field(default_factory=dict)
    examples: list[Rejected] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's document."""
        files = [{"path": path, **counts, **self.found.get(path, {})} for path, counts in self.files.items()]
        counts = {"rows": self.rows, "accepted": self.accepted, "rejected": self.rejected}
        return {**counts, "reasons": dict(sorted(self.reasons.items())), "files": files}

    def check_limit(self, limit: float, kept_in: str | None = None, *, tell_reasons: bool = True) -> None:
        """Refuse the data when more than `limit` rows are rejected: a share when it is a float, else a number.

        Raises:
            TooManyRejected: with the most frequent reasons, unless they were told already.
        """
        check_limit(self.rows, self.rejected, limit, dict(self.reasons) if tell_reasons else {}, kept_in)

    def add(self, screened: Screened) -> None:
        """Count one chunk."""
        self.rows += screened.read
        self.accepted += screened.read
        self.files[screened.source]["rows"] += screened.read
        self.files[screened.source]["accepted"] += screened.read
        self.found[screened.source] = dict(screened.found)
        for row in screened.rejected:
            self.reject(row)

    def reject(self, row: Rejected) -> None:
        """Move one row from the accepted to the rejected."""
        self.rejected += 1
        self.accepted -= 1
        self.files[row["source"]]["rejected"] += 1
        self.files[row["source"]]["accepted"] -= 1
        self.reasons.update(row["reasons"])
        if len(self.examples) < EXAMPLES:
            self.examples.append(row)


def validate(
    files: Sequence[str | Path | SourceSettings],
    schema: Any,
    *,
    rejected: Path | None = None,
    workers: int = 1,
    watch: Callable[[int], None] = lambda read: None,
) -> ValidationReport:
    """Check every row of `files`.

    Args:
        files: paths, globs or directories; or settings that say more about a source.
        schema: a schema, a schema file, the name of one that ships, `module:name` of a schema or model of
            `pandera.polars`, or such an object itself.
        rejected: where rejected rows go, one JSON line each; written aside and renamed.
        workers: processes to use.
        watch: called with the number of rows of each chunk.

    Raises:
        SchemaError: when the schema is faulty.
        SourceError: when a file is missing or cannot be read.
        OutputError: when `rejected` cannot be written, or is one of `files`.
        NothingToWrite: when there is no record at all.
    """
    judge = read_schema(schema)
    sources = find_sources([f if isinstance(f, SourceSettings) else SourceSettings(path=str(f)) for f in files])
    report = ValidationReport(
        files={source.name: dict.fromkeys(("rows", "accepted", "rejected"), 0) for source in sources}
    )
    refuse_overwriting(rejected, sources)
    uniqueness = Uniqueness()
    with file_aside(rejected) if rejected else nullcontext() as aside:
        with aside.open("w", encoding="utf-8") if aside else nullcontext() as lines:
            for screened in screen(sources, judge, workers):
                report.add(screened)
                uniqueness.add(screened.source, screened.keys)
                if lines:
                    write_rejected(lines, screened.rejected)
                watch(screened.read)
        require_records(report.rows, list(report.files))
        repeated = uniqueness.find_repeated()
        if len(repeated):
            late = _reject_repeated(describe_repeated(sources, judge, repeated), repeated, report)
            merge_rejected(aside, late, sources) if aside else deque(late, maxlen=0)
    return report


def _reject_repeated(late: Iterable[Rejected], repeated: pl.DataFrame, report: ValidationReport) -> Iterator[Rejected]:
    """Count rows as they pass that share what may stand once only; some are rejected already."""
    known = set(repeated.filter("already").select("source", "record").iter_rows())
    for row in late:
        if (row["source"], row["record"]) in known:
            report.reasons.update(row["reasons"])
        else:
            report.reject(row)
        yield row


def require_records(count: int, files: Sequence[str]) -> None:
    """Refuse sources that hold no record at all.

    Raises:
        NothingToWrite: naming the files.
    """
    if count == 0:
        raise NothingToWrite(f"no record in {', '.join(files)}: the file is empty or holds a header only")


def refuse_overwriting(path: Path | None, sources: Sequence[Source]) -> None:
    """Refuse to write over a file that is read.

    Raises:
        OutputError: naming it.
    """
    if path and any(path.resolve() == source.path.resolve() for source in sources):
        raise OutputError(f"{path} is one of the files to validate; write the rejected rows elsewhere")
