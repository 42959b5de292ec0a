"""Two processes, started by torchrun and talking over gloo, train what one trains."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import assert_close, start, train_on
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.records import Task
from sftdata.training import distributed, train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.distributed import Ranks, read_ranks
from sftdata.training.findings import read_findings
from sftdata.training.worst import TEXTS


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


def test_the_loss_by_source_is_that_of_all_ranks(together):
    journals = [(together[0] / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    pairs = list(zip(*(map(json.loads, lines) for lines in journals), strict=True))
    trained = [(one, two) for one, two in pairs if one["part"] == "train"]
    assert len(trained) > 1
    for one, two in trained:
        assert two["loss/train.txt"] == pytest.approx(one["loss/train.txt"], rel=1e-3)
        assert two["loss/train.txt"] == pytest.approx(two["loss"], rel=1e-5), "all rows are of one source"


def test_an_evaluation_finds_the_same_examples_worst(together):
    one, two = (read_findings(together[0] / name)[0] for name in ("one", "two"))
    assert one["step"] == two["step"]
    assert len(one["worst"]) == TEXTS
    assert [told["loss"] for told in two["worst"]] == pytest.approx([told["loss"] for told in one["worst"]], rel=1e-3)
    assert {told["row_id"] for told in two["worst"][:6]} <= {told["row_id"] for told in one["worst"]}


def test_they_share_every_step_and_have_as_many_batches(together):
    *_, one, two = together
    assert [len(said["seen"]) for said in two] == [one.steps, one.steps]
    for left, right in zip(two[0]["seen"], two[1]["seen"], strict=True):
        assert left
        assert not set(left) & set(right)
    in_epoch = [row for said in two for rows in said["seen"][: one.steps // 2] for row in rows]
    assert sorted(in_epoch) == list(range(60))


def test_gradients_are_added_up_once_a_step_whatever_the_accumulation(together):
    *_, one, two = together
    for said in two:
        assert len(said["sums"]) == one.steps
        assert said["sums"][:2] == [2, 1]  # in the first step ranks also tell which weights have gradients
        assert min(said["sums"]) == 1


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
    others = {"epochs": 1, "batch_size": 59, "save_steps": 9, "adam_epsilon": 0.01}  # the second step has one row
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


DIES = """
import os, signal
take = loop.take_step
def die(*given):
    if rank == 1 and len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(*given)
loop.take_step = die
"""


def test_ranks_that_lose_one_end_at_once_without_a_traceback(turn_data, tiny_llama, tmp_path):
    done = start(2, turn_data, settings(tiny_llama, tmp_path / "run", epochs=50), tmp_path / "log", fault=DIES)
    assert done.returncode != 0
    told = tmp_path / "log" / "0.json"  # torchrun may have ended this one before it noticed by itself
    if told.exists():
        assert "rank 0 lost another of the 2 ranks" in told.read_text()
    assert "train_together" not in done.stderr
    assert list_checkpoints(tmp_path / "run") == []


def test_what_a_lost_connection_says_is_told_and_other_errors_are_not(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda *_, **__: None)
    lost = pytest.raises(TrainingError, match=r"rank 0 lost another of the 2 ranks.*with --resume")
    with lost, distributed.join(torch.device("cpu")):
        raise RuntimeError("[/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:5")
    with pytest.raises(RuntimeError, match="shapes"), distributed.join(torch.device("cpu")):
        raise RuntimeError("shapes")


def test_more_processes_than_gpus_are_refused_and_each_takes_its_own(monkeypatch):
    for name, value in {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    taken, backends = [], []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda backend, **_: backends.append(backend))
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: None)
    refused = pytest.raises(TrainingError, match=r"found 2 GPUs for at least 3 processes.*--nproc-per-node 2")
    with refused, distributed.join(torch.device("cuda")):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with distributed.join(torch.device("cuda")) as ranks:
        assert ranks == Ranks(2, 3, 2)
    assert (taken, backends) == ([2], ["cpu:gloo,cuda:nccl"])


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
