"""Checkpoints are written while training goes on; a disk that takes no more costs the checkpoint, not the run."""

import json
import shutil
import subprocess
import sys
import threading

import pytest
import torch
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.training import loop, milestones, saving, train
from sftdata.training.checkpoint import list_checkpoints

CHILD = r"""
import json, resource, signal, subprocess, sys
from pathlib import Path
from sftdata.errors import SftdataError
from sftdata.settings.training import TrainSettings
from sftdata.training import loop, train

data, wanted, how, first, last = json.loads(sys.argv[1])
wanted = TrainSettings.model_validate(wanted)
out = Path(wanted.output_dir)
out.mkdir()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if how == "disk":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(out)], check=True)

def fill():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        return
    with (out / "notes").open("wb", buffering=0) as notes:  # somebody else's, which fills the disk
        try:
            while notes.write(b"x" * 4096):
                pass
        except OSError:
            notes.truncate(notes.tell() - 40_000)

def make_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (out / "notes").unlink(missing_ok=True)

take_step, steps = loop.take_step, 0
def watch(*given):
    global steps
    steps += 1
    if steps == first:
        fill()
    if steps == last:
        make_room()
    return take_step(*given)
loop.take_step = watch
said = {"code": 0}
try:
    train(data, wanted)
except SftdataError as error:
    said = {"code": error.exit_code, "error": str(error)}
make_room()
said["left"] = sorted(path.name for path in out.iterdir() if "checkpoint" in path.name)
if said["code"]:
    loop.take_step = take_step
    said["from"] = train(data, wanted, resume=True, progress=False).resumed_from
subprocess.run(["cp", "-r", str(out), str(out) + "-kept"], check=True)
print(json.dumps(said))
"""


def may_mount() -> bool:
    """Tell whether this process may mount a file system in a name space of its own."""
    mount = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(mount, capture_output=True).returncode == 0


HOW = [
    pytest.param(
        "disk", marks=pytest.mark.skipif(not may_mount(), reason="no right to mount a small file system here")
    ),
    "limit",
]


