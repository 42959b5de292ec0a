"""docs/format.md is true: a reader that knows only the page accepts what we write, and we what its writer writes."""

import ast
import json
import re
from pathlib import Path

import datasets
import independent
import pyarrow as pa
import pytest
from examples import make_texts

import sftdata
from sftdata.errors import VerificationError
from sftdata.manifest import FORMAT, Manifest
from sftdata.records import Task
from sftdata.shards.index import INDEX_SCHEMAS
from sftdata.shards.layout import FOLD, PARENT, TOKEN_TYPES, WEIGHT, WEIGHTS, example_schema
from sftdata.sources import parsing

PAGE = (Path(__file__).parent.parent.parent / "docs" / "format.md").read_text(encoding="utf-8")

FOLDS = {"folds": 3, "test": 0.1, "seed": 7}
WRITTEN = {
    "chat": {},
    "text": {},
    "multilabel": {},
    "regression": {},
    "tag": {},
    "translation": {},
    "pair": {},
    "text in folds, with copies": {
        "split": FOLDS,
        "balance": {"oversample": "largest"},
        "augment": [{"random_swap": {"rate": 0.3, "copies": 2}}],
        "deduplicate": {"exact": True},
    },
}


@pytest.fixture
def prepare(request, tmp_path, monkeypatch):
    """Prepare data of a kind, in several shards, and return the directory."""
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 25)

    def run(kind: str = "text", **changes):
        recipe = request.getfixturevalue(f"{kind.split()[0]}_recipe")
        sftdata.prepare(sftdata.load_recipe(recipe(**{"output": {"dir": "out", "shard_size": "3KB"}, **changes})))
        return tmp_path / "out"

    return run


@pytest.mark.parametrize("kind", WRITTEN)
def test_an_independent_reader_finds_all_as_the_page_says(prepare, kind):
    out = prepare(kind, **WRITTEN[kind])
    checked = independent.Checker(out)
    assert checked.faults == []
    assert checked.rows == {name: list(sftdata.load_split(out, name)) for name in checked.manifest["splits"]}
    assert len(checked.manifest["splits"]["train"]["shards"]) > 1
    if kind.endswith("copies"):
        assert checked.extra == ["parent_id", "fold"]
        assert checked.manifest["rows"]["augmented"] > 10


def test_rows_that_are_rejected_dropped_and_split_are_as_the_page_says(prepare, chat_tokenizer):
    texts = [*make_texts(60), {"text": " ", "label": "animal"}, *make_texts(3)]
    out = prepare("text", rows=texts, max_rejected=1, deduplicate={"exact": True})
    checked = independent.Checker(out)
    assert checked.faults == []
    assert (checked.manifest["rows"]["rejected"], checked.manifest["rows"]["duplicates"]) == (1, 3)


def test_parts_of_rows_are_as_the_page_says(prepare, chat_tokenizer):
    out = prepare(
        "chat", tokenize={"tokenizer": str(chat_tokenizer), "max_length": 160, "overflow": "split"}, max_rejected=1.0
    )
    checked = independent.Checker(out)
    assert checked.faults == []
    assert any("/" in row["row_id"] for row in checked.rows["train"])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_manifest(out, change):
    path = out / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def rewrite_shard(out, change, *, digests=True):
    """Change the rows of a shard, and the manifest so that its digest fits."""
    shard = json.loads((out / "manifest.json").read_text())["splits"]["train"]["shards"][0]
    with pa.ipc.open_stream((out / shard["file"]).read_bytes()) as stream:
        table = stream.read_all()
    rows = table.to_pylist()
    change(rows)
    content = independent.stream(table.schema, rows)
    (out / shard["file"]).write_bytes(content)

    def note(document):
        record = document["splits"]["train"]["shards"][0]
        record["bytes"], record["digest"] = len(content), independent.digest(content)

    change_manifest(out, note)


def set_first(column, value):
    return lambda rows: rows[0].update({column: value})


