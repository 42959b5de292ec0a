"""What one sees of a run while it works: the bar, the lines, the callback, the profile."""

import gzip
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from tiny import settings, weights

from sftdata.errors import TrainingError
from sftdata.training import train
from sftdata.training.display import Display, describe, describe_time
from sftdata.training.memory import measure_memory
from sftdata.training.monitor import Monitor
from sftdata.training.profiling import WAITED
from sftdata.training.watching import Watching

VALUES = {
    "loss": 2.34567,
    "learning_rate": 1.9e-5,
    "grad_norm": 123.456,
    "tokens_per_second": 234_567.8,
    "mfu": 0.4567,
    "memory_gib": 123.45,
    "seconds_left": 45_296,
}
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def screen(text, columns):
    """What a terminal shows at last: lines that are moved up to are written over."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[1A|\x1b\[2K|\n)", text):
        if part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        else:
            lines[row] += SEQUENCE.sub("", part)
            assert len(lines[row]) <= columns
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_a_bar_and_the_newest_values(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    display = Display(1000, 100, progress=True)
    display.start()
    for step in range(101, 121):
        display.advance()
        display.show(step, {**VALUES, "loss": 8 - step / 20})
    display.say("something that is said")
    display.stop()
    shown = screen(capsys.readouterr().err, columns)
    values = "loss 2.0000  lr 1.90e-05  norm 123.46  234,568 tokens/s  MFU 45.7%  123.5 GiB"
    assert shown[0] == "something that is said"
    assert re.match(r"training [━╸╺ ]+ 120/1000 ", shown[1])
    assert shown[1].endswith(" left")
    assert values in (shown[1] if columns == 120 else shown[2])
    assert len(shown) == (2 if columns == 120 else 3)


def test_values_fit_into_a_line_of_80_columns():
    assert describe(VALUES) == "loss 2.3457  lr 1.90e-05  norm 123.46  234,568 tokens/s  MFU 45.7%  123.5 GiB"
    assert len(describe(VALUES)) <= 80
    assert describe({"loss": 2.0, "loss/a.csv": 3.0}) == "loss 2.0000", "the log has those by source"
    assert [describe_time(seconds) for seconds in (0, 59.6, 45_296)] == ["0:00:00", "0:01:00", "12:34:56"]


def test_lines_say_the_same_and_what_time_is_left(capsys):
    display = Display(1000, 0, progress=None)
    display.start()
    display.show(10, VALUES)
    display.show(1000, VALUES)
    display.stop()
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"step 10/1000  {describe(VALUES)}  12:34:56 left"
    assert last == f"step 1000/1000  {describe(VALUES)}"


def test_nothing_is_shown_if_nothing_is_wanted(capsys):
    display = Display(10, 0, progress=False)
    display.start()
    display.advance()
    display.say("hello")
    display.show(10, VALUES)
    display.stop()
    assert capsys.readouterr() == ("", "")


def test_the_share_of_the_peak_is_that_of_the_time_since_the_last_log(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))  # each look at the clock takes ten seconds
    monkeypatch.setattr("sftdata.training.monitor.time.monotonic", lambda: next(clock))
    with Monitor(tmp_path, torch.device("cpu"), 8, 4, Watching(progress=False)) as monitor:
        for _ in range(2):
            monitor.advance(500, 2.5)
        monitor.log(6, 1.0, 1e-3, 2.0, {"a.csv": 3.0})
        monitor.advance(100)
        monitor.log(7, 1.0, 1e-3, 2.0, {})
    first, second = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert first["mfu"] == 5 / 10
    assert first["tokens_per_second"] == 1000 / 10
    assert first["seconds_left"] == 20 / 2 * 2
    assert first["loss/a.csv"] == 3.0
    assert "mfu" not in second


def test_memory_is_what_the_process_has_now():
    before = measure_memory(torch.device("cpu"))
    kept = torch.ones(2**26)
    assert measure_memory(torch.device("cpu")) - before == pytest.approx(kept.nbytes / 2**30, rel=0.2)


def test_on_a_gpu_it_is_the_peak_since_the_last_look(monkeypatch):
    peaks = [3 * 2**30]
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: peaks[-1])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: peaks.append(2**30))
    assert [measure_memory(torch.device("cuda")) for _ in range(2)] == [3.0, 1.0]


def test_a_callback_is_told_of_all_that_is_logged(class_data, tiny_bert, tmp_path):
    told = []
    chosen = settings(tiny_bert, tmp_path / "run", epochs=2, log_steps=5)
    result = train(class_data, chosen, progress=False, callback=lambda *event: told.append(event))
    assert [(part, step) for part, step, _ in told] == [
        ("start", 0),
        *[("train", 5), ("train", 8), ("validation", 8), ("train", 10), ("train", 15), ("train", 16)],
        *[("validation", 16), ("end", 16)],
    ]
    assert told[0][2] == chosen.model_dump(mode="json")
    assert told[-1][2] == asdict(result)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [{"part": part, "step": step, **values} for part, step, values in told[1:-1]] == lines


def test_a_callback_that_fails_stops_nothing_and_is_told_once(class_data, tiny_bert, tmp_path, capsys):
    def fail(part, step, values):
        values.clear()
        raise KeyError(f"{part} at {step}")

    result = train(class_data, settings(tiny_bert, tmp_path / "run", log_steps=2), callback=fail)
    assert result.steps == 8
    assert capsys.readouterr().err.count("train.callback failed with KeyError: 'start at 0'; training goes on") == 1
    assert all("loss" in line for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())


def test_a_recipe_names_a_function_that_may_lie_beside_it(class_data, tiny_bert, tmp_path):
    (tmp_path / "our_tracking.py").write_text("told = []\ndef log(*event):\n    told.append(event[:2])\n")
    chosen = settings(tiny_bert, tmp_path / "run", max_steps=2, callback=f"{tmp_path}/our_tracking:log")
    train(class_data, chosen, progress=False)
    from our_tracking import told

    assert told == [("start", 0), ("train", 2), ("validation", 2), ("end", 2)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wandb", "found 'wandb', expected module:function, such as tracking:log"),
        ("no_such_module:log", "there is no module 'no_such_module'"),
        ("json:no_such", "module 'json' .* has no 'no_such'"),
        ("json:__name__", "json:__name__ is no function"),
    ],
)
def test_a_callback_that_is_none_is_refused(name, says, class_data, tiny_bert, tmp_path):
    with pytest.raises(TrainingError, match=rf"train\.callback: .*{says}"):
        train(class_data, settings(tiny_bert, tmp_path / "run", callback=name), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_profile_is_of_the_steps_behind_the_first_and_changes_nothing(turn_data, tiny_llama, tmp_path, capsys):
    train(turn_data, settings(tiny_llama, tmp_path / "plain"), progress=False)
    train(turn_data, settings(tiny_llama, tmp_path / "run"), profile=2)
    err = capsys.readouterr().err
    plain, found = weights(tmp_path / "plain"), weights(tmp_path / "run")
    assert all(torch.equal(plain[name], found[name]) for name in plain)
    path = tmp_path / "run" / "profile" / f"steps-{WAITED + 1}-{WAITED + 2}.json.gz"
    assert f"the trace is {path}" in err
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    steps = {event["name"] for event in events if event.get("name", "").startswith("ProfilerStep")}
    assert steps == {f"ProfilerStep#{WAITED}", f"ProfilerStep#{WAITED + 1}"}
    table = err[err.index("operation") :].splitlines()
    assert re.fullmatch(r"operation +calls a step +ms a step on the CPU +share *", table[0])
    rows = [re.fullmatch(r"\S.*? +[\d,]+ +([\d.,]+) +([\d.]+)% *", line) for line in table[1:11]]
    assert all(rows)
    shares = [float(row[2]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 30 < sum(shares) <= 100.5


def test_a_run_with_too_few_steps_left_has_no_profile(turn_data, tiny_llama, tmp_path):
    chosen = settings(tiny_llama, tmp_path / "run")
    with pytest.raises(TrainingError, match="--profile 5: found 8 steps left in this run, expected at least 9"):
        train(turn_data, chosen, progress=False, profile=5)
    assert not (tmp_path / "run").exists()
    train(turn_data, chosen, progress=False)
    with pytest.raises(TrainingError, match="--profile 1: found 0 steps left"):
        train(turn_data, chosen, progress=False, resume=True, profile=1)


def test_a_run_that_ends_early_leaves_the_profile_of_what_was_done(class_data, tiny_bert, tmp_path):
    chosen = settings(tiny_bert, tmp_path / "run", epochs=3, patience=1, learning_rate=1e-12, log_steps=4)
    result = train(class_data, chosen, progress=False, profile=20)
    assert result.stopped_early
    assert len(list((tmp_path / "run" / "profile").iterdir())) == 1


@pytest.mark.parametrize(("name", "function"), [("wandb", "to_wandb"), ("mlflow", "to_mlflow")])
def test_the_examples_of_the_documentation_work(name, function, class_data, tiny_bert, tmp_path, monkeypatch):
    """With a stand-in for the library, which is not installed here."""
    stand_in = Mock()
    monkeypatch.setitem(sys.modules, name, stand_in)
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    source = next(
        block for block in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if f"import {name}" in block
    )
    names = {}
    exec(source, names)  # noqa: S102  # our own page
    callback, chosen = names[function], settings(tiny_bert, tmp_path / "run", log_steps=4)
    train(class_data, chosen, progress=False, callback=callback)
    called = [call[0] for call in stand_in.mock_calls]
    assert called[0] in ("init", "start_run")
    assert called[-1] in ("finish", "end_run")
    logged = [call for call in stand_in.mock_calls if call[0] in ("log", "log_metrics")]
    assert [call.kwargs["step"] for call in logged] == [4, 8, 8]
    assert "train/loss" in logged[0].args[0]
    assert "validation/macro_f1" in logged[2].args[0]


def test_a_trace_that_cannot_be_written_stops_no_run(turn_data, tiny_llama, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.profiler.profile.export_chrome_trace", fail)
    result = train(turn_data, settings(tiny_llama, tmp_path / "run"), profile=1)
    assert result.steps == 8
    assert "(No space left on device); training goes on" in capsys.readouterr().err
