"""Duplicates in real texts: known counts, and every near-duplicate that a search by hand finds."""

import random
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sftdata.duplicates.finding import find_duplicates
from sftdata.duplicates.frames import decontaminate, deduplicate
from sftdata.duplicates.near import find_pairs
from sftdata.duplicates.spill import Chunk, ShingleStore, sort_sets, spill_signed
from sftdata.records import Task
from sftdata.settings.deduplication import DeduplicateSettings
from sftdata.stages.deduplication import make_comparison, shingle_texts, sign_rows
from sftdata.text.shingles import normalize_texts

pytestmark = pytest.mark.real

ROWS = 10_000


def read_reviews(assets: Path) -> pl.DataFrame:
    """The reviews without blank lines, stripped, each with the label of its file."""
    rows = [
        {"text": line.strip(), "label": label}
        for label in ("pos", "neg")
        for line in (assets / f"zh_sent_{label}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    return pl.DataFrame(rows)


def read_glosses(assets: Path) -> list[str]:
    files = [assets / "wordnet" / f"data.{part}" for part in ("noun", "verb", "adj", "adv")]
    lines = [line for file in files for line in file.read_text(encoding="latin-1").splitlines()]
    glosses = dict.fromkeys(line.split("| ", 1)[1].strip() for line in lines if not line.startswith("  "))
    return random.Random(7).sample(list(glosses), ROWS)  # noqa: S311 - no secret


def plant(texts: list[str], separator: str) -> list[str]:
    """Follow each text by a copy of it in which some words, from none to a quarter, stand for others."""
    draw = random.Random(7)  # noqa: S311 - no secret
    planted = []
    for text in texts[: ROWS // 2]:
        words = list(text) if not separator else text.split(separator)
        copy = list(words)
        for place in draw.sample(range(len(words)), round(draw.uniform(0, 0.25) * len(words))):
            copy[place] = draw.choice(words) + "x"
        planted += [text, separator.join(copy)]
    return planted


@cache
def texts_of(assets: Path, kind: str) -> list[str]:
    """Ten thousand texts."""
    if "reviews" in kind:
        texts = read_reviews(assets)["text"].unique(maintain_order=True).to_list()[:ROWS]
    else:
        texts = read_glosses(assets)
    return plant(texts, "" if "reviews" in kind else " ") if "planted" in kind else texts


@cache
def pairs_by_hand(assets: Path, kind: str) -> dict[tuple[int, int], float]:
    """Every pair with a similarity of at least a half, through an index of all shingles."""
    settings, texts = DeduplicateSettings(), texts_of(assets, kind)
    hashes, counts = sort_sets(shingle_texts(normalize_texts(pl.Series(texts)), settings.near))
    index: dict[int, list[int]] = defaultdict(list)
    shared: Counter[tuple[int, int]] = Counter()
    for row, shingle in zip(np.repeat(np.arange(len(texts)), counts).tolist(), hashes.tolist(), strict=True):
        shared.update((other, row) for other in index[shingle])
        index[shingle].append(row)
    similarity = {pair: both / (counts[pair[0]] + counts[pair[1]] - both) for pair, both in shared.items()}
    return {pair: value for pair, value in similarity.items() if value >= 0.5}


def pairs_by_bands(texts: list[str], threshold: float, folder: Path) -> dict[tuple[int, int], float]:
    """Every pair that the search finds when it is not told which rows are joined already."""
    comparison = make_comparison(Task.TEXT_CLASSIFICATION, DeduplicateSettings(near={"threshold": threshold}))
    rows = pl.DataFrame({"row_id": [str(number) for number in range(len(texts))], "text": texts, "label": "x"})
    chunks = [Chunk(lambda: sign_rows(rows, comparison), lambda: rows)]
    spill = spill_signed([chunks[0].signed()], folder)
    store = ShingleStore(spill, chunks, comparison)
    rows_with = np.flatnonzero(spill.read("shingled", np.bool_))
    found = find_pairs(spill, rows_with, comparison.bands, threshold, store, lambda left, _: left >= 0)
    return {
        (low, high): value
        for left, right, similarity in found
        for low, high, value in zip(left.tolist(), right.tolist(), similarity.tolist(), strict=True)
    }


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("kind", ["reviews", "planted reviews", "glosses", "planted glosses"])
def test_pairs_equal_those_found_by_hand(assets, tmp_path, kind, threshold):
    texts = texts_of(assets, kind)
    by_hand = {pair: value for pair, value in pairs_by_hand(assets, kind).items() if value >= threshold}
    found = pairs_by_bands(texts, threshold, tmp_path)
    assert len(by_hand) >= PAIRS[kind, threshold]
    assert found.keys() <= by_hand.keys()  # precision 1
    assert all(found[pair] == pytest.approx(by_hand[pair], abs=1e-12) for pair in found)
    assert len(found) >= 0.98 * len(by_hand)


PAIRS = {
    ("reviews", 0.5): 100,
    ("reviews", 0.8): 40,
    ("reviews", 0.9): 30,
    ("planted reviews", 0.5): 2000,
    ("planted reviews", 0.8): 500,
    ("planted reviews", 0.9): 300,
    ("glosses", 0.5): 100,
    ("glosses", 0.8): 1,
    ("glosses", 0.9): 0,
    ("planted glosses", 0.5): 2000,
    ("planted glosses", 0.8): 700,
    ("planted glosses", 0.9): 300,
}
"""Fewest pairs that each test must be about."""


def test_reviews_have_the_known_numbers_of_texts_and_conflicts(assets):
    """17,410 distinct stripped texts, 47 of them with both labels.

    In our normal form ten of the texts make five pairs: two differ in runs of blanks, three in the width of a sign,
    such as a colon. Two of the latter hold a text that has both labels anyway, so 47 conflicts remain.
    """
    reviews = read_reviews(assets)
    labels = reviews.group_by("text").agg(pl.col("label").n_unique())
    assert (len(reviews), len(labels), (labels["label"] == 2).sum()) == (35_123, 17_410, 47)

    every = deduplicate(reviews, ["text"], near=False)
    assert len(every.kept) == 17_405
    forms = reviews.unique("text").group_by(normalize_texts(pl.Series(reviews.unique("text")["text"]))).len()
    assert forms["len"].value_counts().sort("len").rows() == [(1, 17_400), (2, 5)]

    rejected = deduplicate(reviews, ["text"], label="label", near=False, conflicts="reject")
    texts = reviews[rejected.rejected["row"]]["text"]
    assert (texts.n_unique(), normalize_texts(texts).n_unique()) == (49, 47)
    assert len(rejected.kept) == 17_405 - 47
    assert len(rejected.kept) + len(rejected.duplicates) + len(rejected.rejected) == len(reviews)

    both = deduplicate(reviews, ["text"], label="label", near=False)
    assert len(both.kept) == 17_405 + 47


def test_reviews_cut_differently_give_the_same(assets, tmp_path):
    rows = (
        read_reviews(assets)[:12_000]
        .with_row_index()
        .with_columns(
            row_id="z:" + pl.col("index").cast(pl.String), source=pl.lit("z"), record=pl.col("index").cast(pl.Int64)
        )
    )
    settings = DeduplicateSettings(exact=True, near={"action": "drop"}, conflicts="reject")
    comparison = make_comparison(Task.TEXT_CLASSIFICATION, settings)
    found = []
    for size in (12_000, 1_700):
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        chunks = [Chunk(lambda part=part: sign_rows(part, comparison), lambda part=part: part) for part in parts]
        folder = tmp_path / str(size)
        folder.mkdir()
        found.append(find_duplicates(chunks, comparison, settings, folder))
    assert found[0].duplicates.equals(found[1].duplicates)
    assert (found[0].cluster == found[1].cluster).all()
    assert {*found[0].duplicates["kind"]} == {"exact", "near"}


def test_reviews_that_repeat_an_evaluation_are_all_rejected(assets):
    reviews = read_reviews(assets)
    evaluation = reviews[::400]
    result = decontaminate(reviews, evaluation, ["text"])
    lost = set(result.rejected["row"])
    repeated = reviews.with_row_index().filter(pl.col("text").is_in(evaluation["text"].to_list()))
    assert set(repeated["index"]) <= lost
    assert len(lost) < 2 * len(repeated)
