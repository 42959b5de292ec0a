"""Read the examples of a prepared dataset, memory-mapped."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from sftdata.errors import VerificationError
from sftdata.manifest import Manifest, read_manifest


class Split(Sequence[dict[str, Any]]):
    """The examples of one split, indexable and iterable; nothing is loaded until it is asked for.

    Attributes:
        manifest: of the dataset that the split belongs to.
        name: the split's name.
        table: all examples as one memory-mapped Arrow table.
    """

    def __init__(self, directory: str | Path, name: str) -> None:
        self.manifest: Manifest = read_manifest(directory)
        if name not in self.manifest.splits:
            known = ", ".join(self.manifest.splits)
            raise VerificationError(f"{directory} has no split '{name}'; its splits are: {known}.")
        self.name = name
        self.table = pa.concat_tables(
            _open(Path(directory), s.file, s.bytes) for s in self.manifest.splits[name].shards
        )

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"row {index} of a split with {len(self)} rows")
        row: dict[str, Any] = self.table.slice(position, 1).to_pylist()[0]
        return row

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches():
            for start in range(0, batch.num_rows, 1024):
                yield from batch.slice(start, 1024).to_pylist()

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each example, shape `[rows]`, dtype int64."""
        ids = self.table["input_ids"]
        parts = [np.diff(chunk.offsets.to_numpy()).astype(np.int64) for chunk in ids.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def find(self, row_id: str) -> dict[str, Any]:
        """Return the example with this id.

        Raises:
            VerificationError: when the split has no such row.
        """
        position: int = pa.compute.index(self.table["row_id"], row_id).as_py()
        if position < 0:
            example = self[0]["row_id"] if len(self) else "none, the split is empty"
            raise VerificationError(f"split '{self.name}' has no row {row_id!r}; an id looks like {example}")
        return self[position]


def read_rejected(directory: str | Path, count: int) -> list[dict[str, Any]]:
    """Return the first `count` rejected rows of a prepared dataset."""
    read_manifest(directory)
    with (Path(directory) / "rejected.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, count)]


def _open(directory: Path, file: str, size: int) -> pa.Table:
    path = directory / file
    if not path.is_file() or path.stat().st_size != size:
        found = f"has {path.stat().st_size} bytes, expected {size}" if path.is_file() else "is missing"
        raise VerificationError(f"{path} {found}. Run `sftdata verify {directory}`, then `sftdata prepare` again.")
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def load_split(directory: str | Path, name: str = "train") -> Split:
    """Open one split of a prepared dataset.

    Raises:
        VerificationError: when the run is unfinished, a shard is missing or cut, or there is no such split.
    """
    return Split(directory, name)
