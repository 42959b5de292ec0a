"""Where files are, as seen from the recipe: the other programs look from the folder that they are started in."""

import os
from pathlib import Path


def seen_from(recipe: Path, path: str | Path) -> str:
    """Return what a recipe calls a file or folder that is named as seen from here; an absolute path stays one."""
    path = Path(path).expanduser()
    return path.as_posix() if path.is_absolute() else Path(os.path.relpath(path, recipe.parent)).as_posix()


def model_name(recipe: Path, name: str) -> str:
    """Return what a recipe calls a model: a folder that is here, or a name on the hub, which stays as it is."""
    local = Path(name).expanduser()
    return seen_from(recipe, local) if local.exists() else name
