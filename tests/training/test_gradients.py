"""Promise 6: one optimiser step equals the gradient of an unpadded, float32, sample-by-sample loop."""

import copy

import numpy as np
import pytest
import torch
import transformers
from tiny import LABELS, settings
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from sftdata.plan import make_plan
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training.adapters import add_adapters
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.isolation import can_pack
from sftdata.training.loader import Loader
from sftdata.training.models import (
    checkpoint_layers,
    fit_config,
    load_weights,
    quiet_transformers,
    read_config,
)
from sftdata.training.steps import add_gradients

CUTS = [(1, 8), (2, 4), (8, 1), (3, 3)]
LABELLED = (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.TOKEN_CLASSIFICATION)
WEIGHED = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION)
CAPACITY = 60


def pick(logits, labels):
    """The loss and number of the labels that are not ignored, with logits for each of them; written out."""
    pairs = [(place, label) for place, label in enumerate(labels) if label != -100]
    return -sum(log_softmax(logits[place], -1)[label] for place, label in pairs), len(pairs)


def sample_loss(model, example, task, weights):
    ids, labels = torch.tensor([example["input_ids"]]), example["labels"]
    if task == Task.SEQ2SEQ:
        before = torch.tensor([[model.config.decoder_start_token_id, *labels[:-1]]])
        return pick(model(input_ids=ids, decoder_input_ids=before).logits[0], labels)
    logits = model(input_ids=ids).logits[0]
    if task == Task.CAUSAL_LM:
        return pick(logits, labels[1:])
    if task == Task.TOKEN_CLASSIFICATION:
        tags = [(place, tag) for place, tag in enumerate(labels) if tag != -100]
        losses = [pick(logits[place : place + 1], [tag])[0] * (weights[tag] if weights else 1) for place, tag in tags]
        return sum(losses), len(tags)
    if task == Task.MULTILABEL:
        return binary_cross_entropy_with_logits(logits, torch.tensor(labels)), 1
    if task == Task.REGRESSION:
        return (logits[0] - labels) ** 2, 1
    return -logits.log_softmax(-1)[labels] * (weights[labels] if weights else 1), 1


def reference_gradients(model, split, rows, task, weights=None):
    """The loss written out for one example at a time, with the library's full logits and no padding."""
    model.zero_grad()
    losses, counts = zip(*(sample_loss(model, split[int(row)], task, weights) for row in rows), strict=True)
    mean = sum(losses) / sum(counts)
    mean.backward()
    return float(mean.detach()) * sum(counts), gradients(model)


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert len(found) > 4
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


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


def first_step(examples, *, batch_size=2, accumulate=4, **others):
    """The first step of a plan, as a loader cuts it."""
    capacity = others.pop("capacity", None)
    plan = make_plan(examples.lengths, seed=1, step_size=batch_size * accumulate, epochs=1, capacity=capacity)
    return Loader(examples, plan, batch_size=batch_size, **others).load(0)


@pytest.fixture(params=Task)
def task(request):
    return request.param


@pytest.fixture
def split(task, task_data):
    return load_split(task_data[task])


