"""Weights of rows and of turns multiply the loss of their targets, exactly; and losses are told apart by source."""

import json
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from tiny import (
    LABELS,
    random_classes,
    random_label_sets,
    random_scores,
    random_tags,
    random_translations,
    random_turns,
    settings,
    write_dataset,
)
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from sftdata.plan import make_plan
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import train
from sftdata.training.distributed import Ranks
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.loader import Loader
from sftdata.training.models import fit_config, load_weights, quiet_transformers, read_config
from sftdata.training.sources import MOST, SourceLosses, follow_sources, name_sources
from sftdata.training.steps import add_gradients

CUTS = [(1, 8), (2, 4), (8, 1), (3, 3)]
CAPACITY = 60
MAKERS = {
    Task.TEXT_CLASSIFICATION: random_classes,
    Task.MULTILABEL: random_label_sets,
    Task.REGRESSION: random_scores,
    Task.TOKEN_CLASSIFICATION: random_tags,
    Task.SEQ2SEQ: random_translations,
    Task.CAUSAL_LM: random_turns,
}
LABELLED = (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.TOKEN_CLASSIFICATION)
BY_TOKEN = (Task.CAUSAL_LM, Task.SEQ2SEQ, Task.TOKEN_CLASSIFICATION)


def weigh(examples, *, rows=True, turns=False, seed=5):
    """Give examples weights; those of labels are 0 where nothing is trained."""
    source, found = np.random.default_rng(seed), []
    for example in examples:
        weight = float(source.choice([0.25, 0.5, 1, 3])) if rows else None
        drawn = source.choice([0.125, 1, 2], size=len(example.input_ids)).tolist() if turns else None
        weights = turns and [0.0 if label == -100 else one for label, one in zip(example.labels, drawn, strict=True)]
        found.append(replace(example, weight=weight, weights=weights or None))
    return found


def write(directory, task, examples, validation=None):
    splits = {"train": examples} | ({"validation": validation} if validation else {})
    return write_dataset(directory, task, splits, label_names=LABELS if task in LABELLED else None)


KINDS = [*((task, "rows") for task in Task), (Task.CAUSAL_LM, "turns"), (Task.CAUSAL_LM, "both")]


@pytest.fixture(scope="module")
def weighed(tmp_path_factory):
    """A dataset of each task with weights of its rows; of conversations also with those of turns, and with both."""
    found = {}
    for task, kind in KINDS:
        examples = weigh(MAKERS[task](60, 1), rows=kind != "turns", turns=kind != "rows")
        found[task, kind] = write(tmp_path_factory.mktemp(f"{task}-{kind}"), task, examples)
    return found


@pytest.fixture(scope="module")
def models(tiny_bert, tiny_llama, tiny_t5):
    return {Task.CAUSAL_LM: tiny_llama, Task.SEQ2SEQ: tiny_t5}, tiny_bert


def load(task, models):
    of_task, bert = models
    source = of_task.get(task, bert)
    torch.manual_seed(0)
    config = fit_config(read_config(str(source)), task, LABELS if task in LABELLED else None)
    with quiet_transformers():
        return load_weights(str(source), config, task)


def sample_losses(model, example, task):
    """The loss of each target of one example, written out: pairs of its place among the labels and its loss."""
    ids, labels = torch.tensor([example["input_ids"]]), example["labels"]
    if task == Task.SEQ2SEQ:
        before = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]])
        logits = model(input_ids=ids, decoder_input_ids=before).logits[0]
        return [(place, -log_softmax(logits[place], -1)[label]) for place, label in enumerate(labels)]
    logits = model(input_ids=ids).logits[0]
    if task in (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION):
        back = int(task == Task.CAUSAL_LM)
        trained = [place for place in range(back, len(labels)) if labels[place] != -100]
        return [(place, -log_softmax(logits[place - back], -1)[labels[place]]) for place in trained]
    if task == Task.MULTILABEL:
        return [(0, binary_cross_entropy_with_logits(logits, torch.tensor(labels)))]
    if task == Task.REGRESSION:
        return [(0, (logits[0] - labels) ** 2)]
    return [(0, -logits.log_softmax(-1)[labels])]


