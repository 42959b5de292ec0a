"""Measure five folds beside scikit-learn's StratifiedGroupKFold, on the same real rows.

usage: python benchmarks/split.py [--assets DIR] [--rows N ...] [--runs N]

No group may stand in two folds, and labels are to have the same share in each. The data are the glosses of WordNet (45
topics; the group is the lemma that is explained; 117,659 rows) and Chinese reviews (2 labels; the group is a cluster
of reviews that are equal but for case, spaces and punctuation; 35,123 rows). Then the glosses have groups and clusters
at once; scikit-learn takes one key and gets the groups. Last, the time by number of rows. Labels and groups
lie in memory. Exits 1 when ours leaks or is less even.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedGroupKFold

from sftdata.settings.splitting import SplitSettings
from sftdata.stages.splitting import split_slim

FOLDS = 5
PEER_ROWS = 200_000
"""Most rows that scikit-learn is timed on: it takes a minute."""

PROGRAMS = ("sftdata", "scikit-learn")


class Made(NamedTuple):
    """What a program made of the rows, and the seconds that each of its runs took."""

    fold: np.ndarray
    seconds: list[float]


class Evenness(NamedTuple):
    """How far label shares are from those of all rows, in percentage points, and how many keys stand in two folds."""

    worst: float
    mean: float
    sizes: np.ndarray
    crossing: dict[str, int]


def squash(texts: pl.Series) -> pl.Series:
    """Take away what does not matter to a reader: case, spaces and punctuation."""
    return texts.str.to_lowercase().str.replace_all(r"[\s\p{P}]", "")


def read_topics(assets: Path) -> pl.DataFrame:
    """Read the glosses of WordNet, without their examples: topic, lemma and cluster."""
    rows = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (assets / "wordnet" / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                head, _, gloss = line.partition(" | ")
                fields = head.split(" ")
                rows.append((fields[1], fields[4].lower(), gloss.partition('; "')[0]))
    topics = pl.DataFrame(rows, schema=["label", "group", "text"], orient="row")
    return name_rows(topics.with_columns(squash(topics["text"]).alias("cluster")).drop("text"))


def read_reviews(assets: Path) -> pl.DataFrame:
    """Read the Chinese reviews: label and cluster."""
    read = {name: (assets / f"zh_sent_{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("pos", "neg")}
    rows = [(name, line) for name, lines in read.items() for line in lines if line.strip()]
    reviews = pl.DataFrame(rows, schema=["label", "text"], orient="row")
    return name_rows(reviews.with_columns(squash(reviews["text"]).alias("group")).drop("text"))


def name_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows an id, and bring clusters to numbers, as they come out of deduplication."""
    if "cluster" in rows.columns:
        rows = rows.with_columns(pl.col("cluster").rank("dense").cast(pl.Int64))
    return rows.with_columns(pl.format("benchmark:{}", pl.int_range(1, pl.len() + 1)).alias("row_id"))


