"""Smoothed labels: the gradient is that of a sample-by-sample float32 loop, and nothing else is smoothed."""

import pytest
import torch
from test_gradients import CUTS, WEIGHED, assert_same, first_step, gradients, load
from tiny import LABELS, settings
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, log_softmax

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import train
from sftdata.training.examples import Examples
from sftdata.training.heads import Loss
from sftdata.training.steps import add_gradients

SMOOTHED = [task for task in Task if task != Task.REGRESSION]
SHARE = 0.2


@pytest.fixture(scope="module")
def models(tiny_bert, tiny_llama, tiny_t5):
    return {Task.CAUSAL_LM: tiny_llama, Task.SEQ2SEQ: tiny_t5}, tiny_bert


def logits_and_labels(model, example, task):
    ids, labels = torch.tensor([example["input_ids"]]), example["labels"]
    if task == Task.SEQ2SEQ:
        before = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]])
        return model(input_ids=ids, decoder_input_ids=before).logits[0], labels
    logits = model(input_ids=ids).logits[0]
    if task == Task.CAUSAL_LM:
        return logits[:-1], labels[1:]
    return (logits, labels) if task == Task.TOKEN_CLASSIFICATION else (logits[None], [labels])


def written_out(logits, label, weights):
    """(1 - share) of the loss of the label, and share / choices of that of each choice."""
    losses = -log_softmax(logits, -1) * (1.0 if weights is None else weights)
    return (1 - SHARE) * losses[label] + SHARE * losses.sum() / len(losses)


def reference(model, split, rows, task, weights=None):
    model.zero_grad()
    losses, count = [], 0
    for row in rows:
        logits, labels = logits_and_labels(model, split[int(row)], task)
        for place, label in enumerate(labels):
            if task == Task.MULTILABEL:
                wanted = torch.tensor(label) * (1 - SHARE) + SHARE / 2
                losses.append(binary_cross_entropy_with_logits(logits[place], wanted))
            elif label != -100:
                losses.append(written_out(logits[place], label, weights))
            count += task == Task.MULTILABEL or label != -100
    (sum(losses) / count).backward()
    return float(sum(losses).detach()), gradients(model)


@pytest.mark.parametrize(("task", "head_apart"), [*((task, False) for task in SMOOTHED), (Task.CAUSAL_LM, True)])
@pytest.mark.parametrize(("batch_size", "accumulate"), CUTS)
def test_a_step_has_the_gradient_of_a_loop_that_writes_it_out(
    task, head_apart, task_data, models, batch_size, accumulate
):
    model, split = load(task, models), load_split(task_data[task])
    loaded = first_step(Examples(split), batch_size=batch_size, accumulate=accumulate)
    smoothed = Loss(label_smoothing=SHARE, split=head_apart)
    loss = add_gradients(model, task, loaded.batches, loaded.targets, smoothed, bf16=False)
    found = gradients(model)
    expected_loss, expected = reference(model, split, loaded.rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)
    model.zero_grad()
    add_gradients(model, task, loaded.batches, loaded.targets, Loss(split=head_apart), bf16=False)
    with pytest.raises(AssertionError):
        assert_same(gradients(model), expected)


@pytest.mark.parametrize("task", WEIGHED)
def test_weights_of_classes_weigh_each_choice(task, task_data, models):
    model, split = load(task, models), load_split(task_data[task])
    weights = torch.tensor([0.25 + number for number in range(len(LABELS))])
    loaded = first_step(Examples(split))
    smoothed = Loss(label_smoothing=SHARE, class_weights=weights)
    add_gradients(model, task, loaded.batches, loaded.targets, smoothed, bf16=False)
    found = gradients(model)
    assert_same(found, reference(model, split, loaded.rows, task, weights)[1])


def test_what_is_written_out_is_what_torch_computes():
    logits, weights = torch.randn(5), torch.rand(5)
    for of_classes in (None, weights):
        expected = cross_entropy(logits[None], torch.tensor([3]), of_classes, reduction="sum", label_smoothing=SHARE)
        torch.testing.assert_close(written_out(logits, 3, of_classes), expected)


def test_a_run_trains_with_it_and_evaluates_without(class_data, tiny_bert, tmp_path):
    others = {"max_steps": 4, "learning_rate": 1e-9}
    plain = train(class_data, settings(tiny_bert, tmp_path / "plain", **others), progress=False)
    smoothed = settings(tiny_bert, tmp_path / "smoothed", label_smoothing=0.5, **others)
    scores = train(class_data, smoothed, progress=False).scores
    assert scores["loss"] == pytest.approx(plain.scores["loss"], rel=1e-4)
    losses = [(tmp_path / name / "metrics.jsonl").read_text().splitlines()[0] for name in ("plain", "smoothed")]
    assert losses[0] != losses[1]


def test_scores_have_none(task_data, tiny_bert, tmp_path):
    with pytest.raises(TrainingError, match=r"train\.label_smoothing: a regression task has scores"):
        train(task_data[Task.REGRESSION], settings(tiny_bert, tmp_path / "run", label_smoothing=0.1), progress=False)
    assert not (tmp_path / "run").exists()
