"""What the shell offers when somebody presses Tab. It has to be quick, so nothing heavy is imported here."""

import json
import os
from pathlib import Path

from sftdata.shipped import list_schemas

_RECIPES = (".yaml", ".yml")


def complete_schema(incomplete: str) -> list[str]:
    """Offer the schemas that ship; once these do not fit, files."""
    return [name for name in list_schemas() if name.startswith(incomplete)] or complete_recipe(incomplete)


def complete_recipe(incomplete: str) -> list[str]:
    """Offer YAML files and the folders on the way; nothing for one folder alone, which the shell itself completes."""
    folder, slash, name = incomplete.rpartition("/")
    start = Path(folder + slash).expanduser() if slash else Path()
    try:
        found = sorted(path for path in start.iterdir() if path.name.startswith(name))
    except OSError:
        return []
    seen = [path for path in found if not path.name.startswith(".") or name.startswith(".")]
    offered = [
        f"{folder}{slash}{path.name}{'/' * path.is_dir()}"
        for path in seen
        if path.is_dir() or (path.suffix.lower() in _RECIPES and ".schema." not in path.name)
    ]
    return [] if len(offered) == 1 and offered[0].endswith("/") else offered


def complete_split(incomplete: str) -> list[str]:
    """Offer the splits of the dataset that the command line names.

    Its words are looked through as the shell gave them: while an option lacks its value, click has parsed none.
    """
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return [name for word in line.split() for name in _splits_of(Path(word)) if name.startswith(incomplete)]


def _splits_of(directory: Path) -> list[str]:
    try:
        return list(json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["splits"])
    except (OSError, ValueError, TypeError, KeyError):
        return []
