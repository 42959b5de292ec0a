"""Read directories that `datasets` wrote with `save_to_disk`, without importing it: Arrow streams and JSON files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sftdata.errors import SourceError
from sftdata.manifest import digest_file
from sftdata.sources.arrow import read_batches
from sftdata.sources.batches import cut
from sftdata.sources.batches import original as original
from sftdata.sources.columns import parse as parse
from sftdata.sources.folders import read_json
from sftdata.sources.source import Slice, Source


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
    state = read_json(path / "state.json")
    if state.get("_indices_data_files"):
        raise SourceError(
            f"{path}: saved by an old version of datasets, with a list of rows beside them; save it again"
        )
    files = state.get("_data_files")
    if not isinstance(files, list) or not all(isinstance(file, dict) and "filename" in file for file in files):
        raise SourceError(f"{path / 'state.json'}: found no list of data files, expected what save_to_disk writes")
    return [path / Path(file["filename"]).name for file in files]  # inside the directory, wherever the name leads
