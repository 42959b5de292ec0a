"""Open what a run trains from: checked against the model, planned, ready to be iterated over."""

from pathlib import Path

from sftdata.errors import TrainingError
from sftdata.settings.training import TrainSettings
from sftdata.training.examples import Examples, require_targets
from sftdata.training.fit import check_model
from sftdata.training.loader import Loader
from sftdata.training.models import choose_device, quiet_transformers, read_config
from sftdata.training.run import open_training, plan_run


def check_datasets(data: str | Path, settings: TrainSettings) -> list[str]:
    """Refuse a model that does not fit a dataset of the run; return what is worth knowing, a line each.

    Raises:
        TrainingError: with all that does not fit.
    """
    others = [other.data for other in settings.mix.datasets] if settings.mix else []
    return list(dict.fromkeys(note for place in (data, *others) for note in check_model(place, settings.model)))


def open_loader(
    data: str | Path, settings: TrainSettings, *, start: int, packed: bool, fixed: bool, rank: int, ranks: int
) -> Loader:
    """Do what `sftdata.training.open_loader` says."""
    if (packed and settings.pack is None) or (fixed and not packed):
        raise TrainingError("packed needs train.pack, the tokens of a pack, and fixed needs packed")
    with quiet_transformers():
        check_datasets(data, settings)
        pad_id = read_config(settings.model).get_text_config().pad_token_id or 0
    splits = open_training(data, settings)
    plan = plan_run(splits, settings)
    examples = Examples(*splits, pad_id=pad_id, pin=choose_device(settings.device).type == "cuda")
    require_targets(examples, f"{data}: the train split")
    return Loader(
        examples,
        plan,
        batch_size=settings.batch_size,
        packed=packed,
        fixed=fixed,
        start=start,
        rank=rank,
        ranks=ranks,
    )
