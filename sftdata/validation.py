"""Validate files against a schema: every row, every reason, nothing written but the rejected rows if asked."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftdata.errors import NothingToWrite, OutputError
from sftdata.ledger import check_limit
from sftdata.recipe import SourceSettings
from sftdata.schema import Schema, load_schema
from sftdata.screening import Screened, rejection_line, screen
from sftdata.sources import Source, find_sources

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
        examples: the first rejected rows, as `rejected.jsonl` has them.
    """

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's document."""
        files = [{"path": path, **counts} for path, counts in self.files.items()]
        counts = {"rows": self.rows, "accepted": self.accepted, "rejected": self.rejected}
        return {**counts, "reasons": dict(sorted(self.reasons.items())), "files": files}

    def check_limit(self, limit: float, kept_in: str | None = None) -> None:
        """Refuse the data when more than `limit` rows are rejected: a share when it is a float, else a number.

        Raises:
            TooManyRejected: with the most frequent reasons.
        """
        check_limit(self.rows, self.rejected, limit, dict(self.reasons), kept_in)

    def add(self, screened: Screened) -> None:
        """Count one chunk."""
        counts = {"rows": screened.read, "accepted": len(screened.kept), "rejected": len(screened.rejected)}
        of_file = self.files[screened.source]
        for name, count in counts.items():
            of_file[name] += count
            setattr(self, name, getattr(self, name) + count)
        self.reasons.update(reason for reasons in screened.rejected["reasons"].to_list() for reason in reasons)


def validate(
    files: Sequence[str | Path],
    schema: Schema | str | Path,
    *,
    rejected: Path | None = None,
    workers: int = 1,
    watch: Callable[[int], None] = lambda read: None,
) -> ValidationReport:
    """Check every row of `files`.

    Args:
        files: paths, globs or directories.
        schema: a schema, a schema file, or the name of one that ships.
        rejected: where rejected rows go, one JSON line each; written aside and renamed.
        workers: processes to use.
        watch: called with the number of rows of each chunk.

    Raises:
        SchemaError: when the schema is faulty.
        SourceError: when a file is missing or cannot be read.
        OutputError: when `rejected` cannot be written, or is one of `files`.
        NothingToWrite: when there is no record at all.
    """
    judge = schema if isinstance(schema, Schema) else load_schema(schema)
    sources = find_sources([SourceSettings(path=str(file)) for file in files])
    report = ValidationReport(
        files={source.name: dict.fromkeys(("rows", "accepted", "rejected"), 0) for source in sources}
    )
    refuse_overwriting(rejected, sources)
    with lines_aside(rejected) as write:
        for screened in screen(sources, judge, workers):
            report.add(screened)
            for row, original in zip(screened.rejected.to_dicts(), screened.originals, strict=True):
                write(rejection_line(row, original))
                if len(report.examples) < EXAMPLES:
                    report.examples.append({**row, "original": original})
            watch(screened.read)
        require_records(report.rows, list(report.files))
    return report


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


@contextmanager
def lines_aside(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Give a function that writes lines; the file appears under its name when all are written.

    Raises:
        OutputError: when the file cannot be written.
    """
    if path is None:
        yield lambda line: None
        return
    aside = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as file:
            yield file.write
        aside.replace(path)
    except OSError as cause:
        raise OutputError(f"{path} cannot be written: {cause.strerror or cause}") from None
    finally:
        with suppress(OSError):  # gone by the rename, or never made
            aside.unlink()
