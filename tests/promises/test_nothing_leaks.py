"""Promise 3: rows that belong together stand on one side of every split; copies are made of training rows alone."""

import json
import re
from itertools import combinations

import numpy as np
import pytest
from examples import make_texts, write_jsonl

import sftdata
from sftdata import selection
from sftdata.errors import LeakError, RecipeError

LONG = "the quick brown fox number {} jumps over a lazy dog and a bird that is worth two in the bush of France"
HALVES = {"train": 0.5, "validation": 0.25, "test": 0.25}


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def written(out):
    """Return every example with its split, by row id."""
    splits = sftdata.read_manifest(out).splits
    return {row["row_id"]: {**row, "split": name} for name in splits for row in sftdata.load_split(out, name)}


def words_of(text):
    words = re.findall(r"\w+", text.lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def similar(rows):
    """Find by brute force the pairs of records whose texts share four fifths of their word triples."""
    sets = [words_of(row["text"]) for row in rows]
    return [
        (one + 1, other + 1)
        for one, other in combinations(range(len(rows)), 2)
        if sets[one] and len(sets[one] & sets[other]) >= 0.8 * len(sets[one] | sets[other])
    ]


def make_repeats(count):
    """Return texts of which many say nearly or exactly the same, far from each other in the file."""
    rows = make_texts(count)
    for i in range(0, count // 2, 4):
        text = LONG.format(f"{i} {i * i} {i % 7} {i % 11}")
        rows[i]["text"] = text
        rows[-1 - i]["text"] = text.replace("lazy dog", "lazy dog indeed") if i % 8 else f"  {text.upper()} "
        rows[-1 - i]["label"] = rows[i]["label"]
    return rows


def test_near_duplicates_stand_on_one_side_without_being_asked(tmp_path, text_recipe):
    rows = make_repeats(200)
    pairs = similar(rows)
    assert len(pairs) >= 25, "there must be something to leak"
    manifest = prepare(text_recipe(rows, split=HALVES))
    sides = {int(row_id.partition(":")[2]): row["split"] for row_id, row in written(tmp_path / "out").items()}
    assert len(sides) == manifest.rows.written == 200
    assert all(sides[one] == sides[other] for one, other in pairs)
    assert manifest.split["crossing"] == {"exact_duplicates": 0, "near_duplicates": 0}
    assert len({sides[one] for one, _ in pairs}) == 3, "pairs must be on all sides, or they are not divided at all"


def test_without_the_search_they_would_leak(tmp_path, text_recipe):
    """Guard: on these rows the test above can fail."""
    rows = make_repeats(200)
    manifest = prepare(text_recipe(rows, split=HALVES, deduplicate={"near": False}))
    sides = {int(row_id.partition(":")[2]): row["split"] for row_id, row in written(tmp_path / "out").items()}
    assert any(sides[one] != sides[other] for one, other in similar(rows))
    assert manifest.split["crossing"] == {"exact_duplicates": 0, "near_duplicates": None}


def test_groups_and_near_duplicates_stay_together_in_folds_too(tmp_path, text_recipe):
    rows = [{**row, "author": f"a{number % 40}"} for number, row in enumerate(make_repeats(240))]
    schema = {"name": "s", "task": "text_classification", "parts": {"text": "text", "label": "label"}}
    schema["columns"] = {"text": {}, "label": {}, "author": {}}
    (tmp_path / "s.yaml").write_text(json.dumps(schema))
    recipe = text_recipe(rows, schema="s.yaml", split={"folds": 4, "test": 0.2, "group": "author"})
    manifest = prepare(recipe)
    found = written(tmp_path / "out")
    sides = {int(i.partition(":")[2]): (row["split"], row["fold"]) for i, row in found.items()}
    assert {side for side in sides.values() if side[0] == "train"} == {("train", fold) for fold in range(4)}
    assert {side for side in sides.values() if side[0] == "test"} == {("test", -1)}
    assert all(sides[one] == sides[other] for one, other in similar(rows))
    of_author = {}
    for record, side in sides.items():
        of_author.setdefault(rows[record - 1]["author"], set()).add(side)
    assert all(len(found) == 1 for found in of_author.values())
    assert manifest.split["crossing"] == {"groups": 0, "exact_duplicates": 0, "near_duplicates": 0}


def test_copies_are_made_of_training_rows_alone_and_stay_in_their_fold(tmp_path, text_recipe):
    steps = [{"random_swap": {"rate": 0.5}}, {"random_deletion": {"copies": 2}}]
    recipe = text_recipe(make_repeats(120), split={"folds": 3, "test": 0.3}, augment=steps)
    manifest = prepare(recipe)
    found = written(tmp_path / "out")
    copies = {row_id: row for row_id, row in found.items() if row["parent_id"] is not None}
    assert len(copies) == manifest.rows.augmented > 100
    for row in copies.values():
        parent = found[row["parent_id"]]
        assert (row["split"], row["fold"], row["labels"]) == ("train", parent["fold"], parent["labels"])
        assert row["input_ids"] != parent["input_ids"]
    assert all(row["parent_id"] is None for row in found.values() if row["split"] == "test")
    made = sum(counts["made"] for counts in manifest.augmentation["steps"].values())
    assert made == manifest.rows.augmented + sum(manifest.augmentation["dropped"].values())


def test_a_copy_never_says_what_another_row_says(tmp_path, text_recipe):
    texts = ["alpha beta", "beta alpha", "gamma delta", "delta gamma", "one two", "three four"]
    recipe = text_recipe(
        [{"text": text, "label": "x"} for text in texts],
        split={"train": 1.0, "validation": 0, "test": 0},
        augment=[{"random_swap": {}}, {"random_swap": {"copies": 2}}],
    )
    manifest = prepare(recipe)
    ids = [tuple(row["input_ids"]) for row in written(tmp_path / "out").values()]
    assert manifest.rows.augmented == 2, "two texts have a swap that no row has, once each"
    assert len(ids) == len(set(ids)) == 8


def test_a_split_that_leaks_is_refused(tmp_path, text_recipe, monkeypatch):
    def scatter(slim, settings):
        assignment = selection_split(slim, settings)
        parts = (np.arange(len(slim)) % 2).astype(np.int8)
        return type(assignment)(assignment.names, parts, None, assignment.report)

    selection_split = selection.split_slim
    monkeypatch.setattr(selection, "split_slim", scatter)
    with pytest.raises(LeakError, match=r"near duplicates stand on two sides") as refused:
        prepare(text_recipe(make_repeats(100), split=HALVES))
    assert refused.value.crossing["near_duplicates"] > 0
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_group_that_no_column_holds_is_told_with_the_columns(text_recipe):
    with pytest.raises(RecipeError, match="no column 'writer'; its columns: text, label"):
        prepare(text_recipe(make_texts(20), split={"group": "writer"}))


def test_lists_cannot_be_groups(chat_recipe):
    with pytest.raises(RecipeError, match="the column 'messages' holds lists"):
        prepare(chat_recipe(split={"group": "messages"}))


def test_more_rows_than_there_are_cannot_be_held_out(text_recipe):
    with pytest.raises(RecipeError, match="found 20 rows, expected more than the 500"):
        prepare(text_recipe(make_texts(20), split={"test": 500}))


def test_what_is_fitted_is_fitted_on_the_training_part(tmp_path, text_recipe):
    rows = [
        {"text": f"{row['text']} {'pad ' * (i % 5)}", "label": row["label"]} for i, row in enumerate(make_texts(90))
    ]
    manifest = prepare(text_recipe(rows, split=HALVES, balance={"weights": "balanced"}))
    train = [row for row in written(tmp_path / "out").values() if row["split"] == "train"]
    counts = {name: sum(manifest.label_names[row["labels"]] == name for row in train) for name in manifest.label_names}
    expected = {name: len(train) / (len(counts) * count) for name, count in counts.items()}
    assert manifest.balance["weights"] == pytest.approx(expected)


def test_rows_of_an_evaluation_are_kept_out(tmp_path, text_recipe):
    rows = make_texts(60)
    rows[0]["text"], rows[59]["text"] = LONG.format(1), LONG.format(1).upper() + "!"
    write_jsonl(tmp_path / "evaluation.jsonl", [{"text": f"Question: {rows[0]['text']}?", "label": "x"}])
    manifest = prepare(text_recipe(rows, decontaminate={"files": ["evaluation.jsonl"]}, max_rejected=1.0))
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {row["record"] for row in rejected} == {1, 60}
    assert {(row["stage"], row["reason"]) for row in rejected} == {("decontaminate", "contaminated")}
    assert "evaluation.jsonl:1" in rejected[0]["detail"]
    assert manifest.rows.written == 58
