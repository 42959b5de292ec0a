"""Promise 6: one optimiser step equals the gradient of an unpadded, float32, sample-by-sample loop."""

import copy

import numpy as np
import pytest
import torch
import transformers
from tiny import LABELS, settings

from sftdata.plan import make_plan
from sftdata.recipe import TRAINED
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training.heads import HEADS
from sftdata.training.loader import Examples
from sftdata.training.loop import add_gradients
from sftdata.training.models import add_adapters, fit_config, load_weights, quiet_transformers, read_config

CUTS = [(1, 8), (2, 4), (8, 1), (3, 3)]


def reference_gradients(model, split, rows, task, weights=None):
    """The loss written out for one example at a time, with the library's full logits and no padding."""
    model.zero_grad()
    losses, targets = [], 0
    for row in rows:
        example = split[int(row)]
        logits = model(input_ids=torch.tensor([example["input_ids"]])).logits[0]
        if task == Task.TEXT_CLASSIFICATION:
            loss, count = -logits.log_softmax(-1)[example["labels"]], 1
            loss = loss * weights[example["labels"]] if weights else loss
        else:
            pairs = [(p, label) for p, label in enumerate(example["labels"][1:]) if label != -100]
            loss = -sum(logits[p].log_softmax(-1)[label] for p, label in pairs)
            count = len(pairs)
        losses.append(loss)
        targets += count
    mean = sum(losses) / targets
    mean.backward()
    return float(mean.detach()) * targets, gradients(model)


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert len(found) > 4
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def load(task, bert, llama):
    source = bert if task == Task.TEXT_CLASSIFICATION else llama
    torch.manual_seed(0)
    config = fit_config(read_config(str(source)), task, LABELS if task == Task.TEXT_CLASSIFICATION else None)
    return load_weights(str(source), config, task)


@pytest.fixture(params=TRAINED)
def task(request):
    return request.param


@pytest.fixture
def split(task, class_data, turn_data):
    return load_split(class_data if task == Task.TEXT_CLASSIFICATION else turn_data)


@pytest.mark.parametrize(("batch_size", "accumulate"), CUTS)
def test_a_step_has_the_gradient_of_a_sample_by_sample_loop(task, split, tiny_bert, tiny_llama, batch_size, accumulate):
    model = load(task, tiny_bert, tiny_llama)
    examples = Examples(split.table, task)
    plan = make_plan(examples.lengths, seed=1, batch_size=batch_size, accumulate=accumulate, epochs=1)
    batches = next(plan.iterate())
    rows = np.concatenate(batches)
    assert len(set(examples.lengths[rows])) > 3, "lengths must vary"
    assert task != Task.CAUSAL_LM or len(set(examples.targets[rows])) > 3, "trained tokens must vary"
    loss = add_gradients(model, task, examples, batches, bf16=False)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)


@pytest.mark.parametrize(("batch_size", "accumulate"), CUTS)
def test_weights_of_classes_multiply_the_loss_of_each_example(class_data, tiny_bert, batch_size, accumulate):
    split, task = load_split(class_data), Task.TEXT_CLASSIFICATION
    model, examples = load(task, tiny_bert, None), Examples(split.table, task)
    weights = tuple(0.25 + number for number in range(len(LABELS)))
    plan = make_plan(examples.lengths, seed=1, batch_size=batch_size, accumulate=accumulate, epochs=1)
    batches = next(plan.iterate())
    loss = add_gradients(model, task, examples, batches, bf16=False, class_weights=weights)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, np.concatenate(batches), task, weights)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)
    with pytest.raises(AssertionError):
        assert_same(found, reference_gradients(model, split, np.concatenate(batches), task)[1])


def test_a_mean_over_micro_batches_would_be_noticed(turn_data, tiny_llama):
    """Guard: on this data the usual mean of means differs, so the test above can fail."""
    split = load_split(turn_data)
    model, examples = load(Task.CAUSAL_LM, None, tiny_llama), Examples(split.table, Task.CAUSAL_LM)
    plan = make_plan(examples.lengths, seed=1, batch_size=2, accumulate=4, epochs=1)
    batches = next(plan.iterate())
    for rows in batches:
        loss, _ = HEADS[Task.CAUSAL_LM](model, examples.gather(rows), None)
        (loss / int(examples.targets[rows].sum()) / len(batches)).backward()
    found = gradients(model)
    _, expected = reference_gradients(model, split, np.concatenate(batches), Task.CAUSAL_LM)
    with pytest.raises(AssertionError):
        assert_same(found, expected)


