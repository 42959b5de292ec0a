"""What stays the same during a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.plan import Plan
from sftdata.records import Task
from sftdata.settings.training import TrainSettings
from sftdata.training.distributed import Ranks
from sftdata.training.examples import Examples


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What stays the same during a run.

    Attributes:
        task: decides the head.
        settings: of the run.
        plan: the order of examples.
        examples: the training split.
        validation: the validation split, if there is one.
        label_names: of classes, labels or tags; none for other tasks.
        tokenizer: the directory of the tokenizer that made the data.
        metric: chooses the best checkpoint.
        bf16: compute in bfloat16, with float32 weights.
        class_weights: what the loss of an example of each class is multiplied by; None weighs all alike.
        identity: what must be the same when the run is resumed.
        ranks: the processes that share the run.
    """

    task: Task
    settings: TrainSettings
    plan: Plan
    examples: Examples
    validation: Examples | None
    label_names: tuple[str, ...]
    tokenizer: Path
    metric: str
    bf16: bool
    class_weights: tuple[float, ...] | None
    identity: dict[str, Any]
    ranks: Ranks

    @property
    def is_sharded(self) -> bool:
        """Whether each rank keeps a part of the model."""
        return self.settings.fsdp and self.ranks.count > 1

    @property
    def directory(self) -> Path:
        """Where the run writes."""
        return Path(self.settings.output_dir)
