"""forecast(): what a run of `prepare` would do, and roughly what it would take; nothing is written.

All that the run refuses before it reads is refused here, too. Then a sample of the data goes through its stages
(`trial`), and what it took is multiplied by how much more there is.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sftdata.engine import Watch
from sftdata.errors import DataError, RecipeError
from sftdata.ledger import check_limit
from sftdata.pipeline import start_passes, start_tokenization
from sftdata.recipe import Recipe
from sftdata.report.progress import peak_memory
from sftdata.report.wording import describe_stages
from sftdata.schema import load_schema
from sftdata.settings.splitting import plan_sizes
from sftdata.shards.directory import free_space, look_at_output
from sftdata.sources import count_rows, expected_bytes, find_sources, size_of
from sftdata.sources.source import Source
from sftdata.tokenizers.loading import Tokenizer
from sftdata.trial import CHUNKS, Cost, Sample, Trial, try_sample

START = 0.5
"""Seconds that Python takes to start, and to end."""

WORKER = 2.0
"""Seconds that a worker process takes to start."""

HEADROOM = {True: 1.2, False: 1.5}
"""Memory of a run by that of its sample, which is tokenised in part; by whether the sample is all of the data, for of
more of it more chunks are under way at a time."""

WORKER_MEMORY = 0.7
"""Memory of a worker process, as a share of what this process takes."""

REPORT = 10**6
"""Bytes of report.html and of the small files."""

DESCRIBE = 0.6
"""Seconds that the report and the small files take."""

BYTES_A_ROW = 120
"""Memory that a run keeps of every row: id, label, what was decided of it, and what finding duplicates sorts."""


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        inputs: of each source `path`, `format`, `bytes`, `rows` (expected) and `found`.
        stages: pairs of a stage and what it does.
        output: `directory`, `stands_there`, `free_bytes` of its disk.
        tokenizer: `name`, `vocab_size`, `backend`, and `differs`: why a faster one will not do.
        sample: `rows` and `bytes` that were tried, and whether they `is_all`.
        rows: expected: `read`, `rejected`, `duplicates`, `augmented`, `written`.
        rejected_by_reason: in the sample.
        splits: expected `rows` and `tokens` of each.
        seconds: expected, by stage.
        disk: expected bytes of the `dataset`, and of what a run keeps beside it `while_working`.
        memory: expected bytes at the peak, of all processes together.
        warnings: what a run would stumble over, or refuse once it has read the data.
    """

    inputs: list[dict[str, Any]]
    stages: list[tuple[str, str]]
    output: dict[str, Any]
    tokenizer: dict[str, Any]
    sample: dict[str, Any]
    rows: dict[str, int] = field(default_factory=dict)
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    memory: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def total_seconds(self) -> float:
        """How long a run takes."""
        return sum(self.seconds.values())

    def to_json(self) -> dict[str, Any]:
        """Return the document of `prepare --plan --json`."""
        stages = [{"stage": stage, "does": does} for stage, does in self.stages]
        return {**asdict(self), "stages": stages, "total_seconds": self.total_seconds}


def forecast(
    recipe: Recipe, *, out: Path | None = None, workers: int = 1, watch: Watch = lambda stage, done, total: None
) -> Forecast:
    """Say what `prepare` would do with these arguments. Only the system's folder for temporary files is written to.

    Args:
        recipe: what to read and how.
        out: where it would write instead of the recipe's `output.dir`.
        workers: processes that it would use.
        watch: told about progress.

    Raises:
        UsageError: what `prepare` refuses before it reads: recipe, schema, sources, tokenizer, output directory.
    """
    start = time.monotonic()
    schema, directory = load_schema(recipe.schema_name, recipe.base), out or recipe.resolve(recipe.output.dir)
    sources = find_sources(recipe.sources, recipe.base)
    tokenization = start_tokenization(recipe, schema)
    stands_there, free = look_at_output(directory), free_space(directory)
    trial, warnings = Trial(Sample(sources)), []
    with TemporaryDirectory(prefix="sftdata-plan-") as name:
        first, second = start_passes(recipe, schema, tokenization, Path(name) / "rows")
        loading = time.monotonic() - start
        try:
            try_sample(trial, recipe, first, second, Path(name), watch)
            check_limit(trial.rows, trial.rows - trial.kept, recipe.max_rejected, dict(trial.rejected), None)
        except (DataError, RecipeError) as refusal:
            warnings.append(f"a sample of {trial.rows:,} rows is refused: {refusal}")
    inputs, size = [_describe_input(source, trial) for source in sources], sum(map(size_of, sources))
    read = sum(found["rows"] for found in inputs)
    rows, splits = _expect_rows(trial, recipe, read, warnings)
    disk = _expect_disk(trial, rows, sum(map(len, tokenization.tokenizer.as_files().values())))
    if unknown := [one["path"] for one in inputs if not one["bytes"] and one["path"] not in trial.sample.whole]:
        warnings.append(f"nobody knows how large {', '.join(unknown)} is before it is read; there may be far more rows")
    if sum(disk.values()) > free:
        warnings.append("the disk has less room than the run takes")
    seconds = _expect_seconds(trial, rows, size, workers, loading)
    peak = round(HEADROOM[trial.is_all] * peak_memory()) + max(0, read - trial.rows) * BYTES_A_ROW
    return Forecast(
        inputs=inputs,
        stages=describe_stages(recipe, schema),
        output={"directory": str(directory), "stands_there": stands_there, "free_bytes": free},
        tokenizer=_describe_tokenizer(tokenization.tokenizer, trial),
        sample={"rows": trial.rows, "bytes": trial.bytes, "is_all": trial.is_all},
        rows=rows,
        rejected_by_reason=dict(trial.rejected.most_common()),
        splits=splits,
        seconds=seconds,
        disk=disk,
        memory=peak if workers == 1 else round(peak + WORKER_MEMORY * workers * peak),
        warnings=warnings,
    )


