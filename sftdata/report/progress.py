"""One progress bar a stage on stderr; silent when stderr is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

messages = Console(stderr=True, highlight=False)
"""Where everything goes that is not the result."""


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told `(stage, done, total)`; a stage's bar appears when it is first told of."""
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=messages, disable=not messages.is_terminal) as progress:
        bars: dict[str, TaskID] = {}

        def watch(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=max(total, done))

        yield watch
        for bar in bars.values():
            progress.update(bar, completed=progress.tasks[bar].total)
