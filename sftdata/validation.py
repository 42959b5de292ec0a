"""Validate files or a frame against a schema: every row, every reason; only rejected rows are written, if asked."""

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from sftdata.engine import Watch
from sftdata.errors import NothingToWrite, OutputError, SourceError
from sftdata.ledger import check_limit
from sftdata.records import RAW_PROVENANCE
from sftdata.rejections import Rejected, describe_repeated, file_aside, merge_rejected, write_rejected
from sftdata.schema import Schema, read_schema
from sftdata.screening import Screened, all_chunks, check_chunk, screen
from sftdata.settings.sources import SourceSettings
from sftdata.sources import expected_bytes, find_sources
from sftdata.sources.source import Source
from sftdata.uniqueness import Uniqueness

EXAMPLES = 10
"""Rejected rows that a report keeps to show."""


@dataclass(repr=False)
class ValidationReport:
    """What validation found. `accepted_rows` and `rejected_rows` are the rows themselves.

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
    _judged: "Judged | None" = field(default=None, compare=False)

    def __repr__(self) -> str:
        reasons = [f"{count:>8,}  {reason}" for reason, count in self.reasons.most_common()]
        return "\n".join([f"{self.rows:,} rows: {self.accepted:,} accepted, {self.rejected:,} rejected", *reasons])

    @cached_property
    def accepted_rows(self) -> Any:
        """The rows that satisfy the schema, in order.

        Of a frame its own rows, all columns, as a frame of its kind (pyarrow where that is not polars, pandas or
        pyarrow). Of files a polars DataFrame with the schema's columns; they are read again, into memory.

        Raises:
            SourceError: a file was changed since it was validated.
        """
        return self._judge().take_accepted(self.rejected_rows)

    @cached_property
    def rejected_rows(self) -> pl.DataFrame:
        """The rows that do not: `source`, `record` (from 1), `reason`, `reasons`, `detail` and `original` (JSON).

        The sources are judged again, so that a report of files stays small however many rows are rejected.

        Raises:
            SourceError: a file was changed since it was validated.
        """
        return self._judge().take_rejected(self.rejected)

    def _judge(self) -> "Judged":
        if self._judged is None:
            raise ValueError("this report was made without sources, expected one that `validate` returned")
        return self._judged

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


@dataclass(frozen=True)
class Judged:
    """What a report was made from, so that its rows can be had.

    Attributes:
        sources: where rows come from.
        schema: what they were checked against.
        frame: what the caller gave, where that is a frame.
    """

    sources: Sequence[Source]
    schema: Schema
    frame: Any = None

    def take_rejected(self, expected: int) -> pl.DataFrame:
        """Judge the rows again and keep those that are rejected."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "rejected.jsonl"
            found = _validate(self, path, workers=1, watch=lambda stage, done, total: None)
            with path.open(encoding="utf-8") as lines:
                rows = [_as_row(json.loads(line)) for line in lines]
        if found.rejected != expected:
            raise SourceError(f"{found.rejected} rows are rejected now, {expected} were before: a source was changed")
        return pl.DataFrame(rows, schema=_REJECTED)

    def take_accepted(self, rejected: pl.DataFrame) -> Any:
        """Return the rows that are not among the rejected."""
        if self.frame is not None:
            from sftdata.sources import frame

            bad = rejected["record"] - 1
            return frame.drop_rows(self.frame, self.sources[0].frame, bad)
        lost = rejected.select(pl.col("source").alias("@source"), pl.col("record").alias("@record"))
        parts = [check_chunk(chunk, self.schema).named(chunk) for chunk in all_chunks(self.sources)]
        kept = pl.concat(parts).join(lost, on=["@source", "@record"], how="anti", maintain_order="left")
        return kept.drop([name for name in RAW_PROVENANCE if name in kept.columns])


_Named = str | Path | SourceSettings

_REJECTED = {
    "source": pl.String(),
    "record": pl.Int64(),
    "reason": pl.String(),
    "reasons": pl.List(pl.String),
    "detail": pl.String(),
    "original": pl.String(),
}


def _as_row(line: Rejected) -> dict[str, Any]:
    original = json.dumps(line["original"], ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    return {name: original if name == "original" else line[name] for name in _REJECTED}


def validate(
    data: Any,
    schema: Any,
    *,
    rejected: str | Path | None = None,
    workers: int = 1,
    watch: Watch = lambda stage, done, total: None,
) -> ValidationReport:
    """Check every row of files or of a frame.

    Args:
        data: a path, glob or directory, or a list of them; in place of a path settings that say more about a source.
            Or a frame: of polars, pandas, pyarrow, `datasets`, or anything else that gives Arrow.
        schema: a schema, a schema file, the name of one that ships, `module:name` of a schema or model of
            `pandera.polars`, or such an object itself.
        rejected: where rejected rows go, one JSON line each; written aside and renamed.
        workers: processes to use.
        watch: told about progress.

    Raises:
        SchemaError: when the schema is faulty.
        SourceError: when a file is missing or cannot be read, or `data` is neither files nor a frame.
        OutputError: when `rejected` cannot be written, or is one of the files.
        NothingToWrite: when there is no record at all.
    """
    judge = read_schema(schema)
    if isinstance(data, _Named):
        data = [data]
    if isinstance(data, Sequence) and all(isinstance(one, _Named) for one in data):
        settings = [one if isinstance(one, SourceSettings) else SourceSettings(path=str(one)) for one in data]
        judged = Judged(find_sources(settings), judge)
    else:
        from sftdata.sources import frame

        judged = Judged([frame.make_source(data)], judge, data)
    report = _validate(judged, Path(rejected) if rejected else None, workers, watch)
    report._judged = judged
    return report


def _validate(judged: Judged, rejected: Path | None, workers: int, watch: Watch) -> ValidationReport:
    sources, judge = judged.sources, judged.schema
    report = ValidationReport(
        files={source.name: dict.fromkeys(("rows", "accepted", "rejected"), 0) for source in sources}
    )
    refuse_overwriting(rejected, sources)
    uniqueness, done, total = Uniqueness(), 0, sum(map(expected_bytes, sources))
    watch("validate", 0, total)
    with file_aside(rejected) if rejected else nullcontext() as aside:
        writing = aside.open("w", encoding="utf-8") if aside else nullcontext()
        with writing as lines, closing(screen(sources, judge, workers)) as screening:
            for screened in screening:
                report.add(screened)
                uniqueness.add(screened.source, screened.keys)
                if lines:
                    write_rejected(lines, screened.rejected)
                done += screened.bytes
                watch("validate", done, total)
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
