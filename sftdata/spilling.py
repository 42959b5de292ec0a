"""The first pass of `prepare`: check, clean, decontaminate and sign rows, chunk by chunk, and keep them in files.

Cleaning and augmentation are imported where they are used, for most recipes want neither.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

import polars as pl

from sftdata.engine import map_chunks
from sftdata.records import Task
from sftdata.schema import Schema
from sftdata.screening import THREADS, Screened, all_chunks, check_chunk, describe_screened
from sftdata.sources import Chunk
from sftdata.sources.conversations import to_fields
from sftdata.sources.source import Source
from sftdata.stages.deduplication import Comparison, input_fields, sign_rows
from sftdata.stages.tokenization import weighs_turns
from sftdata.stages.validation import drop_rows
from sftdata.text.fields import join_texts, text_fields
from sftdata.uniqueness import make_keys

if TYPE_CHECKING:
    from sftdata.stages.cleaning import Sample
    from sftdata.stages.decontamination import Evaluation
    from sftdata.text.cleaner import Cleaner


@dataclass(frozen=True)
class Report:
    """What cleaning did to a chunk.

    Attributes:
        changed: how many rows each step changed.
        samples: some of what it changed.
    """

    changed: dict[str, int] = field(default_factory=dict)
    samples: "list[Sample]" = field(default_factory=list)


@dataclass(frozen=True)
class Spilled:
    """The kept rows of a chunk, which lie in a file; `slim` holds what later steps need of them all.

    Attributes:
        file: the rows, in Arrow's format.
        signed_file: what `stages.deduplication.sign_rows` said of them, where duplicates are looked for.
        slim: `row_id`, and where somebody asks for it `label`, `group`, `length` and `key`.
        has_turn_weights: whether a response has another weight than 0 and 1.
    """

    file: Path
    signed_file: Path | None
    slim: pl.DataFrame
    has_turn_weights: bool = False

    def rows(self) -> pl.DataFrame:
        """Return the rows."""
        return pl.read_ipc(self.file)

    def signed(self) -> pl.DataFrame:
        """Return what was said of them for the search for duplicates."""
        return pl.read_ipc(self.signed_file) if self.signed_file else pl.DataFrame()

    def without(self, fallen: pl.Series) -> "Spilled":
        """Take rows away, by row id."""
        keep = ~self.slim["row_id"].is_in(fallen.implode())
        if keep.all():
            return self
        files = [file and _filter_file(file, keep) for file in (self.file, self.signed_file)]
        return replace(self, file=cast("Path", files[0]), signed_file=files[1], slim=self.slim.filter(keep))


def _filter_file(file: Path, keep: pl.Series) -> Path:
    fewer = file.with_suffix(".fewer.arrow")  # not in place: the old file may be mapped into memory
    pl.read_ipc(file).filter(keep).write_ipc(fewer, compression="uncompressed")
    return fewer


@dataclass(frozen=True)
class FirstPass:
    """What a chunk goes through before all rows are known.

    Attributes:
        schema: what its rows are checked against.
        folder: where its rows go.
        cleaner: how texts are cleaned.
        evaluation: texts that no row may repeat.
        comparison: how duplicates are looked for.
        group: the column of the source whose values tell which rows belong together.
        needs_length: whether the split wants the length of the texts.
        needs_key: whether augmentation wants to know the texts again.
    """

    schema: Schema
    folder: Path
    cleaner: "Cleaner | None" = None
    evaluation: "Evaluation | None" = None
    comparison: Comparison | None = None
    group: str | None = None
    needs_length: bool = False
    needs_key: bool = False

    @property
    def task(self) -> Task:
        """What the rows teach."""
        return cast("Task", self.schema.task)

    @property
    def texts(self) -> tuple[str, ...]:
        """The fields that hold text."""
        return text_fields(self.task, has_pairs=self.schema.has_pairs)


def spill(sources: Iterable[Source], first: FirstPass, workers: int = 1) -> Generator[tuple[Screened, Spilled, Report]]:
    """Take all sources through the first pass, in order, and keep the rows in files, so that memory stays bounded."""
    return spill_chunks(all_chunks(sources), first, workers)


def spill_chunks(
    chunks: Iterable[Chunk], first: FirstPass, workers: int = 1
) -> Generator[tuple[Screened, Spilled, Report]]:
    """Take some chunks through the first pass, as `spill` does with all."""
    return map_chunks(partial(_spill_chunk, first=first), chunks, workers, THREADS)


def _spill_chunk(chunk: Chunk, first: FirstPass) -> tuple[Screened, Spilled, Report]:
    checked = check_chunk(chunk, first.schema)
    named = checked.named(chunk)
    rows, lost, report = _change(_to_rows(drop_rows(named, checked.bad), chunk, first), first)
    rejected = [*checked.rejected, *(row for frame in lost for row in frame.iter_rows(named=True))]
    rejected.sort(key=itemgetter("record"))
    screened = describe_screened(chunk, rejected, make_keys(named, rejected, first.schema.uniques))
    return screened, _write_chunk(rows, chunk, first), report


def _change(rows: pl.DataFrame, first: FirstPass) -> tuple[pl.DataFrame, list[pl.DataFrame], Report]:
    """Clean and decontaminate rows; also return those that are rejected."""
    lost, report = [], Report()
    if first.cleaner:
        from sftdata.stages.cleaning import clean_rows

        cleaned = clean_rows(rows, first.cleaner)
        rows, report = cleaned.kept, Report(cleaned.changed, cleaned.samples)
        lost.append(cleaned.rejected)
    if first.evaluation:
        from sftdata.stages.decontamination import decontaminate_rows

        result = decontaminate_rows(rows, first.evaluation, first.texts)
        rows = result.kept
        lost.append(result.rejected)
    return rows, lost, report


def _to_rows(checked: pl.DataFrame, chunk: Chunk, first: FirstPass) -> pl.DataFrame:
    """Bring rows to the fields of the task, and keep the column that groups them."""
    row_id = pl.concat_str(pl.lit(chunk.source.id + ":"), pl.col("@record")).alias("@row_id")
    rows = to_fields(checked.with_columns(row_id), first.schema)
    return rows.with_columns(checked[first.group].alias("group")) if first.group else rows


def _write_chunk(rows: pl.DataFrame, chunk: Chunk, first: FirstPass) -> Spilled:
    name = f"{chunk.source.id}-{chunk.first_record:012d}.arrow"
    file, signed_file = first.folder / f"rows-{name}", first.folder / f"signed-{name}"
    rows.write_ipc(file, compression="uncompressed")
    if first.comparison:
        sign_rows(rows, first.comparison).write_ipc(signed_file, compression="uncompressed")
    has_turn_weights = first.task == Task.CAUSAL_LM and weighs_turns(rows)
    return Spilled(file, signed_file if first.comparison else None, _slim(rows, first), has_turn_weights)


def _slim(rows: pl.DataFrame, first: FirstPass) -> pl.DataFrame:
    slim = rows.select(*(name for name in ("row_id", "label", "labels", "score", "group") if name in rows.columns))
    if first.needs_length:
        lengths = [join_texts(rows[name]).str.len_chars().fill_null(0) for name in first.texts]
        slim = slim.with_columns(pl.sum_horizontal(lengths).alias("length"))
    if first.needs_key:
        from sftdata.stages.augmentation import text_keys

        inputs = input_fields(first.task, has_pairs=first.schema.has_pairs)
        slim = slim.with_columns(pl.Series("key", text_keys(rows, inputs), dtype=pl.UInt64))
    return slim
