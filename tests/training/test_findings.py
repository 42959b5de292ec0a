"""What evaluations leave for the report: the examples that cost most, exactly, and what is taken for what."""

import json

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from spoken import write_spoken
from strategies import quick
from tiny import LABELS, Example, settings, write_dataset

from sftdata.records import IGNORE_INDEX, Task
from sftdata.report.page import REPORT_NAME
from sftdata.shards.reader import load_split
from sftdata.training import cross_validation, evaluate, evaluation, milestones, train
from sftdata.training.examples import Examples
from sftdata.training.findings import PAIRS, count_confusions, read_findings
from sftdata.training.finished import load_run
from sftdata.training.isolation import prepare_packing
from sftdata.training.run import read_run
from sftdata.training.scoring import run_model
from sftdata.training.worst import BEFORE, BEHIND, TEXTS, TRAINED, _cut_trained, find_worst, look_closer

MODELS = {Task.SEQ2SEQ: "tiny_t5", Task.CAUSAL_LM: "tiny_llama"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """A run of each task, its data and what an evaluation says, made once."""
    made = {}

    def make(task):
        if task not in made:
            folder = tmp_path_factory.mktemp(f"findings-{task}")
            data = write_spoken(folder, task)
            wanted = settings(request.getfixturevalue(MODELS.get(task, "tiny_bert")), folder / "run", epochs=2)
            train(data, wanted, progress=False)
            made[task] = folder / "run", data, evaluate(folder / "run", data, batch_size=4)
        return made[task]

    return make


@pytest.fixture(params=list(Task))
def task(request):
    return request.param


def found_of(run, split):
    return next(found for found in read_findings(run) if found["split"] == split)


def say_alone(model, task, example):
    """Return the loss of each target of one example, and what is likeliest in its place, by plain transformers."""
    ids, labels = torch.tensor([example["input_ids"]]), torch.tensor(np.array(example["labels"]))
    with torch.inference_mode():
        if task == Task.SEQ2SEQ:
            logits = model(input_ids=ids, labels=labels[None]).logits[0]
        else:
            logits = model(input_ids=ids).logits[0]
    match task:
        case Task.MULTILABEL:
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float()).reshape(1), None
        case Task.REGRESSION:
            return (logits - labels.float()) ** 2, None
        case Task.CAUSAL_LM:
            logits, labels = logits[:-1], labels[1:]
    labels = labels.reshape(-1)
    logits = logits.reshape(len(labels), -1)[labels != IGNORE_INDEX]
    labels = labels[labels != IGNORE_INDEX]
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(dim=1)


@pytest.mark.parametrize("packs", [False, True])
def test_the_loss_of_each_example_is_that_of_the_example_alone(runs, task, packs):
    run, data, _ = runs(task)
    model, _ = load_run(run, read_run(run), CPU)
    alone, _ = load_run(run, read_run(run), CPU)
    if packs and not prepare_packing(model, task, bf16=False, dense=False):
        assert task == Task.SEQ2SEQ
        return
    split = load_split(data, "test")
    outputs = run_model(model, Examples(split), batch_size=3, bf16=False)
    expected = [say_alone(alone, task, example)[0].mean().item() for example in split]
    assert outputs.losses.dtype == np.float32
    assert outputs.losses == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert float((outputs.losses * outputs.counts).sum()) == pytest.approx(outputs.loss_sum, rel=1e-5)


