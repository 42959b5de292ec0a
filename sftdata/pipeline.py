"""prepare(): the whole flow from sources to shards, readable on one screen."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import sftdata
from sftdata.duplicates.samples import describe_duplicates
from sftdata.engine import Watch
from sftdata.errors import NothingToWrite, RecipeError
from sftdata.examples import SecondPass, Written, write_examples
from sftdata.fitting import begin_own_tokenizer, fit_on_training_rows
from sftdata.ledger import Ledger
from sftdata.manifest import InputFile, Manifest, TokenizerRecord, digest_file, digest_text
from sftdata.recipe import AnyRecipe, Recipe, load_recipe
from sftdata.records import Task
from sftdata.rejections import describe_rejected, describe_repeated, merge_rejected, write_rejected
from sftdata.report.page import add_report
from sftdata.schema import Schema, load_schema
from sftdata.selection import Selection, needs_comparison, select_rows
from sftdata.settings.cleaning import PERSONAL, CleanSettings
from sftdata.shards.directory import open_output, publish
from sftdata.shards.index import INDEX_NAME
from sftdata.shards.layout import dataset_dict_file
from sftdata.sources import digest_of, expected_bytes, find_sources, size_of
from sftdata.sources.source import Source
from sftdata.sources.sql import anonymize
from sftdata.spilling import FirstPass, Report, Spilled, spill
from sftdata.stages.deduplication import make_comparison
from sftdata.stages.tokenization import (
    Tokenization,
    find_pair_template,
    find_target_wrapping,
    make_renderer,
    texts_to_prove,
    without_template,
)
from sftdata.statistics import characters_per_token
from sftdata.text.fields import text_fields
from sftdata.text.segmentation import Segmenter, read_dictionary
from sftdata.tokenizers.backends import Proof, choose_backend
from sftdata.tokenizers.counting import TokenCounter
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.uniqueness import Uniqueness
from sftdata.validation import require_records

PROOF_ROWS = 10_000
"""Rows of the data from which a fast backend is proved, spread evenly over up to `PROOF_CHUNKS` chunks."""

PROOF_CHUNKS = 16
"""A chunk must be read whole, whatever is taken from it; these are spread evenly over the data."""

MEASURED_TEXTS = 1000
"""About so many of them tell how many characters a token stands for."""


def prepare(
    recipe: AnyRecipe,
    *,
    out: str | Path | None = None,
    workers: int = 1,
    watch: Watch = lambda stage, done, total: None,
) -> Manifest:
    """Turn the recipe's sources into tokenised Arrow shards, and return the manifest.

    Args:
        recipe: what to read and how: a recipe file, a mapping with its keys, or what `load_recipe` made of one.
        out: where to write instead of the recipe's `output.dir`.
        workers: processes to use; the bytes written do not depend on it.
        watch: told about progress.

    Raises:
        UsageError: when recipe, schema, sources, tokenizer or output directory are wrong.
        DataError: when too many rows are rejected or none is left.
    """
    recipe = load_recipe(recipe)
    schema = load_schema(recipe.schema_name, recipe.base)
    sources = find_sources(recipe.sources, recipe.base)
    tokenization = start_tokenization(recipe, schema)
    with open_output(Path(out) if out else recipe.resolve(recipe.output.dir)) as work:
        ledger, rejected_file = Ledger(), work / "rejected.jsonl"
        first, second = start_passes(recipe, schema, tokenization, work / "rows")
        chunks, uniqueness, cleaning = screen_sources(sources, first, rejected_file, ledger, workers, watch)
        require_records(ledger.read, [source.name for source in sources])
        chunks = drop_repeated(chunks, uniqueness, sources, schema, rejected_file, ledger)
        ledger.check_limit(recipe.max_rejected, str(rejected_file))
        selection = select_rows(chunks, recipe, first.comparison, work / "duplicates", watch)
        append_rejected(rejected_file, selection.rejected, sources, ledger)
        ledger.duplicates = len(selection.duplicates)
        ledger.check_limit(recipe.max_rejected, str(rejected_file))
        tokenization = replace(tokenization, has_turn_weights=any(chunk.has_turn_weights for chunk in chunks))
        segmenter, told = load_segmenter(recipe), lambda done: watch("fit the tokenizer", done, len(selection.parts))
        tokenization = fit_on_training_rows(tokenization, chunks, selection, segmenter, workers, told)
        watch("prove the tokenizer", 0, 0)
        tokenization, proof, fit = prove_backend(replace(tokenization, label_names=selection.labels), recipe, chunks)
        second = replace(second, tokenization=tokenization, names=selection.names, taken=find_taken(chunks, second))
        size, told = recipe.output.shard_size, lambda done: watch("tokenize and write", done, len(selection.parts))
        written = write_examples(work, chunks, selection, second, size, workers, told)
        append_rejected(rejected_file, written.rejected, sources, ledger)
        ledger.check_limit(recipe.max_rejected, str(rejected_file))
        ledger.written, ledger.augmented = sum(split.rows for split in written.splits.values()), written.copies
        if not ledger.written:
            raise NothingToWrite(f"every row was rejected while tokenising; see {rejected_file}")
        watch("describe and report", 0, 0)
        files = write_extras(work, tokenization, selection, written)
        manifest = describe(
            recipe, sources, chunks, ledger, tokenization, proof, fit, selection, written, cleaning, files
        )
        manifest = add_report(work, manifest, tokenization.tokenizer.reference)
        publish(work, manifest)
    return manifest


def start_tokenization(recipe: Recipe, schema: Schema) -> Tokenization:
    """Load the tokenizer and refuse what does not fit together, before any row is read."""
    if schema.task != recipe.task:
        raise RecipeError("schema", [f"'{schema.name}' is for {schema.task}, but the recipe's task is {recipe.task}"])
    settings = recipe.tokenize
    template = recipe.resolve(settings.chat_template) if settings.chat_template else None
    is_plain_text = recipe.task == Task.CAUSAL_LM and "text" in schema.parts
    has_turns = recipe.task == Task.CAUSAL_LM and not is_plain_text and settings.chat_template is not False
    if settings.tokenizer is None:
        tokenizer = begin_own_tokenizer(settings, recipe.task, template, has_turns=has_turns)
    else:
        tokenizer = load_tokenizer(settings.tokenizer, recipe.base, template)
    if is_plain_text or settings.chat_template is False:
        tokenizer = without_template(tokenizer)
    if recipe.task == Task.CAUSAL_LM:
        make_renderer(tokenizer, settings)
    if recipe.task == Task.SEQ2SEQ:
        find_target_wrapping(tokenizer)
    if schema.has_pairs:
        find_pair_template(tokenizer)
    return Tokenization(recipe.task, tokenizer, settings, has_pairs=schema.has_pairs, is_plain_text=is_plain_text)


def start_passes(
    recipe: Recipe, schema: Schema, tokenization: Tokenization, folder: Path
) -> tuple[FirstPass, SecondPass]:
    """Load what cleaning, the search for duplicates and augmentation need; refuse what does not fit the data.

    Raises:
        UsageError: with what does not fit.
    """
    cleaner = evaluation = augmenter = None
    segmenter = load_segmenter(recipe)
    if recipe.clean:
        from sftdata.text.cleaner import make_cleaner

        texts, count = text_fields(recipe.task, has_pairs=schema.has_pairs), TokenCounter(tokenization.tokenizer)
        cleaner = make_cleaner(recipe.clean, texts, recipe.base, segmenter=segmenter, count_tokens=count)
    if recipe.decontaminate:
        from sftdata.evaluation_texts import read_evaluation

        evaluation = read_evaluation(recipe.decontaminate, schema, recipe.base)
    if recipe.augment:
        from sftdata.augmentation import make_augmenter

        augmenter = make_augmenter(recipe.augment, recipe.task, recipe.base, segmenter, has_pairs=schema.has_pairs)
    try:
        compares, has_pairs = needs_comparison(recipe), schema.has_pairs
        comparison = make_comparison(recipe.task, recipe.deduplicate, has_pairs=has_pairs) if compares else None
    except ValueError as cause:
        raise RecipeError("deduplicate", [str(cause)]) from None
    group, oversample = find_group(recipe, schema), recipe.balance and recipe.balance.oversample
    has_copies = bool(augmenter or oversample or recipe.tokenize.overflow == "split")
    length = recipe.split.stratify == "length"
    first = FirstPass(schema, folder, cleaner, evaluation, comparison, group, length, augmenter is not None)
    second = SecondPass(
        tokenization,
        (),
        recipe.split.seed,
        has_weights=schema.has_weights,
        has_folds=recipe.split.folds is not None,
        has_copies=has_copies,
        augmenter=augmenter,
    )
    return first, second


def load_segmenter(recipe: Recipe) -> Segmenter:
    """Return what cuts Chinese, with the recipe's own words."""
    return Segmenter(read_dictionary(recipe.resolve(recipe.dictionary)) if recipe.dictionary else ())


