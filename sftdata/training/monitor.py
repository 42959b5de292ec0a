"""What a run tells while it runs: to the person on stderr, to a TensorBoard log, to JSON lines and to a callback."""

import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from sftdata.training.display import Display
from sftdata.training.journal import JOURNAL_NAME, Journal
from sftdata.training.memory import measure_memory
from sftdata.training.metrics import Scores
from sftdata.training.profiling import Profile
from sftdata.training.run import LOGS_NAME, PROFILE_NAME
from sftdata.training.watching import Watching

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorboard's own imports warn
    from torch.utils.tensorboard import SummaryWriter


class Monitor:
    """Shows progress on stderr and logs scalars; use as a context manager.

    Args:
        directory: of the run, which gets the TensorBoard log, the journal and the profile.
        device: whose memory is measured.
        steps: steps of the whole run.
        start: steps taken before.
        watching: how the run is watched.
        silent: neither show nor log anything, as all ranks but the first.
    """

    def __init__(
        self,
        directory: Path,
        device: torch.device,
        steps: int,
        start: int,
        watching: Watching,
        *,
        silent: bool = False,
    ) -> None:
        self._device, self._steps, self._start, self._taken = device, steps, start, 0
        self._display = Display(steps, start, False if silent else watching.progress)
        self._writer = None if silent else SummaryWriter(str(directory / LOGS_NAME), purge_step=start + 1)
        self._journal = None if silent else Journal(directory / JOURNAL_NAME, start)
        self._callback = None if silent else watching.callback
        wanted = None if silent else watching.profile
        self._profile = Profile(directory / PROFILE_NAME, start, wanted, self.say) if wanted else None
        self._said: set[str] = set()
        self._begin = time.monotonic()
        self.restart_clock()

    def __enter__(self) -> Self:
        self._display.start()
        if self._profile:
            self._profile.start()
        self._begin = time.monotonic()
        self.restart_clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._profile:
            self._profile.stop()
        self._display.stop()
        if self._writer:
            self._writer.close()
        if self._journal:
            self._journal.close()

    def say(self, content: Any) -> None:
        """Show a line, or a table, unless nothing is wanted."""
        self._display.say(content)

    def advance(self, tokens: int, ideal: float | None = None) -> None:
        """Count a step that took in so many tokens, and would take `ideal` seconds at the peak of the GPUs."""
        self._taken += 1
        self._tokens += tokens
        self._ideal += ideal or 0.0
        self._display.advance()
        if self._profile:
            self._profile.step()

    def log(self, step: int, loss: float, rate: float, norm: float, by_source: Mapping[str, float]) -> None:
        """Log the mean loss since the last call, the learning rate and the gradient norm after `step` steps.

        Beside them what was measured since the last call: real tokens a second, the share of the GPUs' peak (`mfu`),
        GiB of memory; and the seconds that are left at the mean speed of this run, evaluations included.

        `by_source` has the mean loss of the targets of each source, where there are several.
        """
        now = time.monotonic()
        spent = max(now - self._since, 1e-9)
        values = {"loss": loss, "learning_rate": rate, "grad_norm": norm, "tokens_per_second": self._tokens / spent}
        if self._ideal:
            values["mfu"] = self._ideal / spent
        values["memory_gib"] = measure_memory(self._device)
        values["seconds_left"] = (now - self._begin) / max(self._taken, 1) * (self._steps - step)
        self.restart_clock()
        of_sources = {f"loss/{name}": mean for name, mean in by_source.items()}
        self._log("train", values | of_sources, step)
        self._display.show(step, values)

    def _log(self, part: str, values: Mapping[str, float], step: int) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{part}/{name}", value, step)
        if self._journal:
            self._journal.write(part, step, values)
        self.tell(part, step, values)

    def tell(self, part: str, step: int, values: Mapping[str, Any]) -> None:
        """Call the callback, if there is one; one that fails stops no run, which is said once."""
        if self._callback is None:
            return
        try:
            self._callback(part, step, dict(values))
        except Exception as fault:  # whatever a person's function does
            told = f"train.callback failed with {type(fault).__name__}: {fault}"
            self._say_once(f"{told}; training goes on, and later failures are not told")

    def restart_clock(self) -> None:
        """Begin a new interval for tokens a second, so that evaluations and checkpoints do not count."""
        self._tokens, self._ideal, self._since = 0, 0.0, time.monotonic()

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

    def _say_once(self, text: str, *, always: bool = False) -> None:
        if always or text not in self._said:
            self._said.add(text)
            self.say(text)
