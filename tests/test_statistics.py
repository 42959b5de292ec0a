"""What is told of a dataset equals a naive count, and closes over any division into batches."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sftdata
from sftdata.records import Task
from sftdata.shards.index import count_examples
from sftdata.statistics import QUANTILES, SplitCounts, VocabularyUse, characters_per_token

ROWS = st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6), max_size=12)


def as_batch(rows):
    ids = pa.array([[i for i, _ in row] for row in rows], pa.list_(pa.int32()))
    labels = pa.array([[i if trained else -100 for i, trained in row] for row in rows], pa.list_(pa.int32()))
    return pa.record_batch({"input_ids": ids, "labels": labels})


def count(batches, truncated=(), parts=()):
    counts = SplitCounts()
    for batch in batches:
        zeros = np.zeros(batch.num_rows, np.int64)
        told = count_examples(batch, Task.CAUSAL_LM)
        counts.add(
            told.tokens, told.trained, np.array(truncated or zeros, np.bool_), np.array(parts or zeros, np.int64)
        )
    return counts


@given(rows=ROWS, cut=st.integers(0, 12))
def test_counts_equal_a_naive_loop_on_slices_and_in_any_batches(rows, cut):
    batch = as_batch(rows)
    counts = count([batch.slice(0, cut), batch.slice(cut)])
    assert sorted(counts.lengths.elements()) == sorted(map(len, rows))
    assert sorted(counts.trained.elements()) == sorted(sum(trained for _, trained in row) for row in rows)
    if rows:
        told = counts.describe(max_length=6)
        lengths = sorted(map(len, rows))
        assert told["tokens_per_example"]["mean"] == pytest.approx(np.mean(lengths), abs=0.01)
        for quantile in QUANTILES:
            known = int(np.quantile(lengths, quantile, method="inverted_cdf"))
            assert told["tokens_per_example"][f"{quantile:g}"] == known
        assert told["padding_at_max_length"] == pytest.approx(1 - sum(lengths) / (6 * len(rows)), abs=1e-4)


def test_what_was_cut_or_split_is_counted():
    told = count([as_batch([[(1, True)]] * 5)], [True, False, False, False, False], [0, 0, 1, 2, 0]).describe(4)
    assert (told["truncated"], told["split_rows"], told["further_parts"]) == (1, 1, 2)


CLASSES = st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=10)


@given(rows=CLASSES, cut=st.integers(0, 10))
def test_labels_are_counted_in_every_form_on_slices(rows, cut):
    names = ["a", "b", "c", "d"]
    hot = [[float(label in row) for label in range(4)] for row in rows]
    tags = [[-100, *row] for row in rows]
    one = [row[0] for row in rows if row]
    forms = [
        (pa.array(one, pa.int64()), one),
        (pa.array(tags, pa.list_(pa.int64())), [label for row in rows for label in row]),
        (pa.array(hot, pa.list_(pa.float32())), [label for row in rows for label in set(row)]),
        (pa.array([0.5] * len(rows), pa.float32()), []),
        (pa.array(rows, pa.list_(pa.int32())), []),
    ]
    for labels, expected in forms:
        counts = SplitCounts()
        counts.add_labels(labels.slice(0, cut))
        counts.add_labels(labels.slice(cut))
        known = {name: expected.count(place) for place, name in enumerate(names) if place in expected}
        assert counts.describe(1, names).get("labels", {}) == known


@given(rows=ROWS)
def test_ids_that_are_never_used_are_counted(rows):
    use = VocabularyUse(10)
    use.add(as_batch(rows))
    assert use.describe() == {"size": 10, "never_used": 10 - len({i for row in rows for i, _ in row})}


@given(rows=ROWS, cut=st.integers(0, 10))
def test_unknown_tokens_are_told_as_a_share(rows, cut):
    use, batch = VocabularyUse(10, unknown=3), as_batch(rows)
    use.add(batch.slice(0, cut))
    use.add(batch.slice(cut))
    ids = [i for row in rows for i, _ in row]
    assert use.describe()["unknown"] == (round(ids.count(3) / len(ids), 4) if ids else 0)


def test_texts_in_a_language_that_the_tokenizer_does_not_know_are_told_of(tmp_path, text_recipe):
    from sftdata.report.terminal import length_lines

    path = text_recipe(rows=[{"text": f"{text} {i}", "label": "ab"[i % 2]} for i, text in enumerate(["好书"] * 40)])
    manifest = sftdata.prepare(sftdata.load_recipe(path))
    assert manifest.statistics["vocabulary"]["unknown"] > 0.1
    assert [line for line in length_lines(manifest) if "unknown to the tokenizer" in line]


def test_characters_a_token_are_told_by_script():
    texts = pl.Series(["hello there", "你好世界abc", "12345", "你好", ""])
    told = characters_per_token(texts, np.array([2, 7, 5, 2, 0]))
    assert told == {
        "Han": {"texts": 2, "characters_per_token": 1.0},
        "other": {"texts": 2, "characters_per_token": 1.0},
        "Latin": {"texts": 1, "characters_per_token": 5.5},
    }
    assert characters_per_token(texts.clear(), np.zeros(0, np.int64)) == {}


def test_the_manifest_tells_what_the_shards_hold(tmp_path, chat_recipe, chat_tokenizer):
    tokenize = {"tokenizer": str(chat_tokenizer), "max_length": 60, "overflow": "split"}
    manifest = sftdata.prepare(sftdata.load_recipe(chat_recipe(tokenize=tokenize, max_rejected=1.0)))
    rows = manifest.rows
    assert rows.read + rows.augmented == rows.written + rows.rejected + rows.duplicates
    assert set(manifest.statistics["splits"]) == set(manifest.splits)
    seen, further = set(), 0
    for name, told in manifest.statistics["splits"].items():
        split = sftdata.load_split(tmp_path / "out", name)
        lengths = [len(row["input_ids"]) for row in split]
        trained = [sum(label != -100 for label in row["labels"]) for row in split]
        assert (told["tokens_per_example"]["0"], told["tokens_per_example"]["1"]) == (min(lengths), max(lengths))
        assert told["trained_tokens_per_example"]["1"] == max(trained)
        of_parts = [row for row in split if row["parent_id"]]
        assert told["further_parts"] == len(of_parts)
        assert all(row["row_id"].startswith(row["parent_id"] + "/") for row in of_parts)
        further += len(of_parts)
        seen |= {i for row in split for i in row["input_ids"]} if name == "train" else set()
    assert rows.augmented == further > 0
    assert manifest.statistics["vocabulary"]["never_used"] == manifest.tokenizer.vocab_size - len(seen)
    assert set(manifest.statistics["characters_per_token"]) == {"Latin"}
