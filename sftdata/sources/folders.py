"""Tell what lies in a directory that `datasets` wrote with `save_to_disk`."""

import json
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError

ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Files that say something about the data beside them, and hold none."""


def is_saved(path: Path) -> bool:
    """Tell whether `path` is a saved `DatasetDict` or `Dataset`."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def find_splits(path: Path, split: str | None) -> list[tuple[str, Path]]:
    """Return the name of each split of a saved dataset, or of the one that is wanted, and where it lies.

    The one split of a `Dataset` has no name: it is the empty text.

    Raises:
        SourceError: when the split is not there.
    """
    if not (path / "dataset_dict.json").is_file():
        if split is not None:
            raise SourceError(f"{path}: found a single dataset without splits; leave out `split: {split}`")
        return [("", path)]
    names = read_json(path / "dataset_dict.json").get("splits", [])
    if split is not None and split not in names:
        raise SourceError(f"{path}: found no split '{split}', but {', '.join(map(repr, names)) or 'none at all'}")
    return [(name, path / name) for name in names if split in (None, name)]


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds an object.

    Raises:
        SourceError: when it is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SourceError(f"{path} cannot be read: {cause}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{path}: found {type(value).__name__}, expected an object")
    return value
