import json
import shutil

from tiny import settings

from sftdata.training import train
from sftdata.training.checkpoint import list_checkpoints
from sftdata.training.journal import Journal


def read(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def without_speed(lines):
    measured = {"tokens_per_second", "memory_gib", "seconds_left"}
    return [{name: value for name, value in line.items() if name not in measured} for line in lines]


def test_a_run_leaves_a_line_for_each_interval_and_evaluation(turn_data, tiny_llama, tmp_path):
    result = train(turn_data, settings(tiny_llama, tmp_path / "run", epochs=2, log_steps=3), progress=False)
    lines = read(tmp_path / "run")
    assert [line["step"] for line in lines if line["part"] == "train"] == [3, 6, 8, 9, 12, 15, 16]
    assert [line["step"] for line in lines if line["part"] == "validation"] == [8, 16]
    measured = {"loss", "learning_rate", "grad_norm", "tokens_per_second", "memory_gib", "seconds_left"}
    assert measured < lines[0].keys()
    assert [line["seconds_left"] > 0 for line in lines if line["part"] == "train"] == [True] * 6 + [False]
    best = next(line for line in lines if line["part"] == "validation" and line["step"] == result.best_step)
    assert {name: best[name] for name in result.scores} == result.scores


def test_a_resumed_run_writes_what_a_whole_one_does(turn_data, tiny_llama, tmp_path):
    others = {"epochs": 2, "log_steps": 1, "save_steps": 5, "keep": 99}
    train(turn_data, settings(tiny_llama, tmp_path / "whole", **others), progress=False)
    train(turn_data, settings(tiny_llama, tmp_path / "cut", **others), progress=False)
    for step in list_checkpoints(tmp_path / "cut"):
        if step > 5:
            shutil.rmtree(tmp_path / "cut" / f"checkpoint-{step}")
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"part": "train", "st')  # killed in the middle of a line
    train(turn_data, settings(tiny_llama, tmp_path / "cut", **others), resume=True, progress=False)
    assert without_speed(read(tmp_path / "cut")) == without_speed(read(tmp_path / "whole"))


def test_a_run_that_begins_anew_begins_an_empty_journal(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"part": "train", "step": 0}\n')
    journal = Journal(tmp_path / "metrics.jsonl", 0)
    journal.write("train", 1, {"loss": 2.5})
    journal.close()
    assert read(tmp_path) == [{"part": "train", "step": 1, "loss": 2.5}]