def weighed_losses(model, example, task):
    """The same, each times the weights that the shard has of it."""
    row, labels = example.get("weight", 1.0), example.get("weights")
    return [loss * row * (labels[place] if labels else 1) for place, loss in sample_losses(model, example, task)]


def reference_gradients(model, split, rows, task, losses_of=weighed_losses):
    model.zero_grad()
    losses = list(chain.from_iterable(losses_of(model, split[int(row)], task) for row in rows))
    total = sum(losses)
    (total / len(losses)).backward()
    return float(total.detach()), gradients(model)


def plain_losses(model, example, task):
    return [loss for _, loss in sample_losses(model, example, task)]


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert len(found) > 4
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def first_step(examples, *, batch_size=2, accumulate=4, **others):
    capacity = others.pop("capacity", None)
    plan = make_plan(examples.lengths, seed=1, step_size=batch_size * accumulate, epochs=1, capacity=capacity)
    return Loader(examples, plan, batch_size=batch_size, **others).load(0)


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request):
    return request.param


@pytest.mark.parametrize(("batch_size", "accumulate"), CUTS)
@pytest.mark.parametrize("capacity", [None, CAPACITY])
def test_a_weighed_step_has_the_gradient_of_a_sample_by_sample_loop(
    kind, weighed, models, batch_size, accumulate, capacity
):
    task, split = kind[0], load_split(weighed[kind])
    model, examples = load(task, models), Examples(split)
    loaded = first_step(examples, batch_size=batch_size, accumulate=accumulate, capacity=capacity)
    loss = add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, loaded.rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)
    with pytest.raises(AssertionError):
        assert_same(found, reference_gradients(model, split, loaded.rows, task, plain_losses)[1])


@pytest.mark.parametrize(("split_head", "fixed", "ranks"), [(False, False, 2), (False, True, 1), (True, True, 2)])
@pytest.mark.parametrize("kind", ["rows", "turns", "both"])
def test_weighed_packs_have_the_gradient_of_a_sample_by_sample_loop(kind, weighed, models, split_head, fixed, ranks):
    task, split = Task.CAUSAL_LM, load_split(weighed[Task.CAUSAL_LM, kind])
    model, examples = load(task, models), Examples(split)
    parts = [
        first_step(examples, capacity=CAPACITY, packed=True, fixed=fixed, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    assert max(len(batch.rows) for loaded in parts for batch in loaded.batches) > 3, "packs must hold several examples"
    how = Loss(split=split_head)
    loss = sum(add_gradients(model, task, part.batches, part.targets, how, bf16=False) for part in parts)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, parts[0].rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)


@pytest.mark.parametrize("kind", ["rows", "turns", "both"])
def test_a_head_that_runs_on_its_own_is_weighed_alike(kind, weighed, models):
    task, split = Task.CAUSAL_LM, load_split(weighed[Task.CAUSAL_LM, kind])
    model, loaded = load(task, models), first_step(Examples(split))
    loss = add_gradients(model, task, loaded.batches, loaded.targets, Loss(split=True), bf16=False)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, loaded.rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)


def test_tags_in_packs_are_weighed_as_those_in_rows_of_their_own(weighed):
    examples, rows = Examples(load_split(weighed[Task.TOKEN_CLASSIFICATION, "rows"])), np.array([3, 0, 17])
    packed, padded = examples.gather_packs(rows), examples.gather(rows)
    trained = padded.targets.flatten() != -100
    assert packed.targets.flatten().tolist() == padded.targets.flatten()[trained].tolist()
    assert packed.weights.tolist() == padded.weights[trained].tolist()
    assert len(set(packed.weights.tolist())) > 1


