"""Ctrl-C and other signals leave things clean, and the command says how to go on.

Real signals go to real child processes, as a terminal sends them: to all processes of the group.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from examples import make_texts, write_jsonl

COMMAND = "import sftdata.sources.parsing as parsing; parsing.CHUNK_ROWS = 40; from sftdata.cli import main; main()"
"""Chunks so small that a run takes seconds."""


class Run:
    """A command in a process group of its own."""

    def __init__(self, *arguments: str | Path, folder: Path) -> None:
        self._errors = folder / "stderr.txt"
        command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )

    def wait_for(self, condition) -> None:
        end = time.monotonic() + 40
        while not condition():
            assert self.process.poll() is None, self._errors.read_text()
            assert time.monotonic() < end
            time.sleep(0.01)

    def stop(self, number: int) -> tuple[int, str]:
        """Send the signal to the group; return the exit code and what was said, once all its processes are gone."""
        os.killpg(self.process.pid, number)
        code = self.process.wait(timeout=30)
        end = time.monotonic() + 10
        while alive := members(self.process.pid):
            assert time.monotonic() < end, alive
            time.sleep(0.02)
        return code, self._errors.read_text()


def members(group: int) -> list[int]:
    """Return the living processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, process_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(process_group) == group and state != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture(autouse=True)
def _no_nohup():
    """Have signals do what they do by default, also where the tests themselves were started by `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def recipe(tmp_path, text_recipe):
    """A recipe whose run lasts."""
    return text_recipe(make_texts(30_000), deduplicate={"near": False})


def is_at_work(out: Path, name: str):
    return lambda: any((out / ".sftdata-unfinished").glob(name))


@pytest.mark.parametrize(
    ("number", "workers", "moment"),
    [
        (signal.SIGINT, 1, "rows/*"),
        (signal.SIGINT, 2, "rows/*"),
        (signal.SIGTERM, 2, "rows/*"),
        (signal.SIGHUP, 1, "train/*"),
    ],
)
def test_a_stopped_prepare_leaves_nothing_and_says_how_to_go_on(tmp_path, recipe, number, workers, moment):
    run = Run("prepare", recipe, "--workers", str(workers), folder=tmp_path)
    run.wait_for(is_at_work(tmp_path / "out", moment))
    code, said = run.stop(number)
    assert code == 128 + number
    assert said == (
        f"\nstopped. No dataset was made, and {tmp_path / 'out'} is as it was. "
        "Run the same command again; it starts over.\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_stopped_prepare_leaves_the_dataset_that_was_there(tmp_path, text_recipe):
    run = Run("prepare", text_recipe(make_texts(100)), folder=tmp_path)
    assert run.process.wait(timeout=60) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    run = Run("prepare", text_recipe(make_texts(8_000), deduplicate={"near": False}), folder=tmp_path)
    run.wait_for(is_at_work(tmp_path / "out", "rows/*"))
    assert run.stop(signal.SIGINT)[0] == 130
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_stopped_validate_and_export_leave_no_file(tmp_path, text_recipe):
    data = write_jsonl(tmp_path / "many.jsonl", [*make_texts(30_000), {"text": " ", "label": "a"}])
    run = Run("validate", data, "--schema", "text_label", "--rejected", tmp_path / "bad.jsonl", folder=tmp_path)
    run.wait_for((tmp_path / ".bad.jsonl.unfinished").exists)
    assert run.stop(signal.SIGINT) == (130, "\nstopped. Nothing was left behind. Run it again.\n")
    assert sorted(path.name for path in tmp_path.iterdir() if "bad" in path.name) == []


def test_a_signal_that_is_to_be_ignored_stops_nothing(tmp_path, text_recipe):
    """As with `nohup`."""
    recipe = text_recipe(make_texts(1500), deduplicate={"near": False})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = Run("prepare", recipe, folder=tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    run.wait_for(is_at_work(tmp_path / "out", "rows/*"))
    os.killpg(run.process.pid, signal.SIGHUP)
    assert run.process.wait(timeout=60) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["rows"]["written"] == 1500


def test_ctrl_c_before_the_command_is_loaded_shows_no_traceback():
    slow = (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *others):\n"
        "        if name == 'sftdata.cli':\n"
        "            print('loading', flush=True)\n"
        "            time.sleep(30)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from sftdata.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", slow, "--version"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert said == ""
