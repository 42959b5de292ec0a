"""What every command has: `--quiet` and `--verbose`, and an end that is clean when somebody stops it."""

import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Annotated, Any

import typer

from sftdata.errors import Stopped, UsageError, make_printable
from sftdata.report.volume import volume

QuietOption = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print nothing but errors, and what is asked for: rows, scores, --json.")
]
VerboseOption = Annotated[
    bool, typer.Option("-v", "--verbose", help="Also print what was decided, how long it took, and peak memory.")
]

STOPPED = "Nothing was left behind. Run it again."
"""What a command says that writes nothing, or all at its end."""


def make_command(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command as typer takes it, with the options that all have."""

    @wraps(command)
    def run(*, quiet: bool = False, verbose: bool = False, **given: Any) -> None:
        set_volume(quiet, verbose)
        with stopped_cleanly():
            command(**given)

    common = {"quiet": QuietOption, "verbose": VerboseOption}
    own = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in common.items()
    ]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **common}
    return run


def set_volume(quiet: bool, verbose: bool) -> None:
    """Say how much is to be told; what stands before the command counts too.

    Raises:
        UsageError: both are given.
    """
    volume.quiet, volume.verbose = volume.quiet or quiet, volume.verbose or verbose
    if volume.quiet and volume.verbose:
        raise UsageError("found both --quiet and --verbose, expected one of them")


@contextmanager
def stopped_cleanly() -> Iterator[None]:
    """End the command with a message and the usual exit code, 128 and the number of the signal, when one stops it.

    SIGTERM, and SIGHUP of a terminal that was closed, do what Ctrl-C does: what is at work tidies up. A second Ctrl-C
    ends it at once; what it leaves, the next run clears away. A second SIGTERM does nothing: `timeout` sends two.
    """
    try:
        with _handled():
            yield
    except KeyboardInterrupt as stop:
        if not (_is_later_rank() or _is_told(stop)):
            how = stop.args[0] if isinstance(stop, Stopped) and stop.args else STOPPED
            sys.stderr.write(f"\nstopped. {make_printable(how)}\n")
        raise typer.Exit(_stop_code(stop)) from None
    finally:
        volume.quiet = volume.verbose = False


@contextmanager
def told_how_to_go_on(how: Callable[[], str]) -> Iterator[None]:
    """Have the command say this when it is stopped; `how` is asked only then."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if _is_told(stop):
            raise
        raise Stopped(how(), signal_number=_signal_of(stop)) from None


def _stop(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise Stopped(signal_number=number)


@contextmanager
def _handled() -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()  # no other may set what signals do
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if is_main else ()
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):  # not what `nohup` wants to be ignored
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_told(stop: KeyboardInterrupt) -> bool:
    """Tell whether what was at work has said itself how to go on, and was not to be quiet; then it left a note."""
    return bool(getattr(stop, "__notes__", [])) and not volume.quiet


def _signal_of(stop: KeyboardInterrupt) -> int:
    return stop.signal_number if isinstance(stop, Stopped) else signal.SIGINT


def _stop_code(stop: KeyboardInterrupt) -> int:
    return 128 + _signal_of(stop)


def _is_later_rank() -> bool:
    """Tell whether this is a process of torchrun other than the first, which speaks for all."""
    return os.environ.get("RANK", "0") != "0"
