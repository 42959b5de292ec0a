"""Run a command in a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NamedTuple

COMMAND = [sys.executable, "-c", "from sftdata.cli import main; main()"]
SEQUENCE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")


class Seen(NamedTuple):
    """What a terminal got, sequences and all; its exit code."""

    raw: str
    code: int

    @property
    def lines(self) -> list[str]:
        """What was written, without sequences; a line that was written over stands before the one that did it."""
        apart = re.sub(r"\x1b\[\d*A", "\n", self.raw)
        return [line for line in re.split(r"[\r\n]+", SEQUENCE.sub("", apart)) if line.strip()]


def run_in_terminal(*arguments: str | Path, columns: int = 80, **environment: str) -> Seen:
    """Run `sftdata` with a terminal for stdin, stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}}
    env |= {"TERM": "xterm-256color", "HF_HUB_OFFLINE": "1", **environment}
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, close_fds=True) as process:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # the other end is closed
            pass
        code = process.wait()
    os.close(ours)
    return Seen(b"".join(parts).decode(), code)
