"""verify(): every file of a dataset against its manifest, and all that was counted counted again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sftdata.arrays import to_numpy
from sftdata.engine import Watch
from sftdata.errors import VerificationError
from sftdata.manifest import Manifest, ShardRecord, SplitRecord, digest_file, read_manifest
from sftdata.shards.index import INDEX_NAME, Counts, count_examples, index_path
from sftdata.shards.soundness import find_unsound
from sftdata.shards.streams import StreamError, map_stream, open_index, open_shard, validate

_NAMED = 5
"""Repeated row ids that a message names."""


def verify(directory: str | Path, watch: Watch = lambda stage, done, total: None) -> Manifest:
    """Check every file of a prepared dataset against its manifest; return the manifest.

    Digests come first: what is not the file that was written is not parsed. Then rows, tokens, labels and the index are
    counted again from the shards, batch by batch; memory grows by 8 bytes a row, to find row ids that repeat.

    Args:
        directory: what `prepare` wrote.
        watch: told about progress, in bytes, once each shard has been checked.

    Raises:
        VerificationError: with all that is missing, changed, left over or miscounted, at once.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    faults = _find_faults(directory, manifest, watch)
    if faults:
        found = "\n".join(f"  {fault}" for fault in faults)
        raise VerificationError(f"{directory} differs from its manifest:\n{found}\nRun `sftdata prepare` again.")
    return manifest


def _find_faults(directory: Path, manifest: Manifest, watch: Watch) -> list[str]:
    total, done = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards), 0
    watch("verify", 0, total)

    def progress(size: int) -> None:
        nonlocal done
        done += size
        watch("verify", done, total)

    files = {name: _find_damage(directory / name, digest) for name, digest in sorted(manifest.files.items())}
    checks = [_SplitCheck(directory, manifest, name) for name in manifest.splits]
    for name, check in zip(manifest.splits, checks, strict=True):
        check.run(index_is_whole=files.get(index_path(name), "") is None, progress=progress)
    shards = sum(len(split.shards) for split in manifest.splits.values())
    found = sum(len(_list_arrow(directory, name)) for name in manifest.splits)
    if found > 1 and sum(check.damaged for check in checks) == shards:
        return [f"none of its {shards} shards is as described: the manifest and the shards are of different runs"]
    faults = [*_manifest_faults(manifest), *(f"{name}: {damage}" for name, damage in files.items() if damage)]
    faults += [fault for check in checks for fault in check.faults]
    if len(set().union(*(check.columns for check in checks))) > 1:
        faults.append("its shards do not have the same columns")
    return faults + _left_over(directory, manifest)


