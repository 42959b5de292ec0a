"""Attention within the examples of a row, on kinds of models that do it and kinds that do not."""

import numpy as np
import pytest
import torch
import transformers
from test_token_loss import tiny

from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import attention
from sftdata.training.attention import NAME, attend, attention_of
from sftdata.training.examples import Examples
from sftdata.training.heads import Loss
from sftdata.training.isolation import attends_within, can_pack, prepare_packing
from sftdata.training.models import checkpoint_layers, quiet_transformers
from sftdata.training.scoring import run_model
from sftdata.training.steps import add_gradients

ATTENDS = [
    ("llama", {}),
    ("qwen3", {}),
    ("mistral", {"sliding_window": 4}),
    ("gemma3_text", {"sliding_window": 4, "layer_types": ["sliding_attention"]}),
    ("phi", {}),
]


def bert(**others):
    torch.manual_seed(0)
    shape = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"intermediate_size": 32, "num_labels": 3, "max_position_embeddings": 40, **others}
    return transformers.BertForTokenClassification(transformers.BertConfig(**shape))


def gradients(model, task, batches):
    model.zero_grad()
    model.eval()
    total = add_gradients(model, task, batches, 3, Loss(), bf16=False)
    return total, {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def check_gradients(model, task, data):
    """The gradient of a row of examples is the sum of those of each alone, by the model's own attention."""
    examples, rows = Examples(load_split(data)), np.arange(15)
    before = attention_of(model)
    expected = gradients(model, task, [examples.gather(np.array([row])) for row in rows])
    assert prepare_packing(model, task, bf16=False, dense=False)
    assert attends_within(model)
    torch.testing.assert_close(gradients(model, task, [examples.gather_packs(rows)]), expected, rtol=1e-4, atol=1e-5)
    assert before != NAME


@pytest.fixture(params=["each alone", "padded"], autouse=True)
def way(request, monkeypatch):
    """Both ways of attending on a CPU."""
    monkeypatch.setattr(attention, "CALL", 10**9 if request.param == "padded" else -(10**9))


@pytest.mark.parametrize(("kind", "others"), ATTENDS)
def test_a_row_of_examples_has_the_gradient_of_each_alone(kind, others, turn_data):
    check_gradients(tiny(kind, **others), Task.CAUSAL_LM, turn_data)


def test_an_encoder_sees_to_both_sides_and_not_across(task_data):
    check_gradients(bert(), Task.TOKEN_CLASSIFICATION, task_data[Task.TOKEN_CLASSIFICATION])


def test_positions_that_do_not_begin_at_0_are_those_of_the_model(task_data):
    torch.manual_seed(0)
    shape = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.RobertaConfig(**shape, intermediate_size=32, num_labels=3, pad_token_id=0)
    model = transformers.RobertaForTokenClassification(config)
    check_gradients(model, Task.TOKEN_CLASSIFICATION, task_data[Task.TOKEN_CLASSIFICATION])


def test_adapters_change_nothing_about_it(turn_data):
    import peft

    with quiet_transformers():
        model = peft.get_peft_model(tiny("llama"), peft.LoraConfig(r=2, target_modules="all-linear"))
    check_gradients(model, Task.CAUSAL_LM, turn_data)


def test_gradients_are_the_same_when_layers_are_computed_again(turn_data):
    model, examples = tiny("llama"), Examples(load_split(turn_data))
    prepare_packing(model, Task.CAUSAL_LM, bf16=False, dense=False)
    batch = examples.gather_packs(np.arange(9))
    expected = add_gradients(model.train(), Task.CAUSAL_LM, [batch], 3, Loss(), bf16=False)
    before = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    checkpoint_layers(model, "tiny")
    assert add_gradients(model, Task.CAUSAL_LM, [batch], 3, Loss(), bf16=False) == expected
    torch.testing.assert_close([weight.grad for weight in model.parameters()], before)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tiny("gemma2"),  # caps the scores
        lambda: transformers.MambaForCausalLM(
            transformers.MambaConfig(vocab_size=61, hidden_size=16, num_hidden_layers=1, state_size=4)
        ),
    ],
)
def test_a_model_that_cannot_is_left_as_it_was(make):
    with quiet_transformers():
        model = make()
    before = attention_of(model)
    assert not prepare_packing(model, Task.CAUSAL_LM, bf16=False, dense=False)
    assert attention_of(model) == before
    assert model.training is True


def classifier(kind, task, **others):
    torch.manual_seed(0)
    shape = {"vocab_size": 61, "num_labels": 1 if task == Task.REGRESSION else 3, "pad_token_id": 0}
    if kind == "distilbert":
        shape |= {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    else:
        shape |= {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.AutoConfig.for_model(kind, **shape | others)
    with quiet_transformers():
        return transformers.AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION])
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_a_row_of_texts_has_the_gradient_of_each_alone(task, kind, task_data):
    check_gradients(classifier(kind, task), task, task_data[task])


