"""Two processes that keep a part of the model each (FSDP2, over gloo) train what one trains that has all of it."""

import shutil
from functools import cache

import pytest
import torch
from processes import assert_close, train_on
from spoken import write_spoken
from tiny import make_tiny_bert, settings, weights

from sftdata.records import Task
from sftdata.training import train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.models import quiet_transformers
from sftdata.training.sharding import find_layers

STEPS = {"epochs": 2, "save_steps": 3, "keep": 99, "batch_size": 2, "accumulate": 3, "adam_epsilon": 0.01}
"""The optimiser does not blow up gradients that are hardly more than rounding."""


@pytest.fixture(scope="module")
def pairs(task_data, tiny_llama, tiny_bert, tmp_path_factory):
    """Of a task a run of one process and the same run of two that keep parts; the language model has packs."""
    models = {Task.CAUSAL_LM: tiny_llama, Task.TEXT_CLASSIFICATION: tiny_bert}
    return cache(lambda task: make_pair(task, task_data[task], models[task], tmp_path_factory.mktemp("sharded")))


@pytest.fixture(params=[Task.CAUSAL_LM, Task.TEXT_CLASSIFICATION], ids=str)
def pair(request, pairs):
    return pairs(request.param)


def make_pair(task, data, model, folder):
    others = STEPS | ({"pack": 60} if task == Task.CAUSAL_LM else {})
    one = train(data, settings(model, folder / "one", **others), progress=False)
    wanted = settings(model, folder / "two", fsdp=True, **others)
    two = train_on(2, data, wanted, folder / "log")
    return folder, data, wanted, one, two


def test_parts_train_the_weights_that_a_whole_model_trains(pair):
    folder, _, _, one, two = pair
    assert {said["steps"] for said in two} == {one.steps}
    assert {said["best"] for said in two} == {one.best_step}
    assert two[0]["scores"] == two[1]["scores"] == pytest.approx(one.scores, rel=2e-3)
    assert_close(weights(folder / "two"), weights(folder / "one"), rtol=1e-4, atol=1e-6)
    for step in list_checkpoints(folder / "one"):
        assert_close(weights(folder / "two" / f"checkpoint-{step}"), weights(folder / "one" / f"checkpoint-{step}"))


def test_checkpoints_and_the_final_model_have_the_form_that_one_process_writes(pair):
    folder, *_ = pair
    assert sorted(path.name for path in (folder / "two").iterdir()) == sorted(
        path.name for path in (folder / "one").iterdir()
    )
    place = f"checkpoint-{list_checkpoints(folder / 'one')[-1]}"
    for name in ("config.json", f"{place}/config.json"):
        assert (folder / "two" / name).read_text() == (folder / "one" / name).read_text()
    left, right = (
        torch.load(folder / name / place / "optimizer.pt", weights_only=True)["optimizer"] for name in ("two", "one")
    )
    assert left["param_groups"] == right["param_groups"]
    assert left["state"].keys() == right["state"].keys()
    for number, state in left["state"].items():
        for name, value in state.items():
            assert type(value) is torch.Tensor
            assert value.shape == right["state"][number][name].shape
            torch.testing.assert_close(value, right["state"][number][name], rtol=5e-3, atol=1e-5)


def test_gradients_are_added_up_once_a_step_whatever_the_accumulation(pair):
    """Those of two layers, and of what is left of the model."""
    *_, one, two = pair
    for said in two:
        assert len(said["sums"]) == one.steps
        assert set(said["sums"][:2]) == {3}, said["sums"]  # later ones log, evaluate and save, too
        assert min(said["sums"]) == 3, said["sums"]


