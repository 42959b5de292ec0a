"""The bars of a command on stderr, a line for each stage. Loaded where there is a terminal to draw them on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from sftdata.report.progress import describe_rate, describe_seconds

messages = Console(stderr=True, highlight=False)
"""Where everything goes that is not the result."""


@dataclass
class Bars:
    """The bars, in the order in which the stages came."""

    progress: Progress
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def show(self, stage: str, done: int, total: int | None) -> None:
        """Draw how far a stage is; without a total nobody knows how much there is."""
        if stage not in self._tasks:
            self._tasks[stage] = self.progress.add_task(stage, total=None)
        self.progress.update(self._tasks[stage], completed=done, total=total)


@contextmanager
def draw_bars() -> Iterator[Bars]:
    """Give bars to draw on; they are gone at the end, for then there are results."""
    columns = (TextColumn("{task.description:<21}"), BarColumn(16), _DoneColumn(), _RateColumn(), _TimeColumn())
    with Progress(*columns, console=messages, transient=True) as progress:
        yield Bars(progress)


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
        return Text(describe_rate(task.description, speed), style="progress.data.speed", justify="right")


class _TimeColumn(ProgressColumn):
    """What a stage took; before its end the time left, or as long as nobody can tell, the time since its start."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.finished_time is not None:
            return Text(describe_seconds(task.finished_time), style="progress.elapsed")
        if task.total is not None and task.time_remaining is not None:
            return Text(f"{describe_seconds(task.time_remaining)} left", style="progress.remaining")
        return Text(describe_seconds(task.elapsed or 0), style="progress.elapsed")
