"""Show what does not fit on the screen in the person's pager, which asks for more as they scroll."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from sftdata.report.terminal import plain_console
from sftdata.report.volume import can_redraw


@contextmanager
def open_pager() -> Iterator[Console]:
    """Give a console to print on: a pager's where stdout is a terminal, else stdout itself.

    The pager is `$PAGER`, or `less`, which prints at once what fits. What it has not asked for is not made yet: writing
    to it waits, and ends, without a fault, when the person leaves it.
    """
    plain, command = plain_console(), _find_pager()
    if command is None:
        yield plain
        return
    env = {"LESS": "FRX", "LESSCHARSET": "utf-8", **os.environ}
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8", env=env) as pager:  # noqa: S603
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pager's own: it stops a search, and ends nothing
        try:
            with suppress(BrokenPipeError):
                yield _console_onto(pager.stdin, plain)
        finally:
            with suppress(BrokenPipeError):
                pager.stdin.close()  # type: ignore[union-attr]
            pager.wait()
            signal.signal(signal.SIGINT, before)


class _Onto(Console):
    """A console that writes into a pipe, and says when nobody reads any more; rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console_onto(pipe: object, plain: Console) -> Console:
    """Return a console that writes into the pipe as one would on the terminal."""
    return _Onto(
        file=pipe,  # type: ignore[arg-type]
        force_terminal=True,
        color_system=plain.color_system,  # type: ignore[arg-type]
        no_color=plain.no_color,
        width=plain.width,
        highlight=False,
        soft_wrap=True,
    )


def _find_pager() -> list[str] | None:
    if not (sys.stdout.isatty() and sys.stdin.isatty() and can_redraw()):
        return None
    command = shlex.split(os.environ.get("PAGER", "less"))
    return command if command and shutil.which(command[0]) else None