FAULTS = {
    "a flipped bit": lambda out: flip(out / "train" / "data-00000-of-00001.arrow"),
    "a missing shard": lambda out: (out / "test" / "data-00000-of-00001.arrow").unlink(),
    "a foreign shard": lambda out: (out / "train" / "extra.arrow").write_bytes(b""),
    "a foreign index": lambda out: (out / "index" / "extra.arrow").write_bytes(b""),
    "a damaged index": lambda out: flip(out / "index" / "train.arrow"),
    "no index": lambda out: (out / "index" / "test.arrow").unlink(),
    "another tokenizer": lambda out: flip(out / "tokenizer" / "tokenizer.json"),
    "another format": lambda out: change_manifest(out, lambda m: m.update(format=3)),
    "no format": lambda out: change_manifest(out, lambda m: m.pop("format")),
    "a row too many": lambda out: change_manifest(out, lambda m: m["rows"].update(read=0)),
    "tokens miscounted": lambda out: change_manifest(out, lambda m: m["splits"]["train"].update(tokens=1)),
    "trained tokens miscounted": lambda out: change_manifest(
        out, lambda m: m["splits"]["test"].update(trained_tokens=1)
    ),
    "an id beyond the vocabulary": lambda out: rewrite_shard(out, set_first("input_ids", [10**6, 1])),
    "a class that is none": lambda out: rewrite_shard(out, set_first("labels", 3)),
    "a row twice": lambda out: rewrite_shard(out, lambda rows: rows[1].update(row_id=rows[0]["row_id"])),
    "an index of other rows": lambda out: rewrite_shard(out, set_first("input_ids", [1])),
}

