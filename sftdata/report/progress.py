"""A bar on stderr for each stage of a command, with its rate and the time left; silent when stderr is no terminal."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from sftdata.report.volume import can_redraw, volume

messages = Console(stderr=True, highlight=False)
"""Where everything goes that is not the result."""

BYTES, ROWS = "bytes", "rows"
UNITS = {
    "validate": BYTES,
    "read and validate": BYTES,
    "read, check and clean": BYTES,
    "verify": BYTES,
    "try a sample": None,
    "find duplicates": None,
    "split and audit": None,
    "fit the tokenizer": ROWS,
    "prove the tokenizer": None,
    "tokenize and write": ROWS,
    "describe and report": None,
    "export": ROWS,
    "evaluate": ROWS,
    "predict": ROWS,
}
"""What is counted in each stage; None where the parts of the work say nothing to a person."""


@dataclass
class Stage:
    """What was told of a stage.

    Attributes:
        name: as the bar shows it.
        done: how much of it.
        seconds: from its first news to that of the next stage.
    """

    name: str
    done: int = 0
    seconds: float = 0.0

    def tell_rate(self) -> str:
        """Return how much a second; nothing where nobody can tell."""
        speed = self.done / self.seconds if self.seconds else None
        return _describe_rate(self.name, speed)


@dataclass
class Stages:
    """What a command tells of its stages: call it with `(stage, done, total)`; a total of 0 is not known.

    Attributes:
        told: all stages by name, in order.
    """

    progress: Progress
    told: dict[str, Stage] = field(default_factory=dict)
    _bars: dict[str, TaskID] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is; the first news of it ends the one before."""
        if stage not in self.told:
            self.end_stage()
            self.told[stage] = Stage(stage)
            self._bars[stage] = self.progress.add_task(stage, total=None)
        self.told[stage].done = done
        self.progress.update(self._bars[stage], completed=done, total=max(total, done) or None)

    def end_stage(self) -> None:
        """Take the time of the newest stage, and leave its bar full."""
        now = time.monotonic()
        if self.told:
            stage = next(reversed(self.told.values()))
            stage.seconds = now - self._since
            self.progress.update(self._bars[stage.name], completed=max(stage.done, 1), total=max(stage.done, 1))
            if volume.verbose and self.progress.disable:
                say(f"{stage.name}: {describe_seconds(stage.seconds)}  {stage.tell_rate()}".rstrip())
        self._since = now


@contextmanager
def show_progress() -> Iterator[Stages]:
    """Give what is told of the stages of a command; the bars are gone at the end, for then there are results."""
    columns = (TextColumn("{task.description:<21}"), BarColumn(16), _DoneColumn(), _RateColumn(), _TimeColumn())
    hidden = volume.quiet or not can_redraw()
    with Progress(*columns, console=messages, disable=hidden, transient=True) as progress:
        stages = Stages(progress)
        yield stages
        stages.end_stage()
    if volume.verbose:
        say(f"peak memory: {decimal(peak_memory())}")


def say(message: str) -> None:
    """Print a message on stderr, unless nothing is wanted there."""
    if not volume.quiet:
        messages.print(Text(message), soft_wrap=True)


def peak_memory() -> int:
    """Return the most bytes of memory that this process, or one that it waited for, has had."""
    of_all = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return 1024 * max(of_all)


def describe_seconds(seconds: float) -> str:
    """Write a duration so that one sees at once whether it is seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 20 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _describe_rate(stage: str, speed: float | None) -> str:
    match UNITS.get(stage):
        case "bytes" if speed:
            return f"{decimal(int(speed))}/s"
        case "rows" if speed:
            return f"{speed:,.0f} rows/s"
    return ""


class _DoneColumn(ProgressColumn):
    """The share that is done; nothing as long as nobody knows it."""

    def render(self, task: Task) -> Text:
        return Text(
            "" if task.total is None else f"{task.percentage:.0f} %", style="progress.percentage", justify="right"
        )


class _RateColumn(ProgressColumn):
    """MB or rows a second: of late, and of the whole stage once it is done."""

    def render(self, task: Task) -> Text:
        speed = task.completed / task.finished_time if task.finished_time else task.speed
        return Text(_describe_rate(task.description, speed), style="progress.data.speed", justify="right")


class _TimeColumn(ProgressColumn):
    """What a stage took; before its end the time left, or as long as nobody can tell, the time since its start."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.finished_time is not None:
            return Text(describe_seconds(task.finished_time), style="progress.elapsed")
        if task.total is not None and task.time_remaining is not None:
            return Text(f"{describe_seconds(task.time_remaining)} left", style="progress.remaining")
        return Text(describe_seconds(task.elapsed or 0), style="progress.elapsed")
