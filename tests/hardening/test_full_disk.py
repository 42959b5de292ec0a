"""A disk that is full or may not be written is told in one plain message; the old dataset stays as it was.

From a chosen change to the file system on no file can grow any more, which Python and native code meet alike; and once
more on a real, small file system.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from moments import files_of, open_runs, write_recipes

import sftdata
from sftdata.errors import OutputError, VerificationError
from sftdata.manifest import MANIFEST_NAME, UNFINISHED_NAME
from sftdata.shards import directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with open_runs(tmp_path_factory.mktemp("runs")) as runs:
        yield runs


@pytest.fixture(scope="module")
def scene(tmp_path_factory, text_tokenizer, runs):
    """The folder of two recipes, the files that each of them writes, and the changes that the second makes."""
    folder = tmp_path_factory.mktemp("full")
    write_recipes(folder, text_tokenizer)
    runs.count("prepare", folder / "old.yaml")
    shutil.copytree(folder / "out", folder / "kept")
    changes, _ = runs.count("prepare", folder / "new.yaml")
    return folder, files_of(folder / "kept"), files_of(folder / "out"), changes


def check_told(ended, out: Path, reason: str) -> None:
    assert ended.code == 2, ended
    assert ended.printed.startswith("error: "), ended
    assert reason in ended.printed, ended
    assert str(out) in ended.printed
    assert ended.printed.count("\n") == 1, ended


def check_left(out: Path, old: dict[str, bytes]) -> None:
    """Check that the older dataset is whole, or nothing at all is there; and that nothing looks like data."""
    if old:
        sftdata.verify(out)
    else:
        with pytest.raises(VerificationError, match=r"unfinished run|not a directory"):
            sftdata.verify(out)
    assert files_of(out) == old
    assert {path.name for path in (out / UNFINISHED_NAME).rglob("*")} <= {"lock", "rejected.jsonl"}


@pytest.mark.parametrize("over_older", [True, False], ids=["over an older dataset", "into a new directory"])
def test_a_disk_that_is_full_from_any_moment_on_is_told_and_costs_nothing(scene, runs, over_older):
    folder, old, new, changes = scene
    out, told = folder / "out", 0
    for moment in range(1, len(changes), 4 if over_older else 10):
        shutil.rmtree(out)
        if over_older:
            shutil.copytree(folder / "kept", out)
        ended = runs.run("prepare", folder / "new.yaml", end="full", moment=moment)
        if ended.code == 0:  # everything was written by then
            assert files_of(out) == new
            continue
        told += 1
        check_told(ended, out, "File too large")
        check_left(out, old if over_older else {})
    assert told > (12 if over_older else 5)
    assert runs.run("prepare", folder / "new.yaml").code == 0
    assert files_of(out) == new
    assert not (out / UNFINISHED_NAME).exists()


SMALL = r"""
import errno, json, os, shutil, subprocess, sys
from pathlib import Path

folder, command = Path(sys.argv[1]), [sys.executable, "-c", "from sftdata.cli import main; main()", "prepare"]
out = folder / "out"
shutil.rmtree(out), out.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(out)], check=True)
told = []
subprocess.run([*command, str(folder / "old.yaml")], check=True, capture_output=True)
subprocess.run(["cp", "-r", f"{out}/.", str(folder / "before")], check=True)
for room in (0, 8_000, 30_000):  # the first lets it make no folder, the others are full in the midst of it
    with (out / "notes").open("wb", buffering=0) as notes:  # somebody else's, which fills the disk
        try:
            while notes.write(b"x" * 4096):
                pass
        except OSError as full:
            assert full.errno == errno.ENOSPC
        notes.truncate(max(0, notes.tell() - room))
    done = subprocess.run([*command, str(folder / "new.yaml")], capture_output=True, text=True)
    told.append([done.returncode, done.stderr])
    subprocess.run(["cp", "-r", f"{out}/.", str(folder / f"left-{room}")], check=True)
    (out / "notes").unlink()