def find_group(recipe: Recipe, schema: Schema) -> str | None:
    """Return the column that tells which rows belong together.

    Raises:
        RecipeError: when the schema does not have it, or it does not hold one value a row.
    """
    group = recipe.split.group
    if group and group not in schema.columns:
        known = ", ".join(schema.columns)
        raise RecipeError("split", [f"group: the schema '{schema.name}' has no column '{group}'; its columns: {known}"])
    if group and schema.columns[group].polars_dtype.is_nested():
        raise RecipeError("split", [f"group: the column '{group}' holds lists, expected one value a row"])
    return group


def screen_sources(
    sources: list[Source], first: FirstPass, rejected_file: Path, ledger: Ledger, workers: int, watch: Watch
) -> tuple[list[Spilled], Uniqueness, list[Report]]:
    """Take everything through the first pass; kept rows go to files, rejected ones to `rejected.jsonl`."""
    first.folder.mkdir()
    stage, total = "read, check and clean" if first.cleaner else "read and validate", sum(map(expected_bytes, sources))
    chunks, reports, uniqueness, done = [], [], Uniqueness(), 0
    watch(stage, 0, total)
    with rejected_file.open("w", encoding="utf-8") as file, closing(spill(sources, first, workers)) as screening:
        for screened, spilled, report in screening:
            ledger.read += screened.read
            ledger.add_rejected((row["stage"], row["reason"]) for row in screened.rejected)
            write_rejected(file, screened.rejected)
            uniqueness.add(screened.source, screened.keys)
            chunks.append(spilled)
            reports.append(report)
            done += screened.bytes
            watch(stage, done, total)
    return chunks, uniqueness, reports


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
    ledger.add_rejected(("validate", reason) for reason in fallen["reason"])
    ids = {source.name: source.id for source in sources}
    row_ids = fallen.select(pl.col("source").replace_strict(ids) + ":" + pl.col("record").cast(pl.String)).to_series()
    return [chunk.without(row_ids) for chunk in chunks]


