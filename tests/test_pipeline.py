"""A run is whole or not there: killed half-way it leaves no manifest, and the next run completes it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from examples import make_texts

import sftdata
from sftdata.errors import OutputError, RecipeError, SourceError, TokenizerError, VerificationError
from sftdata.manifest import UNFINISHED_NAME

STALL = """
import sys, time
import sftdata
from sftdata import pipeline

def stall(*arguments):
    print("stalled", flush=True)
    time.sleep(600)

setattr(pipeline, sys.argv[2], stall)
sftdata.prepare(sftdata.load_recipe(sys.argv[1]))
"""


def prepare(path, **options):
    return sftdata.prepare(sftdata.load_recipe(path), **options)


def kill_at(recipe: Path, moment: str) -> None:
    """Start a run that stands still at a function of the pipeline, and kill it there."""
    process = subprocess.Popen([sys.executable, "-c", STALL, str(recipe), moment], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "stalled\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("moment", ["select_rows", "write_examples", "publish"])
def test_a_killed_run_leaves_no_manifest_and_the_next_run_completes_it(tmp_path, text_recipe, moment):
    recipe = text_recipe()
    kill_at(recipe, moment)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(VerificationError, match="unfinished run"):
        sftdata.verify(tmp_path / "out")
    with pytest.raises(VerificationError, match="unfinished run"):
        sftdata.load_split(tmp_path / "out")
    manifest = prepare(recipe)
    assert sftdata.verify(tmp_path / "out") == manifest
    assert not (tmp_path / "out" / UNFINISHED_NAME).exists()


def test_a_killed_second_run_leaves_the_first_dataset_whole(tmp_path, text_recipe):
    first = prepare(text_recipe())
    kill_at(text_recipe(make_texts(150)), "publish")
    assert sftdata.verify(tmp_path / "out") == first
    assert prepare(text_recipe(make_texts(150))).rows.written == 150


@pytest.mark.parametrize("after", range(18))  # the old manifest, 8 old names, 8 new ones, the new manifest
def test_an_interrupted_run_puts_back_what_it_has_moved(tmp_path, text_recipe, monkeypatch, after):
    """Interrupt publishing at each of its moves: the old dataset is whole, or the new one is already in place."""
    prepare(text_recipe())
    moves = iter(range(100))
    rename = Path.rename

    def interrupt(path, target):
        if UNFINISHED_NAME in f"{path}{target}" and "part-" not in path.name and next(moves) == after:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(text_recipe(make_texts(150)))
    assert sftdata.verify(tmp_path / "out").rows.written == 200
    before = next(moves)
    assert prepare(text_recipe(make_texts(150))).rows.written == 150
    assert next(moves) - before - 1 == 18, "the moves are others than those that this test interrupts"


def test_a_second_run_replaces_the_first_and_leaves_other_files_alone(tmp_path, text_recipe):
    prepare(text_recipe())
    (tmp_path / "out" / "notes.txt").write_text("mine")
    prepare(text_recipe(make_texts(50), split={"train": 1, "validation": 0, "test": 0}))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dataset_dict.json",
        "index",
        "manifest.json",
        "notes.txt",
        "rejected.jsonl",
        "report.html",
        "tokenizer",
        "train",
    ]
    assert sftdata.verify(tmp_path / "out").rows.written == 50


def test_a_directory_that_is_not_ours_is_refused_untouched(tmp_path, text_recipe):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"not empty.*thesis\.txt"):
        prepare(text_recipe())
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_an_empty_directory_and_a_nested_new_one_are_fine(tmp_path, text_recipe):
    (tmp_path / "out").mkdir()
    assert prepare(text_recipe()).rows.written == 200
    assert prepare(text_recipe(), out=tmp_path / "a" / "b").rows.written == 200


def test_two_runs_do_not_write_to_one_directory(tmp_path, text_recipe):
    recipe = text_recipe()
    process = subprocess.Popen([sys.executable, "-c", STALL, str(recipe), "publish"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(OutputError, match="another run"):
        prepare(recipe)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    time.sleep(0.1)
    assert prepare(recipe).rows.written == 200


def test_the_split_is_stratified_and_complete(tmp_path, text_recipe):
    manifest = prepare(text_recipe(make_texts(1000)))
    assert {name: split.rows for name, split in manifest.splits.items()} == {
        "train": 800,
        "validation": 100,
        "test": 100,
    }
    shares = {"animal": 0.6, "place": 0.3, "thing": 0.1}
    for name, split in manifest.splits.items():
        counts = Counter(row["labels"] for row in sftdata.load_split(tmp_path / "out", name))
        for index, label in enumerate(manifest.label_names):
            assert abs(counts[index] - shares[label] * split.rows) <= 1


def test_label_names_are_those_of_the_training_part_and_every_label_is_in_it(tmp_path, text_recipe):
    rows = [*make_texts(100), {"text": "only one of these", "label": "rare"}]
    manifest = prepare(text_recipe(rows))
    assert manifest.label_names == ("animal", "place", "rare", "thing")
    train = {row["labels"] for row in sftdata.load_split(tmp_path / "out", "train")}
    assert train == set(range(4))


def test_a_label_without_a_training_row_is_rejected_by_name(tmp_path, text_recipe):
    rows = [*make_texts(60), *({"text": f"odd {i}", "label": f"odd {i}"} for i in range(60))]
    split = {"train": 0.5, "validation": 0.25, "test": 0.25, "seed": 3}
    manifest = prepare(text_recipe(rows, split=split, max_rejected=1.0))
    assert set(manifest.rejected_by_reason) == {"label:not_in_train"}
    assert manifest.rows.read == manifest.rows.written + manifest.rows.rejected


def test_a_split_without_rows_is_left_out(tmp_path, text_recipe):
    manifest = prepare(text_recipe(make_texts(3)))
    assert "train" in manifest.splits
    assert all(split.rows for split in manifest.splits.values())


def test_the_manifest_holds_what_the_contract_says(tmp_path, text_recipe):
    prepare(text_recipe())
    document = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert {"version", "recipe", "inputs", "rows", "rejected_by_reason", "label_names", "tokenizer"} <= set(document)
    assert {"chat_template_digest", "splits", "seed"} <= set(document)
    assert set(document["inputs"][0]) == {"id", "path", "bytes", "digest"}
    assert {"name", "digest", "backend", "vocab_size", "proof"} == set(document["tokenizer"])
    assert set(document["splits"]["train"]) == {"rows", "tokens", "trained_tokens", "shards"}
    assert set(document["splits"]["train"]["shards"][0]) == {"file", "rows", "bytes", "digest"}
    assert document["recipe"]["schema"] == "text_label"


def test_parquet_csv_and_jsonl_give_the_same_examples(tmp_path, text_recipe):
    import polars as pl

    rows = pl.DataFrame(make_texts(60))
    rows.write_parquet(tmp_path / "data.parquet")
    rows.write_csv(tmp_path / "data.csv")
    rows.write_csv(tmp_path / "data.tsv", separator="\t")
    seen = []
    for name in ("data.jsonl", "data.parquet", "data.csv", "data.tsv"):
        recipe = text_recipe(make_texts(60), sources=[{"path": name}], split={"train": 1, "validation": 0, "test": 0})
        prepare(recipe)
        seen.append([(row["input_ids"], row["labels"]) for row in sftdata.load_split(tmp_path / "out")])
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_progress_is_told_of_every_stage_in_order_and_comes_to_its_end(text_recipe):
    told = []
    prepare(text_recipe(), watch=lambda *progress: told.append(progress))
    ends = {stage: (done, total) for stage, done, total in told}
    assert list(ends) == [
        "read and validate",
        "find duplicates",
        "split and audit",
        "prove the tokenizer",
        "tokenize and write",
        "describe and report",
    ]
    for stage in ("read and validate", "find duplicates", "split and audit", "tokenize and write"):
        assert ends[stage][0] == ends[stage][1] > 0, stage
    assert ends["tokenize and write"] == (200, 200)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"schema": "messages"}, RecipeError, "is for causal_lm"),
        ({"schema": "nowhere"}, sftdata.errors.SchemaError, "known: alpaca, messages, prompt_completion, "),
        (
            {"sources": [{"path": "nowhere.csv"}, {"path": "*.xyz"}]},
            SourceError,
            r"nowhere.csv: no such file(.|\n)*\*\.xyz",
        ),
        ({"tokenize": {"tokenizer": "no/such"}}, TokenizerError, "no tokenizer 'no/such'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, text_recipe, monkeypatch, changes, error, message
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match=message):
        prepare(text_recipe(**changes))
    assert not (tmp_path / "out").exists()
