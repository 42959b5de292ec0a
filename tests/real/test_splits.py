"""Splits and balance of real text: nothing leaks, sizes and label shares come out, and stable rows stay."""

import numpy as np
import polars as pl
import pytest

from sftdata.settings.balancing import BalanceSettings
from sftdata.settings.splitting import SplitSettings
from sftdata.stages.audit import audit_split
from sftdata.stages.balancing import balance_rows
from sftdata.stages.splitting import split_slim

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def reviews(assets):
    """The Chinese reviews, about half of them copies; equal texts are a cluster."""
    read = {name: (assets / f"zh_sent_{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("pos", "neg")}
    rows = [(name, line.strip()) for name, lines in read.items() for line in lines if line.strip()]
    frame = pl.DataFrame(rows, schema=["label", "text"], orient="row")
    return frame.select(
        pl.format("reviews:{}", pl.int_range(1, pl.len() + 1)).alias("row_id"),
        "label",
        pl.col("text").str.len_chars().alias("length"),
        pl.col("text").rank("dense").cast(pl.Int64).alias("cluster"),
    )


@pytest.fixture(scope="module")
def topics(assets):
    """The glosses of WordNet: 45 topics, grouped by the lemma they explain."""
    rows = []
    for part in ("noun", "verb", "adj", "adv"):
        for line in (assets / "wordnet" / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                fields = line.split(" ", 5)
                rows.append((f"{part}:{fields[0]}", fields[1], fields[4].lower()))
    return pl.DataFrame(rows, schema=["row_id", "label", "group"], orient="row")


def test_half_of_the_reviews_are_copies_and_none_crosses(reviews):
    assert (len(reviews), reviews["cluster"].n_unique()) == (35_123, 17_410)
    loose = split_slim(reviews.drop("cluster"), SplitSettings(stratify="label"))
    assert audit_split(loose.sides, {"copies": reviews["cluster"]})["copies"] > 1000
    made = split_slim(reviews, SplitSettings(stratify="label"))
    assert audit_split(made.sides, {"copies": reviews["cluster"]}) == {"copies": 0}
    assert made.report.got == made.report.wanted
    assert abs(made.report.worst_share.share - made.report.worst_share.share_of_all) < 0.001


def test_reviews_by_length_have_their_lengths_alike(reviews):
    made = split_slim(reviews, SplitSettings(stratify="length", folds=5, test=3000))
    assert audit_split(made.sides, {"copies": reviews["cluster"]}) == {"copies": 0}
    assert made.report.got == made.report.wanted
    places = pl.Series(made.fold)
    means = reviews.group_by(places.alias("place")).agg(pl.col("length").mean())["length"]
    assert means.max() / means.min() < 1.1
    assert abs(made.report.worst_share.share - made.report.worst_share.share_of_all) < 0.002


def test_topics_by_lemma_are_as_even_as_whole_rows_can_be(topics):
    made = split_slim(topics, SplitSettings(stratify="label", folds=5, seed=7))
    assert audit_split(made.sides, {"lemmas": topics["group"]}) == {"lemmas": 0}
    counts = np.zeros((45, 5))
    np.add.at(counts, (topics["label"].rank("dense").to_numpy() - 1, made.fold), 1)
    assert abs(counts - counts.sum(axis=1, keepdims=True) / 5).max() <= 1
    assert made.report.got == made.report.wanted
    assert made.report.lacking == {}


def test_the_order_of_rows_does_not_matter(topics):
    settings = SplitSettings(stratify="label")
    order = np.random.default_rng(7).permutation(len(topics))
    parts = split_slim(topics, settings).parts
    assert (split_slim(topics[order], settings).parts == parts[order]).all()


def test_stable_lemmas_stay_when_half_the_rows_are_added(topics):
    settings = SplitSettings(method="stable", train=0.8, validation=0.1, test=0.1)
    old = topics.gather_every(2)
    before, after = (dict(zip(rows["row_id"], split_slim(rows, settings).parts, strict=True)) for rows in (old, topics))
    assert all(after[row_id] == part for row_id, part in before.items())
    assert abs(np.mean([part == 0 for part in after.values()]) - 0.8) < 0.01


def test_topics_in_balance(topics):
    settings = BalanceSettings(oversample="median", undersample="median", weights="balanced")
    made = balance_rows(topics, settings, 7)
    assert {share.rows for share in made.after.values()} == {1275}
    assert set(made.weights.values()) == {1.0}
    assert (made.before["00"].rows, made.before["16"].rows) == (14_435, 42)
    assert int(made.copies.sum()) == 45 * 1275
