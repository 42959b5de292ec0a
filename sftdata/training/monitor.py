"""What a run tells while it runs: a bar or lines on stderr, a TensorBoard log, and JSON lines."""

import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sftdata.training.journal import JOURNAL_NAME, Journal
from sftdata.training.metrics import Scores
from sftdata.training.run import LOGS_NAME

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorboard's own imports warn
    from torch.utils.tensorboard import SummaryWriter


class Monitor:
    """Shows progress on stderr and logs scalars; use as a context manager.

    Args:
        directory: of the run, which gets the TensorBoard log and the journal.
        steps: steps of the whole run.
        start: steps taken before.
        progress: a bar (True), nothing (False), or a bar on a terminal and lines elsewhere (None).
        silent: neither show nor log anything, as all ranks but the first.
    """

    def __init__(self, directory: Path, steps: int, start: int, progress: bool | None, *, silent: bool = False) -> None:
        progress = False if silent else progress
        bar = sys.stderr.isatty() if progress is None else progress
        self._lines, self._steps = progress is None and not bar, steps
        self._console = Console(stderr=True, force_terminal=True if bar else None)
        self._writer = None if silent else SummaryWriter(str(directory / LOGS_NAME), purge_step=start + 1)
        self._journal = None if silent else Journal(directory / JOURNAL_NAME, start)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not bar,
        )
        self._task = self._progress.add_task("training", total=steps, completed=start, values="")
        self._tokens, self._since = 0, time.monotonic()
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._writer:
            self._writer.close()
        if self._journal:
            self._journal.close()

    def say(self, text: str) -> None:
        """Show a line, unless nothing is wanted."""
        if self._lines or not self._progress.disable:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self, tokens: int) -> None:
        """Count a step that took in so many tokens."""
        self._tokens += tokens
        self._progress.advance(self._task)

    def log(self, step: int, loss: float, rate: float, norm: float) -> None:
        """Log the mean loss since the last call, the learning rate and the gradient norm after `step` steps."""
        speed = self._tokens / max(time.monotonic() - self._since, 1e-9)
        self.restart_clock()
        values = {"loss": loss, "learning_rate": rate, "grad_norm": norm, "tokens_per_second": speed}
        self._log("train", values, step)
        shown = f"loss {loss:.4f}  {speed:,.0f} tokens/s"
        self._progress.update(self._task, values=shown)
        if self._lines:
            self.say(f"step {step}/{self._steps}  {shown}  lr {rate:.2e}  grad norm {norm:.3f}")

    def _log(self, part: str, values: Mapping[str, float], step: int) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{part}/{name}", value, step)
        if self._journal:
            self._journal.write(part, step, values)

    def restart_clock(self) -> None:
        """Begin a new interval for tokens a second, so that evaluations and checkpoints do not count."""
        self._tokens, self._since = 0, time.monotonic()

    def evaluation(self, step: int, scores: Scores, metrics: Sequence[str], *, best: bool) -> None:
        """Log all scores of an evaluation after `step` steps, and show those of `metrics`, the first of which chooses.

        What has no value is said: always of the metric that chooses, else once.
        """
        self._log("validation", scores.values, step)
        shown = "  ".join(f"{name} {scores.values[name]:.4f}" for name in metrics if name in scores.values)
        self.say(f"step {step}/{self._steps}  validation  {shown}{'  (best)' if best else ''}")
        for why in dict.fromkeys(scores.undefined.values()):
            names = [name for name, reason in scores.undefined.items() if reason == why]
            told = f"not defined on the validation split: {', '.join(names)} ({why})"
            self._say_once(told, always=metrics[0] in names)

    def _say_once(self, text: str, *, always: bool) -> None:
        if always or text not in self._said:
            self._said.add(text)
            self.say(text)