def test_scores_of_texts_are_those_of_padded_rows(class_data):
    examples, model = Examples(load_split(class_data, "test")), classifier("bert", Task.TEXT_CLASSIFICATION)
    padded = run_model(model, examples, batch_size=4, bf16=False)
    assert prepare_packing(model, Task.TEXT_CLASSIFICATION, bf16=False, dense=False)
    packed = run_model(model, examples, batch_size=4, bf16=False)
    np.testing.assert_allclose(packed.found, padded.found, rtol=1e-5)
    assert np.array_equal(packed.targets, padded.targets)


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.SEQ2SEQ])
def test_a_decoder_that_classifies_and_sources_with_targets_take_no_rows_of_several(task):
    torch.manual_seed(0)
    model = transformers.LlamaForSequenceClassification(tiny("llama").config)
    assert not prepare_packing(model, task, bf16=False, dense=True)
    assert attention_of(model) == "sdpa"


def test_bfloat16_does_not_pass_for_another_example():
    model = tiny("llama")
    assert prepare_packing(model, Task.CAUSAL_LM, bf16=True, dense=False)
    forward = model.forward

    def blind(cu_seq_lens_q=None, max_length_q=None, position_ids=None, **inputs):
        ends = torch.tensor([0, inputs["input_ids"].shape[1]], dtype=torch.int32)
        return forward(cu_seq_lens_q=ends, max_length_q=int(ends[1]), position_ids=position_ids, **inputs)

    model.forward = blind
    assert not can_pack(model, bf16=True), "logits differ where examples see each other"


def test_the_trial_draws_nothing_from_the_generator():
    model = bert(attention_probs_dropout_prob=0.5)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert prepare_packing(model, Task.TOKEN_CLASSIFICATION, bf16=False, dense=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION])
def test_scores_are_those_of_padded_rows(task, task_data):
    examples = Examples(load_split(task_data[task], "test"))
    model = tiny("llama") if task == Task.CAUSAL_LM else bert()
    padded = run_model(model, examples, batch_size=4, bf16=False)
    assert prepare_packing(model, task, bf16=False, dense=False)
    packed = run_model(model, examples, batch_size=4, bf16=False)
    assert packed.loss_sum == pytest.approx(padded.loss_sum, rel=1e-5)
    assert packed.correct == padded.correct
    assert np.array_equal(packed.found, padded.found)
    assert np.array_equal(packed.targets, padded.targets)


def test_what_is_saved_attends_as_before(tmp_path):
    model = tiny("llama")
    prepare_packing(model, Task.CAUSAL_LM, bf16=False, dense=False)
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    with quiet_transformers():
        assert attention_of(transformers.AutoModelForCausalLM.from_pretrained(tmp_path)) == "sdpa"


@pytest.mark.parametrize(
    "wrong", [{"softcap": 3.0}, {"s_aux": torch.ones(2)}, {"attention_mask": torch.ones(1, 1, 4, 4)}]
)
def test_what_it_does_not_do_it_refuses(wrong):
    row = torch.rand(1, 2, 4, 8)
    given = {"attention_mask": None, "cu_seq_lens_q": torch.tensor([0, 4], dtype=torch.int32), "max_length_q": 4}
    with pytest.raises(NotImplementedError):
        attend(torch.nn.Identity(), row, row, row, **given | wrong)


@pytest.mark.parametrize(("causal", "window"), [(True, None), (False, None), (True, 2)])
@pytest.mark.parametrize("lengths", [[4, 4, 4], [5], [3, 1, 4], [1, 1]])
def test_examples_of_one_length_or_several_are_attended_as_each_alone(lengths, causal, window):
    torch.manual_seed(0)
    made = [torch.randn(1, sum(lengths), heads, 8).transpose(1, 2).requires_grad_() for heads in (4, 2, 2)]
    ends = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    settings = {"cu_seq_lens_q": ends, "max_length_q": max(lengths), "is_causal": causal, "sliding_window": window}
    together = attention.attend(torch.nn.Identity(), *made, None, **settings)[0]
    alone = torch.cat(
        [
            torch.nn.functional.scaled_dot_product_attention(
                *parts, attn_mask=within(len(parts[0][0, 0]), causal, window), enable_gqa=True
            )
            for parts in zip(*(torch.split(tensor, lengths, dim=2) for tensor in made), strict=True)
        ],
        dim=2,
    ).transpose(1, 2)
    torch.testing.assert_close(together, alone)
    weights = torch.randn(together.shape)
    found, expected = (torch.autograd.grad((tensor * weights).sum(), made) for tensor in (together, alone))
    torch.testing.assert_close(found, expected)


def within(length, causal, window):
    """Return what each token may see."""
    behind = torch.arange(length)[:, None] - torch.arange(length)
    seen = behind >= 0 if causal else torch.ones(length, length, dtype=torch.bool)
    return seen & (behind < window) if window else seen
