"""A run killed at any moment leaves the old dataset or none, never a half that looks whole; the next run completes.

The moments are spread over the whole run, and are all of those at which `publish` moves something.
"""

import json
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from moments import Runs, files_of, open_runs, write_recipes

import sftdata
from sftdata.errors import VerificationError
from sftdata.manifest import MANIFEST_NAME, UNFINISHED_NAME
from sftdata.shards.reader import read_rejected

MOMENTS = 50
TIMES = 8
"""So many of the moments are times, at which native code may be at work."""


class Scene(NamedTuple):
    """Two recipes for one directory, what each writes there, and what a run of the second does.

    Attributes:
        runs: starts runs.
        folder: where recipes and the output directory `out` are.
        old: the files of the older dataset.
        new: the files of the newer one.
        changes: those that a run over the older dataset makes, in order.
        seconds: of the processor that it takes.
    """

    runs: Runs
    folder: Path
    old: dict[str, bytes]
    new: dict[str, bytes]
    changes: list[str]
    seconds: float

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def reset(self, *, over_older: bool) -> None:
        """Put the older dataset, or nothing, into the output directory."""
        shutil.rmtree(self.out, ignore_errors=True)
        for name, content in self.old.items() if over_older else ():
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            (self.out / name).write_bytes(content)

    def prepare(self, name: str = "new", **end):
        return self.runs.run("prepare", self.folder / f"{name}.yaml", **end)


@pytest.fixture(scope="module")
def scene(tmp_path_factory, text_tokenizer):
    folder = tmp_path_factory.mktemp("kills")
    write_recipes(folder, text_tokenizer)
    with open_runs(folder) as runs:
        runs.count("prepare", folder / "old.yaml")
        old = files_of(folder / "out")
        changes, seconds = runs.count("prepare", folder / "new.yaml")
        yield Scene(runs, folder, old, files_of(folder / "out"), changes, seconds)