def test_weights_are_as_many_as_losses_and_a_filler_has_none(kind, weighed, models):
    task, split = kind[0], load_split(weighed[kind])
    model, examples = load(task, models), Examples(split, by_source=True)
    for rows in ([4], [7, 2, 11], []):
        batch = examples.gather(np.array(rows, dtype=np.int64))
        losses, _ = HEADS[task](model, batch, Loss())
        assert batch.weights is None if not rows else batch.weights.shape == losses.shape
        assert batch.weights is None or batch.weights.dtype == torch.float32
    loss = add_gradients(model, task, [batch], 5, Loss(), bf16=False)
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in gradients(model).values())


def test_data_without_weights_has_none(task_data):
    for data in task_data.values():
        assert Examples(load_split(data)).gather(np.array([0, 1])).weights is None


def test_rows_with_and_without_weights_train_together(weighed, task_data, models):
    task = Task.CAUSAL_LM
    splits = [load_split(weighed[task, "both"]), load_split(task_data[task])]
    examples, model = Examples(*splits), load(task, models)
    rows = np.array([2, 61, 5, 70, 9])
    for batch in (examples.gather(rows), examples.gather_packs(rows)):
        model.zero_grad()
        add_gradients(model, task, [batch], int(examples.targets[rows].sum()), Loss(), bf16=False)
        found = gradients(model)
        both = [splits[row // 60][int(row % 60)] for row in rows]
        assert_same(found, reference_gradients(model, both, range(len(both)), task)[1])


def test_weights_of_classes_and_of_rows_multiply(weighed, models):
    task, kind = Task.TEXT_CLASSIFICATION, (Task.TEXT_CLASSIFICATION, "rows")
    split, classes = load_split(weighed[kind]), torch.tensor([0.5, 1.0, 4.0])
    model, loaded = load(task, models), first_step(Examples(split))
    add_gradients(model, task, loaded.batches, loaded.targets, Loss(class_weights=classes), bf16=False)
    found = gradients(model)

    def losses_of(model, example, task):
        return [loss * classes[example["labels"]] for loss in weighed_losses(model, example, task)]

    assert_same(found, reference_gradients(model, split, loaded.rows, task, losses_of)[1])


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.CAUSAL_LM])
def test_scores_are_not_weighed(tmp_path, tiny_bert, tiny_llama, task):
    """An evaluation of weighed rows gives what it gives of the same rows without weights; training does not."""
    model, make = (tiny_llama if task == Task.CAUSAL_LM else tiny_bert), MAKERS[task]
    seen, weighed = [], weigh(make(30, 1), turns=task == Task.CAUSAL_LM)
    plain = [replace(one, weight=1.0, weights=one.weights and [float(w > 0) for w in one.weights]) for one in weighed]
    for name, trained, examples in (("a", plain, plain), ("b", plain, weighed), ("c", weighed, plain)):
        data = write(tmp_path / name, task, trained, examples)
        seen.append(train(data, settings(model, tmp_path / f"{name}-run", epochs=1), progress=False).scores)
    assert seen[0] == seen[1] != seen[2]


# Losses by source

SOURCES = ("books", "news", "talk")


def of_sources(examples, source=None):
    """Examples of three sources, or of the one that is named."""
    return [replace(one, source=source or SOURCES[place * 7 % 3]) for place, one in enumerate(examples)]


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    folders = {task: tmp_path_factory.mktemp(f"{task}-sources") for task in MAKERS}
    return {task: write(folders[task], task, of_sources(weigh(make(60, 1)))) for task, make in MAKERS.items()}


def expected_by_source(model, split, rows, task):
    losses = {}
    for row in rows:
        name = split[int(row)]["row_id"].partition(":")[0] + ".txt"
        losses.setdefault(name, []).extend(
            float(loss.detach()) for loss in weighed_losses(model, split[int(row)], task)
        )
    return {name: sum(of) / len(of) for name, of in losses.items()}


