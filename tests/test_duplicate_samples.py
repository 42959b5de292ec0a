"""The manifest tells of dropped duplicates: counts of all, texts of the largest clusters, and no more than a few."""

from collections import Counter

import polars as pl
from examples import make_texts

import sftdata
from sftdata.duplicates.samples import CLUSTERS, LENGTH, MEMBERS, describe_duplicates
from sftdata.records import Task


def test_nothing_is_told_where_nothing_was_dropped(text_recipe):
    assert sftdata.prepare(sftdata.load_recipe(text_recipe())).duplicates is None


def test_counts_and_texts_are_those_of_the_rows(tmp_path, text_recipe):
    rows = make_texts(60)
    near = [{"text": "one sentence that stands here " + "again and " * 5 + word, "label": "thing"} for word in "xyz"]
    path = text_recipe(
        [*rows, *near, *rows[:7], rows[3], rows[3]],
        deduplicate={"exact": True, "near": {"threshold": 0.6, "action": "drop"}},
        split={"train": 1, "validation": 0, "test": 0},
    )
    told = sftdata.prepare(sftdata.load_recipe(path)).duplicates
    pairs = pl.read_ndjson(tmp_path / "out" / "duplicates.jsonl")
    sizes = Counter(pairs["kept_row_id"])
    assert (told["exact"], told["near"]) == tuple((pairs["kind"] == kind).sum() for kind in ("exact", "near"))
    assert (told["clusters"], told["largest"]) == (len(sizes), max(sizes.values()) + 1)
    texts = {number: row["text"] for number, row in enumerate([*rows, *near, *rows[:7], rows[3], rows[3]], 1)}
    assert told["near"] >= 2
    for sample in told["samples"]:
        assert sample["text"] == texts[int(sample["row_id"].partition(":")[2])]
        assert sample["dropped"] == sizes[sample["row_id"]]
        assert len(sample["members"]) == min(MEMBERS, sample["dropped"])
        for member in sample["members"]:
            assert ("text" in member) == (member["kind"] == "near")
            assert "text" not in member or member["text"] == texts[int(member["row_id"].partition(":")[2])]


def test_of_many_clusters_the_largest_are_shown_and_texts_are_cut():
    ids = [f"s:{number}" for number in range(400)]
    frame = pl.DataFrame({"row_id": ids, "messages": [[{"content": f"{row_id} " * 200}] for row_id in ids]})
    chunks = [(part["row_id"], lambda part=part: part) for part in (frame[:150], frame[150:])]
    fallen = [(number, number // 4 % 30, "near" if number % 8 < 4 else "exact") for number in range(100, 400)]
    duplicates = pl.DataFrame(
        {
            "row_id": [ids[row] for row, _, _ in fallen],
            "kept_row_id": [ids[kept] for _, kept, _ in fallen],
            "kind": [kind for _, _, kind in fallen],
            "similarity": [0.87654321] * len(fallen),
        }
    )
    told = describe_duplicates(duplicates, chunks, Task.CAUSAL_LM)
    kinds = Counter(sample["members"][0]["kind"] for sample in told["samples"])
    assert kinds == CLUSTERS
    assert all(
        len(sample["text"]) == LENGTH and sample["text"].startswith(sample["row_id"]) for sample in told["samples"]
    )
    assert {member["similarity"] for sample in told["samples"] for member in sample["members"]} == {0.8765}
    sizes = sorted(Counter(duplicates["kept_row_id"]).values(), reverse=True)
    assert max(sample["dropped"] for sample in told["samples"]) == sizes[0] == told["largest"] - 1