def choose_moments(changes: list[str], count: int) -> list[int]:
    """Return the numbers of all changes of `publish`, and of others so that there are `count`."""
    first = next(n for n, change in enumerate(changes) if change.endswith(f"{UNFINISHED_NAME}/old"))
    last = max(n for n, change in enumerate(changes) if change.endswith(f"{UNFINISHED_NAME}/{MANIFEST_NAME}"))
    publishing = set(range(first, last + 2))
    others = [n for n in range(len(changes)) if n not in publishing]
    spread = count - len(publishing)
    assert spread > 5
    return sorted(publishing | {others[n * len(others) // spread] for n in range(spread)})


def check_left(scene: Scene, wholes: list[dict[str, bytes]]) -> bool:
    """Check that there is one of these datasets, whole, or none that any reader takes; tell whether there is one."""
    if (scene.out / MANIFEST_NAME).exists():
        sftdata.verify(scene.out)
        assert files_of(scene.out) in wholes
        return True
    for read in (sftdata.verify, sftdata.load_split, lambda out: read_rejected(out, 1)):
        with pytest.raises(VerificationError, match=r"unfinished run|not a directory|not a prepared dataset"):
            read(scene.out)
    return False


def check_next_run(scene: Scene) -> None:
    """Check that the next run makes what an undisturbed one makes, and nothing of others lies around."""
    ended = scene.prepare()
    assert ended.code == 0, ended.printed
    assert files_of(scene.out) == scene.new
    assert not (scene.out / UNFINISHED_NAME).exists()
    assert {path.name for path in scene.out.iterdir()} == {name.split("/")[0] for name in scene.new}


@pytest.mark.parametrize("over_older", [True, False], ids=["over an older dataset", "into a new directory"])
def test_a_kill_at_any_moment_leaves_the_old_dataset_or_none_and_the_next_run_completes(scene, over_older):
    found = []
    for moment in choose_moments(scene.changes, MOMENTS - TIMES if over_older else 30):
        scene.reset(over_older=over_older)
        ended = scene.prepare(end="kill", moment=moment)
        assert ended.code == -9 or not over_older, ended
        there = check_left(scene, [scene.old, scene.new] if over_older else [scene.new])
        assert there or ended.code == -9
        found.append("new" if there and files_of(scene.out) == scene.new else "old" if there else "none")
        check_next_run(scene)
    assert found == sorted(found, key=["old", "none", "new"].index)
    assert found.count("none") > 10
    assert found.count("new") > 3
    assert found.count("old") > 10 or not over_older


@pytest.mark.parametrize("over_older", [True, False], ids=["over an older dataset", "into a new directory"])
def test_a_kill_at_any_time_leaves_the_old_dataset_or_none_and_the_next_run_completes(scene, over_older):
    for number in range(TIMES):
        scene.reset(over_older=over_older)
        ended = scene.prepare(end="time", moment=max(scene.seconds * number / TIMES, 0.001))
        assert ended.code in {-signal.SIGPROF, 0}, ended
        assert check_left(scene, [scene.old, scene.new] if over_older else [scene.new]) or ended.code
        check_next_run(scene)


def test_a_run_that_is_refused_after_a_kill_brings_the_old_dataset_back(scene):
    """Kill a run when all old files are moved away; the next one fails, and the old dataset is whole again."""
    scene.reset(over_older=True)
    moved = [n for n, change in enumerate(scene.changes) if change.startswith("os.rename") and "/out/" in change]
    scene.prepare(end="kill", moment=moved[-2])
    assert not check_left(scene, [])
    recipe = json.loads((scene.folder / "new.yaml").read_text()) | {"max_rejected": 0}
    (scene.folder / "strict.yaml").write_text(json.dumps(recipe))
    ended = scene.prepare("strict")
    assert ended.code == 1, ended.printed
    assert files_of(scene.out) == scene.old
    sftdata.verify(scene.out)
    assert sorted(path.name for path in (scene.out / UNFINISHED_NAME).iterdir()) == ["lock", "rejected.jsonl"]
    check_next_run(scene)


def test_kills_upon_kills_never_make_a_half(scene):
    """Kill run after run in one directory, each at another moment, while it tidies up after the one before."""
    scene.reset(over_older=True)
    publishing = choose_moments(scene.changes, MOMENTS - TIMES)[4:-4]
    for moment in [*publishing[::-2], *publishing[::2], *range(2, 50, 6)]:
        scene.prepare(end="kill", moment=moment)
        check_left(scene, [scene.old, scene.new])
    check_next_run(scene)


def test_every_reader_refuses_what_a_kill_left_in_one_plain_message(scene):
    scene.reset(over_older=True)
    moved = [n for n, change in enumerate(scene.changes) if change.startswith("os.rename") and "/out/" in change]
    scene.prepare(end="kill", moment=moved[-1])
    out = scene.out
    for command in (["verify", out], ["inspect", out], ["train", "--data", out, "--model", "m", "--out", out / "run"]):
        ended = scene.runs.run(*command)
        assert ended.code == 1, ended
        assert ended.printed.startswith(f"error: {out} holds an unfinished run"), ended
        assert ended.printed.count("\n") == 1


def test_no_worker_outlives_a_run_that_is_killed(scene):
    scene.reset(over_older=True)
    killed = [
        scene.runs.run("prepare", scene.folder / "new.yaml", "--workers", "2", end="kill", moment=moment)
        for moment in (12, scene.changes.index(next(c for c in scene.changes if c.endswith("part-00000"))))
    ]
    assert [ended.code for ended in killed] == [-9, -9]
    end = time.monotonic() + 20
    while alive := [process for ended in killed for process in processes_of(ended.process)]:
        assert time.monotonic() < end, alive
        time.sleep(0.05)
    assert files_of(scene.out) == scene.old
    check_next_run(scene)


def test_of_two_runs_at_once_one_is_refused_or_comes_later(scene, tmp_path):
    """Nothing is synchronised: they meet at their beginning, at their end, or not at all."""
    scene.reset(over_older=True)
    with open_runs(tmp_path) as others, ThreadPoolExecutor(2) as both:
        for _ in range(8):
            mine = both.submit(scene.prepare)
            theirs = both.submit(others.run, "prepare", scene.folder / "new.yaml")
            ended = sorted([mine.result(), theirs.result()])
            assert ended[0].code == 0, ended
            assert ended[1].code == 0 or "another run is writing to" in ended[1].printed, ended
            assert files_of(scene.out) == scene.new
            assert not (scene.out / UNFINISHED_NAME).exists()


def processes_of(group: int) -> list[str]:
    """Return the commands of the living processes of a process group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, process_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            command = (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(process_group) == group and state != "Z":
            found.append(command)
    return found
