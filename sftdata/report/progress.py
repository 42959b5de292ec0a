"""A bar on stderr for each stage of a command, with its rate and the time left; silent when stderr is no terminal.

What draws is in `bars`, loaded only where there is something to draw: it would be a tenth of a short command.
"""

import resource
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.filesize import decimal

from sftdata.report.volume import can_redraw, volume

if TYPE_CHECKING:
    from sftdata.report.bars import Bars

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
        return describe_rate(self.name, speed)


@dataclass
class Stages:
    """What a command tells of its stages: call it with `(stage, done, total)`; a total of 0 is not known.

    Attributes:
        bars: what is drawn; None where nothing is.
        told: all stages by name, in order.
    """

    bars: "Bars | None"
    told: dict[str, Stage] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is; the first news of it ends the one before."""
        if stage not in self.told:
            self.end_stage()
            self.told[stage] = Stage(stage)
        self.told[stage].done = done
        if self.bars:
            self.bars.show(stage, done, max(total, done) or None)

    def end_stage(self) -> None:
        """Take the time of the newest stage, and leave its bar full."""
        now = time.monotonic()
        if self.told:
            stage = next(reversed(self.told.values()))
            stage.seconds = now - self._since
            if self.bars:
                self.bars.show(stage.name, max(stage.done, 1), max(stage.done, 1))
            elif volume.verbose:
                say(f"{stage.name}: {describe_seconds(stage.seconds)}  {stage.tell_rate()}".rstrip())
        self._since = now


@contextmanager
def show_progress() -> Iterator[Stages]:
    """Give what is told of the stages of a command; the bars are gone at the end, for then there are results."""
    with _draw() as bars:
        stages = Stages(bars)
        yield stages
        stages.end_stage()
    if volume.verbose:
        say(f"peak memory: {decimal(peak_memory())}")


def _draw() -> AbstractContextManager["Bars | None"]:
    if volume.quiet or not can_redraw():
        return nullcontext()
    from sftdata.report.bars import draw_bars

    return draw_bars()


def say(message: str) -> None:
    """Print a message on stderr, unless nothing is wanted there."""
    if not volume.quiet:
        from rich.text import Text

        from sftdata.report.bars import messages

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


def describe_rate(stage: str, speed: float | None) -> str:
    """Write how much a second a stage does; nothing where nobody can tell, or it would say nothing to a person."""
    match UNITS.get(stage):
        case "bytes" if speed:
            return f"{decimal(int(speed))}/s"
        case "rows" if speed:
            return f"{speed:,.0f} rows/s"
    return ""