@pytest.mark.parametrize(("batch_size", "accumulate"), CUTS)
@pytest.mark.parametrize("capacity", [None, CAPACITY])
def test_a_step_has_the_gradient_of_a_sample_by_sample_loop(task, split, models, batch_size, accumulate, capacity):
    model, examples = load(task, models), Examples(split)
    loaded = first_step(examples, batch_size=batch_size, accumulate=accumulate, capacity=capacity)
    assert len(set(examples.lengths[loaded.rows])) > 3, "lengths must vary"
    by_tokens = task in (Task.CAUSAL_LM, Task.SEQ2SEQ, Task.TOKEN_CLASSIFICATION)
    assert not by_tokens or len(set(examples.targets[loaded.rows])) > 3, "trained tokens must vary"
    loss = add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, loaded.rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_gradients_of_all_ranks_add_up_to_that_of_one(task, split, models, ranks, packed):
    if packed and task != Task.CAUSAL_LM:
        packed, capacity = False, None
    else:
        capacity = CAPACITY if packed else None
    model, examples = load(task, models), Examples(split)
    parts = [
        first_step(examples, batch_size=2, accumulate=3, capacity=capacity, packed=packed, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    for loaded in parts:  # gradients add up in the model
        add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    assert_same(found, reference_gradients(model, split, parts[0].rows, task)[1])


def test_a_filler_adds_nothing(task, split, models):
    model, examples = load(task, models), Examples(split)
    loss = add_gradients(model, task, [examples.gather(np.zeros(0, np.int64))], 5, Loss(), bf16=False)
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in gradients(model).values())
    assert len(gradients(model)) > 4, "every weight takes part, so that ranks can add theirs"


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_equals_unpacked_in_logits_and_gradient(task_data, models, attention, fixed):
    split, task = load_split(task_data[Task.CAUSAL_LM]), Task.CAUSAL_LM
    model, examples = load(task, models), Examples(split)
    model.set_attn_implementation(attention)
    loaded = first_step(examples, capacity=CAPACITY, packed=True, fixed=fixed)
    assert min(len(batch.rows) for batch in loaded.batches) > 3, "packs must hold several examples"
    loss = add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, loaded.rows, task)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)
    batch = loaded.batches[0]
    packed = HEADS[task](model, batch, Loss())[1]
    alone = [HEADS[task](model, examples.gather(np.array([row])), Loss())[1] for row in batch.rows]
    trained = int((batch.targets != -100).sum())
    torch.testing.assert_close(packed[:trained], torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_attention_across_examples_would_be_noticed(task_data, models):
    """Guard: without restarted positions the packed gradient differs, so the test above can fail."""
    split, task = load_split(task_data[Task.CAUSAL_LM]), Task.CAUSAL_LM
    model, examples = load(task, models), Examples(split)
    loaded = first_step(examples, capacity=CAPACITY, packed=True)
    for batch in loaded.batches:
        batch.position_ids.copy_(torch.arange(batch.position_ids.shape[1]))
    add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    with pytest.raises(AssertionError):
        assert_same(found, reference_gradients(model, split, loaded.rows, task)[1])


def test_a_model_that_isolates_examples_is_told_from_one_that_does_not(models):
    model = load(Task.CAUSAL_LM, models)
    assert can_pack(model)
    assert model.training is False
    forward = model.forward

    def blind(position_ids=None, **inputs):
        return forward(**inputs)

    model.forward = blind
    assert not can_pack(model), "logits differ where examples see each other"


def test_a_recurrent_model_takes_no_packs():
    torch.manual_seed(0)
    config = transformers.MambaConfig(vocab_size=61, hidden_size=16, num_hidden_layers=1, state_size=4)
    with quiet_transformers():
        assert not can_pack(transformers.MambaForCausalLM(config))


@pytest.mark.parametrize("task", WEIGHED, indirect=True)
@pytest.mark.parametrize(("batch_size", "accumulate"), CUTS)
def test_weights_of_classes_multiply_the_loss_of_each_example(task, split, models, batch_size, accumulate):
    model, examples = load(task, models), Examples(split)
    weights = tuple(0.25 + number for number in range(len(LABELS)))
    loaded = first_step(examples, batch_size=batch_size, accumulate=accumulate)
    loss = add_gradients(
        model, task, loaded.batches, loaded.targets, Loss(class_weights=torch.tensor(weights)), bf16=False
    )
    found = gradients(model)
    expected_loss, expected = reference_gradients(model, split, loaded.rows, task, weights)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-5)
    assert_same(found, expected)
    with pytest.raises(AssertionError):
        assert_same(found, reference_gradients(model, split, loaded.rows, task)[1])


def test_a_mean_over_micro_batches_would_be_noticed(turn_data, models):
    """Guard: on this data the usual mean of means differs, so the test above can fail."""
    split = load_split(turn_data)
    model, examples = load(Task.CAUSAL_LM, models), Examples(split)
    loaded = first_step(examples)
    for batch in loaded.batches:
        losses, _ = HEADS[Task.CAUSAL_LM](model, batch, Loss())
        (losses.sum() / int(examples.targets[batch.rows].sum()) / len(loaded.batches)).backward()
    found = gradients(model)
    with pytest.raises(AssertionError):
        assert_same(found, reference_gradients(model, split, loaded.rows, Task.CAUSAL_LM)[1])