@pytest.mark.parametrize(
    ("pair", "before", "after", "sharded"),
    [
        (Task.CAUSAL_LM, "two", 1, True),
        (Task.CAUSAL_LM, "one", 2, True),
        (Task.TEXT_CLASSIFICATION, "two", 2, False),
    ],
    ids=["by one process", "in parts", "by two that keep all"],
    indirect=["pair"],
)
def test_a_run_goes_on_sharded_or_not_on_any_number_of_ranks(pair, tmp_path, before, after, sharded):
    folder, data, wanted, one, two = pair
    begun = tmp_path / "run"
    shutil.copytree(folder / before, begun)
    for step in list_checkpoints(begun):
        if step > 3:
            shutil.rmtree(begun / f"checkpoint-{step}")
    (begun / "model.safetensors").unlink()
    wanted = wanted.model_copy(update={"output_dir": str(begun), "fsdp": sharded})
    done = train_on(after, data, wanted, tmp_path / "log", resume=True)
    assert {said["from"] for said in done} == {3}
    seen = [sorted(row for said in done for row in said["seen"][step]) for step in range(one.steps - 3)]
    assert seen == [sorted(row for said in two for row in said["seen"][step]) for step in range(3, one.steps)]
    assert_close(weights(begun), weights(folder / "one"), rtol=1e-4, atol=1e-6)


def test_adapters_bf16_and_recomputed_layers_go_with_parts(turn_data, tiny_llama, tmp_path):
    others = STEPS | {"lora": {"r": 2}, "precision": "bf16", "gradient_checkpointing": True, "max_steps": 6}
    train(turn_data, settings(tiny_llama, tmp_path / "one", **others), progress=False)
    train_on(2, turn_data, settings(tiny_llama, tmp_path / "two", fsdp=True, **others), tmp_path / "log")
    for place in ("", "checkpoint-6"):
        names = sorted(path.name for path in (tmp_path / "one" / place).iterdir())
        assert names == sorted(path.name for path in (tmp_path / "two" / place).iterdir())
        left, right = (weights(tmp_path / name / place, "adapter_model.safetensors") for name in ("two", "one"))
        assert left.keys() == right.keys()
        left, right = (torch.cat([one[name].flatten() for name in left]) for one in (left, right))
        assert (left - right).norm() < 0.01 * right.norm()


def test_what_the_ranks_write_together_is_scored_like_what_one_writes(tiny_t5, tmp_path):
    data = write_spoken(tmp_path, Task.SEQ2SEQ)
    others = {"metric": "chrf", "learning_rate": 0.02, "epochs": 3, "eval_batch_size": 3}
    one = train(data, settings(tiny_t5, tmp_path / "one", **others), progress=False)
    two = train_on(2, data, settings(tiny_t5, tmp_path / "two", fsdp=True, **others), tmp_path / "log")
    assert one.scores["chrf"] > 5
    assert two[0]["scores"] == two[1]["scores"] == pytest.approx(one.scores, rel=0.02)


def test_one_process_keeps_all_and_says_so(class_data, tiny_bert, tmp_path, capsys):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, fsdp=True))
    assert "fsdp: there is one process, which keeps the whole model" in capsys.readouterr().err


def test_layers_are_what_transformers_keeps_together_with_and_without_adapters(tmp_path):
    import peft
    import transformers

    bert = transformers.AutoModelForSequenceClassification.from_pretrained(make_tiny_bert(tmp_path))
    assert [type(layer).__name__ for layer in find_layers(bert)] == ["BertLayer"] * 2
    with quiet_transformers():
        adapted = peft.get_peft_model(bert, peft.LoraConfig(r=2, target_modules="all-linear", task_type="SEQ_CLS"))
    assert [type(layer).__name__ for layer in find_layers(adapted)] == ["BertLayer"] * 2
    assert find_layers(torch.nn.Sequential(torch.nn.Linear(2, 2))) == []


@pytest.mark.parametrize("change", [{"accumulate": "auto"}, {"lora": {"quantize": "nf4"}}])
def test_what_does_not_go_with_parts_is_refused(tiny_bert, tmp_path, change):
    with pytest.raises(ValueError, match=r"a number for accumulate|4 bits cannot be kept in parts"):
        settings(tiny_bert, tmp_path / "run", fsdp=True, **change)
