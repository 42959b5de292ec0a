"""A profile of a few steps: a trace to look at, and the operations that take most time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch.profiler import ProfilerActivity, profile, schedule

from sftdata.errors import TrainingError

WAITED = 4
"""Steps before the profile: the first ones allocate, choose kernels and compile; the profiler itself warms up in the
last of them."""

_SHOWN = 10


def check_profile(steps: int, left: int) -> None:
    """Refuse a profile of a run that has too few steps left.

    Raises:
        TrainingError: says how many there must be.
    """
    if left < steps + WAITED:
        raise TrainingError(
            f"--profile {steps}: found {left} steps left in this run, expected at least {steps + WAITED}, as the first "
            f"{WAITED} are not profiled. Profile fewer steps, or a longer run."
        )


class Profile:
    """Traces steps of a run into `steps-FIRST-LAST.json.gz`, which chrome://tracing and ui.perfetto.dev show.

    Nothing of the run changes but its speed while it is traced.

    Args:
        directory: gets the trace.
        start: steps taken before.
        steps: to trace, behind the first `WAITED`.
        say: is told the place of the trace, and a table of the most expensive operations.
    """

    def __init__(self, directory: Path, start: int, steps: int, say: Callable[[Any], None]) -> None:
        first = start + WAITED + 1
        self._path, self._steps, self._say = directory / f"steps-{first}-{first + steps - 1}.json.gz", steps, say
        self._on_gpu = torch.cuda.is_available()
        self._profiler = profile(
            activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._on_gpu else [])],
            schedule=schedule(wait=WAITED - 1, warmup=1, active=steps, repeat=1),
            on_trace_ready=self._write,
            acc_events=True,
        )

    def start(self) -> None:
        """Begin with the next step."""
        self._profiler.start()

    def step(self) -> None:
        """Say that a step is done."""
        self._profiler.step()

    def stop(self) -> None:
        """End, also in the middle of the traced steps."""
        self._profiler.stop()

    def _write(self, profiler: Any) -> None:
        self._say(make_table(profiler.key_averages(), self._steps, on_gpu=self._on_gpu))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(self._path))
        except OSError as cause:  # such as a full disk: no reason to lose the run
            self._say(f"the trace cannot be written to {self._path} ({cause.strerror}); training goes on")
            return
        self._say(f"the trace is {self._path}; look at it in ui.perfetto.dev or chrome://tracing")


def make_table(events: Any, steps: int, *, on_gpu: bool) -> Table:
    """Show the operations that took most time themselves, without those that they call.

    Args:
        events: the averages of torch's profiler.
        steps: that were traced.
        on_gpu: count the time on the GPU, not on the host.
    """

    def own(event: Any) -> float:
        spent: float = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        return spent

    calls = [one for one in events if one.device_type.name == "CPU" and not one.key.startswith("ProfilerStep")]
    total = sum(map(own, calls)) or 1.0
    table = Table(box=None, pad_edge=False)
    table.add_column("operation", no_wrap=True, overflow="ellipsis", max_width=36)
    for name in ("calls a step", f"ms a step on the {'GPU' if on_gpu else 'CPU'}", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in sorted(calls, key=own, reverse=True)[:_SHOWN]:
        numbers = (f"{one.count / steps:,.0f}", f"{own(one) / 1000 / steps:,.2f}", f"{own(one) / total:.1%}")
        table.add_row(one.key, *numbers)
    return table