done = subprocess.run([*command, str(folder / "new.yaml")], capture_output=True, text=True)
told.append([done.returncode, done.stderr])
subprocess.run(["cp", "-r", f"{out}/.", str(folder / "completed")], check=True)
print(json.dumps(told))
"""


def may_mount() -> bool:
    """Tell whether this process may mount a file system in a name space of its own."""
    mount = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(mount, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no right to mount a small file system here")
def test_a_file_system_that_is_full_is_told_and_costs_nothing(scene):
    folder = scene[0]
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", SMALL, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *failed, completed = json.loads(done.stdout)
    assert completed[0] == 0, completed
    for room, (code, errors) in zip((0, 8_000, 30_000), failed, strict=True):
        assert code == 2, errors
        assert errors.startswith(f"error: {folder / 'out'} cannot be written: No space left on device. "), errors
        assert errors.count("\n") == 1
        left = folder / f"left-{room}"
        (left / "notes").unlink()
        check_left(left, files_of(folder / "before"))
    sftdata.verify(folder / "completed")
    assert not (folder / "completed" / UNFINISHED_NAME).exists()


def test_an_index_a_manifest_and_rejected_rows_are_among_what_could_not_be_written(scene):
    """The test above is worth as much as the changes that it goes through."""
    *_, changes = scene
    for name in ("rejected.jsonl", "report.html", "index/train.arrow", "manifest.json.tmp", "part-00000", "state.json"):
        assert any(change.endswith(f"/{name}") for change in changes)


def as_nobody(function) -> str:
    """Call a function in a process without the rights of an administrator; return what it raised."""
    ours, theirs = os.pipe()
    if not (child := os.fork()):
        try:
            if os.geteuid() == 0:
                os.setegid(65534), os.seteuid(65534)
            function()
        except OutputError as refused:
            os.write(theirs, str(refused).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        return answer.read()


@pytest.mark.parametrize("place", ["out", "out/new"])
def test_a_directory_that_may_not_be_written_is_refused(tmp_path, place):
    out = tmp_path / "out"
    out.mkdir()
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    out.chmod(0o555)

    def enter():
        with directory.open_output(tmp_path / place):
            raise AssertionError

    told = as_nobody(enter)
    assert told.startswith(f"{tmp_path / place} cannot be written: Permission denied"), told
    assert list(out.iterdir()) == []


def test_an_output_directory_may_be_a_link(tmp_path, runs, text_tokenizer):
    write_recipes(tmp_path, text_tokenizer)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    for name in ("old", "new", "new"):
        assert runs.run("prepare", tmp_path / f"{name}.yaml").code == 0
    assert (tmp_path / "out").is_symlink()
    sftdata.verify(tmp_path / "elsewhere")


def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(OutputError, match=r"out is a link to nothing; name a directory"),
        directory.open_output(tmp_path / "out"),
    ):
        pass
    assert not (tmp_path / "nowhere").exists()


def test_what_is_in_the_way_is_not_deleted(tmp_path, runs, text_tokenizer):
    """The older dataset has no folder `index`, but somebody keeps one there."""
    write_recipes(tmp_path, text_tokenizer)
    runs.run("prepare", tmp_path / "old.yaml")
    manifest = tmp_path / "out" / MANIFEST_NAME
    document = json.loads(manifest.read_text())
    document["files"] = {name: digest for name, digest in document["files"].items() if not name.startswith("index/")}
    manifest.write_text(json.dumps(document))
    before = files_of(tmp_path / "out")
    ended = runs.run("prepare", tmp_path / "new.yaml")
    assert ended.code == 2
    assert f"{tmp_path / 'out' / 'index'} is in the way" in ended.printed
    assert files_of(tmp_path / "out") == before


def test_a_dataset_of_an_older_format_is_replaced_and_one_of_a_newer_format_is_not(tmp_path, runs, text_tokenizer):
    write_recipes(tmp_path, text_tokenizer)
    runs.run("prepare", tmp_path / "old.yaml")
    manifest = tmp_path / "out" / MANIFEST_NAME
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "format": document["format"] + 1}))
    ended = runs.run("prepare", tmp_path / "new.yaml")
    assert (ended.code, "Update sftdata" in ended.printed) == (2, True), ended
    old = {name: document[name] for name in ("splits", "files")}
    manifest.write_text(json.dumps({**old, "format": 1}))
    assert runs.run("prepare", tmp_path / "new.yaml").code == 0
    assert sorted(sftdata.verify(tmp_path / "out").splits) == ["test", "train"]
    assert not (tmp_path / "out" / "validation").exists()


@pytest.mark.parametrize("name", ["../precious", "..", "/etc", ""])
def test_a_manifest_that_names_what_is_not_its_own_is_foreign(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "out" / MANIFEST_NAME).write_text(json.dumps({"format": 2, "splits": {name: {}}, "files": {}}))
    with pytest.raises(OutputError, match="not written by sftdata"), directory.open_output(tmp_path / "out"):
        pass
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_lock_that_went_away_with_its_folder_is_no_lock(tmp_path, monkeypatch):
    """Another run ends between our opening its lock and our locking it: we must not hold what nobody else sees."""
    out, ended = tmp_path / "out", []
    flock = directory.fcntl.flock

    def end_first(lock, how):
        if not ended:
            ended.append(True)
            shutil.rmtree(out / UNFINISHED_NAME)
        flock(lock, how)

    monkeypatch.setattr(directory.fcntl, "flock", end_first)
    with directory.open_output(out) as work:
        assert (work / "lock").exists()
        with pytest.raises(OutputError, match="another run"), directory.open_output(out):
            pass
    assert not (out / UNFINISHED_NAME).exists()


def test_a_folder_that_cannot_be_flushed_is_no_failure_but_a_disk_that_fails_is(tmp_path, monkeypatch):
    def fail(number):
        def fsync(handle):
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    directory.flush(tmp_path)
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        directory.flush(tmp_path)
