"""Small prepared datasets of any task, made without the pipeline, and ways to change them unseen by the manifest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

import sftdata
from sftdata.manifest import Manifest, RowCounts, TokenizerRecord, digest_file
from sftdata.records import IGNORE_INDEX, Task
from sftdata.shards.index import index_path
from sftdata.shards.layout import FOLD, dataset_dict_file, example_schema
from sftdata.shards.writer import SplitWriter

VOCABULARY = 50
NAMES = ("ant", "bee", "cat")
NAMED = (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.TOKEN_CLASSIFICATION)


def names_of(task: Task) -> tuple[str, ...] | None:
    return NAMES if task in NAMED else None


@st.composite
def examples(draw: st.DrawFn, task: Task) -> tuple[list[int], Any]:
    """Draw the ids and the labels of one example; either may be empty where the task allows it."""
    ids = draw(st.lists(st.integers(0, VOCABULARY - 1), max_size=6))
    if task == Task.CAUSAL_LM:
        return ids, [draw(st.sampled_from([token, IGNORE_INDEX])) for token in ids]
    if task == Task.TOKEN_CLASSIFICATION:
        return ids, [draw(st.sampled_from([0, 1, 2, IGNORE_INDEX])) for _ in ids]
    labels = {
        Task.SEQ2SEQ: st.lists(st.integers(0, VOCABULARY - 1), max_size=6),
        Task.TEXT_CLASSIFICATION: st.integers(0, 2),
        Task.MULTILABEL: st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3),
        Task.REGRESSION: st.floats(-200, 200, width=32),
    }
    return ids, draw(labels[task])


def as_batch(task: Task, rows: list[tuple[list[int], Any]], folds: list[int] | None = None) -> pa.RecordBatch:
    schema = example_schema(task, names_of(task), [FOLD] if folds is not None else [])
    columns = {"row_id": [f"s:{n}" for n in range(len(rows))], "input_ids": [ids for ids, _ in rows]}
    columns |= {"labels": [labels for _, labels in rows]} | ({"fold": folds} if folds is not None else {})
    return pa.RecordBatch.from_pydict(columns, schema=schema)


def write_dataset(directory: Path, task: Task, splits: dict[str, list[pa.RecordBatch]], shard_size: int = 1) -> Path:
    """Write batches as a prepared dataset; by default each is a shard of its own."""
    records = {}
    for name, batches in splits.items():
        with SplitWriter(directory, name, task, batches[0].schema, shard_size) as writer:
            for batch in batches:
                writer.write(batch)
            records[name] = writer.close()
    rows = sum(record.rows for record in records.values())
    (directory / "dataset_dict.json").write_text(dataset_dict_file(list(splits)))
    names = ["dataset_dict.json", *(index_path(name) for name in splits)]
    manifest = Manifest(
        version=sftdata.__version__,
        task=task,
        recipe={},
        inputs=(),
        rows=RowCounts(read=rows, written=rows),
        rejected_by_reason={},
        label_names=names_of(task),
        tokenizer=TokenizerRecord(name="none", digest="sha256:0", backend="none", vocab_size=VOCABULARY, proof={}),
        chat_template_digest=None,
        splits=records,
        seed=0,
        files={name: digest_file(directory / name) for name in names},
    )
    (directory / "manifest.json").write_text(manifest.to_json())
    return directory


def turns(count: int, batch_rows: int = 10) -> list[pa.RecordBatch]:
    """Return batches of causal_lm examples; each trains all of its tokens but the first."""
    rows = [([n % VOCABULARY] * (2 + n % 5), [IGNORE_INDEX] + [n % VOCABULARY] * (1 + n % 5)) for n in range(count)]
    batch = as_batch(Task.CAUSAL_LM, rows)
    return [batch.slice(start, batch_rows) for start in range(0, count, batch_rows)]


def change_table(directory: Path, file: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write an Arrow file anew, changed, and seal the dataset."""
    with pa.memory_map(str(directory / file)) as source:
        table = change(pa.ipc.open_stream(source).read_all()).combine_chunks()
    (directory / file).unlink()  # the mapping still reads the old one
    with pa.ipc.new_stream(str(directory / file), table.schema) as stream:
        stream.write_table(table)
    seal(directory)


def seal(directory: Path) -> None:
    """Give the manifest the sizes and digests of the files as they are now, as a forger would."""

    def mend(document: dict[str, Any]) -> None:
        for split in document["splits"].values():
            for shard in split["shards"]:
                path = directory / shard["file"]
                shard.update(bytes=path.stat().st_size, digest=digest_file(path))
        document["files"] = {name: digest_file(directory / name) for name in document["files"]}

    change_manifest(directory, mend)


def change_manifest(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = directory / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
