"""From a source to shards for every task of texts, single and in pairs: `datasets` opens them, and nothing is lost."""

import csv
import json
import shutil

import datasets
import polars as pl
import pytest
from examples import make_pairs, make_texts

import sftdata
from sftdata.errors import NothingToWrite, RecipeError, TokenizerError

TASKS = {"text_classification": "label", "multilabel": "labels", "regression": "score"}
FEATURES = {
    "text_classification": datasets.ClassLabel(names=["animal", "place", "thing"]),
    "multilabel": datasets.List(datasets.Value("float32")),
    "regression": datasets.Value("float32"),
}


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def examples(out):
    """Yield the record of each example, counted from 0, and the example."""
    for part in datasets.load_from_disk(str(out)).values():
        for row in part:
            yield int(row["row_id"].partition(":")[2].partition("/")[0]) - 1, row


def expected_label(task, row, names):
    if task == "multilabel":
        return [float(name in row["labels"]) for name in names]
    return names.index(row["label"]) if task == "text_classification" else row["score"]


@pytest.mark.parametrize("task", TASKS)
def test_pairs_become_examples_with_ids_types_and_labels(tmp_path, pair_recipe, pair_tokenizer, task):
    manifest = prepare(pair_recipe(task=task))
    rows, names = make_pairs(200), manifest.label_names
    reference = sftdata.tokenizers.loading.load_tokenizer(str(pair_tokenizer)).reference
    found = dict(examples(tmp_path / "out"))
    assert sorted(found) == list(range(200))
    for place, example in found.items():
        encoding = reference.encode(rows[place]["text"], rows[place]["other"])
        assert example["input_ids"] == encoding.ids
        assert example["token_type_ids"] == encoding.type_ids
        assert example["labels"] == expected_label(task, rows[place], names)
    features = datasets.load_from_disk(str(tmp_path / "out"))["train"].features
    assert features["labels"] == FEATURES[task]
    assert features["token_type_ids"] == datasets.List(datasets.Value("int8"))
    assert manifest.has_pairs
    assert manifest.splits["train"].trained_tokens == manifest.splits["train"].rows
    assert names == (None if task == "regression" else ("animal", "place", "thing"))
    assert sftdata.verify(tmp_path / "out") == manifest


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_single_texts_out_of_csv_become_examples(tmp_path, request, task):
    recipe = request.getfixturevalue(f"{task}_recipe")(sources=[{"path": "data.csv"}])
    rows = [row for row in make_pairs(200) if row["labels"]]  # in CSV a cell that is empty has no value
    with (tmp_path / "data.csv").open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", TASKS[task]])
        write.writerows(
            [row["text"], ";".join(row["labels"]) if task == "multilabel" else row["score"]] for row in rows
        )
    manifest = prepare(recipe)
    for place, example in examples(tmp_path / "out"):
        assert example.keys() == {"row_id", "input_ids", "labels"}
        assert example["labels"] == expected_label(task, rows[place], manifest.label_names)
    assert manifest.rows.written == len(rows)
    assert not manifest.has_pairs


def test_every_step_takes_pairs(tmp_path, pair_recipe):
    rows = make_pairs(120)
    rows[1] |= {"text": "Call me@x.org", "other": "the dog"}
    rows[2] |= {"other": "write to me@x.org  now"}
    rows[3] |= {"text": rows[4]["text"].upper(), "other": rows[4]["other"], "label": rows[4]["label"]}  # a duplicate
    rows[5] |= {"text": rows[4]["text"]}  # the same text beside another one is none
    rows[6] |= {"other": ""}
    rows[7] |= {"other": "held out of training for the test " * 3}
    held_out = tmp_path / "test.jsonl"
    held_out.write_text(json.dumps({"other": rows[7]["other"]}) + "\n")
    recipe = pair_recipe(
        rows,
        clean={"emails": "replace", "characters": {"min": 1}, "whitespace": "words"},
        deduplicate={"exact": True, "near": False, "conflicts": "reject"},
        decontaminate={"files": ["test.jsonl"]},
        balance={"oversample": "median"},
        augment=[{"random_swap": {"rate": 0.5}}],
        split={"train": 0.8, "test": 0.2, "stratify": "length"},
        max_rejected=5,
    )
    manifest = prepare(recipe)
    assert manifest.rejected_by_reason == {"too_short:characters": 1, "contaminated": 1}
    assert manifest.rows.duplicates == 1
    assert manifest.cleaning["changed"]["emails"] == 2
    assert manifest.augmentation["steps"]["random_swap"]["made"] > 50
    assert manifest.rows.augmented > manifest.augmentation["steps"]["random_swap"]["made"]
    counts = manifest.rows
    assert counts.read + counts.augmented == counts.written + counts.rejected + counts.duplicates


