"""Which rows a training step sees, and which steps see a row."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sftdata.errors import TrainingError, UsageError, VerificationError
from sftdata.manifest import read_manifest
from sftdata.plan import Plan
from sftdata.report.tokens import origin
from sftdata.settings.training import TrainSettings
from sftdata.shards.reader import Split, load_split
from sftdata.training.run import RUN_NAME, open_training, plan_run, read_record, refuse_folds

_SHOWN_STEPS = 20


def data_of(directory: Path) -> Path:
    """Return the dataset that a run was trained from, or the dataset itself."""
    return Path(read_record(directory).data) if _is_run(directory) else directory


def has_plan(directory: Path) -> bool:
    """Tell whether a directory says how it is trained from: a run, or a dataset whose recipe does."""
    if _is_run(directory):
        return read_record(directory).folds is None
    return _why_no_plan(directory) is None


def _why_no_plan(directory: Path) -> str | None:
    """Say why a dataset alone does not tell which rows make which step; None where it does."""
    settings = read_manifest(directory).recipe.get("train")
    if settings is None:
        return "has no `train` part, so it has no steps"
    if settings.get("mix"):
        return "mixes in other datasets"
    if settings.get("fold") is None and load_split(directory).has_folds:
        return "has folds, each of which is trained by a run of its own"
    return None


def _is_run(directory: Path) -> bool:
    return (directory / RUN_NAME).is_file()


def find_plan(directory: Path) -> tuple[tuple[Split, ...], Plan]:
    """Return what a run trains from and its plan, or those of the run that a dataset's recipe describes.

    Raises:
        UsageError: the dataset's recipe has no `train` part, or mixes in others whose place only a run knows.
        TrainingError: the run's record is damaged, or its data is not there any more.
        VerificationError: it is no prepared dataset.
    """
    if _is_run(directory):
        record = read_record(directory)
        refuse_folds(directory, record)
        try:
            splits = open_training(record.data, record.settings)
        except VerificationError as cause:
            raise TrainingError(f"{directory} was trained from {record.data}: {cause}") from None
        return splits, plan_run(splits, record.settings)
    if why := _why_no_plan(directory):
        raise UsageError(f"the recipe of {directory} {why}. Name the directory of a run instead.")
    planned = TrainSettings.model_validate(read_manifest(directory).recipe["train"])
    splits = open_training(directory, planned)
    return splits, plan_run(splits, planned)


def step_view(splits: Sequence[Split], plan: Plan, step: int) -> RenderableType:
    """Show the rows of a step, counted from 1, with the file and record that each comes from.

    Raises:
        UsageError: the plan has no such step.
    """
    if not 1 <= step <= plan.steps:
        raise UsageError(f"--step: found {step}; the run has steps 1 to {plan.steps}")
    units = plan.units(step - 1)
    tokens = sum(int(plan.lengths[unit].sum()) for unit in units)
    table = Table(box=None, pad_edge=False)
    for name in [*["pack"] * bool(plan.capacity), "row", "source", "record", "tokens"]:
        table.add_column(name, justify="right" if name in ("pack", "record", "tokens") else "left", overflow="fold")
    for number, unit in enumerate(units, 1):
        for row in unit.tolist():
            split, place = _locate(splits, row)
            example = split[place]
            cells = [example["row_id"], *origin(split.manifest, example), f"{len(example['input_ids']):,}"]
            table.add_row(*[str(number)] * bool(plan.capacity), *map(Text, cells))
    packs = f"{len(units):,} packs, " * bool(plan.capacity)
    examples = sum(map(len, units))
    title = f"step {step:,} of {plan.steps:,}, epoch {plan.locate(step - 1)[0] + 1}: {packs}{examples:,} examples"
    return Group(Text(f"{title}, {tokens:,} tokens", style="cyan"), table)


def _locate(splits: Sequence[Split], row: int) -> tuple[Split, int]:
    """Return the split that a row of all of them is in, and where it stands there."""
    for split in splits:
        if row < len(split):
            return split, row
        row -= len(split)
    raise IndexError(row)


def steps_line(plan: Plan, row: int) -> str:
    """Say which steps, counted from 1, see an example."""
    steps = [step + 1 for step in plan.find(row)]
    shown = ", ".join(f"{step:,}" for step in steps[:_SHOWN_STEPS])
    more = f" and {len(steps) - _SHOWN_STEPS} more" if len(steps) > _SHOWN_STEPS else ""
    said = f"{'step' if len(steps) == 1 else 'steps'} {shown}{more}" if steps else "none"
    return f"seen by {said} of {plan.steps:,} steps"