def prove_backend(
    tokenization: Tokenization, recipe: Recipe, chunks: Sequence[Spilled]
) -> tuple[Tokenization, Proof, dict[str, Any]]:
    """Choose the encoder: a fast one where it equals the reference on a sample of this data.

    Also tells how many characters a token stands for in a part of that sample.
    """
    some = chunks[:: -(-len(chunks) // PROOF_CHUNKS)]
    sample = pl.concat([_sample(chunk, -(-PROOF_ROWS // len(some))) for chunk in some])
    texts = texts_to_prove(sample, tokenization)
    proof = choose_backend(tokenization.tokenizer, recipe.tokenize.backend, texts)
    tokenization = replace(tokenization, proof=proof)
    few = texts.gather_every(max(1, len(texts) // MEASURED_TEXTS))
    return tokenization, proof, characters_per_token(few, tokenization.backend.encode(few)[1])


def find_taken(chunks: Sequence[Spilled], second: SecondPass) -> NDArray[np.uint64] | None:
    """Return the keys of all texts, which no copy may repeat; None where no copies are made."""
    if second.augmenter is None:
        return None
    return np.unique(np.concatenate([chunk.slim["key"].to_numpy() for chunk in chunks]))


def append_rejected(file: Path, rejected: pl.DataFrame, sources: Sequence[Source], ledger: Ledger) -> None:
    """Add rows that were rejected after reading, with their records read again as they stood."""
    with file.open("a", encoding="utf-8") as lines:
        write_rejected(lines, describe_rejected(sources, rejected))
    ledger.add_rejected(zip(rejected["stage"], rejected["reason"], strict=True))


def write_extras(work: Path, tokenization: Tokenization, selection: Selection, written: Written) -> dict[str, str]:
    """Write what stands beside the shards; return the digest of every file that is no shard."""
    folder = work / "tokenizer"
    folder.mkdir()
    for name, content in tokenization.tokenizer.as_files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (work / "dataset_dict.json").write_text(dataset_dict_file(list(written.splits)), encoding="utf-8")
    small = [
        path
        for name in (*written.splits, "tokenizer", INDEX_NAME)
        for path in sorted((work / name).rglob("*"))
        if path.is_file() and (name == INDEX_NAME or path.suffix != ".arrow")
    ]
    files = [*small, work / "dataset_dict.json", work / "rejected.jsonl"]
    if len(selection.duplicates):
        selection.duplicates.write_ndjson(work / "duplicates.jsonl")
        files.append(work / "duplicates.jsonl")
    return {path.relative_to(work).as_posix(): digest_file(path) for path in files}


def describe(
    recipe: Recipe,
    sources: Sequence[Source],
    chunks: Sequence[Spilled],
    ledger: Ledger,
    tokenization: Tokenization,
    proof: Proof,
    fit: dict[str, Any],
    selection: Selection,
    written: Written,
    cleaning: Sequence[Report],
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
        rejected_by_stage=ledger.by_stage(),
        label_names=tokenization.label_names,
        has_pairs=tokenization.has_pairs,
        tokenizer=TokenizerRecord(
            name=tokenizer.name,
            digest=tokenizer.digest,
            backend=proof.backend,
            vocab_size=tokenizer.vocab_size,
            proof=proof.counts | ({"differs": proof.differs} if proof.differs else {}),
        ),
        chat_template_digest=digest_text(tokenizer.template) if renders and tokenizer.template else None,
        splits=written.splits,
        seed=recipe.split.seed,
        cleaning=_describe_cleaning(cleaning, recipe.clean) if recipe.clean else None,
        duplicates=describe_duplicates(
            selection.duplicates, [(chunk.slim["row_id"], chunk.rows) for chunk in chunks], recipe.task
        ),
        split=selection.split,
        balance=selection.balance,
        augmentation={"steps": written.steps, "dropped": dict(sorted(written.dropped.items()))}
        if written.steps
        else None,
        statistics={
            "splits": {
                name: counts.describe(recipe.tokenize.max_length, tokenization.label_names)
                for name, counts in written.counts.items()
            },
            "characters_per_token": fit,
            "vocabulary": written.vocabulary.describe(),
        },
        files=files,
    )


def _describe_cleaning(reports: Sequence[Report], settings: CleanSettings) -> dict[str, Any]:
    from sftdata.stages.cleaning import clean, merge_changed, merge_samples

    samples = [asdict(sample) for sample in merge_samples(report.samples for report in reports)]
    hidden: dict[str, Any] = {step: "replace" for step in PERSONAL if getattr(settings, step)}
    if samples and hidden:  # a manifest goes where personal data should not
        samples = clean(pl.DataFrame(samples), fields=["before", "after"], **hidden).kept.to_dicts()
    return {"changed": merge_changed(report.changed for report in reports), "samples": samples}


def _sample(chunk: Spilled, count: int) -> pl.DataFrame:
    rows = chunk.rows()
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))] if len(rows) else rows


def _without_passwords(recipe: dict[str, Any]) -> dict[str, Any]:
    sources = [
        {**source, "uri": anonymize(source["uri"])} if source.get("uri") else source for source in recipe["sources"]
    ]
    return {**recipe, "sources": sources}
