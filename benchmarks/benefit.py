"""Does it help? Fine-tune MiniLM on few rows, with and without augmentation, and measure what a leak flatters.

usage: python benchmarks/benefit.py [--seeds N] [--rows N] [--epochs N] [--assets DIR] [--work DIR] [--out FILE]

Two real sets of English: WordNet definitions with 38 topics, and sentences of film reviews, positive or negative. Of
each, near-duplicates are dropped first. A seed draws the training and the test rows, disjoint, stratified by label, and
the order of training. Plain and augmented runs take the same number of steps, so that augmentation has no more time to
compute. The same models are then measured on a second test set, in which some rows are replaced by training rows of
which a word has been inserted, as they turn up where data were collected twice. The table goes to OUT. About 40 minutes
on two cores.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import polars as pl
from sklearn.metrics import f1_score

import sftdata

ROOT = Path(__file__).resolve().parent.parent
TEST_ROWS = 1000
LEAKED = 0.3
"""Share of the leaking test set that nearly repeats training rows."""

STEPS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "EDA": [
        {"synonym_replacement": {"rate": 0.1}},
        {"random_insertion": {"rate": 0.1}},
        {"random_swap": {"rate": 0.1}},
        {"random_deletion": {"rate": 0.1}},
    ],
}


class Outcome(NamedTuple):
    """What one model scored."""

    data: str
    augmentation: str
    seed: int
    accuracy: float
    macro_f1: float
    leaked_accuracy: float
    leaked_macro_f1: float


def read_topics(assets: Path) -> pl.DataFrame:
    return pl.read_csv(ROOT / "samples" / "wordnet_topics.csv")


def read_reviews(assets: Path) -> pl.DataFrame:
    names = ["id", "score", "text"]
    file = assets / "vader_movieReviewSnippets.tsv"
    rows = pl.read_csv(file, separator="\t", quote_char=None, has_header=False, new_columns=names)
    label = pl.when(pl.col("score") > 0).then(pl.lit("positive")).otherwise(pl.lit("negative"))
    return rows.filter(pl.col("score").abs() >= 1).select(pl.col("text").str.strip_chars("\r "), label.alias("label"))


SETS: dict[str, Callable[[Path], pl.DataFrame]] = {"WordNet topics": read_topics, "film reviews": read_reviews}


def draw(rows: pl.DataFrame, count: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw training and test rows that share nothing."""
    wanted = sftdata.split(rows, train=1.0, validation=count, test=TEST_ROWS, stratify="label", seed=seed)
    return wanted["validation"], wanted["test"]


