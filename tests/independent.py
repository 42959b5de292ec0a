"""docs/format.md without our code: read and check a dataset, and write one, with pyarrow, json and hashlib alone."""

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

IGNORED = -100
IDS = pa.list_(pa.int32())
LABELS = {
    "causal_lm": IDS,
    "seq2seq": IDS,
    "token_classification": pa.list_(pa.int64()),
    "text_classification": pa.int64(),
    "multilabel": pa.list_(pa.float32()),
    "regression": pa.float32(),
}
OPTIONAL = {
    "token_type_ids": pa.list_(pa.int8()),
    "weights": pa.list_(pa.float32()),
    "weight": pa.float32(),
    "parent_id": pa.string(),
    "fold": pa.int32(),
}
PER_TOKEN = {"causal_lm", "seq2seq", "token_classification"}
ROW_ID = re.compile(r"(.+):([1-9]\d*)(\+[1-9]\d*)*(\*[1-9]\d*)*(/[1-9]\d*)*")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"feature": feature(kind.value_type), "_type": "List"}
    return {"dtype": "float32" if kind == pa.float32() else str(kind), "_type": "Value"}


def make_schema(task: str, label_names: list[str] | None, extra: list[str]) -> pa.Schema:
    columns = {"row_id": pa.string(), "input_ids": IDS, "labels": LABELS[task]}
    columns |= {name: kind for name, kind in OPTIONAL.items() if name in extra}
    features = {name: feature(kind) for name, kind in columns.items()}
    classes = {"names": label_names, "_type": "ClassLabel"}
    if task == "text_classification":
        features["labels"] = classes
    if task == "token_classification":
        features["labels"] = {"feature": classes, "_type": "List"}
    return pa.schema(list(columns.items()), {"huggingface": json.dumps({"info": {"features": features}})})


def count(task: str, row: dict[str, Any]) -> tuple[int, int, int]:
    """Return how many tokens, trained tokens and targets an example has."""
    if task not in PER_TOKEN:
        return len(row["input_ids"]), 1, 1
    trained = [label != IGNORED for label in row["labels"]]
    return len(row["input_ids"]), sum(trained), sum(trained[1:] if task == "causal_lm" else trained)


def labels_fit(task: str, labels: Any, ids: list[int], vocabulary: range, classes: int) -> bool:
    if task in {"causal_lm", "token_classification"} and len(labels) != len(ids):
        return False
    if task == "causal_lm":
        return all(label in (token, IGNORED) for label, token in zip(labels, ids, strict=True))
    if task == "seq2seq":
        return all(label in vocabulary for label in labels)
    if task == "token_classification":
        return all(label == IGNORED or 0 <= label < classes for label in labels)
    if task == "multilabel":
        return len(labels) == classes
    return isinstance(labels, float) if task == "regression" else 0 <= labels < classes


def weights_fit(row: dict[str, Any]) -> bool:
    """Tell whether the weights of a row and of its labels, where there are any, are such as the page says."""
    labels, weights = row["labels"], row.get("weights")
    of_labels = weights is None or (
        len(weights) == len(labels)
        and all(is_weight(one) if label != IGNORED else one == 0 for one, label in zip(weights, labels, strict=True))
    )
    return of_labels and is_weight(row.get("weight", 1.0))


def is_weight(number: Any) -> bool:
    return isinstance(number, float) and 0 < number < float("inf")