@pytest.mark.parametrize(("task", "packed"), [*((task, False) for task in Task), (Task.CAUSAL_LM, True)])
def test_the_loss_of_each_source_is_the_mean_over_its_targets(task, traced, models, packed):
    split = load_split(traced[task])
    model, examples = load(task, models), Examples(split, by_source=True)
    sums = SourceLosses(examples.sources, torch.device("cpu"))
    shape = {"capacity": CAPACITY, "packed": True, "fixed": True} if packed else {}
    loaded = first_step(examples, **shape)
    batches = [*loaded.batches, examples.gather(np.zeros(0, np.int64))]
    add_gradients(model, task, batches, loaded.targets, Loss(), bf16=False, by_source=sums)
    found, expected = sums.take(Ranks()), expected_by_source(model, split, loaded.rows, task)
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(found) == 3
    assert sums.take(Ranks()) == {}, "the next interval begins with nothing"


def test_a_run_logs_the_loss_of_each_source(tmp_path, tiny_bert, traced):
    data = traced[Task.TEXT_CLASSIFICATION]
    run = settings(tiny_bert, tmp_path / "run", epochs=3, batch_size=20, log_steps=3)  # an interval is an epoch
    train(data, run, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rows = Counter(f"loss/{row['row_id'].partition(':')[0]}.txt" for row in load_split(data))
    assert (len(lines), len(rows)) == (3, 3)
    for line in lines:
        found = {name: value for name, value in line.items() if name.startswith("loss/")}
        assert found.keys() == rows.keys()
        assert min(found.values()) < line["loss"] < max(found.values())
        assert sum(found[name] * rows[name] for name in found) / 60 == pytest.approx(line["loss"])


def test_mixed_datasets_have_sources_of_their_own(tmp_path, models):
    makes = {tmp_path / str(seed): of_sources(random_turns(10, seed), "books") for seed in (1, 2)}
    parts = [load_split(write(path, Task.CAUSAL_LM, examples)) for path, examples in makes.items()]
    assert name_sources(parts) == ("train.txt 1", "books.txt 1", "train.txt 2", "books.txt 2")
    examples = Examples(*parts, by_source=True)
    assert set(examples.gather(np.array([0, 3])).sources.tolist()) == {1, 4}
    assert set(examples.gather(np.array([10, 13])).sources.tolist()) == {3, 4}
    selected = examples.select(np.array([12, 1]))
    assert set(selected.gather(np.array([0])).sources.tolist()) <= {3, 4}


def test_sources_are_called_by_what_tells_them_apart(tmp_path):
    class Entry:
        def __init__(self, path):
            self.id, self.path = path, path

    class Holder:
        def __init__(self, *paths):
            self.manifest, self.inputs = self, [Entry(path) for path in paths]

    assert name_sources([Holder("a/b/x.csv", "a/c/x.csv", "y.csv")]) == ("b/x.csv", "c/x.csv", "y.csv")
    assert name_sources([Holder("x.csv", "c/x.csv"), Holder("z/x.csv/")]) == ("x.csv", "c/x.csv", "z/x.csv")
    assert name_sources([Holder("x.csv"), Holder("x.csv")]) == ("x.csv 1", "x.csv 2")
    assert name_sources([Holder("p/t/x", "q/t/x", "x")]) == ("p/t/x", "q/t/x", "x")
    assert name_sources([Holder()]) == ()


def test_one_source_is_not_told_apart_and_too_many_are_said():
    said = []
    assert follow_sources(("one",), torch.device("cpu"), said.append) is None
    assert said == []
    assert follow_sources([str(number) for number in range(MOST)], torch.device("cpu"), said.append)
    assert follow_sources([str(number) for number in range(MOST + 1)], torch.device("cpu"), said.append) is None
    assert said == [f"the data has {MOST + 1} sources; the loss by source is logged for up to {MOST}"]


def test_a_row_of_no_known_source_is_in_no_mean(tmp_path, models):
    """A foreign writer may leave `inputs` out or name others."""
    examples = [replace(one, source="books") for one in random_turns(6, 1)]
    data = write(tmp_path / "data", Task.CAUSAL_LM, examples)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["inputs"][1]["id"] = "other"
    (data / "manifest.json").write_text(json.dumps(manifest))
    batch = Examples(load_split(data), by_source=True).gather(np.array([0, 1]))
    assert set(batch.sources.tolist()) == {2}
