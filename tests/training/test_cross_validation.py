"""Every fold is trained from one set of shards, and each row is judged by the model that has not seen it."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import sklearn.metrics
import torch
from spoken import unsay, write_spoken
from tiny import LABELS, random_turns, settings, write_dataset

from sftdata.errors import TrainingError, UsageError, VerificationError
from sftdata.records import Task
from sftdata.report.steps import find_plan
from sftdata.shards.reader import load_split
from sftdata.training import evaluate, loop, predict, train
from sftdata.training.examples import Examples
from sftdata.training.finished import load_run
from sftdata.training.run import read_run

FOLDS = 3
KEPT = [row for row in range(90) if row % 10 != 9]  # the others are copies


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_bert):
    """A cross-validation of each task with one answer a row, made once."""
    runs = {}

    def make(task):
        if task not in runs:
            folder = tmp_path_factory.mktemp(f"folds-{task}")
            data = write_spoken(folder, task, folds=FOLDS)
            wanted = settings(tiny_bert, folder / "run", epochs=4, learning_rate=1e-2)
            runs[task] = data, folder / "run", train(data, wanted, progress=False)
        return runs[task]

    return make


@pytest.fixture(params=[Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION])
def task(request):
    return request.param


def read_predictions(run):
    return pl.read_parquet(run / "out_of_fold.parquet")


def test_a_selection_has_its_rows_and_no_others(class_data):
    examples = Examples(load_split(class_data))
    rows = np.array([3, 7, 50, 59])
    some = examples.select(rows)
    assert len(some) == 4
    assert some.row_ids(np.array([2, 0])) == examples.row_ids(np.array([50, 3]))
    assert some.gather(np.array([1, 3])).input_ids.tolist() == examples.gather(np.array([7, 59])).input_ids.tolist()
    assert some.row_labels().tolist() == examples.row_labels()[rows].tolist()
    assert some.select(np.array([3])).row_ids(np.array([0])) == examples.row_ids(np.array([59]))
    assert (len(examples), examples.lengths[rows].tolist()) == (60, some.lengths.tolist())


def test_each_fold_is_trained_on_the_rows_of_the_others(made, tiny_bert, tmp_path, monkeypatch):
    data, *_ = made(Task.TEXT_CLASSIFICATION)
    folds, seen, take_step = load_split(data).folds(), {}, loop.take_step

    def watch(model, optimizer, setup, loaded, *more):
        seen.setdefault(setup.settings.fold, []).extend(loaded.rows.tolist())
        return take_step(model, optimizer, setup, loaded, *more)

    monkeypatch.setattr(loop, "take_step", watch)
    train(data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    assert {fold: sorted(rows) for fold, rows in seen.items()} == {
        fold: np.flatnonzero(folds != fold).tolist() for fold in range(FOLDS)
    }
    splits, plan = find_plan(tmp_path / "run" / "fold-1")
    planned = sorted(row for step in range(plan.steps) for unit in plan.units(step) for row in unit.tolist())
    assert planned == sorted(seen[1])
    assert len(splits) == 1


def test_every_row_is_judged_once_by_the_model_that_has_not_seen_it(made, task):
    data, run, _ = made(task)
    split, found = load_split(data), read_predictions(run)
    assert found["row_id"].to_list() == [f"train:{row}" for row in KEPT], "and copies not at all"
    assert found["fold"].to_list() == [row % FOLDS for row in KEPT]
    for fold in range(FOLDS):
        model, _ = load_run(run / f"fold-{fold}", read_run(run / f"fold-{fold}"), torch.device("cpu"))
        for line in found.filter(fold=fold).head(4).iter_rows(named=True):
            with torch.inference_mode():
                example = split.find(line["row_id"])
                logits = model(input_ids=torch.tensor([example["input_ids"]])).logits[0]
            if task == Task.REGRESSION:
                assert (line["predicted"], line["score"]) == pytest.approx((logits.item(), example["labels"]), abs=1e-5)
                continue
            expected = logits.sigmoid() if task == Task.MULTILABEL else logits.softmax(-1)
            assert line["probabilities"] == pytest.approx(expected.tolist(), abs=1e-5)
            if task == Task.TEXT_CLASSIFICATION:
                assert line["label"] == LABELS[example["labels"]]
                assert line["predicted"] == LABELS[int(expected.argmax())]


def test_means_and_deviations_are_those_of_the_folds(made):
    _, run, result = made(Task.TEXT_CLASSIFICATION)
    found = read_predictions(run)
    of_folds = [
        sklearn.metrics.accuracy_score(part["label"].to_list(), part["predicted"].to_list())
        for part in found.partition_by("fold", maintain_order=True)
    ]
    told = json.loads((run / "folds.json").read_text())
    assert result.scores["accuracy"] == told["scores"]["accuracy"]["mean"] == pytest.approx(np.mean(of_folds))
    assert result.deviations["accuracy"] == pytest.approx(np.std(of_folds, ddof=1))
    assert told["scores"]["accuracy"]["values"] == pytest.approx(of_folds)
    assert told["folds"] == FOLDS
    assert told["worst_fold"]["accuracy"] == int(np.argmin(of_folds))
    assert result.scores["accuracy"] > 0.6, "the folds learn something"


def test_labels_that_the_predictions_contradict_are_listed_with_their_place(tiny_bert, tmp_path):
    data = write_spoken(tmp_path, Task.TEXT_CLASSIFICATION, rows=200, folds=4)
    flipped = flip(tmp_path, [0, 50, 101, 152])
    train(flipped, settings(tiny_bert, tmp_path / "run", epochs=5, learning_rate=1e-2), progress=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "label_errors.jsonl").read_text().splitlines()]
    assert len(lines) == json.loads((tmp_path / "run" / "folds.json").read_text())["label_errors"]
    ids = [line["row_id"] for line in lines]
    assert len({"train:0", "train:50", "train:101", "train:152"} & set(ids[:8])) >= 3
    assert [line["score"] for line in lines] == sorted(line["score"] for line in lines)
    assert lines[0]["source"] == "train.txt"
    assert lines[0]["record"] == int(lines[0]["row_id"].split(":")[1])
    assert load_split(data).folds().tolist() == load_split(flipped).folds().tolist()


def flip(folder, rows):
    """Write the dataset again with other labels in these rows."""
    from spoken import MAKERS
    from tiny import Example

    make, names = MAKERS[Task.TEXT_CLASSIFICATION]
    examples = make(200, 1)
    for row in rows:
        examples[row] = Example(examples[row].input_ids, (examples[row].labels + 1) % len(LABELS))
    splits = {"train": examples, "test": make(25, 3)}
    tokenizer = folder / "made-with"
    data = write_dataset(
        folder / "flipped", Task.TEXT_CLASSIFICATION, splits, label_names=names, model=tokenizer, folds=4
    )
    shutil.copytree(tokenizer, data / "tokenizer")
    return data


def test_the_models_of_all_folds_answer_together(made, task):
    data, run, _ = made(task)
    texts = [unsay(example) for example in load_split(data, "test")[:5]]
    together = predict(run, texts)
    alone = [predict(run / f"fold-{fold}", texts) for fold in range(FOLDS)]
    for number, answer in enumerate(together):
        each = [of_fold[number] for of_fold in alone]
        if task == Task.REGRESSION:
            assert answer["score"] == pytest.approx(np.mean([one["score"] for one in each]), abs=1e-5)
        elif task == Task.MULTILABEL:
            means = {name: np.mean([one["probabilities"][name] for one in each]) for name in LABELS}
            assert answer["probabilities"] == pytest.approx(means, abs=1e-5)
            above = read_run(run).thresholds
            assert answer["labels"] == [name for name in LABELS if means[name] >= above[name]]
        else:
            agreed = {one["label"] for one in each}
            assert answer["label"] in agreed
            assert len(agreed) > 1 or answer["probability"] == pytest.approx(
                np.mean([one["probability"] for one in each]), abs=1e-5
            )


def test_a_cross_validation_that_was_cut_off_goes_on(made, tiny_bert, tmp_path):
    data, run, whole = made(Task.TEXT_CLASSIFICATION)
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "fold-2")
    for name in ("folds.json", "out_of_fold.parquet", "label_errors.jsonl"):
        (tmp_path / "run" / name).unlink()
    wanted = settings(tiny_bert, tmp_path / "run", epochs=4, learning_rate=1e-2)
    with pytest.raises(TrainingError, match="already holds a run"):
        train(data, wanted, progress=False)
    again = train(data, wanted, resume=True, progress=False)
    assert again.scores == whole.scores
    assert read_predictions(tmp_path / "run").equals(read_predictions(run))
    assert (tmp_path / "run" / "folds.json").read_text() == (run / "folds.json").read_text()


def test_one_fold_alone_is_a_run_like_any_other(made, tiny_bert, tmp_path):
    data, run, _ = made(Task.TEXT_CLASSIFICATION)
    wanted = settings(tiny_bert, tmp_path / "one", epochs=4, learning_rate=1e-2, fold=1)
    result = train(data, wanted, progress=False)
    assert result.deviations == {}
    assert result.scores == pytest.approx(read_run(run / "fold-1").scores)
    assert evaluate(tmp_path / "one", data)["rows"] == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [({"fold": 3}, "found fold 3, expected one from 0 to 2"), ({"mix": True}, "in a run over folds")],
)
def test_what_does_not_go_with_folds_is_refused(made, tiny_bert, tmp_path, change, message):
    data, *_ = made(Task.TEXT_CLASSIFICATION)
    if "mix" in change:
        change = {"mix": {"datasets": [{"data": str(data)}]}}
    wanted = settings(tiny_bert, tmp_path / "run", epochs=1, **change)
    with pytest.raises(TrainingError, match=message):
        train(data, wanted, progress=False)


def test_a_fold_of_a_dataset_without_folds_is_refused(class_data, tiny_bert, tmp_path):
    with pytest.raises(VerificationError, match="has no folds"):
        train(class_data, settings(tiny_bert, tmp_path / "run", fold=0), progress=False)


def test_where_one_model_is_wanted_a_cross_validation_names_its_runs(made):
    data, run, _ = made(Task.TEXT_CLASSIFICATION)
    for use in (lambda: evaluate(run, data), lambda: find_plan(run)):
        with pytest.raises(UsageError, match=r"cross-validation of 3 folds\. Name one of its runs: .*fold-0"):
            use()


def test_models_that_write_are_validated_too_but_do_not_answer_together(tiny_llama, tmp_path):
    data = write_dataset(tmp_path / "data", Task.CAUSAL_LM, {"train": random_turns(40, 1)}, folds=2)
    result = train(data, settings(tiny_llama, tmp_path / "run", epochs=1), progress=False)
    assert set(result.scores) == {"loss", "perplexity", "token_accuracy"} == set(result.deviations)
    assert not (tmp_path / "run" / "out_of_fold.parquet").exists()
    with pytest.raises(UsageError, match="cannot write together"):
        predict(tmp_path / "run", ["w3"])
