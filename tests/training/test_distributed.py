"""Two processes, started by torchrun and talking over gloo, train what one trains."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import settings, weights

from sftdata.records import Task
from sftdata.training import train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.distributed import Ranks, read_ranks

CHILD = """
import json, sys
from pathlib import Path
from sftdata.errors import SftdataError
from sftdata.settings.training import TrainSettings
from sftdata.training import loop, train
from sftdata.training.distributed import read_ranks

data, wanted, log, resume = json.loads(sys.argv[1])
rank, seen, take_step = read_ranks().rank, [], loop.take_step

def watch(model, optimizer, setup, loaded, *more):
    seen.append([row for batch in loaded.batches for row in batch.rows.tolist()])
    return take_step(model, optimizer, setup, loaded, *more)

loop.take_step = watch
said = {"rank": rank}
try:
    wanted = wanted[rank] if isinstance(wanted, list) else wanted
    result = train(data, TrainSettings.model_validate(wanted), resume=resume, progress=False)
    said |= {"steps": result.steps, "scores": result.scores, "best": result.best_step, "from": result.resumed_from}
except SftdataError as error:
    said["error"] = str(error)
said["seen"] = seen
Path(log, f"{rank}.json").write_text(json.dumps(said))
"""


def train_on(count, data, wanted, log, *, resume=False):
    """Train with `count` processes; return what each of them says."""
    log.mkdir()
    dumped = [one.model_dump(mode="json") for one in wanted] if isinstance(wanted, list) else None
    asked = json.dumps([str(data), dumped or wanted.model_dump(mode="json"), str(log), resume])
    program = log / "child.py"
    program.write_text(CHILD)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([*command, asked], capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((log / f"{rank}.json").read_text()) for rank in range(count)]


def assert_close(left, right):
    assert left.keys() == right.keys()
    for name in left:
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding alone, which AdamW scales up
            continue
        torch.testing.assert_close(left[name], right[name], rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def together(task_data, tiny_llama, tmp_path_factory):
    """A run of one process and the same run of two, on packs."""
    folder = tmp_path_factory.mktemp("together")
    others = {"epochs": 2, "save_steps": 3, "keep": 99, "batch_size": 1, "accumulate": 5, "pack": 60}
    data = task_data[Task.CAUSAL_LM]
    one = train(data, settings(tiny_llama, folder / "one", **others), progress=False)
    two = train_on(2, data, settings(tiny_llama, folder / "two", **others), folder / "log")
    return folder, others, one, two


def test_two_ranks_train_the_weights_that_one_trains(together):
    folder, _, one, two = together
    assert {said["steps"] for said in two} == {one.steps}
    assert {said["best"] for said in two} == {one.best_step}
    assert two[0]["scores"] == two[1]["scores"] == pytest.approx(one.scores, rel=1e-3)
    assert list_checkpoints(folder / "two") == list_checkpoints(folder / "one")
    assert_close(weights(folder / "two"), weights(folder / "one"))


def test_they_share_every_step_and_have_as_many_batches(together):
    *_, one, two = together
    assert [len(said["seen"]) for said in two] == [one.steps, one.steps]
    for left, right in zip(two[0]["seen"], two[1]["seen"], strict=True):
        assert left
        assert not set(left) & set(right)
    in_epoch = [row for said in two for rows in said["seen"][: one.steps // 2] for row in rows]
    assert sorted(in_epoch) == list(range(60))


def test_the_run_is_written_once_and_loads_like_any_other(together):
    folder, *_ = together
    assert sorted(path.name for path in (folder / "two").iterdir()) == sorted(
        path.name for path in (folder / "one").iterdir()
    )
    assert len(list((folder / "two" / "logs").iterdir())) == 1


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_run_goes_on_with_the_very_next_step_on_another_number_of_ranks(
    together, task_data, tiny_llama, tmp_path, before, after
):
    folder, others, one, two = together
    begun = folder / ("one" if before == 1 else "two")
    shutil.copytree(begun, tmp_path / "run")
    for step in list_checkpoints(tmp_path / "run"):
        if step > 3:
            shutil.rmtree(tmp_path / "run" / f"checkpoint-{step}")
    (tmp_path / "run" / "model.safetensors").unlink()
    wanted = settings(tiny_llama, tmp_path / "run", **others)
    done = train_on(after, task_data[Task.CAUSAL_LM], wanted, tmp_path / "log", resume=True)
    assert {said["from"] for said in done} == {3}
    seen = [sorted(row for said in done for row in said["seen"][step]) for step in range(one.steps - 3)]
    assert seen == [sorted(row for said in two for row in said["seen"][step]) for step in range(3, one.steps)]
    assert_close(weights(tmp_path / "run"), weights(folder / "one"))


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.SEQ2SEQ])
def test_ranks_without_a_share_of_the_last_step_take_part_with_fillers(task, task_data, tiny_bert, tiny_t5, tmp_path):
    model = tiny_t5 if task == Task.SEQ2SEQ else tiny_bert
    others = {"epochs": 1, "batch_size": 59, "save_steps": 9}  # the second step has one row
    train(task_data[task], settings(model, tmp_path / "one", **others), progress=False)
    done = train_on(2, task_data[task], settings(model, tmp_path / "two", **others), tmp_path / "log")
    assert sorted(len(said["seen"][1]) for said in done) == [0, 1]
    assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"))


def test_ranks_that_were_not_given_the_same_are_told_so_and_nothing_is_written(turn_data, tiny_llama, tmp_path):
    wanted = [settings(tiny_llama, tmp_path / "run", epochs=epochs) for epochs in (1, 2)]
    done = train_on(2, turn_data, wanted, tmp_path / "log")
    for said in done:
        assert said["error"].startswith("the ranks do not train the same run:\n  plan: rank 0 has 'sha256:")
        assert "epochs: rank 0 has 1.0, rank 1 has 2.0" in said["error"]
    assert not (tmp_path / "run").exists()


def test_what_the_first_finds_wrong_is_raised_in_all(turn_data, tiny_llama, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("mine")
    done = train_on(2, turn_data, settings(tiny_llama, tmp_path / "run"), tmp_path / "log")
    assert all("is not empty and not a run of sftdata" in said["error"] for said in done)


def test_one_process_is_all_where_torchrun_says_nothing(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert read_ranks() == Ranks(0, 1, 0)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert read_ranks() == Ranks(3, 4, 1)
    assert not read_ranks().is_first


def test_the_command_line_trains_under_torchrun(turn_data, tiny_llama, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "sftdata"]
    asked = ["train", "--data", str(turn_data), "--model", str(tiny_llama), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, *asked], capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("The model is in") == 1
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert Path(tmp_path / "run" / "sftdata_run.json").read_text().count('"finished"') == 1