def test_the_same_text_beside_another_is_no_conflict_and_the_same_pair_is_one(tmp_path, pair_recipe):
    rows = [{**row, "text": f"{row['text']} fox"} for row in make_pairs(60)]
    rows[1] |= {"text": rows[0]["text"], "label": "thing"}
    rows[2] |= {"text": rows[0]["text"], "other": rows[1]["other"], "label": "place"}
    manifest = prepare(pair_recipe(rows, deduplicate={"near": False, "conflicts": "reject"}, max_rejected=5))
    assert manifest.rejected_by_reason == {"conflict": 2}
    [first, _] = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert "same text and text_pair differ in label" in first["detail"]


def test_near_duplicates_are_those_of_both_texts(tmp_path, pair_recipe):
    long = "a bird in the hand is worth two in the bush and the quick brown fox jumps over the lazy dog today"
    rows = make_pairs(60)
    rows[10] |= {"text": "the first of both", "other": long}
    rows[11] |= {"text": "the first of both", "other": f"{long} again"}
    rows[12] |= {"text": "the first of both", "other": "something else, of other words, that has no such words at all"}
    manifest = prepare(pair_recipe(rows, deduplicate={"near": {"action": "drop"}}))
    [dropped] = pl.read_ndjson(tmp_path / "out" / "duplicates.jsonl").rows(named=True)
    assert dropped["row_id"].endswith(":12")
    assert dropped["kind"] == "near"
    assert manifest.rows.duplicates == 1


def test_long_pairs_are_split_and_nothing_is_lost(tmp_path, pair_recipe, pair_tokenizer):
    rows = make_pairs(50)
    rows[9] |= {"other": "the quick brown fox " * 20}
    settings = {"tokenizer": str(pair_tokenizer), "max_length": 32, "overflow": "split"}
    manifest = prepare(pair_recipe(rows, tokenize=settings))
    parts = [example for place, example in examples(tmp_path / "out") if place == 9]
    assert manifest.rows.augmented == len(parts) - 1 > 1
    assert {part["parent_id"] for part in parts[1:]} == {parts[0]["row_id"]}
    assert all(part["labels"] == parts[0]["labels"] for part in parts)


def test_labels_are_fitted_on_the_training_part(tmp_path, multilabel_recipe):
    rows = [{"text": row["text"], "labels": row["labels"]} for row in make_pairs(100)]
    rows[20]["labels"] = ["rare", "animal"]
    found = set()
    for seed in range(6):
        split = {"train": 0.5, "test": 0.5, "seed": seed}
        manifest = prepare(multilabel_recipe(rows, split=split, deduplicate={"near": False}, max_rejected=1))
        fitted = "rare" in manifest.label_names
        assert manifest.rejected_by_reason == ({} if fitted else {"label:not_in_train": 1})
        rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
        assert [row["original"]["labels"] for row in rejected] == ([] if fitted else [["rare", "animal"]])
        found.add(fitted)
    assert found == {True, False}, "the test must see both"


def test_rows_without_any_label_teach_nothing(multilabel_recipe):
    with pytest.raises(NothingToWrite, match="no row of the training part has a label"):
        prepare(multilabel_recipe([{"text": row["text"], "labels": []} for row in make_texts(30)]))


def test_labels_that_share_rows_are_weighed(multilabel_recipe):
    manifest = prepare(multilabel_recipe(balance={"weights": "balanced"}))
    assert manifest.balance["weights"].keys() == set(manifest.label_names)


@pytest.mark.parametrize(
    ("task", "balance", "told"),
    [
        ("multilabel", {"oversample": "median"}, "`weights: balanced` alone"),
        ("multilabel", {"undersample": 2.0}, "`weights: balanced` alone"),
        ("multilabel", {"weights": "effective"}, "`weights: balanced` alone"),
        ("regression", {"weights": "balanced"}, "no labels to balance"),
    ],
)
def test_a_balance_without_sense_is_refused_before_anything_is_read(request, task, balance, told):
    with pytest.raises(RecipeError, match=told):
        sftdata.load_recipe(request.getfixturevalue(f"{task}_recipe")(balance=balance))


def test_a_tokenizer_that_says_a_text_twice_is_refused_before_anything_is_read(tmp_path, pair_recipe, pair_tokenizer):
    shutil.copytree(pair_tokenizer, tmp_path / "odd")
    tokenizer = json.loads((tmp_path / "odd" / "tokenizer.json").read_text())
    tokenizer["post_processor"]["pair"].append({"Sequence": {"id": "A", "type_id": 0}})
    (tmp_path / "odd" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(TokenizerError, match="'odd' changes texts when it makes a pair"):
        prepare(pair_recipe(tokenize={"tokenizer": "odd"}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", TASKS)
def test_several_chunks_and_workers_give_the_same_bytes(monkeypatch, tmp_path, pair_recipe, task):
    monkeypatch.setattr("sftdata.sources.parsing.CHUNK_ROWS", 30)
    recipe = sftdata.load_recipe(pair_recipe(task=task, augment=[{"random_swap": {}}]))
    results = []
    for workers in (1, 2):
        sftdata.prepare(recipe, workers=workers)
        results.append({path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()})
    assert results[0] == results[1]