def test_the_worst_are_those_with_the_highest_loss_and_say_where_they_are_from(runs, task):
    run, data, scores = runs(task)
    split, worst = load_split(data, "test"), found_of(run, "test")["worst"]
    model, _ = load_run(run, read_run(run), CPU)
    losses = {example["row_id"]: say_alone(model, task, example)[0].mean().item() for example in split}
    kept = TEXTS if task in (Task.SEQ2SEQ, Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION) else len(split)
    assert len(worst) == kept == min(kept, scores["rows"])
    assert [one["loss"] for one in worst] == pytest.approx(sorted(losses.values(), reverse=True)[:kept], rel=1e-3)
    assert [one["loss"] for one in worst] == pytest.approx([losses[one["row_id"]] for one in worst], rel=1e-3)
    assert all(one["source"] == "test.txt" and one["row_id"] == f"test:{one['record']}" for one in worst)


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.SEQ2SEQ, Task.TOKEN_CLASSIFICATION])
def test_each_target_of_the_worst_has_its_own_loss_and_what_was_likelier(runs, task):
    run, data, _ = runs(task)
    split, model = load_split(data, "test"), load_run(run, read_run(run), CPU)[0]
    for one in found_of(run, "test")["worst"]:
        example = split.find(one["row_id"])
        losses, likeliest = say_alone(model, task, example)
        *source, trained = one["sequences"]
        stretch = trained["stretches"][0]
        places = [place for place, loss in enumerate(stretch["losses"]) if loss is not None]
        labels = example["labels"] if task != Task.CAUSAL_LM else [IGNORE_INDEX, *example["labels"][1:]]
        assert places == [place for place, label in enumerate(labels) if label != IGNORE_INDEX]
        assert [stretch["losses"][place] for place in places] == pytest.approx(losses.tolist(), rel=1e-3, abs=1e-4)
        assert [stretch["likeliest"][place] for place in places] == likeliest.tolist()
        assert stretch["ids"] == (example["labels"] if task == Task.SEQ2SEQ else example["input_ids"])
        assert one["targets"] == len(places)
        if task == Task.TOKEN_CLASSIFICATION:
            assert [stretch["expected"][place] for place in places] == [labels[place] for place in places]
        if task == Task.SEQ2SEQ:
            assert source[0]["stretches"][0]["ids"] == example["input_ids"]
            assert isinstance(one["written"], str)


def test_answers_are_told_with_their_probability(runs):
    run, data, _ = runs(Task.TEXT_CLASSIFICATION)
    split, model = load_split(data, "test"), load_run(run, read_run(run), CPU)[0]
    for one in found_of(run, "test")["worst"]:
        example = split.find(one["row_id"])
        with torch.inference_mode():
            probabilities = model(input_ids=torch.tensor([example["input_ids"]])).logits[0].softmax(dim=-1)
        assert one["expected"] == LABELS[example["labels"]]
        assert one["predicted"] == LABELS[int(probabilities.argmax())]
        assert one["confidence"] == pytest.approx(float(probabilities.max()), rel=1e-3)
        assert one["sequences"][0]["stretches"] == [{"start": 0, "ids": example["input_ids"]}]
    run, data, _ = runs(Task.MULTILABEL)
    thresholds, split = read_run(run).thresholds, load_split(data, "test")
    for one in found_of(run, "test")["worst"]:
        wanted = [name for name, has in zip(LABELS, split.find(one["row_id"])["labels"], strict=True) if has]
        assert one["expected"] == wanted
        assert one["predicted"] == [name for name in one["confidence"] if one["confidence"][name] >= thresholds[name]]
    run, data, _ = runs(Task.REGRESSION)
    split = load_split(data, "test")
    for one in found_of(run, "test")["worst"]:
        assert one["expected"] == pytest.approx(split.find(one["row_id"])["labels"], abs=1e-4)
        assert (one["expected"] - one["predicted"]) ** 2 == pytest.approx(one["loss"], rel=1e-2, abs=1e-4)


def test_what_is_written_down_is_what_was_said_and_the_matrix_is_that_of_the_scores(runs, task):
    run, _, scores = runs(task)
    found = found_of(run, "test")
    assert found["scores"] == json.loads(json.dumps({k: v for k, v in scores.items() if k != "confusion_matrix"}))
    assert found["step"] == read_run(run).best_step
    if "confusion_matrix" in scores:
        matrix = np.array(scores["confusion_matrix"])
        wrong = np.zeros_like(matrix)
        for of, to, times in found["confusions"]:
            wrong[of, to] = times
        assert (wrong == matrix - np.diag(np.diag(matrix))).all()
        assert [times for *_, times in found["confusions"]] == sorted(wrong[wrong > 0].tolist(), reverse=True)
    else:
        assert found["confusions"] is None