def leak(train: pl.DataFrame, test: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Replace rows of the test set by near-duplicates of training rows, drawn with replacement."""
    count = int(LEAKED * len(test))
    drawn = train.sample(count, with_replacement=True, seed=seed)
    middle = pl.col("text").str.split(" ").list
    half = middle.len() // 2
    changed = pl.concat_str(
        middle.head(half).list.join(" "), pl.lit("really"), middle.slice(half).list.join(" "), separator=" "
    )
    stay = test.sample(len(test) - count, seed=seed)
    return pl.concat([stay, drawn.with_columns(changed.alias("text")).select(test.columns)])


def train(work: Path, rows: pl.DataFrame, model: Path, steps: list[dict[str, Any]], epochs: float, seed: int) -> Path:
    """Prepare the rows and fine-tune; the number of steps is that of the rows without copies."""
    work.mkdir(parents=True, exist_ok=True)
    rows.write_ndjson(work / "train.jsonl")
    size = 16
    recipe = {
        "task": "text_classification",
        "schema": "text_label",
        "sources": [{"path": "train.jsonl"}],
        "split": {"train": 1.0, "validation": 0, "test": 0},
        "augment": steps,
        "tokenize": {"tokenizer": str(model), "max_length": 128},
        "output": {"dir": "data"},
        "train": {
            "model": str(model),
            "output_dir": str(work / "run"),
            "epochs": 1000,
            "max_steps": round(epochs * len(rows) / size),
            "batch_size": 8,
            "accumulate": 2,
            "learning_rate": 3e-4,
            "save_steps": 10**6,
            "seed": seed,
        },
    }
    (work / "recipe.yaml").write_text(json.dumps(recipe))
    loaded = sftdata.load_recipe(work / "recipe.yaml")
    sftdata.prepare(loaded)
    if loaded.train:
        sftdata.train(work / "data", loaded.train, progress=False)
    return work / "run"


def score(run: Path, rows: pl.DataFrame) -> tuple[float, float]:
    found = [result["label"] for result in sftdata.predict(run, rows["text"].to_list())]
    truth = rows["label"].to_list()
    right = sum(one == other for one, other in zip(found, truth, strict=True))
    return right / len(truth), float(f1_score(truth, found, average="macro", zero_division=0))


def measure(arguments: argparse.Namespace) -> Iterator[Outcome]:
    for name, read in SETS.items():
        rows = sftdata.deduplicate(read(arguments.assets), fields=["text"], near={"action": "drop"}, exact=True).kept
        for seed in range(arguments.seeds):
            taught, test = draw(rows, arguments.rows, seed)
            leaking = leak(taught, test, seed)
            for augmentation, steps in STEPS.items():
                work = arguments.work / f"{name} {augmentation} {seed}".replace(" ", "-")
                run = train(work, taught, arguments.model, steps, arguments.epochs, seed)
                outcome = Outcome(name, augmentation, seed, *score(run, test), *score(run, leaking))
                print(outcome, flush=True)
                yield outcome


def describe(outcomes: list[Outcome], arguments: argparse.Namespace) -> str:
    """Return the page with the table."""
    lines = [
        "# Does it help?",
        "",
        f"`benchmarks/benefit.py` fine-tunes MiniLM (22.7 million parameters) on {arguments.rows} rows,",
        f"as many steps as {arguments.epochs:g} epochs of them have, with {arguments.seeds} seeds, and measures it on",
        f"{TEST_ROWS:,} rows that share nothing with them. Plain and augmented runs take equally many steps. Mean and,",
        "in brackets, the range over the seeds.",
        "",
        "| data | augmentation | accuracy | macro F1 | accuracy with a leak | flattered by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for data in SETS:
        for augmentation in STEPS:
            of = [o for o in outcomes if (o.data, o.augmentation) == (data, augmentation)]
            if of:
                gap = statistics.mean(o.leaked_accuracy - o.accuracy for o in of)
                cells = [
                    spread([getattr(o, field) for o in of]) for field in ("accuracy", "macro_f1", "leaked_accuracy")
                ]
                lines.append(f"| {data} | {augmentation} | {' | '.join(cells)} | {gap:+.3f} |")
    lines += ["", f"With a leak: {LEAKED:.0%} of the test rows are training rows into which one word was put.", ""]
    return "\n".join([*lines, *conclude(outcomes), ""])


def conclude(outcomes: list[Outcome]) -> Iterator[str]:
    """Say for each set and kind of augmentation, seed by seed, what it gained."""
    plain = {(o.data, o.seed): o for o in outcomes if o.augmentation == "none"}
    for data in SETS:
        for augmentation in list(STEPS)[1:]:
            gains = [
                o.accuracy - plain[o.data, o.seed].accuracy
                for o in outcomes
                if (o.data, o.augmentation) == (data, augmentation)
            ]
            if gains:
                told = ", ".join(f"{gain:+.3f}" for gain in gains)
                verdict = "a gain" if min(gains) > 0 else "a loss" if max(gains) < 0 else "no gain that all seeds show"
                yield f"- {data}, {augmentation}: accuracy by seed {told}: {verdict}."


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=500, help="training rows")
    parser.add_argument("--epochs", type=float, default=5, help="passes over the training rows without copies")
    parser.add_argument("--assets", type=Path, default=Path(os.environ.get("SFTDATA_ASSETS", ROOT / ".assets")))
    parser.add_argument("--model", type=Path, help="a model directory; the assets' minilm by default")
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks" / "results" / "benefit")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benefit.md")
    arguments = parser.parse_args()
    arguments.model = (arguments.model or arguments.assets / "minilm").resolve()
    arguments.work = arguments.work.resolve()
    page = describe(list(measure(arguments)), arguments)
    arguments.out.write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
