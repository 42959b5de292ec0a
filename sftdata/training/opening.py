"""Open what a run trains from: checked against the model, planned, ready to be iterated over."""

from pathlib import Path
from typing import Any

from sftdata.errors import TrainingError
from sftdata.functions import split_function
from sftdata.manifest import read_manifest
from sftdata.records import Task
from sftdata.settings.training import TrainSettings
from sftdata.training.building import describe_model
from sftdata.training.examples import Examples, require_targets
from sftdata.training.fit import TOKENIZER_NAME, check_model
from sftdata.training.gguf_models import is_gguf
from sftdata.training.loader import Loader
from sftdata.training.models import SCORE_NAMES, choose_device, fit_config, quiet_transformers, read_config
from sftdata.training.run import open_training, plan_run


def check_datasets(data: str | Path, settings: TrainSettings) -> list[str]:
    """Refuse a model that does not fit a dataset of the run; return what is worth knowing, a line each.

    Raises:
        TrainingError: with all that does not fit.
    """
    others = [other.data for other in settings.mix.datasets] if settings.mix else []
    return list(dict.fromkeys(note for place in (data, *others) for note in check_model(place, settings.model)))


def open_config(data: str | Path, settings: TrainSettings) -> Any:
    """Return the configuration of the model that a run begins with, made to fit the data.

    Raises:
        TrainingError: there is no such model, or settings that it does not take.
    """
    manifest = read_manifest(Path(data))
    if split_function(settings.model) is None:
        if settings.model_arguments:
            raise TrainingError(
                "train.model_arguments: only a function (`model: module:name`) takes any. Leave it out."
            )
        if settings.lora and settings.lora.quantize and is_gguf(settings.model):
            raise TrainingError(
                f"train.lora.quantize: '{settings.model}' is GGUF, whose weights are float32 once loaded. Leave it "
                "out, or give the directory or the hub's name of the model that it was made from."
            )
        return fit_config(read_config(settings.model), manifest.task, manifest.label_names)
    for name in ("lora", "gradient_checkpointing"):
        if getattr(settings, name):
            raise TrainingError(
                f"train.{name}: only models of transformers have it. Leave it out, or do it in the module."
            )
    names = SCORE_NAMES if manifest.task == Task.REGRESSION else manifest.label_names or ()
    tokenizer = Path(data) / TOKENIZER_NAME
    return describe_model(settings.model, settings.model_arguments, manifest, tokenizer, names)


def open_loader(
    data: str | Path, settings: TrainSettings, *, start: int, packed: bool, fixed: bool, rank: int, ranks: int
) -> Loader:
    """Do what `sftdata.training.open_loader` says."""
    if (packed and settings.pack is None) or (fixed and not packed):
        raise TrainingError("packed needs train.pack, the tokens of a pack, and fixed needs packed")
    with quiet_transformers():
        check_datasets(data, settings)
        pad_id = open_config(data, settings).get_text_config().pad_token_id or 0
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