def test_the_best_evaluation_of_the_training_is_kept_with_its_scores(runs, task):
    run, _, _ = runs(task)
    found, record = found_of(run, "validation"), read_run(run)
    assert found["step"] == record.best_step
    assert {name: found["scores"][name] for name in record.scores} == pytest.approx(record.scores)
    assert found["worst"]
    assert (run / REPORT_NAME).is_file()


def test_splits_of_one_name_from_two_datasets_stand_side_by_side(runs, tmp_path):
    run, data, _ = runs(Task.TEXT_CLASSIFICATION)
    other = write_spoken(tmp_path, Task.TEXT_CLASSIFICATION, rows=30)
    before = {path.name for path in (run / "evaluations").iterdir()}
    evaluate(run, other)
    names = {path.name for path in (run / "evaluations").iterdir()}
    assert len(names) == len(before) + 1
    evaluate(run, data)
    assert {path.name for path in (run / "evaluations").iterdir()} == names
    (run / "evaluations" / (names - before).pop()).unlink()


def test_a_run_that_cannot_be_written_to_is_evaluated_all_the_same(runs, monkeypatch):
    run, data, scores = runs(Task.TEXT_CLASSIFICATION)

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(evaluation, "write_findings", refuse)
    with pytest.warns(RuntimeWarning, match="was not written to: .*Read-only"):
        assert evaluate(run, data, batch_size=4) == scores


def test_a_disk_that_is_full_costs_no_more_than_the_findings(tmp_path, class_data, tiny_bert, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(milestones, "write_findings", refuse)
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1))
    assert "was not written for the report: [Errno 28]" in capsys.readouterr().err
    assert read_run(tmp_path / "run").status == "finished"


def test_folds_together_say_what_they_do_worst_and_which_labels_they_contradict(tmp_path, tiny_bert):
    data = write_spoken(tmp_path, Task.TEXT_CLASSIFICATION, folds=3)
    train(data, settings(tiny_bert, tmp_path / "run", epochs=3, learning_rate=1e-2), progress=False)
    run, split = tmp_path / "run", load_split(data)
    found = found_of(run, "out-of-fold")
    assert (found["step"], found["scores"]["rows"]) == (None, 81), "copies do not count"
    losses = {}
    for fold in range(3):
        model, _ = load_run(run / f"fold-{fold}", read_run(run / f"fold-{fold}"), CPU)
        assert found_of(run / f"fold-{fold}", "held-out")["scores"]["rows"] == 27
        for example in split:
            if example["fold"] == fold and example["parent_id"] is None:
                losses[example["row_id"]] = say_alone(model, Task.TEXT_CLASSIFICATION, example)[0].item()
    assert [one["loss"] for one in found["worst"]] == pytest.approx(sorted(losses.values())[::-1][:40], rel=1e-3)
    assert [one["loss"] for one in found["worst"]] == pytest.approx(
        [losses[w["row_id"]] for w in found["worst"]], rel=1e-3
    )
    told = [json.loads(line) for line in (run / cross_validation.ERRORS_NAME).read_text().splitlines()]
    assert [one["row_id"] for one in found["doubtful"]] == [one["row_id"] for one in told][:40]
    assert [one["expected"] for one in found["doubtful"]] == [one["given"] for one in told][:40]
    expected = [one["given_probability"] for one in told][:40]
    assert [one["given_probability"] for one in found["doubtful"]] == pytest.approx(expected, rel=1e-3)
    assert all((place / REPORT_NAME).is_file() for place in (run, run / "fold-0", run / "fold-2"))


losses = st.lists(st.floats(0, 4, width=32) | st.sampled_from([1.0, 2.0, float("nan"), float("inf")]), min_size=1)


