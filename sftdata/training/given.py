"""What a person gives to `train`, `evaluate` and `predict`: directories, or a recipe that names them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftdata.documents import make_settings
from sftdata.errors import UsageError
from sftdata.recipe import AnyRecipe, Recipe, load_recipe
from sftdata.settings.training import TrainSettings
from sftdata.training.run import read_record

_YAML = {".yaml", ".yml"}


def find_training(data: AnyRecipe, settings: TrainSettings | Mapping[str, Any] | None) -> tuple[Path, TrainSettings]:
    """Return the directory of the data, and how to train from it.

    Raises:
        UsageError: the settings are missing or faulty.
    """
    if isinstance(settings, Mapping):
        settings = make_settings(TrainSettings, settings, "train")
    found = _read(data)
    if isinstance(found, Recipe):
        return found.resolve(found.output.dir), settings or _read_train(found)
    if settings is None:
        raise UsageError(
            f"{data}: nothing says how to train from it; give settings, at least "
            "{'model': ..., 'output_dir': ...}, or a recipe with a `train` part"
        )
    return found, settings


def find_run(run: AnyRecipe) -> Path:
    """Return the directory of a run.

    Raises:
        UsageError: the recipe trains nothing.
    """
    found = _read(run)
    return Path(_read_train(found).output_dir) if isinstance(found, Recipe) else found


def find_data(run: AnyRecipe) -> Path:
    """Return the directory of the data that a run was trained from.

    Raises:
        TrainingError: there is no run.
    """
    found = _read(run)
    return found.resolve(found.output.dir) if isinstance(found, Recipe) else Path(read_record(found).data)


def _read(given: AnyRecipe) -> Recipe | Path:
    """Tell a recipe, or its file, from a directory."""
    if isinstance(given, Recipe | Mapping):
        return load_recipe(given)
    path = Path(given)
    return load_recipe(path) if path.suffix in _YAML and not path.is_dir() else path


def _read_train(recipe: Recipe) -> TrainSettings:
    if recipe.train is None:
        raise UsageError("the recipe has no `train` part; add one with at least model and output_dir")
    return recipe.resolve_training(recipe.train)
