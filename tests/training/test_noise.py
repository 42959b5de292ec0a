"""NEFTune: noise of the paper's size for each example's own length, in training alone, without a trace."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_gradients import load
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.noise import add_noise, measure_lengths

ALPHA = 5.0


@pytest.fixture(scope="module")
def models(tiny_bert, tiny_llama, tiny_t5):
    return {Task.CAUSAL_LM: tiny_llama, Task.SEQ2SEQ: tiny_t5}, tiny_bert


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_lengths_are_those_of_the_examples_padded_or_packed(lengths):
    width = max(lengths) + 2
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    assert measure_lengths(mask, attention_mask=mask, position_ids=None)[:, 0].tolist() == lengths
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    packed = measure_lengths(positions, attention_mask=None, position_ids=positions)
    assert packed[0].tolist() == np.repeat(lengths, lengths).tolist()
    alone = measure_lengths(mask, attention_mask=None, position_ids=None)
    assert set(alone.flatten().tolist()) == {width}


def noise_of(model, task, batch, module):
    """What is added to the embeddings of a batch, shape [lines, width, size]."""
    seen = []
    handle = module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output.detach())))
    HEADS[task](model, batch, Loss())
    handle.remove()
    (ids, found), *more = seen
    assert not more
    return found - module.weight.detach()[ids] * getattr(module, "embed_scale", 1)


def embeddings_of(model):
    reader = model.get_encoder() if model.config.is_encoder_decoder else model
    return reader.get_input_embeddings()


@pytest.mark.parametrize("task", Task)
def test_each_token_gets_noise_of_the_size_of_its_example(task, task_data, models):
    model, examples = load(task, models), Examples(load_split(task_data[task]))
    rows = np.arange(12)
    add_noise(model, ALPHA)
    model.train()
    noise, shares = noise_of(model, task, examples.gather(rows), embeddings_of(model)), []
    for line, length in zip(noise, examples.lengths[rows], strict=True):
        shares.append(line[:length] / (ALPHA / (length * noise.shape[-1]) ** 0.5))
    together = torch.cat(shares).flatten()
    assert together.abs().max() <= 1.001
    assert len({round(float(share.abs().max()), 1) for share in shares if share.numel() > 100}) == 1, "of any length"
    assert together.std() == pytest.approx(1 / 3**0.5, rel=0.05), "evenly"
    assert abs(float(together.mean())) < 0.05


def test_packed_examples_get_noise_of_the_same_size(task_data, models):
    task, rows = Task.CAUSAL_LM, np.arange(12)
    model, examples = load(task, models), Examples(load_split(task_data[task]))
    add_noise(model, ALPHA)
    model.train()
    noise = noise_of(model, task, examples.gather_packs(rows), embeddings_of(model))[0]
    lengths = np.repeat(examples.lengths[rows], examples.lengths[rows])
    assert len(set(lengths)) > 5
    shares = noise / (ALPHA / (torch.from_numpy(lengths)[:, None] * noise.shape[-1]) ** 0.5)
    assert 0.99 < shares.abs().max() <= 1.001
    assert shares.std() == pytest.approx(1 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.CAUSAL_LM, Task.SEQ2SEQ])
def test_an_evaluation_has_none(task, task_data, models):
    model, batch = load(task, models), Examples(load_split(task_data[task])).gather(np.arange(4))
    add_noise(model, ALPHA)
    model.eval()
    assert not noise_of(model, task, batch, embeddings_of(model)).any()


def test_a_run_with_it_is_another_one_but_the_same_each_time_and_saves_no_trace(turn_data, tiny_llama, tmp_path):
    found = []
    for name, alpha in (("plain", None), ("one", 5.0), ("two", 5.0)):
        train(turn_data, settings(tiny_llama, tmp_path / name, neftune_noise_alpha=alpha), progress=False)
        found.append(weights(tmp_path / name))
    plain, one, two = found
    assert plain.keys() == one.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], plain[name]) for name in one)


def test_a_resumed_run_draws_the_same_noise(turn_data, tiny_llama, tmp_path):
    others = {"neftune_noise_alpha": 5.0, "save_steps": 3, "keep": 99}
    for name in ("whole", "cut"):
        train(turn_data, settings(tiny_llama, tmp_path / name, **others), progress=False)
    for step in list_checkpoints(tmp_path / "cut"):
        if step > 3:
            shutil.rmtree(tmp_path / "cut" / f"checkpoint-{step}")
    result = train(turn_data, settings(tiny_llama, tmp_path / "cut", **others), resume=True, progress=False)
    assert result.resumed_from == 3
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_it_works_with_adapters_and_layers_computed_twice(turn_data, tiny_llama, tmp_path):
    others = {"neftune_noise_alpha": 5.0, "lora": {"r": 2}, "gradient_checkpointing": True, "max_steps": 2}
    losses = []
    for name, alpha in (("noisy", 50.0), ("plain", None)):
        chosen = settings(tiny_llama, tmp_path / name, **{**others, "neftune_noise_alpha": alpha})
        train(turn_data, chosen, progress=False)
        losses.append((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
    assert losses[0] != losses[1]


def test_a_model_of_ones_own_is_refused():
    with pytest.raises(TrainingError, match=r"train\.neftune_noise_alpha: only models of transformers"):
        add_noise(torch.nn.Linear(2, 2), 5.0)
