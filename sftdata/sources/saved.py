"""Read directories that `datasets` wrote with `save_to_disk`, without importing it: Arrow streams and JSON files."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError
from sftdata.manifest import digest_file
from sftdata.sources.arrow import read_batches
from sftdata.sources.batches import cut
from sftdata.sources.source import Slice, Source

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
    names = _read_json(path / "dataset_dict.json").get("splits", [])
    if split is not None and split not in names:
        raise SourceError(f"{path}: found no split '{split}', but {', '.join(map(repr, names)) or 'none at all'}")
    return [(name, path / name) for name in names if split in (None, name)]


def read(source: Source) -> Iterator[Slice]:
    """Yield slices of all Arrow files of a dataset, in the order in which it names them."""
    files = _files(source.path)
    yield from cut((batch for f in files for batch in read_batches(f, f"{source.name}/{f.name}")), source.name)


def identify(source: Source) -> tuple[int, str]:
    """Return the bytes of the Arrow files together, and a digest of their digests in their order."""
    files = _files(source.path)
    digests = "\n".join(map(digest_file, files))
    return sum(file.stat().st_size for file in files), "sha256:" + hashlib.sha256(digests.encode()).hexdigest()


def _files(path: Path) -> list[Path]:
    state = _read_json(path / "state.json")
    if state.get("_indices_data_files"):
        raise SourceError(
            f"{path}: saved by an old version of datasets, with a list of rows beside them; save it again"
        )
    files = state.get("_data_files")
    if not isinstance(files, list) or not all(isinstance(file, dict) and "filename" in file for file in files):
        raise SourceError(f"{path / 'state.json'}: found no list of data files, expected what save_to_disk writes")
    return [path / Path(file["filename"]).name for file in files]  # inside the directory, wherever the name leads


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SourceError(f"{path} cannot be read: {cause}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{path}: found {type(value).__name__}, expected an object")
    return value
