"""A program that somebody might write: every public name, typed strictly. `make lint` gives it to mypy."""

from pathlib import Path

import polars as pl

import sftdata


def check(files: list[str], frame: pl.DataFrame) -> pl.DataFrame:
    schema: sftdata.Schema = sftdata.load_schema("text_label")
    report = sftdata.validate(files, schema, rejected=Path("rejected.jsonl"))
    share: float = report.rejected / report.rows
    found = sftdata.validate(frame, "text_label")
    print(share, dict(report.reasons), found.rejected_rows["reason"])
    kept: pl.DataFrame = found.accepted_rows
    return kept


def work_on(frame: pl.DataFrame) -> pl.DataFrame:
    cleaned = sftdata.clean(frame, fields="text", whitespace="lines")
    distinct = sftdata.deduplicate(cleaned.kept, "text", label="label")
    free = sftdata.decontaminate(distinct.kept, frame.head(1), "text")
    parts = sftdata.split(free.kept, train=0.8, stratify="label", seed=7)
    even = sftdata.balance(parts["train"], label="label", oversample="largest")
    copies = sftdata.augment(parts["train"], [{"random_swap": {"copies": 1}}], label="label")
    print(even, copies)
    return parts["train"]


def prepare(recipe: dict[str, object]) -> sftdata.Manifest:
    loaded: sftdata.Recipe = sftdata.load_recipe(recipe, base="data")
    manifest = sftdata.prepare(loaded, workers=2)
    written: int = manifest.rows.written
    again: sftdata.Manifest = sftdata.verify("out")
    assert sftdata.read_manifest("out").task is sftdata.Task.TEXT_CLASSIFICATION
    sftdata.export("out", "tables", to="parquet", contents="text")
    print(written, again)
    return manifest


def look(directory: Path) -> int:
    train = sftdata.load_split(directory, "train")
    table: pl.DataFrame = train.to_polars()
    lengths: list[int] = [len(row["input_ids"]) for row in train[:10]]
    labels = [label for row in train for label in row["labels"] if label != sftdata.IGNORE_INDEX]
    print(table, lengths, labels, len(sftdata.to_torch(train)))
    return len(train)


def learn(recipe: Path) -> str:
    result = sftdata.train(recipe, {"model": "model", "output_dir": "run"}, resume=True)
    scores: dict[str, object] = sftdata.evaluate(recipe, split="validation")
    answers = sftdata.predict(recipe, ["a text", "another"])
    print(scores, answers[0]["label"])
    return result.output_dir


def reject_all(result: sftdata.StageResult) -> pl.DataFrame:
    return pl.concat([result.rejected, result.rejected])
