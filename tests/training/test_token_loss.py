import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import token_loss
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.models import quiet_transformers
from sftdata.training.split_head import can_split
from sftdata.training.steps import add_gradients
from sftdata.training.token_loss import token_losses

SIZE, VOCABULARY = 6, 11


@given(
    targets=st.lists(st.one_of(st.just(-100), st.integers(0, VOCABULARY - 1)), max_size=12),
    smoothing=st.sampled_from([0.0, 0.2]),
    weighed=st.booleans(),
    bias=st.booleans(),
    rows=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_losses_and_gradients_are_those_of_the_logits(targets, smoothing, weighed, bias, rows, seed):
    torch.manual_seed(seed)
    head, hidden = torch.nn.Linear(SIZE, VOCABULARY, bias=bias), torch.randn(len(targets), SIZE, requires_grad=True)
    wanted = torch.tensor(targets, dtype=torch.int64)
    weights = torch.rand(len(targets)).round(decimals=1) * (torch.rand(len(targets)) < 0.8) if weighed else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_loss, "CHUNK", VOCABULARY * rows)
        losses, _ = token_losses(hidden, head, wanted, weights=weights, label_smoothing=smoothing)
        (losses * (1 if weights is None else weights)).sum().div(7).backward()
    found = [hidden.grad, *(weight.grad for weight in head.parameters())]
    hidden.grad = None
    head.zero_grad()
    expected = torch.nn.functional.cross_entropy(head(hidden), wanted, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(losses, expected)
    (expected * (1 if weights is None else weights)).sum().div(7).backward()
    for one, other in zip(found, [hidden.grad, *(weight.grad for weight in head.parameters())], strict=True):
        torch.testing.assert_close(one, other)


def test_the_likeliest_tokens_are_told_where_no_gradient_is_wanted():
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(SIZE, VOCABULARY), torch.randn(9, SIZE)
    with torch.no_grad():
        _, likeliest = token_losses(hidden, head, torch.zeros(9, dtype=torch.int64))
        assert likeliest.tolist() == head(hidden).argmax(dim=1).tolist()


def test_a_frozen_head_gets_no_gradient_and_the_hidden_states_do():
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(SIZE, VOCABULARY, bias=False).requires_grad_(False), torch.randn(9, SIZE)
    hidden.requires_grad_()
    token_losses(hidden, head, torch.arange(9))[0].sum().backward()
    assert head.weight.grad is None
    assert hidden.grad.abs().sum() > 0


def test_bfloat16_stays_close_and_gradients_are_float32():
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(64, 97, bias=False), torch.randn(40, 64, requires_grad=True)
    exact = token_losses(hidden, head, torch.arange(40))[0]
    exact.sum().backward()
    expected, head.weight.grad = head.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        losses = token_losses(hidden, head, torch.arange(40))[0]
    losses.sum().backward()
    assert head.weight.grad.dtype == losses.dtype == torch.float32
    torch.testing.assert_close(losses, exact, rtol=0.02, atol=0.02)
    assert (head.weight.grad - expected).norm() < 0.02 * expected.norm()
    assert not torch.equal(head.weight.grad, expected), "it must really compute in bfloat16"


def tiny(kind, **others):
    torch.manual_seed(0)
    shape = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape |= {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}
    with quiet_transformers():
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **shape, **others))


@pytest.mark.parametrize(
    ("kind", "others", "splits"),
    [
        ("llama", {}, True),
        ("qwen3", {"tie_word_embeddings": True}, True),
        ("phi", {}, True),  # with a bias
        ("gemma2", {}, False),  # caps its logits
        ("gemma2", {"final_logit_softcapping": None}, True),
        ("granite", {"logits_scaling": 4.0}, False),
        ("cohere", {}, False),  # scales them
    ],
)
def test_a_head_is_split_only_where_logits_are_nothing_but_its_product(kind, others, splits):
    model = tiny(kind, **others)
    assert can_split(model, bf16=False) is splits
    assert model.training is True, "it is left as it was"
    assert not model.get_output_embeddings()._forward_hooks


@pytest.mark.parametrize("kind", ["llama", "phi"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_split_head_gives_the_loss_and_gradient_of_the_whole_model(turn_data, kind, packed, monkeypatch):
    monkeypatch.setattr(token_loss, "CHUNK", 61 * 3)
    examples, model = Examples(load_split(turn_data)), tiny(kind).eval()
    rows = np.arange(12)
    batch = examples.gather_packs(rows) if packed else examples.gather(rows)
    found = []
    for loss in (Loss(), Loss(split=True)):
        model.zero_grad()
        total = add_gradients(model, Task.CAUSAL_LM, [batch], 7, loss, bf16=False)
        found.append((total, {name: weight.grad for name, weight in model.named_parameters()}))
    torch.testing.assert_close(found[0], found[1])
    with torch.inference_mode():
        logits, likeliest = (HEADS[Task.CAUSAL_LM](model, batch, Loss(split=split))[1] for split in (False, True))
    assert logits.argmax(dim=1).tolist() == likeliest.tolist()