def grow(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """Repeat rows, in random order, up to a number of them; each round has groups of its own."""
    rows = rows.sample(fraction=1, shuffle=True, seed=7)
    rounds = [rows.with_columns(pl.col("group") + f" {number}") for number in range(-(-count // len(rows)))]
    return name_rows(pl.concat(rounds).head(count).drop("row_id"))


def run(program: str, rows: pl.DataFrame, runs: int) -> Made:
    """Divide rows into folds, several times; only the dividing is timed."""
    labels, groups = (rows[name].rank("dense").to_numpy() for name in ("label", "group"))
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        if program == "sftdata":
            fold = split_slim(rows, SplitSettings(folds=FOLDS, stratify="label", seed=7)).fold
        else:
            fold = np.empty(len(rows), dtype=np.int32)
            folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=7).split(labels, labels, groups)
            for number, (_, held_out) in enumerate(folds):
                fold[held_out] = number
        seconds.append(time.perf_counter() - start)
    print(f"{program}, {len(rows):,} rows: {statistics.median(seconds):.2f} s", file=sys.stderr)
    return Made(fold, seconds)


def judge(rows: pl.DataFrame, fold: np.ndarray) -> Evenness:
    """Compare the folds with all rows, with numpy alone."""
    labels = rows["label"].rank("dense").to_numpy() - 1
    counts = np.zeros((labels.max() + 1, FOLDS))
    np.add.at(counts, (labels, fold), 1)
    away = abs(counts / counts.sum(axis=0) - counts.sum(axis=1, keepdims=True) / counts.sum())
    crossing = {}
    for name in {"group", "cluster"} & set(rows.columns):
        pairs = {*zip(rows[name].to_list(), fold.tolist(), strict=True)}
        crossing[name] = len(pairs) - rows[name].n_unique()
    return Evenness(100 * away.max(), 100 * away.mean(), counts.sum(axis=0).astype(int), crossing)


def compare(title: str, rows: pl.DataFrame, runs: int) -> list[str]:
    """Print a line for each program, and return what of ours is worse than it should be."""
    found = {}
    for program in PROGRAMS:
        made = run(program, rows, runs if program == "sftdata" else 1)
        found[program] = even = judge(rows, made.fold)
        leaks = ", ".join(f"{count:,} {name}s" for name, count in sorted(even.crossing.items()))
        print(
            f"| {title} | {program} | {even.worst:.5f} | {even.mean:.5f} | {even.sizes.min():,} to "
            f"{even.sizes.max():,} | {leaks} | {statistics.median(made.seconds):.2f} |"
        )
    ours, peer = (found[program] for program in PROGRAMS)
    faults = [f"{title}: ours leaks: {ours.crossing}"] if any(ours.crossing.values()) else []
    if any(peer.crossing.values()):  # even shares of a split that leaks are no measure
        return faults
    return faults + [
        f"{title}: the {name} deviation of ours is {mine:.5f}, of scikit-learn {its:.5f}"
        for name, mine, its in (("worst", ours.worst, peer.worst), ("mean", ours.mean, peer.mean))
        if mine > its * (1 + 1e-9)
    ]


def time_by_rows(topics: pl.DataFrame, counts: list[int], runs: int) -> list[str]:
    """Print the time by number of rows; ours may take at most twice as long a row at the most rows as at the fewest."""
    a_row = {}
    for count in counts:
        rows = grow(topics.drop("cluster"), count)
        ours = statistics.median(run("sftdata", rows, runs).seconds)
        peer = statistics.median(run("scikit-learn", rows, 1).seconds) if count <= PEER_ROWS else None
        a_row[count] = ours / count
        shown = f"{peer:.2f} | {peer / ours:.0f} times" if peer else "not run | "
        print(f"| {count:,} | {ours:.2f} | {1e6 * ours / count:.2f} | {shown} |")
    first, last = a_row[min(counts)], a_row[max(counts)]
    return [f"not linear: {1e6 * first:.2f} us a row became {1e6 * last:.2f}"] if last > 2 * first else []


def main() -> int:
    """Compare and print."""
    assets = Path(os.environ.get("SFTDATA_ASSETS") or Path(__file__).resolve().parent.parent / ".assets")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=assets)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 100_000, 200_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=3, help="of ours; scikit-learn runs once")
    arguments = parser.parse_args()
    topics, reviews = read_topics(arguments.assets), read_reviews(arguments.assets)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {FOLDS} folds\n")
    print("| data | program | worst deviation | mean deviation | rows of a fold | in two folds | seconds |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    wrong = compare(f"topics by lemma, {len(topics):,} rows", topics.drop("cluster"), arguments.runs)
    wrong += compare(f"reviews by cluster, {len(reviews):,} rows", reviews, arguments.runs)
    wrong += compare("topics by lemma and cluster", topics, arguments.runs)
    print("\n| rows | sftdata, seconds | microseconds a row | scikit-learn, seconds | ratio |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    wrong += time_by_rows(topics, arguments.rows, arguments.runs)
    print("\n" + ("\n".join(wrong) or "Ours leaks nowhere, is at least as even, and its time is linear in the rows."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
