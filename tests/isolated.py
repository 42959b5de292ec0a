"""Run many commands of sftdata in one child process, with limits, so that a crash or a hang is seen and attributed.

Most of a command's time is imports; one child pays for them once. What a command prints is caught below Python, so that
native code cannot hide anything. A command that ends the child, or takes too long, is told as such, and the commands
after it run in a new child.
"""

import json
import selectors
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

CHILD = r"""
import json, os, resource, sys, tempfile, time, traceback
from pathlib import Path

def run(command):
    sys.argv = ["sftdata", *command]
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 70
    return 0

def read(file):
    sys.stdout.flush(), sys.stderr.flush()
    file.seek(0)
    content = file.read().decode("utf-8", "surrogateescape")
    file.seek(0), file.truncate()
    return content

limits, commands = json.load(sys.stdin)
answers = os.fdopen(os.dup(1), "w")
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
output, errors = tempfile.TemporaryFile(buffering=0), tempfile.TemporaryFile(buffering=0)
os.dup2(output.fileno(), 1), os.dup2(errors.fileno(), 2)
resource.setrlimit(resource.RLIMIT_AS, (limits["address_space"],) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from sftdata.cli import main
import sftdata.validation, pandera.polars
print(json.dumps("ready"), file=answers, flush=True)
for command in commands:
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    code = run(command)
    seconds = time.perf_counter() - start
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    answer = [code, read(output), read(errors), seconds, int(peak.split()[1]) * 1024]
    print(json.dumps(answer), file=answers, flush=True)
"""

READY = 120
"""Seconds that a child may take for its imports, on the slowest machine."""


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        code: its exit code; 70 for an exception that nothing caught, negative for the signal that killed it, None where
            it took too long.
        output: what it wrote to stdout.
        errors: what it wrote to stderr.
        seconds: how long it took.
        peak: the most memory of its process, in bytes.
    """

    code: int | None
    output: str = ""
    errors: str = ""
    seconds: float = 0
    peak: int = 0

    def report(self) -> dict:
        """Return the JSON document that it wrote to stdout."""
        return json.loads(self.output)


def run_commands(
    commands: Sequence[Sequence[str]], *, seconds: float = 60, address_space: int = 8 * 2**30
) -> list[Outcome]:
    """Run each of `commands`, such as `["validate", "data.csv", "--schema", "text_label"]`, and say how it ended.

    Args:
        commands: the arguments of each; text may hold lone surrogates for bytes that are not UTF-8.
        seconds: the longest that one may take.
        address_space: bytes that the child may map; one that needs more runs into a MemoryError.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(commands):
        outcomes += _run_child(commands[len(outcomes) :], seconds, address_space)
    return outcomes


def _run_child(commands: Sequence[Sequence[str]], seconds: float, address_space: int) -> list[Outcome]:
    """Run commands until all are done or one ends the child."""
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    outcomes: list[Outcome] = []
    with child.stdin as questions, child.stdout as answers:
        questions.write(json.dumps([{"address_space": address_space}, commands]).encode())
        questions.close()
        try:
            assert _next_line(answers, READY), "the child did not start"
            for _ in commands:
                line = _next_line(answers, seconds)
                if line is None:
                    outcomes.append(Outcome(None))
                    break
                if not line:
                    outcomes.append(Outcome(child.wait()))
                    break
                outcomes.append(Outcome(*json.loads(line)))
        finally:
            child.kill()
            child.wait()
    return outcomes


def _next_line(stream, seconds: float) -> bytes | None:
    """Return the next line, nothing at the end of the stream, or None when none comes in time."""
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        return stream.readline() if ready.select(seconds) else None