class _SplitCheck:
    """What is found out about one split.

    Attributes:
        faults: one line each.
        damaged: how many shards are not the files that were written.
        columns: the names of the columns of each of the others.
    """

    def __init__(self, directory: Path, manifest: Manifest, name: str) -> None:
        self._directory, self._manifest, self._name = directory, manifest, name
        self._record: SplitRecord = manifest.splits[name]
        self._tokens = self._trained = 0
        self._keys = [np.zeros(0, dtype=np.uint64)]
        self._recounted: list[ShardRecord] = []
        self.faults: list[str] = []
        self.damaged = 0
        self.columns: set[tuple[str, ...]] = set()

    def run(self, *, index_is_whole: bool, progress: Callable[[int], None]) -> None:
        """Look at every shard, and at what they come to together."""
        index, start = self._open_index() if index_is_whole else None, 0
        for shard in self._record.shards:
            damage = _find_damage(self._directory / shard.file, shard.digest, shard.bytes)
            if damage:
                self.damaged += 1
                self.faults.append(f"{shard.file}: {damage}")
            else:
                self._recount(shard, None if index is None else index.slice(start, shard.rows))
            start += shard.rows
            progress(shard.bytes)
        if len(self._recounted) == len(self._record.shards):
            self.faults += self._miscounts()
        self.faults += self._repeats()

    def _open_index(self) -> pa.Table | None:
        name = index_path(self._name)
        try:
            return open_index(self._directory / name, self._record.rows)
        except StreamError as cause:
            self.faults.append(f"{name}: {cause}")
            return None

    def _recount(self, shard: ShardRecord, index: pa.Table | None) -> None:
        """Count a shard again, batch by batch, and compare it with its part of the index."""
        start, differs = 0, None
        try:
            table = open_shard(self._directory / shard.file, shard, self._manifest)
            self.columns.add(tuple(table.schema.names))
            for batch in table.to_batches():
                counts = self._recount_batch(batch)
                if index is not None and differs is None:
                    differs = _find_difference(index.slice(start, len(batch)), counts.as_batch(), batch["row_id"])
                start += len(batch)
        except StreamError as cause:
            self.faults.append(f"{shard.file}: {cause}")
        else:
            self._recounted.append(shard)
        self.faults += [f"{shard.file}: {differs}"] if differs else []

    def _recount_batch(self, batch: pa.RecordBatch) -> Counts:
        validate(batch)
        faults = find_unsound(batch, self._manifest)
        if faults:
            raise StreamError("; ".join(faults))
        counts = count_examples(batch, self._manifest.task)
        self._tokens += int(counts.tokens.sum())
        self._trained += counts.count_trained()
        self._keys.append(_hash(batch["row_id"]))
        return counts

    def _miscounts(self) -> list[str]:
        record = self._record
        told = {"tokens": (record.tokens, self._tokens), "trained_tokens": (record.trained_tokens, self._trained)}
        return [
            f"{self._name}: {said} {name} in the manifest, but its shards have {counted}"
            for name, (said, counted) in told.items()
            if said != counted
        ]

    def _repeats(self) -> list[str]:
        """Find row ids that stand in the split more than once: by their hashes first, and only then by themselves."""
        keys = np.sort(np.concatenate(self._keys))
        twice = np.unique(keys[1:][keys[1:] == keys[:-1]])
        if not len(twice):
            return []
        ids = [self._ids_of(shard, twice) for shard in self._recounted]
        found = pl.concat(ids)
        repeated = found.filter(found.is_duplicated()).unique(maintain_order=True)
        named = ", ".join(repeated[:_NAMED])
        return [f"{self._name}: {len(repeated)} row ids stand more than once: {named}"] if len(repeated) else []

    def _ids_of(self, shard: ShardRecord, keys: NDArray[np.uint64]) -> pl.Series:
        ids = map_stream(self._directory / shard.file)["row_id"]
        return pl.Series("row_id", ids, dtype=pl.String).filter(pl.Series(np.isin(_hash(ids), keys)))


def _hash(ids: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    return pl.Series("row_id", ids, dtype=pl.String).hash(seed=0).to_numpy()


def _find_difference(index: pa.Table, counted: pa.RecordBatch, ids: pa.Array) -> str | None:
    """Compare the index with what the shard comes to; name the first row that differs."""
    if index.schema.names != counted.schema.names:
        return f"the index has the columns {index.schema.names}, expected {counted.schema.names}"
    for name in counted.schema.names:
        said, found = to_numpy(index[name]), to_numpy(counted[name])
        differs = np.flatnonzero(said != found)
        if len(differs):
            first = int(differs[0])
            return f"row {ids[first]}: the index says {name} {said[first]}, the shard has {found[first]}"
    return None


def _find_damage(path: Path, digest: str, size: int | None = None) -> str | None:
    """Tell in what way a file is not the one that was written; None when it is."""
    if not path.is_file():
        return "missing"
    if size is not None and path.stat().st_size != size:
        return f"{path.stat().st_size} bytes, expected {size}"
    same = digest_file(path) == digest
    return None if same else "its content has changed, or it is another file (its digest differs)"


def _left_over(directory: Path, manifest: Manifest) -> list[str]:
    """Name the Arrow files that stand among ours and are not."""
    ours = {shard.file for split in manifest.splits.values() for shard in split.shards} | set(manifest.files)
    found = [name for folder in (*manifest.splits, INDEX_NAME) for name in _list_arrow(directory, folder)]
    return [f"{name}: not in the manifest" for name in found if name not in ours]


def _list_arrow(directory: Path, folder: str) -> list[str]:
    return sorted(f"{folder}/{path.name}" for path in (directory / folder).glob("*.arrow"))


def _manifest_faults(manifest: Manifest) -> list[str]:
    """Find what does not add up in the manifest itself."""
    rows = manifest.rows
    faults = []
    if rows.read + rows.augmented != rows.written + rows.rejected + rows.duplicates:
        faults.append(f"row counts do not close: {rows.model_dump()}")
    for name, split in manifest.splits.items():
        if split.rows != sum(shard.rows for shard in split.shards):
            faults.append(f"{name}: {split.rows} rows, but its shards have {sum(s.rows for s in split.shards)}")
        if index_path(name) not in manifest.files:
            faults.append(f"{index_path(name)}: the manifest has no digest of it")
    written = sum(split.rows for split in manifest.splits.values())
    return faults + ([f"{rows.written} rows written, but the splits have {written}"] if rows.written != written else [])
