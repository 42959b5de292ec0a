"""Find labels that were made wrong on purpose, beside cleanlab, from the same out-of-fold probabilities.

usage: python benchmarks/label_errors.py [--share F] [--folds K] [--seeds N ...]

The data are the 5,001 glosses of WordNet in samples/wordnet_topics.csv (45 topics). A seeded 5 % get another topic,
drawn evenly; a label that was wrong before counts as a false finding. The model is TF-IDF and logistic regression of
scikit-learn, trained without the fold that it predicts. Precision and recall are of the flipped rows; precision at the
top is that of the first rows, as many as were flipped, for those are what a person reads. cleanlab leaves ties to the
sort of the machine; exits 1 when, with a sort that keeps their order, it finds other rows or in another order.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from sftdata.training.folds import count_folds, join_predictions, select_fold
from sftdata.training.label_errors import find_label_errors

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "wordnet_topics.csv"
PRUNES = {"noise_rate": "prune_by_noise_rate", "class": "prune_by_class", "both": "both"}
RANKS = ("normalized_margin", "self_confidence")


class Found(NamedTuple):
    """Positions that a program found, best first, and the seconds it took."""

    rows: np.ndarray
    seconds: float


def read_topics() -> tuple[list[str], np.ndarray, int]:
    """Return the texts, their topics as numbers, and how many topics there are."""
    rows = pl.read_csv(SAMPLE)
    labels = rows["label"].rank("dense").to_numpy().astype(np.int64) - 1
    return rows["text"].to_list(), labels, rows["label"].n_unique()


def flip(labels: np.ndarray, classes: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give some rows another label; return all labels and which rows are flipped."""
    generator = np.random.default_rng(seed)
    flipped = np.zeros(len(labels), dtype=bool)
    flipped[generator.choice(len(labels), round(share * len(labels)), replace=False)] = True
    others = (labels + generator.integers(1, classes, size=len(labels))) % classes
    return np.where(flipped, others, labels), flipped


def predict_held_out(texts: list[str], labels: np.ndarray, classes: int, count: int, seed: int) -> np.ndarray:
    """Return out-of-fold probabilities, shape `[rows, classes]`, float32; a topic that a fold never saw has none."""
    folds = np.zeros(len(labels), dtype=np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a topic may have fewer rows than there are folds
        for number, (_, held) in enumerate(
            StratifiedKFold(count, shuffle=True, random_state=seed).split(texts, labels)
        ):
            folds[held] = number
    return join_predictions(
        len(labels), (predict_fold(texts, labels, classes, folds, n) for n in range(count_folds(folds)))
    )


def predict_fold(
    texts: list[str], labels: np.ndarray, classes: int, folds: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Train on the other folds; return the rows of this one and their probabilities."""
    train, held = select_fold(folds, number)
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=100)
    )
    model.fit([texts[row] for row in train], labels[train])
    probabilities = np.zeros((len(held), classes), dtype=np.float32)
    probabilities[:, model.classes_] = model.predict_proba([texts[row] for row in held])
    return held, probabilities


def measure(find: Callable[..., np.ndarray], *arguments: object) -> Found:
    """Run once and take the time."""
    start = time.perf_counter()
    rows = find(*arguments)
    return Found(rows, time.perf_counter() - start)


def ask_sftdata(labels: np.ndarray, probabilities: np.ndarray, prune: str, rank: str) -> np.ndarray:
    """Return what we find, in our order."""
    return find_label_errors(labels, probabilities, prune=prune, rank=rank).positions


def ask_cleanlab(labels: np.ndarray, probabilities: np.ndarray, prune: str, rank: str) -> np.ndarray:
    """Return what cleanlab finds, in its order."""
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that classes have few rows
        return find_label_issues(
            labels, probabilities, filter_by=PRUNES[prune], return_indices_ranked_by=rank, n_jobs=1
        )


def judge(rows: np.ndarray, flipped: np.ndarray) -> tuple[float, float, float]:
    """Return precision, recall, and precision among as many of the first rows as were flipped."""
    hits, count = flipped[rows], int(flipped.sum())
    return hits.mean(), hits.sum() / count, hits[:count].mean()


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.05, help="of the labels that are flipped")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    arguments = parser.parse_args()
    texts, truth, classes = read_topics()
    differ, told = False, []
    print("| seed | prune | rank | program | found | precision | recall | precision at the top | seconds |")
    print("| ---: | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for seed in arguments.seeds:
        labels, flipped = flip(truth, classes, arguments.share, seed)
        probabilities = predict_held_out(texts, labels, classes, arguments.folds, seed)
        exact = probabilities.astype(np.float64)
        for prune in PRUNES:
            for rank in RANKS:
                ours = measure(ask_sftdata, labels, probabilities, prune, rank)
                peer = measure(ask_cleanlab, labels, probabilities, prune, rank)
                for program, found in (("sftdata", ours), ("cleanlab", peer)):
                    shown = " | ".join(f"{figure:.3f}" for figure in judge(found.rows, flipped))
                    print(
                        f"| {seed} | {prune} | {rank} | {program} | {len(found.rows)} | {shown} | {found.seconds:.3f} |"
                    )
                stable = partial(np.argsort, kind="stable")
                with mock.patch.object(np, "argsort", stable):
                    differ |= ours.rows.tolist() != ask_cleanlab(labels, exact, prune, rank).tolist()
        accuracy = np.mean(probabilities.argmax(axis=1) == truth)
        told.append(
            f"seed {seed}: {flipped.sum()} of {len(labels):,} rows flipped; out-of-fold accuracy against the labels "
            f"before {accuracy:.3f}"
        )
    print("", *told, "The rows found differ." if differ else "Both find the same rows, ties apart.", sep="\n")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
