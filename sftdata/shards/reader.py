"""Read the examples of a prepared dataset, memory-mapped: each shard when it is first asked for."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.errors import UsageError, VerificationError
from sftdata.manifest import Manifest, ShardRecord, digest_file, read_manifest
from sftdata.shards.index import index_path
from sftdata.shards.streams import StreamError, open_index, open_shard, validate

_BLOCK = 1024
"""Rows that iteration turns into Python objects at once."""


class Split(Sequence[dict[str, Any]]):
    """The examples of one split, indexable and iterable; no shard is opened before one of its rows is asked for.

    It pickles as paths and the manifest, and opens its shards anew in the process that gets it. Whatever stands in a
    shard, reading rows by index, by id or in order never reads beyond it; who takes `shard` or `table` as they are
    calls `check_shard` first. Where the dataset is not finished, its manifest is given along.

    Attributes:
        directory: of the dataset, absolute.
        name: the split's name.
        manifest: of the dataset that the split belongs to.
        shards: what the manifest says of each shard.
        starts: rows before each shard, and of all at the end; shape `[shards + 1]`, int64.
    """

    def __init__(self, directory: str | Path, name: str, manifest: Manifest | None = None) -> None:
        self.directory = Path(directory).absolute()  # shards are opened later, perhaps from another working directory
        self.manifest: Manifest = manifest or read_manifest(directory)
        if name not in self.manifest.splits:
            known = ", ".join(self.manifest.splits)
            raise VerificationError(f"{directory} has no split '{name}'; its splits are: {known}.")
        self.name = name
        self.shards: tuple[ShardRecord, ...] = self.manifest.splits[name].shards
        self.starts: NDArray[np.int64] = np.cumsum([0, *(shard.rows for shard in self.shards)], dtype=np.int64)
        self._opened: dict[int, pa.Table] = {}
        self._checked: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {"directory": self.directory, "name": self.name, "manifest": self.manifest, "starts": self.starts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.shards = self.manifest.splits[self.name].shards
        self._opened, self._checked = {}, set()

    def __repr__(self) -> str:
        said, task = self.manifest.splits[self.name], self.manifest.task
        counts = f"{len(self):,} rows, {said.tokens:,} tokens, {said.trained_tokens:,} trained"
        return f"<Split '{self.name}' of {self.directory}: {task}, {counts}>"

    def __len__(self) -> int:
        return int(self.starts[-1])

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
        number = int(np.searchsorted(self.starts, position, side="right")) - 1
        return self._read(number, int(position - self.starts[number]), 1)[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, shard in enumerate(self.shards):
            for start in range(0, shard.rows, _BLOCK):
                yield from self._read(number, start, _BLOCK)

    def shard(self, number: int) -> pa.Table:
        """Return a shard as a memory-mapped table, in constant time: its size, columns and rows are checked, no more.

        Raises:
            VerificationError: it is missing, cut, not Arrow, or not what the manifest describes.
        """
        if number not in self._opened:
            path = self._require_size(self.shards[number])
            try:
                self._opened[number] = open_shard(path, self.shards[number], self.manifest)
            except StreamError as cause:
                raise self._damage(path, str(cause)) from None
        return self._opened[number]

    def check_shard(self, number: int) -> None:
        """Compare the digest of a shard with the manifest, once for this object.

        Raises:
            VerificationError: it is missing, or its content has changed.
        """
        if number in self._checked:
            return
        shard = self.shards[number]
        path = self._require_size(shard)
        if digest_file(path) != shard.digest:
            raise self._damage(path, "its content has changed: its digest is not the one in the manifest")
        self._checked.add(number)

    @cached_property
    def table(self) -> pa.Table:
        """All examples as one memory-mapped table; opens every shard."""
        tables = [self.shard(number) for number in range(len(self.shards))]
        for shard, table in zip(self.shards, tables, strict=True):
            if table.schema.names != tables[0].schema.names:
                raise self._damage(self.directory / shard.file, "has other columns than the first shard")
        return pa.concat_tables(tables)

    def to_polars(self) -> pl.DataFrame:
        """Return all examples as a data frame over the memory-mapped shards, each compared with its digest.

        Raises:
            VerificationError: a shard is missing, or its content has changed; so too from `to_datasets`.
        """
        for number in range(len(self.shards)):
            self.check_shard(number)
        return pl.DataFrame(self.table)

    def to_datasets(self) -> Any:
        """Return the split as a dataset of Hugging Face's `datasets`, over the same files, each compared first.

        Raises:
            UsageError: `datasets` is not installed.
        """
        try:
            from datasets import load_from_disk  # type: ignore[import-untyped]
        except ImportError:
            raise UsageError("datasets is not installed; pip install 'sftdata[hub]' brings it") from None
        for number in range(len(self.shards)):
            self.check_shard(number)
        return load_from_disk(str(self.directory / self.name))

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of tokens of each example, shape `[rows]`, dtype int64; no shard is opened.

        Raises:
            VerificationError: the index is missing or damaged; so too from `targets` and `folds`.
        """
        return to_numpy(self._index["tokens"]).astype(np.int64)

    def targets(self) -> NDArray[np.int64]:
        """Return what each example adds to the loss (`index.Counts.targets`), shape `[rows]`, dtype int64."""
        return to_numpy(self._index["targets"]).astype(np.int64)

    @property
    def has_folds(self) -> bool:
        """Whether the dataset was prepared with folds."""
        return "fold" in self._index.column_names

    def folds(self) -> NDArray[np.int32]:
        """Return the fold of each example, shape `[rows]`, dtype int32.

        Raises:
            VerificationError: the dataset has no folds.
        """
        if not self.has_folds:
            raise VerificationError(f"{self.directory} has no folds. Prepare with `folds` in the recipe's `split`.")
        return to_numpy(self._index["fold"]).astype(np.int32)

    def position(self, row_id: str) -> int:
        """Return where the example with this id stands; looks through the ids of the shards in order.

        Raises:
            VerificationError: the split has no such row.
        """
        for number in range(len(self.shards)):
            ids = self.shard(number)["row_id"]
            self._validate(number, ids)
            place: int = pa.compute.index(ids, row_id).as_py()
            if place >= 0:
                return int(self.starts[number]) + place
        example = self[0]["row_id"] if len(self) else "none, the split is empty"
        raise VerificationError(f"split '{self.name}' has no row {row_id!r}; an id looks like {example}")

    def find(self, row_id: str) -> dict[str, Any]:
        """Return the example with this id.

        Raises:
            VerificationError: the split has no such row.
        """
        return self[self.position(row_id)]

    @cached_property
    def _index(self) -> pa.Table:
        name = index_path(self.name)
        path = self.directory / name
        if not path.is_file():
            raise self._damage(path, "is missing")
        if digest_file(path) != self.manifest.files.get(name):
            raise self._damage(path, "its content has changed: its digest is not the one in the manifest")
        try:
            return open_index(path, len(self))
        except StreamError as cause:
            raise self._damage(path, str(cause)) from None

    def _read(self, number: int, start: int, count: int) -> list[dict[str, Any]]:
        rows = self.shard(number).slice(start, count)
        self._validate(number, rows)
        found: list[dict[str, Any]] = rows.to_pylist()
        return found

    def _validate(self, number: int, part: pa.Table | pa.ChunkedArray) -> None:
        try:
            validate(part)
        except StreamError as cause:
            raise self._damage(self.directory / self.shards[number].file, str(cause)) from None

    def _require_size(self, shard: ShardRecord) -> Path:
        path = self.directory / shard.file
        if not path.is_file():
            raise self._damage(path, "is missing")
        if path.stat().st_size != shard.bytes:
            raise self._damage(path, f"has {path.stat().st_size} bytes, expected {shard.bytes}")
        return path

    def _damage(self, path: Path, fault: str) -> VerificationError:
        return VerificationError(
            f"{path} {fault}. Run `sftdata verify {self.directory}`, then `sftdata prepare` again."
        )


def read_rejected(directory: str | Path, count: int, skip: int = 0) -> list[dict[str, Any]]:
    """Return `count` rejected rows of a prepared dataset, the first ones or those behind `skip` others."""
    read_manifest(directory)
    with (Path(directory) / "rejected.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, skip, skip + count)]


def load_split(directory: str | Path, name: str = "train") -> Split:
    """Open one split of a prepared dataset; its shards are opened when their rows are asked for.

    Raises:
        VerificationError: when the run is unfinished, or there is no such split.
    """
    return Split(directory, name)