def test_adapters_have_the_gradient_of_a_sample_by_sample_loop(task, split, models, tmp_path):
    lora = settings(tmp_path, tmp_path, lora={"r": 4}).lora
    with quiet_transformers():
        model = add_adapters(load(task, models), lora, task)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zero at first, which would make the gradient of lora_A zero
            torch.nn.init.normal_(weight, std=0.1)
    loaded = first_step(Examples(split))
    add_gradients(model, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    found = gradients(model)
    assert all("lora" in name or "modules_to_save" in name for name in found)
    assert_same(found, reference_gradients(model, split, loaded.rows, task)[1])


@pytest.mark.parametrize("adapted", [False, True])
def test_layers_computed_twice_give_the_same_gradient(task, split, models, tmp_path, adapted):
    expected_model, model = load(task, models), load(task, models)
    with quiet_transformers():
        checkpoint_layers(model, "tiny")
    if adapted:
        lora = settings(tmp_path, tmp_path, lora={"r": 4}).lora
        with quiet_transformers():
            torch.manual_seed(1)
            expected_model = add_adapters(expected_model, lora, task)
            torch.manual_seed(1)
            model = add_adapters(model, lora, task)
    loaded, calls = first_step(Examples(split)), []
    layer = next(part for part in model.modules() if type(part).__name__ in LAYERS)
    inner = next(part for part in layer.modules() if isinstance(part, torch.nn.Linear))
    inner.register_forward_pre_hook(lambda *_: calls.append(1))
    for either in (expected_model, model):
        either.train()
        add_gradients(either, task, loaded.batches, loaded.targets, Loss(), bf16=False)
    assert_same(gradients(model), gradients(expected_model))
    assert len(calls) == 2 * len(loaded.batches), "each layer must really be computed twice"


LAYERS = ("BertLayer", "LlamaDecoderLayer", "T5Block")


def test_a_model_without_logits_to_keep_has_the_same_gradient(turn_data, models):
    model, examples = load(Task.CAUSAL_LM, models), Examples(load_split(turn_data))

    class Plain(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask, use_cache):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    plain, loaded = Plain(copy.deepcopy(model)), first_step(examples, batch_size=4, accumulate=2)
    for either in (model, plain):
        add_gradients(either, Task.CAUSAL_LM, loaded.batches, loaded.targets, Loss(), bf16=False)
    assert_same({name.removeprefix("inner."): grad for name, grad in gradients(plain).items()}, gradients(model))


@pytest.mark.parametrize("packed", [False, True])
def test_the_head_runs_only_where_a_trained_token_is_predicted(turn_data, models, packed):
    model, examples = load(Task.CAUSAL_LM, models), Examples(load_split(turn_data))
    seen, rows = [], np.array([0, 1])
    model.lm_head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    batch = examples.gather_packs(rows) if packed else examples.gather(rows)
    HEADS[Task.CAUSAL_LM](model, batch, Loss())
    assert seen == [len(batch.positions)]
    assert len(batch.positions) < batch.input_ids.shape[1]
    assert not packed or seen == [examples.targets[rows].sum()], "in packs at no position too many"


def test_bfloat16_leaves_the_weights_and_gradients_in_float32(turn_data, models):
    model, examples = load(Task.CAUSAL_LM, models), Examples(load_split(turn_data))
    loaded = first_step(examples, batch_size=4, accumulate=2)
    exact = add_gradients(copy.deepcopy(model), Task.CAUSAL_LM, loaded.batches, loaded.targets, Loss(), bf16=False)
    loss = add_gradients(model, Task.CAUSAL_LM, loaded.batches, loaded.targets, Loss(), bf16=True)
    assert loss.dtype == torch.float32
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert {gradient.dtype for gradient in gradients(model).values()} == {torch.float32}
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    assert loss.item() != exact.item(), "bfloat16 must really be used"


def test_a_decoder_classifies_alike_padded_and_alone(class_data, tiny_llama):
    split, rows = load_split(class_data), np.arange(8)
    torch.manual_seed(0)
    config = fit_config(read_config(str(tiny_llama)), Task.TEXT_CLASSIFICATION, LABELS)
    with quiet_transformers():
        model = load_weights(str(tiny_llama), config, Task.TEXT_CLASSIFICATION)
    assert isinstance(model, transformers.LlamaForSequenceClassification)
    _, logits = HEADS[Task.TEXT_CLASSIFICATION](model, Examples(split).gather(rows), Loss())
    alone = [model(input_ids=torch.tensor([split[int(row)]["input_ids"]])).logits[0] for row in rows]
    torch.testing.assert_close(logits, torch.stack(alone), rtol=1e-4, atol=1e-5)
