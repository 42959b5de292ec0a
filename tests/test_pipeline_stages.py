"""Cleaning, deduplication, balance and augmentation in `prepare`: every row accounted for, the same bytes each time."""

import filecmp
import json
from collections import Counter

import pytest
from examples import make_conversations, make_texts, write_jsonl

import sftdata
from sftdata.errors import RecipeError, TooManyRejected, UsageError
from sftdata.recipe import load_recipe


def prepare(path, **options):
    return sftdata.prepare(load_recipe(path), **options)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def closes(manifest):
    rows = manifest.rows
    return rows.read + rows.augmented == rows.written + rows.rejected + rows.duplicates


def test_everything_at_once_closes_and_gives_the_same_bytes_with_workers(tmp_path, text_recipe, monkeypatch):
    monkeypatch.setattr("sftdata.sources.parsing.CHUNK_ROWS", 60)
    rows = make_texts(180)
    for i in range(0, 180, 9):
        rows[i]["text"] = rows[0]["text"] if i % 2 else f"<p>mail {i} to a{i}@example.com &amp; wait</p>"
    rows[5]["text"] = "x"
    write_jsonl(tmp_path / "evaluation.jsonl", [{"text": rows[10]["text"], "label": "animal"}])
    recipe = text_recipe(
        rows,
        clean={"html": True, "emails": "replace", "whitespace": "words", "characters": {"min": 4}},
        deduplicate={"exact": True, "conflicts": "reject"},
        decontaminate={"files": ["evaluation.jsonl"]},
        balance={"oversample": "largest", "weights": "balanced"},
        augment=[{"random_swap": {"copies": 2}}, {"typing_noise": {}}],
        max_rejected=1.0,
    )
    manifest = prepare(recipe, out=tmp_path / "one")
    assert closes(manifest)
    assert sftdata.verify(tmp_path / "one") == manifest
    assert {"contaminated", "conflict"} <= manifest.rejected_by_reason.keys()
    assert manifest.cleaning["changed"]["emails"] == 20
    samples = {sample["step"]: sample for sample in manifest.cleaning["samples"]}
    assert samples["html"]["before"] != samples["html"]["after"]
    assert "<EMAIL>" in samples["emails"]["after"]
    assert "example.com" not in json.dumps(manifest.cleaning), "personal data must not stand in the manifest"
    assert manifest.rows.augmented > 100
    assert prepare(recipe, out=tmp_path / "two", workers=2) == manifest
    same = filecmp.dircmp(tmp_path / "one", tmp_path / "two")
    assert not same.left_only
    assert not same.right_only
    for file in sorted((tmp_path / "one").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes(), file


def test_dropped_duplicates_are_listed_with_the_row_that_stays(tmp_path, text_recipe):
    rows = make_texts(40)
    rows[20] = {"text": f" {rows[3]['text'].upper()} ", "label": rows[3]["label"]}
    manifest = prepare(text_recipe(rows, deduplicate={"exact": True}))
    (found,) = lines(tmp_path / "out" / "duplicates.jsonl")
    source = manifest.inputs[0].id
    assert found == {"row_id": f"{source}:21", "kept_row_id": f"{source}:4", "kind": "exact", "similarity": 1.0}
    assert (manifest.rows.duplicates, manifest.rows.written) == (1, 39)
    assert "duplicates.jsonl" in manifest.files
    (tmp_path / "out" / "duplicates.jsonl").write_text("{}\n")
    with pytest.raises(sftdata.errors.VerificationError, match=r"duplicates\.jsonl"):
        sftdata.verify(tmp_path / "out")


def test_a_later_run_without_duplicates_leaves_no_list_of_them(tmp_path, text_recipe):
    rows = make_texts(40)
    rows[20] = rows[3]
    prepare(text_recipe(rows, deduplicate={"exact": True}))
    prepare(text_recipe(make_texts(40), deduplicate={"exact": True}))
    assert not (tmp_path / "out" / "duplicates.jsonl").exists()


def test_contradictions_are_rejected_with_their_original(tmp_path, text_recipe):
    rows = make_texts(40)
    rows[20] = {"text": rows[3]["text"], "label": "odd", "note": "kept in the original"}
    manifest = prepare(text_recipe(rows, deduplicate={"conflicts": "reject"}, max_rejected=2))
    rejected = lines(tmp_path / "out" / "rejected.jsonl")
    assert [(row["record"], row["stage"], row["reason"]) for row in rejected] == [
        (4, "deduplicate", "conflict"),
        (21, "deduplicate", "conflict"),
    ]
    assert rejected[1]["original"] == rows[20]
    assert closes(manifest)
    with pytest.raises(TooManyRejected):
        prepare(text_recipe(rows, deduplicate={"conflicts": "reject"}, max_rejected=1))


def test_what_cleaning_filters_out_counts_against_the_limit_and_keeps_its_reasons(tmp_path, text_recipe):
    rows = make_texts(40)
    rows[7]["text"] = "ok"
    recipe = text_recipe(rows, clean={"characters": {"min": 5}, "words": {"min": 2}}, max_rejected=1)
    manifest = prepare(recipe)
    (rejected,) = lines(tmp_path / "out" / "rejected.jsonl")
    assert (rejected["stage"], rejected["record"], len(rejected["reasons"])) == ("clean", 8, 2)
    assert rejected["original"]["text"] == "ok"
    assert closes(manifest)


def test_a_row_that_is_filtered_out_and_not_unique_is_counted_once(tmp_path, text_recipe):
    schema = {"name": "s", "task": "text_classification", "parts": {"text": "text", "label": "label"}}
    schema["columns"] = {"id": {"dtype": "int", "checks": {"unique": True}}, "text": {}, "label": {}}
    (tmp_path / "s.yaml").write_text(json.dumps(schema))
    rows = [{"id": min(i, 30), **row} for i, row in enumerate(make_texts(32))]
    rows[30]["text"] = "x"
    manifest = prepare(text_recipe(rows, schema="s.yaml", clean={"characters": {"min": 3}}, max_rejected=1.0))
    found = {row["record"]: row["reasons"] for row in lines(tmp_path / "out" / "rejected.jsonl")}
    assert found.keys() == {31, 32}
    assert "id:unique" in found[31]
    assert len(found[31]) == 2
    assert closes(manifest)


def test_rows_left_out_of_the_balance_are_told_and_do_not_count_against_the_limit(tmp_path, text_recipe):
    manifest = prepare(text_recipe(make_texts(200), balance={"undersample": "smallest"}, max_rejected=0))
    assert manifest.rejected_by_reason == {"undersampled": manifest.rows.rejected}
    counts = Counter(row["labels"] for row in sftdata.load_split(tmp_path / "out"))
    assert len(set(counts.values())) == 1
    assert manifest.rows.rejected == 160 - 3 * counts[0]
    assert len(lines(tmp_path / "out" / "rejected.jsonl")) == manifest.rows.rejected
    assert sum(label["rows"] for label in manifest.balance["after"].values()) == manifest.splits["train"].rows


def test_repeated_rows_have_ids_of_their_own_and_name_their_parent(tmp_path, text_recipe):
    manifest = prepare(text_recipe(make_texts(100), balance={"oversample": "largest"}))
    rows = list(sftdata.load_split(tmp_path / "out"))
    by_id = {row["row_id"]: row for row in rows}
    assert len(by_id) == len(rows) == manifest.splits["train"].rows
    copies = [row for row in rows if row["parent_id"]]
    assert len(copies) == manifest.rows.augmented > 50
    assert all(row["input_ids"] == by_id[row["parent_id"]]["input_ids"] for row in copies)
    assert all(row["row_id"].startswith(row["parent_id"] + "*") for row in copies)


def test_conversations_are_cleaned_clustered_and_augmented_on_the_side_of_the_user(tmp_path, chat_recipe):
    rows = make_conversations(60)
    recipe = chat_recipe(
        rows, clean={"whitespace": "lines"}, augment=[{"random_swap": {"rate": 0.5}}], split={"seed": 1}
    )
    manifest = prepare(recipe)
    assert closes(manifest)
    assert manifest.rows.augmented > 20
    by_id = {row["row_id"]: row for row in sftdata.load_split(tmp_path / "out")}
    for row in by_id.values():
        if row["parent_id"]:
            parent = by_id[row["parent_id"]]
            assert row["input_ids"] != parent["input_ids"]
            trained, before = ([label for label in found["labels"] if label >= 0] for found in (row, parent))
            assert trained == before, "what the assistant says stays as it is"


def test_the_length_in_tokens_can_be_filtered_in_worker_processes(tmp_path, text_recipe):
    recipe = text_recipe(make_texts(40), clean={"tokens": {"max": 1}}, max_rejected=1.0)
    with pytest.raises(sftdata.errors.NothingToWrite):
        prepare(recipe, workers=2)
    manifest = prepare(text_recipe(make_texts(40), clean={"tokens": {"max": 60}}), workers=2)
    assert manifest.rows.written == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clean": {"fields": ["label"]}}, "fields: found 'label', which holds no text"),
        ({"clean": {"stopwords": {"file": "none.txt"}}}, r"none\.txt"),
        ({"deduplicate": {"fields": ["label"]}}, "fields: found label, expected text"),
        ({"decontaminate": {"files": ["none.jsonl"]}}, r"none\.jsonl"),
        ({"decontaminate": {"files": ["data.jsonl"], "fields": ["question"]}}, "record 1 of data.jsonl has none of"),
        ({"augment": [{"synonym_replacement": {"cilin": "none.txt"}}]}, r"none\.txt"),
    ],
)
def test_what_does_not_fit_is_told_before_a_row_is_read(text_recipe, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        prepare(text_recipe(make_texts(20), **changes))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_faults_of_all_stages_are_told_at_once(chat_recipe):
    recipe = chat_recipe(
        clean={"whitespace": "all"},
        deduplicate={"near": {"threshold": 2}},
        split={"stratify": "label"},
        balance={"oversample": "largest"},
        augment=[{"random_swap": {"factors": {"a": 2}}}, {"swap": {}}],
    )
    with pytest.raises(RecipeError) as refused:
        load_recipe(recipe)
    told = "\n".join(refused.value.faults)
    for part in ("clean.whitespace", "deduplicate.near", "split", "balance", "augment"):
        assert part in told


def test_a_folded_dataset_opens_with_datasets(tmp_path, text_recipe):
    import datasets

    prepare(text_recipe(make_texts(100), split={"folds": 5, "test": 0.2, "stratify": "label"}))
    opened = datasets.load_from_disk(str(tmp_path / "out"))
    assert set(opened) == {"train", "test"}
    assert Counter(opened["train"]["fold"]) == dict.fromkeys(range(5), 16)
    assert set(opened["test"]["fold"]) == {-1}
