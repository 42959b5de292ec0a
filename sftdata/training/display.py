"""What a person sees of a run on stderr: a bar and the newest values on a terminal, lines elsewhere, or nothing."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

WIDE = 120
"""Columns from which on bar and values share a line."""


class Display:
    """Shows how far a run is; `start` and `stop` enclose its use.

    Args:
        steps: of the whole run.
        start: steps taken before.
        progress: a bar (True), nothing (False), or a bar on a terminal and lines elsewhere (None).
    """

    def __init__(self, steps: int, start: int, progress: bool | None) -> None:
        self._has_bar = sys.stderr.isatty() if progress is None else progress
        self._has_lines, self._steps = progress is None and not self._has_bar, steps
        self._console = Console(stderr=True, force_terminal=True if self._has_bar else None)
        wide = self._console.width >= WIDE
        self._bar, self._values = _make_bar(with_values=wide), Text(no_wrap=True, overflow="ellipsis")
        self._task = self._bar.add_task("training", total=steps, completed=start, values="")
        shown = self._bar if wide else Group(self._bar, self._values)
        self._live = Live(shown, console=self._console, refresh_per_second=5)

    def start(self) -> None:
        """Show the bar from now on."""
        if self._has_bar:
            self._live.start()

    def stop(self) -> None:
        """Leave the bar as it stands."""
        if self._has_bar:
            self._live.stop()

    def say(self, content: Any) -> None:
        """Show a line, or a table, unless nothing is wanted."""
        if self._has_bar or self._has_lines:
            self._console.print(content, markup=False, highlight=False, soft_wrap=isinstance(content, str))

    def advance(self) -> None:
        """Count a step."""
        self._bar.advance(self._task)

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Show what was logged after `step` steps."""
        self._values.plain = describe(values)
        self._bar.update(self._task, values=self._values.plain)
        if self._has_lines:
            left = f"  {describe_time(values['seconds_left'])} left" if step < self._steps else ""
            self.say(f"step {step}/{self._steps}  {self._values.plain}{left}")


def _make_bar(*, with_values: bool) -> Progress:
    """Make a bar that takes the room that is left, in a line with the values if they fit there."""
    columns: list[ProgressColumn] = [TextColumn("training"), BarColumn(bar_width=None), MofNCompleteColumn()]
    if with_values:
        columns.append(TextColumn("{task.fields[values]}", markup=False))
    return Progress(*columns, TimeRemainingColumn(), TextColumn("left"), expand=True)


def describe(values: Mapping[str, float]) -> str:
    """Write out what is known of an interval, for one line of at most 80 columns."""
    forms = {
        "loss": "loss {:.4f}",
        "learning_rate": "lr {:.2e}",
        "grad_norm": "norm {:.2f}",
        "tokens_per_second": "{:,.0f} tokens/s",
        "mfu": "MFU {:.1%}",
        "memory_gib": "{:.1f} GiB",
    }
    return "  ".join(form.format(values[name]) for name, form in forms.items() if name in values)


def describe_time(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
