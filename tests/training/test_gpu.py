"""What only a GPU can show: bfloat16 kernels, copies that nobody waits for, checkpoints written meanwhile."""

import numpy as np
import pytest
import torch
from test_attention import ATTENDS
from test_token_loss import tiny
from tiny import settings, weights

from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training import loop, train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.isolation import attends_within, prepare_packing
from sftdata.training.split_head import can_split

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


@pytest.mark.parametrize(("kind", "others"), ATTENDS)
def test_the_kernel_for_rows_of_examples_sees_each_alone(kind, others, turn_data):
    """Losses in bfloat16 stay close to those of each example in float32, and far from those of a row as one text."""
    model, examples, rows = tiny(kind, **others).eval().cuda(), Examples(load_split(turn_data), pin=True), np.arange(15)
    place = torch.device("cuda")
    with torch.no_grad():
        alone = [examples.gather(np.array([row])).to(place) for row in rows]
        exact = torch.cat([HEADS[Task.CAUSAL_LM](model, one, Loss())[0] for one in alone])
        assert prepare_packing(model, Task.CAUSAL_LM, bf16=True, dense=False)
        batch = examples.gather_packs(rows).to(place)
        loss = Loss(split=can_split(model, bf16=True))
        with torch.autocast("cuda", torch.bfloat16):
            found = HEADS[Task.CAUSAL_LM](model, batch, loss)[0]
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)


def test_no_step_waits_for_the_device(turn_data, tiny_llama, tmp_path, monkeypatch):
    take_step, taken = loop.take_step, []

    def watch(model, *rest):
        torch.cuda.set_sync_debug_mode("error")
        try:
            taken.append(take_step(model, *rest))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert attends_within(model)
        return taken[-1]

    monkeypatch.setattr(loop, "take_step", watch)
    wanted = settings(tiny_llama, tmp_path / "run", device="cuda", precision="bf16", pack=64, epochs=2)
    train(turn_data, wanted, progress=False)
    assert len(taken) > 3


def test_a_run_in_float32_ends_with_the_weights_of_one_on_the_cpu(class_data, tiny_bert, tmp_path):
    for device in ("cpu", "cuda"):
        wanted = settings(tiny_bert, tmp_path / device, device=device, precision="float32", epochs=1, adam_epsilon=0.01)
        train(class_data, wanted, progress=False)
    expected = weights(tmp_path / "cpu")
    for name, found in weights(tmp_path / "cuda").items():
        torch.testing.assert_close(found, expected[name], rtol=1e-2, atol=1e-4)


def test_checkpoints_that_are_written_meanwhile_are_those_of_their_step(turn_data, tiny_llama, tmp_path):
    wanted = {"device": "cuda", "precision": "float32", "epochs": 2, "keep": 9, "schedule": "constant", "warmup": 0}
    train(turn_data, settings(tiny_llama, tmp_path / "all", save_steps=2, **wanted), progress=False)
    steps = list_checkpoints(tmp_path / "all")
    assert len(steps) > 3
    train(turn_data, settings(tiny_llama, tmp_path / "some", max_steps=steps[1], **wanted), progress=False)
    expected = weights(tmp_path / "some" / f"checkpoint-{steps[1]}")
    for name, found in weights(tmp_path / "all" / f"checkpoint-{steps[1]}").items():
        torch.testing.assert_close(found, expected[name], rtol=1e-3, atol=1e-5)