class Checker:
    """Reads a dataset; `faults` has one line for each thing that is not as the page says, `rows` the examples."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.faults = directory, []
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.manifest = json.loads((directory / "manifest.json").read_bytes())
        self.expect(self.manifest.get("format") == 2, "format is not 2")
        self.ids = {source["id"] for source in self.manifest["inputs"]}
        self.extra: list[str] | None = None
        for name, expected in self.manifest["files"].items():
            self.check_file(name, expected)
        for name, split in self.manifest["splits"].items():
            self.check_split(name, split)
        self.check_counts()
        self.check_left_over()
        self.check_tokenizer()
        listed = json.loads(self.read("dataset_dict.json"))["splits"]
        self.expect(listed == list(self.manifest["splits"]), "dataset_dict.json has other splits")

    def expect(self, condition: bool, fault: str) -> None:
        if not condition:
            self.faults.append(fault)

    def read(self, name: str) -> bytes:
        path = self.directory / name
        return path.read_bytes() if path.is_file() else b"{}"

    def check_file(self, name: str, expected: str) -> bool:
        there = (self.directory / name).is_file()
        good = there and digest(self.read(name)) == expected and DIGEST.fullmatch(expected) is not None
        self.expect(good, f"{name}: {'digest differs' if there else 'missing'}")
        return good

    def open(self, name: str) -> pa.Table:
        content = pa.BufferReader(self.read(name))
        with pa.ipc.open_stream(content) as stream:
            table = stream.read_all()
        self.expect(content.tell() == content.size(), f"{name}: something stands behind the end of the stream")
        table.validate(full=True)
        return table

    def check_split(self, name: str, split: dict[str, Any]) -> None:
        rows: list[dict[str, Any]] = []
        for number, shard in enumerate(split["shards"]):
            called = f"{name}/data-{number:05d}-of-{len(split['shards']):05d}.arrow"
            self.expect(shard["file"] == called, f"{shard['file']}: not called {called}")
            if not self.check_file(shard["file"], shard["digest"]):
                continue
            self.expect(len(self.read(shard["file"])) == shard["bytes"], f"{called}: size differs")
            table = self.open(shard["file"])
            self.expect(table.num_rows == shard["rows"], f"{called}: {table.num_rows} rows, not {shard['rows']}")
            self.check_schema(called, table.schema)
            rows += table.to_pylist()
        self.rows[name] = rows
        self.expect(len(split["shards"]) > 0, f"{name}: no shard")
        self.check_rows(name, rows)
        self.check_index(name, rows)
        counts = [count(self.manifest["task"], row) for row in rows]
        found = [len(rows), sum(each[0] for each in counts), sum(each[1] for each in counts)]
        self.expect(found == [split[key] for key in ("rows", "tokens", "trained_tokens")], f"{name}: counts {found}")
        info, state = (json.loads(self.read(f"{name}/{file}.json")) for file in ("dataset_info", "state"))
        self.expect(
            set(info.get("features", ())) == {"row_id", "input_ids", "labels", *(self.extra or ())}, f"{name}: features"
        )
        files = [f"{name}/{each['filename']}" for each in state.get("_data_files", ())]
        self.expect(files == [shard["file"] for shard in split["shards"]], f"{name}: state.json has other shards")

    def check_schema(self, name: str, schema: pa.Schema) -> None:
        barred = {"weights"} if self.manifest["task"] != "causal_lm" else set()
        extra = [column for column in OPTIONAL if column in schema.names and column not in barred]
        self.extra = extra if self.extra is None else self.extra
        expected = make_schema(self.manifest["task"], self.manifest["label_names"], self.extra)
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        self.expect(schema.equals(expected), f"{name}: columns")
        self.expect(told == json.loads(expected.metadata[b"huggingface"]), f"{name}: features")

    def check_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        task, classes = self.manifest["task"], len(self.manifest["label_names"] or ())
        vocabulary = range(self.manifest["tokenizer"]["vocab_size"])
        twice = [row_id for row_id, number in Counter(row["row_id"] for row in rows).items() if number > 1]
        self.expect(not twice, f"{name}: twice {twice}")
        for row in rows:
            where, ids, labels = f"{name}: {row['row_id']}", row["input_ids"], row["labels"]
            parsed = ROW_ID.fullmatch(row["row_id"])
            self.expect(parsed is not None and parsed[1] in self.ids, f"{where}: row_id")
            self.expect(all(token in vocabulary for token in ids), f"{where}: id")
            good = labels_fit(task, labels, ids, vocabulary, classes)
            self.expect(good, f"{where}: labels")
            self.expect(len(row.get("token_type_ids", ids)) == len(ids), f"{where}: token_type_ids")
            self.expect(weights_fit(row), f"{where}: weights")
            parent = row.get("parent_id")
            self.expect(parent is None or parent.split(":")[0] == parsed[1], f"{where}: parent_id")

    def check_index(self, name: str, rows: list[dict[str, Any]]) -> None:
        file, folds = f"index/{name}.arrow", "fold" in (self.extra or ())
        if not self.check_file(file, self.manifest["files"].get(file, "")):
            return
        table = self.open(file)
        columns = ["tokens", "targets", *["fold"] * folds]
        self.expect(table.schema == pa.schema([(column, pa.int32()) for column in columns]), f"{file}: columns")
        counts = [count(self.manifest["task"], row) for row in rows]
        expected = [
            {"tokens": tokens, "targets": targets, **({"fold": row["fold"]} if folds else {})}
            for row, (tokens, _, targets) in zip(rows, counts, strict=True)
        ]
        self.expect(table.to_pylist() == expected, f"{file}: differs from the shards")

    def check_counts(self) -> None:
        rows, manifest = Counter(self.manifest["rows"]), self.manifest
        closed = rows["read"] + rows["augmented"] == rows["written"] + rows["rejected"] + rows["duplicates"]
        self.expect(closed, "row counts do not close")
        written = sum(split["rows"] for split in manifest["splits"].values())
        self.expect(written == rows["written"], "rows.written")
        self.expect(sum(manifest["rejected_by_reason"].values()) == rows["rejected"], "rejected_by_reason")
        for name in ("rejected", "duplicates"):
            lines = (self.directory / f"{name}.jsonl").read_bytes().splitlines() if self.has(f"{name}.jsonl") else []
            self.expect(len(lines) == rows[name], f"{name}.jsonl: {len(lines)} lines")
        copies = sum(row.get("parent_id") is not None for split in self.rows.values() for row in split)
        self.expect(copies == rows["augmented"], "rows.augmented")

    def has(self, name: str) -> bool:
        return (self.directory / name).is_file()

    def check_left_over(self) -> None:
        shards = {shard["file"] for split in self.manifest["splits"].values() for shard in split["shards"]}
        for folder in ("index", *self.manifest["splits"]):
            found = {f"{folder}/{path.name}" for path in (self.directory / folder).glob("*.arrow")}
            for name in sorted(found - shards - set(self.manifest["files"])):
                self.faults.append(f"{name}: not in the manifest")

    def check_tokenizer(self) -> None:
        told = self.manifest["tokenizer"]["digest"]
        self.expect(told == digest(self.read("tokenizer/tokenizer.json")), "tokenizer.digest")
        template = self.manifest["chat_template_digest"]
        same = template is None or template == digest(self.read("tokenizer/chat_template.jinja"))
        self.expect(same, "chat_template_digest")


def write(
    directory: Path,
    task: str,
    splits: dict[str, list[dict[str, Any]]],
    label_names: list[str] | None,
    tokenizer: bytes,
    vocab_size: int,
    rows_per_shard: int = 3,
) -> None:
    """Write a dataset; each row has `row_id`, `input_ids`, `labels`, and all have the same of the other columns."""
    schema = make_schema(task, label_names, list(next(iter(splits.values()))[0])[3:])
    files: dict[str, bytes] = {"tokenizer/tokenizer.json": tokenizer, "rejected.jsonl": b""}
    files["dataset_dict.json"] = json.dumps({"splits": list(splits)}).encode()
    records, shards = {}, {}
    for name, rows in splits.items():
        parts = [rows[start : start + rows_per_shard] for start in range(0, len(rows), rows_per_shard)] or [[]]
        names = [f"{name}/data-{number:05d}-of-{len(parts):05d}.arrow" for number in range(len(parts))]
        shards |= {file: stream(schema, part) for file, part in zip(names, parts, strict=True)}
        listed = [
            {"file": file, "rows": len(part), "bytes": len(shards[file]), "digest": digest(shards[file])}
            for file, part in zip(names, parts, strict=True)
        ]
        counts = [count(task, row) for row in rows]
        totals = {"tokens": sum(each[0] for each in counts), "trained_tokens": sum(each[1] for each in counts)}
        records[name] = {"rows": len(rows), **totals, "shards": listed}
        files |= small_files(name, schema, names, digest(b"".join(shards[file] for file in names)))
        columns = ["tokens", "targets", *["fold"] * ("fold" in schema.names)]
        index = [
            {**row, "tokens": tokens, "targets": targets}
            for row, (tokens, _, targets) in zip(rows, counts, strict=True)
        ]
        plain = pa.schema([(column, pa.int32()) for column in columns])
        files[f"index/{name}.arrow"] = stream(plain, [{column: row[column] for column in columns} for row in index])
    written = sum(len(rows) for rows in splits.values())
    copies = sum(row.get("parent_id") is not None for rows in splits.values() for row in rows)
    manifest = {
        "format": 2,
        "version": "independent 1",
        "task": task,
        "recipe": {},
        "inputs": [{"id": "s", "path": "nowhere.jsonl", "bytes": 0, "digest": digest(b"")}],
        "rows": {"read": written - copies, "augmented": copies, "written": written},
        "rejected_by_reason": {},
        "label_names": label_names,
        "tokenizer": {
            "name": "independent",
            "digest": digest(tokenizer),
            "backend": "none",
            "vocab_size": vocab_size,
            "proof": {},
        },
        "chat_template_digest": None,
        "splits": records,
        "seed": 0,
        "files": {name: digest(content) for name, content in files.items()},
        "x-note": "readers ignore what they do not know",
    }
    for name, content in (files | shards).items():
        write_through(directory / name, content)
    write_through(directory / "manifest.json.tmp", json.dumps(manifest).encode())
    (directory / "manifest.json.tmp").rename(directory / "manifest.json")


def stream(schema: pa.Schema, rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for start in range(0, len(rows), 2):
            writer.write_batch(pa.RecordBatch.from_pylist(rows[start : start + 2], schema))
    return sink.getvalue().to_pybytes()


def small_files(name: str, schema: pa.Schema, shards: list[str], fingerprint: str) -> dict[str, bytes]:
    info = json.loads(schema.metadata[b"huggingface"])["info"]
    info |= dict.fromkeys(("citation", "description", "homepage", "license"), "")
    state = {"_data_files": [{"filename": shard.partition("/")[2]} for shard in shards]}
    state |= {"_fingerprint": fingerprint[-16:], "_split": name, "_output_all_columns": False}
    state |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None}
    return {f"{name}/dataset_info.json": json.dumps(info).encode(), f"{name}/state.json": json.dumps(state).encode()}


def write_through(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