def test_adapters_have_the_gradient_of_a_sample_by_sample_loop(task, split, tiny_bert, tiny_llama, tmp_path):
    lora = settings(tiny_bert, tmp_path, lora={"r": 4}).lora
    with quiet_transformers():
        model = add_adapters(load(task, tiny_bert, tiny_llama), lora, task)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at first, which would make the gradient of lora_A zero
            torch.nn.init.normal_(weight, std=0.1)
    examples = Examples(split.table, task)
    batches = next(make_plan(examples.lengths, seed=1, batch_size=2, accumulate=4, epochs=1).iterate())
    add_gradients(model, task, examples, batches, bf16=False)
    found = gradients(model)
    assert all("lora" in name or "modules_to_save" in name for name in found)
    assert_same(found, reference_gradients(model, split, np.concatenate(batches), task)[1])


def test_a_model_without_logits_to_keep_has_the_same_gradient(turn_data, tiny_llama):
    split = load_split(turn_data)
    model, examples = load(Task.CAUSAL_LM, None, tiny_llama), Examples(split.table, Task.CAUSAL_LM)

    class Plain(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask, use_cache):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    plain = Plain(copy.deepcopy(model))
    batches = next(make_plan(examples.lengths, seed=1, batch_size=4, accumulate=2, epochs=1).iterate())
    add_gradients(model, Task.CAUSAL_LM, examples, batches, bf16=False)
    add_gradients(plain, Task.CAUSAL_LM, examples, batches, bf16=False)
    assert_same({name.removeprefix("inner."): grad for name, grad in gradients(plain).items()}, gradients(model))


def test_the_head_runs_only_where_a_trained_token_is_predicted(turn_data, tiny_llama):
    model, examples = load(Task.CAUSAL_LM, None, tiny_llama), Examples(load_split(turn_data).table, Task.CAUSAL_LM)
    seen = []
    model.lm_head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    batch = examples.gather(np.array([0, 1]))
    HEADS[Task.CAUSAL_LM](model, batch, None)
    assert seen == [len(batch.positions)]
    assert len(batch.positions) < batch.input_ids.shape[1]


def test_bfloat16_leaves_the_weights_and_gradients_in_float32(turn_data, tiny_llama):
    model, examples = load(Task.CAUSAL_LM, None, tiny_llama), Examples(load_split(turn_data).table, Task.CAUSAL_LM)
    batches = next(make_plan(examples.lengths, seed=1, batch_size=4, accumulate=2, epochs=1).iterate())
    exact = add_gradients(copy.deepcopy(model), Task.CAUSAL_LM, examples, batches, bf16=False)
    loss = add_gradients(model, Task.CAUSAL_LM, examples, batches, bf16=True)
    assert loss.dtype == torch.float32
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert {gradient.dtype for gradient in gradients(model).values()} == {torch.float32}
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    assert loss.item() != exact.item(), "bfloat16 must really be used"


def test_a_decoder_classifies_alike_padded_and_alone(class_data, tiny_llama):
    split = load_split(class_data)
    torch.manual_seed(0)
    config = fit_config(read_config(str(tiny_llama)), Task.TEXT_CLASSIFICATION, LABELS)
    model = load_weights(str(tiny_llama), config, Task.TEXT_CLASSIFICATION)
    assert isinstance(model, transformers.LlamaForSequenceClassification)
    rows = np.arange(8)
    _, logits = HEADS[Task.TEXT_CLASSIFICATION](
        model, Examples(split.table, Task.TEXT_CLASSIFICATION).gather(rows), None
    )
    alone = [model(input_ids=torch.tensor([split[int(row)]["input_ids"]])).logits[0] for row in rows]
    torch.testing.assert_close(logits, torch.stack(alone), rtol=1e-4, atol=1e-5)