def train_with(how, data, wanted, first, last):
    """Train with a disk that is full from one step to another; return what was said, and the lines on the way."""
    own = ["unshare", "--map-root-user", "--mount"] if how == "disk" else []
    asked = json.dumps([str(data), wanted.model_dump(mode="json"), how, first, last])
    done = subprocess.run([*own, sys.executable, "-c", CHILD, asked], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("how", HOW)
def test_a_full_disk_costs_a_checkpoint_and_a_line_and_the_next_one_is_tried_again(
    how, class_data, tiny_bert, tmp_path
):
    others = {"epochs": 2, "save_steps": 4, "keep": 9}
    train(class_data, settings(tiny_bert, tmp_path / "whole", **others), progress=False)
    said, lines = train_with(how, class_data, settings(tiny_bert, tmp_path / "run", **others), 6, 10)
    assert said == {"code": 0, "left": ["checkpoint-12", "checkpoint-16", "checkpoint-4"]}, lines
    told = [line for line in lines.splitlines() if "was not written" in line]
    assert len(told) == 1
    assert told[0].endswith(": checkpoint-8 was not written; the last good one is checkpoint-4")
    left, right = (weights(tmp_path / name / "checkpoint-16") for name in ("run-kept", "whole"))
    assert all(torch.equal(left[name], right[name]) for name in right)


@pytest.mark.parametrize("how", HOW)
def test_a_final_model_that_cannot_be_written_is_told_and_the_run_resumed(how, class_data, tiny_bert, tmp_path):
    others = {"epochs": 2, "save_steps": 4, "keep": 9}
    train(class_data, settings(tiny_bert, tmp_path / "whole", **others), progress=False)
    said, lines = train_with(how, class_data, settings(tiny_bert, tmp_path / "run", **others), 14, None)
    assert (said["code"], said["from"]) == (2, 12), lines
    assert said["left"] == ["checkpoint-12", "checkpoint-4", "checkpoint-8"]
    assert "run cannot be written: " in said["error"]
    assert said["error"].endswith(
        "the last good one is checkpoint-12. Make room, then give the same command with --resume."
    )
    left, right = (weights(tmp_path / name) for name in ("run-kept", "whole"))
    assert all(torch.equal(left[name], right[name]) for name in right)


@pytest.fixture
def slow(monkeypatch):
    """Have checkpoints be written only when they are let go."""
    gate, write, seen = threading.Event(), saving.write_checkpoint, []

    def wait(directory, model, snapshot, state, *more, **others):
        seen.append(state.step)
        assert gate.wait(60)
        write(directory, model, snapshot, state, *more, **others)

    monkeypatch.setattr(saving, "write_checkpoint", wait)
    monkeypatch.setattr(saving, "is_worth_copying", lambda device: True)  # as on a GPU
    return gate, seen


def test_training_goes_on_while_one_checkpoint_is_written_and_holds_what_was_then(
    class_data, tiny_bert, tmp_path, monkeypatch, slow
):
    others = {"epochs": 2, "save_steps": 5, "keep": 9}
    gate, seen = slow
    take_step, steps = loop.take_step, []

    def watch(*given):
        steps.append(1)
        if len(steps) == 8:  # three steps behind the one that is under way
            assert seen == [5]
            assert list_checkpoints(tmp_path / "run") == []
            gate.set()
        return take_step(*given)

    monkeypatch.setattr(loop, "take_step", watch)
    train(class_data, settings(tiny_bert, tmp_path / "run", **others), progress=False)
    monkeypatch.undo()
    train(class_data, settings(tiny_bert, tmp_path / "other", **others), progress=False)
    assert list_checkpoints(tmp_path / "run") == list_checkpoints(tmp_path / "other") == [5, 8, 10, 15, 16]
    for step in (5, 16):
        left, right = (weights(tmp_path / name / f"checkpoint-{step}") for name in ("run", "other"))
        assert all(torch.equal(left[name], right[name]) for name in right)


@pytest.mark.parametrize("ahead", [True, False])
def test_what_goes_wrong_in_the_thread_is_raised_before_the_next_checkpoint(
    class_data, tiny_bert, tmp_path, monkeypatch, ahead
):
    monkeypatch.setattr(saving, "is_worth_copying", lambda device: ahead)

    def fail(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(saving, "write_checkpoint", fail)
    with pytest.raises(ValueError, match="a bug"):
        train(class_data, settings(tiny_bert, tmp_path / "run", epochs=2, save_steps=4), progress=False)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    with pytest.raises(ValueError, match="a bug"):
        train(class_data, settings(tiny_bert, tmp_path / "last", max_steps=2), progress=False)
    assert '"finished"' not in (tmp_path / "last" / "sftdata_run.json").read_text()


@pytest.mark.parametrize("ahead", [True, False])
def test_the_best_is_the_one_before_where_its_checkpoint_was_not_written(
    class_data, tiny_bert, tmp_path, monkeypatch, ahead
):
    monkeypatch.setattr(saving, "is_worth_copying", lambda device: ahead)
    write = saving.write_checkpoint

    def fail_once(directory, model, snapshot, state, *more, **others):
        if state.step == 16:
            raise OSError(28, "No space left on device")
        write(directory, model, snapshot, state, *more, **others)

    monkeypatch.setattr(saving, "write_checkpoint", fail_once)
    answers, places = iter([True, True, False]), tmp_path / "run"
    monkeypatch.setattr(milestones, "is_better", lambda *_: next(answers))
    result = train(class_data, settings(tiny_bert, places, epochs=3, keep=1), progress=False)
    assert result.best_step == 8
    left, right = weights(places), weights(places / "checkpoint-8")
    assert all(torch.equal(left[name], right[name]) for name in right)


def test_a_model_whose_checkpoint_is_not_there_is_not_taken_from_it(tmp_path):
    with pytest.raises(
        TrainingError, match=r"checkpoint-3, which .* was not written; there is none before it.*--resume"
    ):
        saving.require_checkpoint(tmp_path, 3)