WEIGHT_FAULTS = {
    "of zero": lambda row: row.update(weight=0.0),
    "below zero": lambda row: row.update(weight=-1.0),
    "without end": lambda row: row.update(weight=float("inf")),
    "that is no number": lambda row: row.update(weight=float("nan")),
    "that is missing": lambda row: row.update(weight=None),
    "where nothing is trained": lambda row: row["weights"].__setitem__(0, 1.0),
    "of zero where a label is trained": lambda row: row["weights"].__setitem__(-1, 0.0),
    "below zero where a label is trained": lambda row: row["weights"].__setitem__(-1, -1.0),
    "too many": lambda row: row["weights"].append(0.0),
    "that is missing of a label": lambda row: row["weights"].__setitem__(-1, None),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_each_faulty_weight_is_found_by_the_independent_reader_and_by_verify(tmp_path, text_tokenizer, fault):
    rows, tokenizer = FOREIGN["causal_lm"][0], (text_tokenizer / "tokenizer.json").read_bytes()
    independent.write(tmp_path / "out", "causal_lm", {"train": rows}, None, tokenizer, 200, rows_per_shard=8)
    assert independent.Checker(tmp_path / "out").faults == []
    rewrite_shard(tmp_path / "out", lambda rows: WEIGHT_FAULTS[fault](rows[2]))
    assert independent.Checker(tmp_path / "out").faults
    with pytest.raises(VerificationError, match="weight"):
        sftdata.verify(tmp_path / "out")


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_by_the_independent_reader_and_by_verify(prepare, fault):
    out = prepare(output={"dir": "out"})
    assert independent.Checker(out).faults == []
    FAULTS[fault](out)
    assert independent.Checker(out).faults
    with pytest.raises(VerificationError):
        sftdata.verify(out)


def examples(labels, **more):
    """Return eight examples; `labels` and `more` make a value from the ids and the number of an example."""
    rows = []
    for number in range(8):
        ids = [5 + (number + place) % 20 for place in range(3 + number % 3)]
        others = {name: make(ids, number) for name, make in more.items()}
        rows.append({"row_id": f"s:{number + 1}", "input_ids": ids, "labels": labels(ids, number), **others})
    return rows


def parents(ids, number):
    return "s:1" if number == 7 else None


NAMES = ["no", "yes", "不"]
FOREIGN = {
    "causal_lm": (
        examples(
            lambda ids, n: [-100, *ids[1:]],
            weights=lambda ids, n: [0.0, *[0.25 * (n + place + 1) for place in range(len(ids) - 1)]],
            weight=lambda ids, n: 1.0 + n / 4,
            parent_id=parents,
        ),
        None,
    ),
    "seq2seq": (examples(lambda ids, n: ids[::-1]), None),
    "token_classification": (examples(lambda ids, n: [n % 3, *[-100] * (len(ids) - 1)]), NAMES),
    "text_classification": (
        examples(lambda ids, n: n % 3, token_type_ids=lambda ids, n: [0, *[1] * (len(ids) - 1)]),
        NAMES,
    ),
    "multilabel": (examples(lambda ids, n: [0.0, 1.0, n / 2], weight=lambda ids, n: 0.5 + n), NAMES),
    "regression": (examples(lambda ids, n: n / 2, fold=lambda ids, n: n % 2), None),
}


@pytest.mark.parametrize("task", FOREIGN)
def test_what_an_independent_writer_writes_is_verified_and_read(tmp_path, text_tokenizer, task):
    rows, names = FOREIGN[task]
    splits = {"train": rows, "test": rows[:1]}
    independent.write(tmp_path / "out", task, splits, names, (text_tokenizer / "tokenizer.json").read_bytes(), 200)
    out = tmp_path / "out"
    assert independent.Checker(out).faults == []
    manifest = sftdata.verify(out)
    assert (manifest.task, manifest.rows.written) == (task, 9)
    split = sftdata.load_split(out)
    assert list(split) == rows
    assert split.lengths().tolist() == [len(row["input_ids"]) for row in rows]
    assert split.targets().tolist() == [independent.count(task, row)[2] for row in rows]
    loaded = datasets.load_from_disk(str(out))
    assert loaded["train"].to_list() == rows
    if names and task != "multilabel":
        label = loaded["train"].features["labels"]
        assert getattr(label, "feature", label).names == names


def test_what_an_independent_writer_writes_may_be_replaced(tmp_path, text_recipe, text_tokenizer):
    rows, names = FOREIGN["text_classification"]
    tokenizer = (text_tokenizer / "tokenizer.json").read_bytes()
    independent.write(tmp_path / "out", "text_classification", {"train": rows, "dev": rows}, names, tokenizer, 200)
    sftdata.prepare(sftdata.load_recipe(text_recipe()))
    assert independent.Checker(tmp_path / "out").faults == []
    assert not (tmp_path / "out" / "dev").exists()


def test_the_independent_program_imports_nothing_of_ours():
    tree = ast.parse(Path(independent.__file__).read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {"hashlib", "json", "os", "re", "collections", "pathlib", "typing", "pyarrow"}
    assert {name.partition(".")[0] for name in names} == ours


def tables() -> list[list[list[str]]]:
    """Return the tables of the page: rows of cells, the header first."""
    blocks = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    lines = [[line.strip("|\n").split("|") for line in block.splitlines()] for block in blocks]
    return [[[cell.strip() for cell in row] for row in block if set("".join(row)) - set("- ")] for block in lines]


def fields(model: dict) -> dict[str, bool]:
    """Return the fields of a JSON Schema in order, and whether each is required."""
    return {name: name in model.get("required", []) for name in model["properties"]}


def test_every_field_of_the_manifest_is_on_the_page_in_order_and_nothing_else():
    schema = Manifest.model_json_schema()
    models = schema["$defs"]
    told = [table for table in tables() if table[0] == ["Field", "Type", "", "Meaning"]]
    expected = [schema, *(models[f"{name}"] for name in ("InputFile", "RowCounts", "TokenizerRecord", "SplitRecord"))]
    expected.append(models["ShardRecord"])
    assert set(models) == {"InputFile", "RowCounts", "TokenizerRecord", "SplitRecord", "ShardRecord", "Task"}
    for table, model in zip(told, expected, strict=True):
        found = {row[0].strip("`"): row[2] == "required" for row in table[1:]}
        assert list(found) == list(fields(model)), model["title"]
        assert {name for name in found if not found[name]} <= {n for n, needed in fields(model).items() if not needed}
        assert {name for name in found if found[name]} - {n for n, needed in fields(model).items() if needed} <= {
            "format"
        }


def type_of(arrow: pa.DataType) -> str:
    if pa.types.is_list(arrow):
        return f"list<{type_of(arrow.value_type)}>"
    return "float32" if pa.types.is_float32(arrow) else str(arrow)


def test_the_columns_and_labels_on_the_page_are_those_of_the_code():
    columns = next(table for table in tables() if table[0][0] == "Column" and table[0][1] == "Arrow type")
    told = {row[0].strip("`"): row[1] for row in columns[1:]}
    schema = example_schema(Task.REGRESSION, None, [TOKEN_TYPES, WEIGHTS, WEIGHT, PARENT, FOLD])
    assert list(told) == schema.names
    assert {name: kind for name, kind in told.items() if name != "labels"} == {
        field.name: type_of(field.type) for field in schema if field.name != "labels"
    }
    tasks = next(table for table in tables() if table[0][0] == "Task")
    assert {row[0].strip("`"): row[1] for row in tasks[1:]} == {
        task: type_of(example_schema(task).field("labels").type) for task in Task
    }


def test_the_independent_schemas_are_those_of_the_code():
    for task in Task:
        extra = [TOKEN_TYPES, WEIGHTS, WEIGHT, PARENT, FOLD]
        ours = example_schema(task, tuple(NAMES), extra)
        theirs = independent.make_schema(task, NAMES, [field.name for field in extra])
        if task in (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.MULTILABEL):
            assert theirs.equals(ours, check_metadata=True)
        assert theirs.equals(ours)


def test_the_index_and_the_version_on_the_page_are_those_of_the_code():
    index = next(table for table in tables() if table[0] == ["Column", "Meaning"])
    assert [row[0].strip("`") for row in index[1:]] == INDEX_SCHEMAS[1].names
    assert {str(field.type) for field in INDEX_SCHEMAS[1]} == {"int32"}
    assert f"\nFormat {FORMAT}. " in PAGE
    assert tables()[-1][-1][0] == str(FORMAT)
