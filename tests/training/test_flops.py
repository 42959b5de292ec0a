"""What a step computes: as torch itself counts it, and as a share of a GPU's peak."""

import numpy as np
import pytest
import torch
import transformers
from tiny import settings
from torch.utils.flop_counter import FlopCounterMode

from sftdata.records import Task
from sftdata.training.adapters import add_adapters
from sftdata.training.flops import Cost, count_flops, find_peak, measure_cost, pace_steps
from sftdata.training.models import quiet_transformers

LINES, WIDTH, TRAINED = 3, 24, 5


def make_llama(**others):
    torch.manual_seed(0)
    chosen = {"hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, **others}
    config = transformers.LlamaConfig(vocab_size=61, intermediate_size=96, **chosen)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def counted(model, **inputs):
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.randint(3, 60, (LINES, WIDTH)), **inputs).logits.sum().backward()
    return counter.get_total_flops()


def halved(cost):
    """The half of attention that a causal model does not need, and that the eager one computes all the same."""
    return 12 * cost.attention * LINES * WIDTH**2 / 2


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("head_dim", [None, 32])
def test_it_is_what_torch_counts_of_a_causal_model(tied, head_dim):
    model = make_llama(tie_word_embeddings=tied, head_dim=head_dim)
    cost = measure_cost(model)
    assert cost.causal
    assert cost.trained_head == 61 * 64, "tied to the embeddings or not"
    found = count_flops(cost, np.full(LINES, WIDTH), LINES * TRAINED)
    assert found + halved(cost) == counted(model, logits_to_keep=TRAINED)


def test_it_is_what_torch_counts_of_an_encoder(tiny_bert):
    with quiet_transformers():
        load = transformers.AutoModelForTokenClassification.from_pretrained
        model = load(tiny_bert, attn_implementation="eager")
    cost = measure_cost(model)
    assert not cost.causal
    assert count_flops(cost, np.full(LINES, WIDTH), LINES * WIDTH) == counted(model)


def test_frozen_weights_cost_no_gradient_of_their_own(tmp_path):
    model = make_llama()
    plain = measure_cost(model)
    with quiet_transformers():
        adapted = add_adapters(model, settings(tmp_path, tmp_path, lora={"r": 2}).lora, Task.CAUSAL_LM)
    cost = measure_cost(adapted)
    assert (cost.frozen, cost.frozen_head) == (plain.trained, plain.trained_head)
    assert 0 < cost.trained < cost.frozen / 5
    found = count_flops(cost, np.full(LINES, WIDTH), LINES * TRAINED) + halved(cost)
    # Of the first layer torch computes no gradient of the input, for nothing is trained before it.
    assert found == pytest.approx(counted(adapted, logits_to_keep=TRAINED), rel=0.05)
    assert found < 0.8 * (count_flops(plain, np.full(LINES, WIDTH), LINES * TRAINED) + halved(plain))


def test_attention_costs_the_square_of_each_example_and_not_of_the_pack():
    cost = Cost(trained=0, frozen=0, trained_head=0, frozen_head=0, attention=7, causal=True)
    assert count_flops(cost, np.array([3, 4]), 5) == 6 * 7 * (9 + 16)
    assert count_flops(cost, np.array([70_000]), 0) == 6 * 7 * 4.9e9, "no overflow"


@pytest.mark.parametrize(
    "model",
    [
        lambda t5: transformers.AutoModelForSeq2SeqLM.from_pretrained(t5),
        lambda _: torch.nn.Linear(2, 2),
        lambda _: transformers.MambaForCausalLM(
            transformers.MambaConfig(vocab_size=61, hidden_size=16, num_hidden_layers=1, state_size=4)
        ),
    ],
    ids=["encoder-decoder", "own", "recurrent"],
)
def test_of_other_models_it_is_not_known(model, tiny_t5):
    with quiet_transformers():
        assert measure_cost(model(tiny_t5)) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA H20", 148),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", None),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Tesla T4", None),
    ],
)
def test_a_gpu_is_known_by_its_name(name, peak):
    found = find_peak(name, bf16=True, tf32=False)
    assert found == (None if peak is None else peak * 1e12)
    in_tf32 = find_peak(name, bf16=False, tf32=True)
    assert (in_tf32 is None) == (peak is None)
    assert in_tf32 is None or in_tf32 == pytest.approx(found / 2, rel=0.02)
    assert find_peak(name, bf16=False, tf32=False) is None, "products in plain float32 use no tensor cores"


class OnGpu(torch.nn.Module):
    """A model whose first weight says that it is on a GPU."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def parameters(self, recurse=True):
        yield type("Weight", (), {"device": torch.device("cuda")})
        yield from self.inner.parameters(recurse)

    def get_base_model(self):
        return self.inner


@pytest.mark.parametrize(
    ("name", "bf16"), [("NVIDIA H100 80GB HBM3", True), ("Tesla T4", True), ("NVIDIA H200", False)]
)
def test_a_step_at_the_peak_takes_so_long(name, bf16, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    model, said, lengths = make_llama(), [], np.array([4, 9, 2])
    pace = pace_steps(OnGpu(model), lengths, 2, bf16=bf16, say=said.append)
    if name == "NVIDIA H100 80GB HBM3":
        flops = count_flops(measure_cost(model), lengths[[2, 0]], 7)
        assert pace(np.array([2, 0]), 7) == pytest.approx(flops / (2 * 989e12))
        assert said == []
    else:
        assert pace(np.array([2, 0]), 7) is None
        assert said == [f"no MFU is shown, as the peak of {name} in this precision is not known"]


def test_on_a_cpu_nothing_is_said():
    said = []
    pace = pace_steps(make_llama(), np.array([4]), 1, bf16=True, say=said.append)
    assert (pace(np.array([0]), 1), said) == (None, [])
