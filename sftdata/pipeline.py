"""prepare(): the whole flow from sources to shards, readable on one screen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

import sftdata
from sftdata.engine import map_chunks
from sftdata.errors import NothingToWrite, RecipeError
from sftdata.ledger import Ledger
from sftdata.manifest import InputFile, Manifest, SplitRecord, TokenizerRecord, digest_file, digest_text
from sftdata.recipe import Recipe, SplitSettings
from sftdata.records import Task
from sftdata.rejections import describe_repeated, find_origins, merge_rejected, write_rejected
from sftdata.schema import Schema, load_schema
from sftdata.screening import Spilled, spill
from sftdata.shards.directory import open_output, publish
from sftdata.shards.layout import dataset_dict_file
from sftdata.shards.writer import SplitWriter
from sftdata.sources import digest_of, find_sources, size_of
from sftdata.sources.source import Source
from sftdata.sources.sql import anonymize
from sftdata.stages.splitting import split_rows
from sftdata.stages.tokenization import Tokenization, make_renderer, texts_to_prove, tokenize_rows
from sftdata.tokenizers.backends import Proof, choose_backend
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.uniqueness import Uniqueness
from sftdata.validation import require_records

PROOF_ROWS = 10_000
"""Rows of the data from which a fast backend is proved, spread evenly over all chunks."""

Watch = Callable[[str, int, int], None]
"""Told the stage, how much of it is done and how much there is: bytes while reading, rows afterwards."""


def prepare(
    recipe: Recipe, *, out: Path | None = None, workers: int = 1, watch: Watch = lambda stage, done, total: None
) -> Manifest:
    """Turn the recipe's sources into tokenised Arrow shards, and return the manifest.

    Args:
        recipe: what to read and how.
        out: where to write instead of the recipe's `output.dir`.
        workers: processes to use; the bytes written do not depend on it.
        watch: told about progress.

    Raises:
        UsageError: when recipe, schema, sources, tokenizer or output directory are wrong.
        DataError: when too many rows are rejected or none is left.
    """
    schema = load_schema(recipe.schema_name, recipe.base)
    sources = find_sources(recipe.sources, recipe.base)
    tokenization = start_tokenization(recipe, schema)
    with open_output(out or recipe.resolve(recipe.output.dir)) as work:
        ledger = Ledger()
        rejected_file = work / "rejected.jsonl"
        chunks, uniqueness = screen_sources(sources, schema, work, ledger, workers, watch)
        require_records(ledger.read, [source.name for source in sources])
        chunks = drop_repeated(chunks, uniqueness, sources, schema, rejected_file, ledger)
        ledger.check_limit(recipe.max_rejected, str(rejected_file))
        parts, labels = split_chunks(chunks, recipe.split)
        tokenization, proof = prove_backend(replace(tokenization, label_names=labels), recipe, chunks)
        splits, rejected = write_splits(work, chunks, parts, tokenization, recipe, workers, watch)
        append_rejected(rejected_file, rejected, sources)
        ledger.add_rejected(rejected["reason"])
        ledger.check_limit(recipe.max_rejected, str(rejected_file))
        ledger.written = sum(split.rows for split in splits.values())
        if not ledger.written:
            raise NothingToWrite(f"every row was rejected while tokenising; see {rejected_file}")
        manifest = describe(
            recipe, sources, ledger, tokenization, proof, splits, write_extras(work, tokenization, splits)
        )
        publish(work, [*splits, "tokenizer", "dataset_dict.json", "rejected.jsonl"], manifest)
    return manifest


def start_tokenization(recipe: Recipe, schema: Schema) -> Tokenization:
    """Load the tokenizer and refuse what does not fit together, before any row is read."""
    if schema.task != recipe.task:
        raise RecipeError("schema", [f"'{schema.name}' is for {schema.task}, but the recipe's task is {recipe.task}"])
    settings = recipe.tokenize
    template = recipe.resolve(settings.chat_template) if settings.chat_template else None
    tokenizer = load_tokenizer(settings.tokenizer, recipe.base, template)
    if recipe.task == Task.CAUSAL_LM:
        make_renderer(tokenizer)
    return Tokenization(recipe.task, tokenizer, None, settings.max_length, settings.overflow == "truncate")


def screen_sources(
    sources: list[Source], schema: Schema, work: Path, ledger: Ledger, workers: int, watch: Watch
) -> tuple[list[Spilled], Uniqueness]:
    """Read and validate everything; kept rows go to files in `work`, rejected ones to `rejected.jsonl`."""
    folder = work / "rows"
    folder.mkdir()
    total = sum(map(size_of, sources))
    chunks, uniqueness, done = [], Uniqueness(), 0
    with (work / "rejected.jsonl").open("w", encoding="utf-8") as file:
        for screened, spilled in spill(sources, schema, folder, workers):
            ledger.read += screened.read
            ledger.add_rejected(row["reason"] for row in screened.rejected)
            write_rejected(file, screened.rejected)
            uniqueness.add(screened.source, screened.keys)
            chunks.append(spilled)
            done += screened.bytes
            watch("read and validate", done, total)
    return chunks, uniqueness


def drop_repeated(
    chunks: Sequence[Spilled],
    uniqueness: Uniqueness,
    sources: Sequence[Source],
    schema: Schema,
    rejected_file: Path,
    ledger: Ledger,
) -> list[Spilled]:
    """Reject the rows that share a value which may stand in one row only; all rows must be seen for that."""
    repeated = uniqueness.find_repeated()
    if not len(repeated):
        return list(chunks)
    merge_rejected(rejected_file, describe_repeated(sources, schema, repeated), sources)
    fallen = repeated.filter(~pl.col("already")).unique(["source", "record"], maintain_order=True)
    ledger.add_rejected(fallen["reason"])
    ids = {source.name: source.id for source in sources}
    row_ids = fallen.select(pl.col("source").replace_strict(ids) + ":" + pl.col("record").cast(pl.String)).to_series()
    return [chunk.without(row_ids) for chunk in chunks]


def split_chunks(chunks: Sequence[Spilled], settings: SplitSettings) -> tuple[NDArray[np.int8], tuple[str, ...] | None]:
    """Give every kept row its split, in the order of the chunks; and the labels of the training part, sorted."""
    slim = pl.concat([chunk.slim for chunk in chunks])
    if not len(slim):
        raise NothingToWrite("every row was rejected; nothing is left to split")
    strata = slim[settings.stratify] if settings.stratify else None
    parts = split_rows(slim["row_id"], shares(settings), settings.seed, strata)
    labels = slim["label"].filter(pl.Series(parts == 0)).unique().sort().to_list() if "label" in slim.columns else None
    return parts, None if labels is None else tuple(labels)


def shares(settings: SplitSettings) -> dict[str, float]:
    """Return the splits that are wanted and their weights, the training part first."""
    wanted = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    return {name: share for name, share in wanted.items() if share > 0}


def prove_backend(tokenization: Tokenization, recipe: Recipe, chunks: Sequence[Spilled]) -> tuple[Tokenization, Proof]:
    """Choose the encoder: the fast one where it equals the reference on a sample of this data."""
    sample = pl.concat([_sample(chunk, -(-PROOF_ROWS // len(chunks))) for chunk in chunks])
    proof = choose_backend(tokenization.tokenizer, recipe.tokenize.backend, texts_to_prove(sample, tokenization))
    return replace(tokenization, proved=proof.proved), proof


def write_splits(
    work: Path,
    chunks: Sequence[Spilled],
    parts: NDArray[np.int8],
    tokenization: Tokenization,
    recipe: Recipe,
    workers: int,
    watch: Watch,
) -> tuple[dict[str, SplitRecord], pl.DataFrame]:
    """Tokenise every chunk and append its examples to their splits; also return the rejected rows."""
    names = list(shares(recipe.split))
    used = [name for place, name in enumerate(names) if (parts == place).any()]
    function = partial(_tokenize_chunk, tokenization=tokenization, names=names)
    rejected, done = [], 0
    with ExitStack() as files:
        schema, size = tokenization.schema, recipe.output.shard_size
        writers = {name: files.enter_context(SplitWriter(work / name, name, schema, size)) for name in used}
        for examples, lost, rows in map_chunks(function, _with_parts(chunks, parts), workers):
            for name, batch in examples.items():
                writers[name].write(batch)
            rejected.append(lost)
            done += rows
            watch("tokenize and write", done, len(parts))
        return {name: writer.close() for name, writer in writers.items()}, pl.concat(rejected)


def append_rejected(file: Path, rejected: pl.DataFrame, sources: Sequence[Source]) -> None:
    """Add rows that were rejected after reading, with their records read again as they stood."""
    origins = find_origins(sources, rejected)
    with file.open("a", encoding="utf-8") as lines:
        rows = rejected.iter_rows(named=True)
        write_rejected(lines, ({**row, **origins[row["source"], row["record"]]} for row in rows))


def write_extras(work: Path, tokenization: Tokenization, splits: dict[str, SplitRecord]) -> dict[str, str]:
    """Write the tokenizer and the files that `datasets` wants; return the digest of every file that is no shard."""
    folder = work / "tokenizer"
    folder.mkdir()
    for name, content in tokenization.tokenizer.as_files().items():
        (folder / name).write_bytes(content)
    (work / "dataset_dict.json").write_text(dataset_dict_file(list(splits)), encoding="utf-8")
    small = [
        path for name in (*splits, "tokenizer") for path in sorted((work / name).iterdir()) if path.suffix != ".arrow"
    ]
    files = [*small, work / "dataset_dict.json", work / "rejected.jsonl"]
    return {path.relative_to(work).as_posix(): digest_file(path) for path in files}


def describe(
    recipe: Recipe,
    sources: Sequence[Source],
    ledger: Ledger,
    tokenization: Tokenization,
    proof: Proof,
    splits: dict[str, SplitRecord],
    files: dict[str, str],
) -> Manifest:
    """Put together the manifest; the ledger must close."""
    tokenizer = tokenization.tokenizer
    renders = tokenization.task == Task.CAUSAL_LM and tokenizer.template is not None
    return Manifest(
        version=sftdata.__version__,
        task=recipe.task,
        recipe=_without_passwords(recipe.model_dump(mode="json", by_alias=True)),
        inputs=tuple(InputFile(id=s.id, path=s.name, bytes=size_of(s), digest=digest_of(s)) for s in sources),
        rows=ledger.close(),
        rejected_by_reason=ledger.by_reason(),
        label_names=tokenization.label_names,
        tokenizer=TokenizerRecord(
            name=tokenizer.name,
            digest=tokenizer.digest,
            backend=proof.backend,
            vocab_size=tokenizer.vocab_size,
            proof=proof.counts | ({"differs": proof.differs} if proof.differs else {}),
        ),
        chat_template_digest=digest_text(tokenizer.template) if renders and tokenizer.template else None,
        splits=splits,
        seed=recipe.split.seed,
        files=files,
    )


def _tokenize_chunk(
    item: tuple[Path, NDArray[np.int8]], tokenization: Tokenization, names: Sequence[str]
) -> tuple[dict[str, pa.RecordBatch], pl.DataFrame, int]:
    file, parts = item
    done = tokenize_rows(pl.read_ipc(file), tokenization)
    of_kept = parts[done.kept]
    places = {name: np.flatnonzero(of_kept == place) for place, name in enumerate(names)}
    examples = {name: done.examples.take(pa.array(rows)) for name, rows in places.items() if len(rows)}
    return examples, done.rejected, len(parts)


def _with_parts(chunks: Sequence[Spilled], parts: NDArray[np.int8]) -> Iterator[tuple[Path, NDArray[np.int8]]]:
    start = 0
    for chunk in chunks:
        if len(chunk.slim):
            yield chunk.file, parts[start : start + len(chunk.slim)]
        start += len(chunk.slim)


def _sample(chunk: Spilled, count: int) -> pl.DataFrame:
    rows = pl.read_ipc(chunk.file)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))] if len(rows) else rows


def _without_passwords(recipe: dict[str, Any]) -> dict[str, Any]:
    sources = [
        {**source, "uri": anonymize(source["uri"])} if source.get("uri") else source for source in recipe["sources"]
    ]
    return {**recipe, "sources": sources}
