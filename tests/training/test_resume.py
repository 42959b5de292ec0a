"""A killed run resumes with the very next batch, and ends with the same weights, bit by bit."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import make_tiny_t5, settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.report.steps import find_plan
from sftdata.training import loop, train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.randomness import random_states, restore_random_states

KILLED_IN_A_STEP = """
import sftdata.training.loop as loop
import sftdata.training.steps as steps
take_step = loop.take_step
def dying(model, optimizer, setup, loaded, *more):
    if next(calls) == 12:
        half = setup.task, loaded.batches, loaded.targets  # no update follows
        steps.add_gradients(model, *half, loop.Loss(), bf16=False)
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(model, optimizer, setup, loaded, *more)
loop.take_step = dying
"""
KILLED_IN_A_CHECKPOINT = """
import torch
save = torch.save
def dying(what, file):
    if next(calls) == 2:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(what, file)
torch.save = dying
"""
CHILD = """
import itertools, os, signal, sys
calls = itertools.count()
from sftdata.settings.training import TrainSettings
from sftdata.training import loop, train
{fault}
train({data!r}, TrainSettings.model_validate_json({settings!r}))
"""


def run_and_die(fault: str, data: Path, wanted) -> None:
    code = CHILD.format(fault=fault, data=str(data), settings=wanted.model_dump_json())
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert child.returncode == -signal.SIGKILL, child.stderr


def assert_equal_bits(left: dict, right: dict) -> None:
    assert left.keys() == right.keys()
    assert left
    for name in left:
        assert torch.equal(left[name], right[name]), name


@pytest.mark.parametrize(
    ("fault", "resumed_from"), [(KILLED_IN_A_STEP, 10), (KILLED_IN_A_CHECKPOINT, 8)], ids=["step", "checkpoint"]
)
def test_a_killed_run_resumes_to_the_same_bits(class_data, dropout_bert, tmp_path, fault, resumed_from):
    others = {"epochs": 3, "save_steps": 5, "keep": 3, "batch_size": 4, "accumulate": 2}
    whole = settings(dropout_bert, tmp_path / "whole", **others)
    killed = settings(dropout_bert, tmp_path / "killed", **others)
    expected = train(class_data, whole, progress=False)
    run_and_die(fault, class_data, killed)
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    torch.manual_seed(99)  # whatever the resuming process did before
    result = train(class_data, killed, resume=True, progress=False)
    assert result.resumed_from == resumed_from
    assert (result.steps, result.best_step) == (expected.steps, expected.best_step) == (24, result.best_step)
    assert result.scores == expected.scores
    assert_equal_bits(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    last = "checkpoint-24"
    assert_equal_bits(weights(tmp_path / "killed" / last), weights(tmp_path / "whole" / last))


@pytest.fixture(scope="module")
def dropout_models(dropout_bert, tiny_llama, tmp_path_factory):
    """A model of each task; of those with an encoder, one with dropout."""
    t5 = make_tiny_t5(tmp_path_factory.mktemp("dropout-t5"), dropout=0.2)
    return dict.fromkeys(Task, dropout_bert) | {Task.SEQ2SEQ: t5, Task.CAUSAL_LM: tiny_llama}


@pytest.mark.parametrize("task", Task)
def test_a_run_of_each_task_that_is_stopped_resumes_to_the_same_bits(
    task, task_data, dropout_models, tmp_path, monkeypatch
):
    others = {"epochs": 2, "save_steps": 3, "learning_rate": 0.01}
    whole, cut = (settings(dropout_models[task], tmp_path / name, **others) for name in ("whole", "cut"))
    expected = train(task_data[task], whole, progress=False)
    take_step, calls = loop.take_step, []

    def stop(*args):
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return take_step(*args)

    monkeypatch.setattr(loop, "take_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(task_data[task], cut, progress=False)
    monkeypatch.undo()
    torch.manual_seed(99)
    result = train(task_data[task], cut, resume=True, progress=False)
    assert (result.resumed_from, result.steps) == (9, expected.steps)
    assert (result.scores, result.best_step) == (expected.scores, expected.best_step)
    assert_equal_bits(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    assert_equal_bits(weights(tmp_path / "cut" / "checkpoint-16"), weights(tmp_path / "whole" / "checkpoint-16"))
    records = [json.loads((tmp_path / name / "sftdata_run.json").read_text()) for name in ("cut", "whole")]
    assert records[0]["thresholds"] == records[1]["thresholds"]
    assert (records[0]["thresholds"] is not None) == (task == Task.MULTILABEL)


def test_dropout_is_on_so_that_random_states_matter(class_data, dropout_bert, tmp_path):
    """Guard: with another random state after the resume the weights differ."""
    wanted = settings(dropout_bert, tmp_path / "run", epochs=1, max_steps=4, save_steps=2, keep=9)
    train(class_data, wanted, progress=False)
    first = weights(tmp_path / "run" / "checkpoint-4")
    shutil.rmtree(tmp_path / "run" / "checkpoint-4")
    saved = torch.load(tmp_path / "run" / "checkpoint-2" / "optimizer.pt", weights_only=True)
    saved["random"][0]["torch"] = torch.Generator().manual_seed(5).get_state()
    torch.save(saved, tmp_path / "run" / "checkpoint-2" / "optimizer.pt")
    assert train(class_data, wanted, resume=True, progress=False).resumed_from == 2
    second = weights(tmp_path / "run" / "checkpoint-4")
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_adapters_resume_to_the_same_bits(turn_data, tiny_llama, tmp_path):
    others = {"epochs": 2, "save_steps": 3, "keep": 9, "lora": {"r": 2, "dropout": 0.2}}
    whole = settings(tiny_llama, tmp_path / "whole", **others)
    train(turn_data, whole, progress=False)
    cut = settings(tiny_llama, tmp_path / "cut", **others)
    train(turn_data, cut, progress=False)
    expected = weights(tmp_path / "whole", "adapter_model.safetensors")
    (tmp_path / "cut" / "adapter_model.safetensors").unlink()
    for step in list_checkpoints(tmp_path / "cut"):
        if step > 6:
            shutil.rmtree(tmp_path / "cut" / f"checkpoint-{step}")
    assert train(turn_data, cut, resume=True, progress=False).resumed_from == 6
    assert_equal_bits(weights(tmp_path / "cut", "adapter_model.safetensors"), expected)


def test_resume_without_a_checkpoint_starts_from_the_beginning_and_says_so(class_data, tiny_bert, tmp_path, capsys):
    wanted = settings(tiny_bert, tmp_path / "new", epochs=1)
    result = train(class_data, wanted, resume=True)
    assert result.resumed_from is None
    assert "no checkpoint" in capsys.readouterr().err


def test_resume_of_a_finished_run_changes_nothing(class_data, tiny_bert, tmp_path):
    wanted = settings(tiny_bert, tmp_path / "run", epochs=2)
    first = train(class_data, wanted, progress=False)
    before = weights(tmp_path / "run")
    second = train(class_data, wanted, resume=True, progress=False)
    assert second.resumed_from == first.steps
    assert second.scores == first.scores
    assert_equal_bits(weights(tmp_path / "run"), before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "seed: the checkpoint has 3, found 8"),
        ({"learning_rate": 1e-4}, "learning_rate: the checkpoint has 0.005"),
        ({"batch_size": 4}, "plan: the checkpoint has"),
        ({"lora": {"r": 2}}, "lora: the checkpoint has None"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(class_data, tiny_bert, tmp_path, change, named):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    with pytest.raises(TrainingError, match="belongs to another run") as caught:
        train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1, **change), resume=True, progress=False)
    assert named in str(caught.value)


def test_a_checkpoint_of_another_model_task_or_data_is_refused(
    class_data, turn_data, tiny_bert, dropout_bert, tiny_llama, tmp_path
):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    with pytest.raises(TrainingError, match="model: the checkpoint has"):
        train(class_data, settings(dropout_bert, tmp_path / "run", epochs=1), resume=True, progress=False)
    with pytest.raises(
        TrainingError, match="task: the checkpoint has 'text_classification', found 'causal_lm'"
    ) as caught:
        train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=1), resume=True, progress=False)
    assert "data: the checkpoint has" in str(caught.value)


def test_what_does_not_change_the_weights_may_change_on_resume(class_data, tiny_bert, tmp_path):
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=1), progress=False)
    changed = settings(tiny_bert, tmp_path / "run", epochs=1, log_steps=1, keep=1, save_steps=2, eval_batch_size=3)
    assert train(class_data, changed, resume=True, progress=False).resumed_from == 8


def test_all_random_states_come_back():
    import random

    import numpy as np

    states = random_states()
    drawn = random.random(), np.random.rand(3).tolist(), torch.rand(3).tolist()  # noqa: NPY002, S311
    restore_random_states(states)
    assert drawn == (random.random(), np.random.rand(3).tolist(), torch.rand(3).tolist())  # noqa: NPY002, S311


def test_a_checkpoint_can_be_seen_only_when_it_is_whole(class_data, tiny_bert, tmp_path, monkeypatch):
    seen = []
    original = Path.rename

    def rename(self, target):
        if self.name.startswith(".checkpoint-"):
            parts = {path.name for path in self.iterdir()}
            assert {"model.safetensors", "optimizer.pt", "state.json"} <= parts
            assert json.loads((self / "state.json").read_text())["identity"]["plan"].startswith("sha256:")
            assert not Path(target).exists()
            seen.append(self.name)
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    train(class_data, settings(tiny_bert, tmp_path / "run", epochs=2), progress=False)
    assert seen == [".checkpoint-8.tmp", ".checkpoint-16.tmp"]
    assert not list((tmp_path / "run").glob(".checkpoint*"))


def test_a_checkpoint_without_its_state_is_not_taken_for_a_whole_one(class_data, tiny_bert, tmp_path):
    wanted = settings(tiny_bert, tmp_path / "run", epochs=2)
    train(class_data, wanted, progress=False)
    (tmp_path / "run" / "checkpoint-16" / "state.json").unlink()
    assert list_checkpoints(tmp_path / "run") == [8]
    assert train(class_data, wanted, resume=True, progress=False).resumed_from == 8
    assert list_checkpoints(tmp_path / "run") == [8, 16]


def test_a_run_goes_on_with_another_batch_size_where_the_steps_stay_the_same(turn_data, tiny_llama, tmp_path):
    others = {"epochs": 2, "save_steps": 3, "keep": 9, "pack": 60}
    whole = settings(tiny_llama, tmp_path / "whole", batch_size=2, accumulate=3, **others)
    train(turn_data, whole, progress=False)
    cut = settings(tiny_llama, tmp_path / "cut", batch_size=2, accumulate=3, max_steps=None, **others)
    train(turn_data, cut, progress=False)
    for step in list_checkpoints(tmp_path / "cut"):
        if step > 3:
            shutil.rmtree(tmp_path / "cut" / f"checkpoint-{step}")
    again = settings(tiny_llama, tmp_path / "cut", batch_size=6, accumulate=1, **others)
    result = train(turn_data, again, resume=True, progress=False)
    assert result.resumed_from == 3
    last, expected = (weights(tmp_path / name / f"checkpoint-{result.steps}") for name in ("cut", "whole"))
    for name in expected:
        torch.testing.assert_close(last[name], expected[name], rtol=1e-3, atol=1e-5)


def test_the_steps_that_inspect_names_are_those_that_were_taken(turn_data, tiny_llama, tmp_path, monkeypatch):
    taken, take_step = [], loop.take_step

    def watch(model, optimizer, setup, loaded, *more):
        taken.append([row for batch in loaded.batches for row in batch.rows.tolist()])
        return take_step(model, optimizer, setup, loaded, *more)

    monkeypatch.setattr(loop, "take_step", watch)
    train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=2, batch_size=2, pack=60), progress=False)
    _, plan = find_plan(tmp_path / "run")
    assert [sorted(rows) for rows in taken] == [
        sorted(row for unit in units for row in unit.tolist()) for units in plan.iterate()
    ]
