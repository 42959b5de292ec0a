"""Run `sftdata` many times and end each run at a chosen moment, or take the disk away from it there.

One child process pays for the imports; every run is a fork of it. A moment is the number of a change to the file system
that Python is about to make. Native code writes files without asking Python, so a moment can also be a time: of the
processor, which does not depend on what else the machine does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from examples import make_texts, write_jsonl

from sftdata.manifest import UNFINISHED_NAME

SERVER = r"""
import gc, json, os, resource, select, signal, sys, tempfile, time, traceback
import numpy, polars, pyarrow, tokenizers, tokie, pandera.polars
import sftdata.cli, sftdata.pipeline, sftdata.recipe, sftdata.report.progress, sftdata.report.terminal
import sftdata.duplicates.finding, sftdata.training
from sftdata.sources import parsing

tempfile.gettempdir()  # finds out once whether it can write there
parsing.CHUNK_ROWS = 60  # several chunks, so that there is more to be interrupted
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}

def is_change(event, arguments):
    writes = os.O_WRONLY | os.O_RDWR
    return event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & writes)

def end_at(end, moment, changes):
    def watch(event, arguments):
        if not is_change(event, arguments):
            return
        if len(changes) == moment and end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if len(changes) == moment and end == "full":  # no file can grow any more, whoever writes to it
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        changes.append(f"{event} {arguments[0]}")
    return watch

def run(arguments, end, moment, changes):
    if end == "time":  # the signal's default action ends the process at once, in native code as anywhere else
        signal.setitimer(signal.ITIMER_PROF, moment)
    elif end:
        sys.addaudithook(end_at(end, moment, changes))
    sys.argv = ["sftdata", *arguments]
    try:
        sftdata.cli.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0

gc.freeze()  # a fork that does not touch what it shares need not copy it
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    arguments, end, moment, counted = json.loads(line)
    printed, to_print = os.pipe()  # no file: the disk may be full
    if not (child := os.fork()):
        os.setpgid(0, 0)
        os.dup2(to_print, 1)
        os.dup2(to_print, 2)
        code, changes, start = 70, [], time.process_time()
        try:
            code = run(arguments, end, moment, changes)
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            if end == "count":
                with open(counted, "w") as file:
                    json.dump([changes, time.process_time() - start], file)
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = os.read(printed, 65536).decode() if select.select([printed], [], [], 0)[0] else ""
    print(json.dumps([code, text, child]), flush=True)
    os.close(printed), os.close(to_print)
"""


class Ended(NamedTuple):
    """How a run ended: its exit code, negative for a signal; all that it printed; its number as a process."""

    code: int
    printed: str
    process: int


class Runs:
    """Starts runs one after the other."""

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self._server, self._folder = server, folder
        assert server.stdout
        assert server.stdout.readline() == '"ready"\n'

    def run(self, *arguments: str | Path, end: str = "", moment: float = 0) -> Ended:
        """Run a command and end it: `kill` it or have the disk `full` before a change, or end it after some `time`."""
        assert self._server.stdin
        assert self._server.stdout
        question = [list(map(str, arguments)), end, moment, str(self._folder / "counted")]
        print(json.dumps(question), file=self._server.stdin, flush=True)
        return Ended(*json.loads(self._server.stdout.readline()))

    def count(self, *arguments: str | Path) -> tuple[list[str], float]:
        """Run a command undisturbed; return the changes that it made, in order, and its processor time in seconds."""
        ended = self.run(*arguments, end="count")
        assert ended.code == 0, ended.printed
        changes, seconds = json.loads((self._folder / "counted").read_text())
        return changes, seconds


@contextmanager
def open_runs(folder: Path) -> Iterator[Runs]:
    """Start the process that runs are forked from; `folder` is for what they count."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield Runs(server, folder)
        finally:
            server.kill()


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the content of every file of a dataset, whatever lies in the work folder."""
    files = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(UNFINISHED_NAME)}


def write_recipes(folder: Path, tokenizer: Path) -> tuple[Path, Path]:
    """Write two recipes for one output directory; their datasets differ in content and in files."""
    usual = {"task": "text_classification", "schema": "text_label", "max_rejected": 1.0}
    usual |= {
        "tokenize": {"tokenizer": str(tokenizer), "max_length": 64},
        "output": {"dir": "out", "shard_size": "4KB"},
    }
    bad = {"text": " ", "label": "animal"}
    texts = make_texts(260)
    write_jsonl(folder / "old.jsonl", [*texts[:100], *texts[:5]])
    write_jsonl(folder / "new.jsonl", [*texts[100:200], bad, *texts[200:], bad])
    old = {"sources": [{"path": "old.jsonl"}], "deduplicate": {"exact": True}}
    old["split"] = {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 7}
    new = {"sources": [{"path": "new.jsonl"}], "split": {"train": 0.9, "test": 0.1, "validation": 0, "seed": 7}}
    (folder / "old.yaml").write_text(json.dumps(usual | old))
    (folder / "new.yaml").write_text(json.dumps(usual | new))
    return folder / "old.yaml", folder / "new.yaml"