def _describe_input(source: Source, trial: Trial) -> dict[str, Any]:
    rows = trial.sample.rows[source.name] if source.name in trial.sample.whole else count_rows(source)
    if rows is None:
        expected = round(expected_bytes(source) * _find_density(source, trial.sample))
        rows = max(expected, trial.sample.rows[source.name])  # of a database nobody knows the size before it is read
    known = {"path": source.name, "format": source.format, "bytes": size_of(source), "rows": rows}
    return {**known, "found": trial.sample.found.get(source.name, {})}


def _find_density(source: Source, sample: Sample) -> float:
    """Return the rows a byte of a source; of one that was not tried those of its format, or of all that were."""
    alike = [other.name for other in sample.sources if other.format == source.format]
    for names in ([source.name], alike, list(sample.bytes)):
        if size := sum(sample.bytes[name] for name in names):
            return sum(sample.rows[name] for name in names) / size
    return 0.0


def _describe_tokenizer(tokenizer: Tokenizer, trial: Trial) -> dict[str, Any]:
    known = {"backend": trial.backend or None, "differs": trial.differs}
    return {"name": tokenizer.name, "vocab_size": trial.vocab_size or tokenizer.vocab_size, **known}


def _expect_rows(
    trial: Trial, recipe: Recipe, read: int, warnings: list[str]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    if trial.selection is None or trial.written is None:
        return {"read": read}, {}
    more, written = read / trial.rows, trial.written
    going_on = round(int((trial.selection.parts >= 0).sum()) * more)
    try:
        sizes = dict(zip(recipe.split.part_names(), plan_sizes(recipe.split, going_on), strict=True))
    except ValueError as cause:
        warnings.append(f"split: {cause}")
        return {"read": read}, {}
    splits = {}
    for name, size in sizes.items():
        tried, made = trial.tokenized.get(name, 0), written.splits.get(name)
        each = (made.rows / tried, made.tokens / tried) if made and tried else (1.0, trial.tokens_a_row)
        splits[name] = {"rows": round(size * each[0]), "tokens": round(size * each[1])}
    rows = {
        "read": read,
        "duplicates": round(len(trial.selection.duplicates) * more),
        "augmented": round(written.copies * going_on / sum(trial.tokenized.values())),
        "written": sum(split["rows"] for split in splits.values()),
    }
    rejected = max(0, read + rows["augmented"] - rows["written"] - rows["duplicates"])
    return {**rows, "rejected": rejected}, splits


def _expect_disk(trial: Trial, rows: Mapping[str, int], tokenizer: int) -> dict[str, int]:
    """Return what the dataset takes, and what the run keeps of rows and signatures until it ends."""
    if trial.written is None or not rows.get("written"):
        return {}
    made = trial.written.splits.values()
    shards = sum(shard.bytes for split in made for shard in split.shards)
    dataset = shards * rows["written"] / max(1, sum(split.rows for split in made))
    return {
        "dataset": round(dataset) + tokenizer + REPORT,
        "while_working": round(trial.spilled * rows["read"] / trial.rows),
    }


def _expect_seconds(trial: Trial, rows: Mapping[str, int], size: int, workers: int, loading: float) -> dict[str, float]:
    """Return the seconds of each stage: what it took for the sample, times how much more there is."""
    if trial.written is None or not rows.get("written"):
        return {}
    costs, more = dict(trial.costs), rows["read"] / trial.rows
    warm = costs.pop("warm up").seconds
    tokenized = sum(trial.tokenized.values())
    last = costs.pop("tokenize and write")
    reading = costs.pop("read")
    proving = costs.pop("prove the tokenizer").seconds
    going_on = int((trial.selection.parts >= 0).sum()) * more  # type: ignore[union-attr]
    return {
        "start": START + loading + max(0.0, warm - reading.seconds / CHUNKS),
        "read and check": _spread(reading, more, workers),
        **{stage: cost.seconds * more for stage, cost in costs.items()},
        "prove the tokenizer": proving,
        "tokenize and write": _spread(last, going_on / tokenized, workers),
        "describe and report": DESCRIBE + size * _digest_cost(),
    }


def _spread(cost: Cost, times: float, workers: int) -> float:
    """Return the seconds of a stage that worker processes share."""
    if workers == 1:
        return cost.seconds * times
    return WORKER + cost.processor * times / min(workers, os.cpu_count() or 1)


def _digest_cost() -> float:
    """Return the seconds that SHA-256 takes for a byte here."""
    some, start = bytes(2**22), time.monotonic()
    hashlib.sha256(some)
    return (time.monotonic() - start) / len(some)