@given(losses, st.integers(1, 12))
@quick
def test_the_highest_losses_are_found_the_first_of_equals_first(values, count):
    known = [float("inf") if np.isnan(value) else value for value in values]
    expected = sorted(range(len(values)), key=lambda row: -known[row])[:count]
    assert find_worst(np.array(values, dtype=np.float32), count).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
@quick
def test_confusions_are_those_of_scikit_learn(pairs):
    targets, found = (np.array(column) for column in zip(*pairs, strict=True))
    told = count_confusions(Task.TEXT_CLASSIFICATION, targets, np.eye(5)[found], 5)
    matrix = sklearn.metrics.confusion_matrix(targets, found, labels=range(5))
    np.fill_diagonal(matrix, 0)
    expected = [(of, to, matrix[of, to]) for of in range(5) for to in range(5) if matrix[of, to]]
    assert [tuple(one) for one in told] == sorted(expected, key=lambda one: -one[2])


def test_of_very_many_confusions_the_most_frequent_are_kept():
    targets = np.repeat(np.arange(200), 200)
    found = np.tile(np.arange(200), 200)
    told = count_confusions(Task.TEXT_CLASSIFICATION, np.append(targets, 199), np.append(found, 198), 200)
    assert len(told) == PAIRS
    assert told[0] == [199, 198, 2]
    assert count_confusions(Task.CAUSAL_LM, targets, found, 200) is None


@given(st.lists(st.booleans(), min_size=1, max_size=900), st.integers(0, 2**32 - 1))
@quick
def test_what_is_left_out_of_a_long_sequence_is_far_from_its_first_targets(some, seed):
    trained = np.random.default_rng(seed).random(len(some)) < 0.02 if seed % 2 else np.array(some)
    count = int(trained.sum())
    details = (np.arange(count, dtype=np.float32), np.arange(count))
    cut = _cut_trained("tokens", np.arange(len(trained)), trained, details)
    kept = [token for stretch in cut["stretches"] for token in stretch["ids"]]
    first = np.flatnonzero(trained)[:TRAINED].tolist()
    expected = {near for place in first for near in range(place - BEFORE, place + BEHIND + 1)} & set(range(len(some)))
    assert kept == sorted(expected)
    for stretch in cut["stretches"]:
        assert stretch["ids"][0] == stretch["start"]
        for token, loss in zip(stretch["ids"], stretch["losses"], strict=True):
            assert (loss is not None) == trained[token]


def test_looking_closer_at_packs_and_at_rows_is_the_same(runs):
    run, data, _ = runs(Task.CAUSAL_LM)
    model, _ = load_run(run, read_run(run), CPU)
    examples = Examples(load_split(data, "test")).select(np.array([5, 2, 9]))
    rows = look_closer(model, examples, batch_size=2, bf16=False)
    assert prepare_packing(model, Task.CAUSAL_LM, bf16=False, dense=False)
    packs = look_closer(model, examples, batch_size=2, bf16=False)
    for (losses, likeliest), (of_pack, in_pack) in zip(rows, packs, strict=True):
        assert losses == pytest.approx(of_pack, rel=1e-3, abs=1e-5)
        assert likeliest.tolist() == in_pack.tolist()


def test_rows_too_long_for_a_page_are_cut(tmp_path, tiny_bert, monkeypatch):
    monkeypatch.setattr("sftdata.training.worst.HEAD", 3)
    monkeypatch.setattr("sftdata.training.worst.TAIL", 2)
    row = Example([1, *range(10, 20), 2], 0)
    data = write_dataset(
        tmp_path / "d", Task.TEXT_CLASSIFICATION, dict.fromkeys(("train", "test"), [row] * 4), label_names=LABELS
    )
    train(data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    evaluate(tmp_path / "run", data)
    sequence = found_of(tmp_path / "run", "test")["worst"][0]["sequences"][0]
    assert sequence["stretches"] == [{"start": 0, "ids": [1, 10, 11]}, {"start": 10, "ids": [19, 2]}]
    assert sequence["tokens"] == 12
