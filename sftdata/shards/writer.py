"""Write examples of one split to Arrow stream files of bounded size, and beside them the index."""

import hashlib
from pathlib import Path
from typing import BinaryIO, Self

import pyarrow as pa

from sftdata.manifest import ShardRecord, SplitRecord
from sftdata.records import Task
from sftdata.shards.index import Counts, count_examples, index_path, index_schema
from sftdata.shards.layout import dataset_files, shard_names


class _DigestingFile:
    """A binary file that knows the size and SHA-256 of what was written to it."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.bytes += memoryview(data).nbytes
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True
        self._file.close()

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


_OpenShard = tuple[_DigestingFile, pa.ipc.RecordBatchStreamWriter]


class SplitWriter:
    """Append record batches; close to get the split's record. As a context manager it lets go of unfinished files.

    Where a shard ends depends only on the batches and `shard_size`, so the same batches give the same bytes.

    Args:
        directory: of the dataset; the shards go to `<name>/` in it, the index to `index/<name>.arrow`.
        name: the split's name.
        task: decides what counts as a target.
        schema: what `layout.example_schema` gave.
        shard_size: most bytes of one shard; a single batch may be larger.
    """

    def __init__(self, directory: Path, name: str, task: Task, schema: pa.Schema, shard_size: int) -> None:
        self._directory, self._name, self._task = directory / name, name, task
        self._schema, self._shard_size = schema, shard_size
        index = directory / index_path(name)
        for folder in (self._directory, index.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._index_file = index.open("wb")
        self._index = pa.ipc.new_stream(self._index_file, index_schema(schema))
        self._open: _OpenShard | None = None
        self.rows = self._shard_rows = self._tokens = self._trained = 0
        self._shards: list[tuple[int, int, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._index_file.close()
        if self._open:
            self._open[0].close()

    def write(self, batch: pa.RecordBatch) -> Counts:
        """Append one batch, whole, to the current shard or to a new one; return what its examples count for."""
        counts = count_examples(batch, self._task)
        if batch.num_rows == 0:
            return counts
        if self._open and self._open[0].bytes + batch.nbytes > self._shard_size:
            self._finish_shard()
        if not self._open:
            self._open = self._start_shard()
        self._open[1].write_batch(batch)
        self._index.write_batch(counts.as_batch())
        self._shard_rows += batch.num_rows
        self.rows += batch.num_rows
        self._tokens += int(counts.tokens.sum())
        self._trained += counts.count_trained()
        return counts

    def close(self) -> SplitRecord:
        """Finish the last shard and the index, give all shards their final names, and write what `datasets` wants."""
        if not self._open and not self._shards:
            self._open = self._start_shard()  # a split without rows still has one shard
        self._finish_shard()
        self._index.close()
        self._index_file.close()
        names = shard_names(len(self._shards))
        for position, name in enumerate(names):
            self._part(position).rename(self._directory / name)
        fingerprint = hashlib.sha256("".join(digest for *_, digest in self._shards).encode()).hexdigest()[:16]
        for name, text in dataset_files(self._schema, self._name, names, fingerprint).items():
            (self._directory / name).write_text(text, encoding="utf-8")
        records = tuple(
            ShardRecord(file=f"{self._name}/{name}", rows=rows, bytes=size, digest=digest)
            for name, (rows, size, digest) in zip(names, self._shards, strict=True)
        )
        return SplitRecord(rows=self.rows, tokens=self._tokens, trained_tokens=self._trained, shards=records)

    def _part(self, position: int) -> Path:
        return self._directory / f"part-{position:05d}"

    def _start_shard(self) -> _OpenShard:
        self._shard_rows = 0
        sink = _DigestingFile(self._part(len(self._shards)))
        return sink, pa.ipc.new_stream(sink, self._schema)

    def _finish_shard(self) -> None:
        if not self._open:
            return
        sink, stream = self._open
        stream.close()
        sink.close()
        self._shards.append((self._shard_rows, sink.bytes, sink.digest))
        self._open = None
