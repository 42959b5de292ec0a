import numpy as np
import pytest
import torch
from tiny import settings

from sftdata.errors import TrainingError
from sftdata.report.steps import find_plan
from sftdata.shards.reader import load_split
from sftdata.training import open_loader, train
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.models import load_weights, quiet_transformers, read_config


def test_a_loop_of_ones_own_takes_the_steps_that_train_takes(turn_data, tiny_llama, tmp_path):
    wanted = settings(tiny_llama, tmp_path / "run", epochs=2, batch_size=2, accumulate=2, pack=60)
    train(turn_data, wanted, progress=False)
    _, plan = find_plan(tmp_path / "run")
    loader = open_loader(turn_data, wanted, packed=True, start=1)
    steps = list(loader)
    assert [loaded.step for loaded in steps] == list(range(1, plan.steps))
    for loaded in steps:
        rows = sorted(row for batch in loaded.batches for row in batch.rows.tolist())
        assert rows == sorted(row for unit in plan.units(loaded.step) for row in unit.tolist())


def test_its_losses_are_divided_by_the_targets_of_the_step(turn_data, tiny_llama, tmp_path):
    wanted = settings(tiny_llama, tmp_path / "run", epochs=1, batch_size=2, accumulate=2)
    loaded = next(iter(open_loader(turn_data, wanted)))
    torch.manual_seed(0)
    with quiet_transformers():
        model = load_weights(str(tiny_llama), read_config(str(tiny_llama)), "causal_lm")
    found = sum(HEADS["causal_lm"](model, batch, Loss())[0].sum().item() for batch in loaded.batches) / loaded.targets
    examples = Examples(load_split(turn_data))
    alone = [HEADS["causal_lm"](model, examples.gather(np.array([row])), Loss())[0].sum().item() for row in loaded.rows]
    assert found == pytest.approx(sum(alone) / examples.targets[loaded.rows].sum(), rel=1e-5)


def test_two_ranks_share_each_step(class_data, tiny_bert, tmp_path):
    wanted = settings(tiny_bert, tmp_path / "run", epochs=1, batch_size=5)
    pairs = zip(*(open_loader(class_data, wanted, rank=rank, ranks=2) for rank in (0, 1)), strict=True)
    for left, right in pairs:
        rows = [row for loaded in (left, right) for batch in loaded.batches for row in batch.rows.tolist()]
        assert sorted(rows) == sorted(left.rows.tolist())


@pytest.mark.parametrize("wrong", [{"packed": True}, {"fixed": True}])
def test_packs_need_a_size(class_data, tiny_bert, tmp_path, wrong):
    with pytest.raises(TrainingError, match=r"packed needs train\.pack"):
        open_loader(class_data, settings(tiny_bert, tmp_path), **wrong)


def test_a_pack_smaller_than_the_longest_example_is_refused(turn_data, tiny_llama, tmp_path):
    with pytest.raises(TrainingError, match=r"train\.pack: found 5, but the longest example has 23 tokens"):
        open_loader(turn_data, settings(tiny_llama, tmp_path, pack=5))


def test_a_model_that_does_not_fit_is_refused(turn_data, tiny_bert, tmp_path):
    with pytest.raises(TrainingError, match="causal_lm"):
        open_loader(turn_data, settings(tiny_bert, tmp_path))
