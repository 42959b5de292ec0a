"""What becomes of weights in other programs' formats, and where people look at an example: kept, or refused."""

import io
import json

import polars as pl
import pytest
from rich.console import Console
from tiny import Example, random_classes, write_dataset

import sftdata
from sftdata.errors import UsageError
from sftdata.records import Task
from sftdata.report.terminal import RowView

TURNS = [Example([3, 4, 5, 6], [-100, 4, 5, 6], weights=[0.0, 0.5, 0.5, 2.0]), Example([7, 8], [7, 8], weights=[1, 1])]


def weighed_rows(directory):
    examples = [
        Example(one.input_ids, one.labels, weight=0.5 + place) for place, one in enumerate(random_classes(6, 1))
    ]
    return write_dataset(directory, Task.TEXT_CLASSIFICATION, {"train": examples}, label_names=("a", "b", "c"))


@pytest.mark.parametrize("target", ["trl", "llamafactory", "axolotl"])
@pytest.mark.parametrize("examples", [TURNS, [Example([3, 4], [3, 4], weight=2.0)]], ids=["weights", "weight"])
def test_a_trainer_that_knows_no_weights_is_given_none_and_nothing_is_written(tmp_path, target, examples):
    data = write_dataset(tmp_path / "data", Task.CAUSAL_LM, {"train": examples})
    name = "weights" if examples is TURNS else "weight"
    with pytest.raises(UsageError, match=rf"has weights \(the column {name}\), and --to {target} .* alike"):
        sftdata.export(data, tmp_path / "out", to=target, capacity=16 if target == "trl" else None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_tables_of_ids_keep_weights(tmp_path, kind):
    data = write_dataset(tmp_path / "data", Task.CAUSAL_LM, {"train": TURNS})
    sftdata.export(data, tmp_path / "turns", to=kind)
    sftdata.export(weighed_rows(tmp_path / "rows"), tmp_path / "table", to=kind)
    read = pl.read_ndjson if kind == "jsonl" else pl.read_parquet
    (turns,), (rows,) = ([read(path) for path in (tmp_path / name).glob(f"*.{kind}")] for name in ("turns", "table"))
    assert turns["weights"].to_list() == [one.weights for one in TURNS]
    assert rows["weight"].to_list() == [0.5 + place for place in range(6)]


def test_text_is_cut_where_a_weight_changes(tmp_path, chat_recipe):
    asks = {"role": "user", "content": "the quick brown fox?"}
    rows = [
        {"messages": [asks, {"role": "assistant", "content": f"a lazy dog {number}", "weight": 0.25 * (number + 1)}]}
        for number in range(8)
    ]
    split = {"train": 1, "validation": 0, "test": 0}
    sftdata.prepare(sftdata.load_recipe(chat_recipe(rows, split=split, deduplicate={"exact": False})))
    sftdata.export(tmp_path / "out", tmp_path / "text", to="jsonl", contents="text")
    (file,) = (tmp_path / "text").glob("train-*")
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(found) == 8
    for row in found:
        number = int(row["row_id"].partition(":")[2]) - 1
        trained = [(part["text"], part["weight"]) for part in row["segments"] if part["label"]]
        assert trained == [(f"a lazy dog {number}<|im_end|>", 0.25 * (number + 1))]
        assert {part["weight"] for part in row["segments"] if not part["label"]} == {0.0}
    shown = Console(file=io.StringIO(), width=200)
    split = sftdata.load_split(tmp_path / "out")
    shown.print(RowView(tmp_path / "out", split, colour=False).show(split[0]))
    number = int(split[0]["row_id"].partition(":")[2]) - 1
    mark = "" if number == 3 else f"×{0.25 * (number + 1):g}"  # a weight of 1 needs no mark
    assert f"⟦a lazy dog {number}<|im_end|>⟧{mark}" in shown.file.getvalue()


def test_the_weight_of_a_row_is_kept_in_text_and_shown_in_its_title(tmp_path, text_recipe, text_tokenizer):
    schema = {
        "name": "weighed",
        "task": "text_classification",
        "columns": {"text": {}, "label": {}, "counts": {"dtype": "float"}},
        "parts": {"text": "text", "label": "label", "weight": "counts"},
    }
    (tmp_path / "weighed.yaml").write_text(json.dumps(schema))
    rows = [{"text": f"the quick fox number {n}", "label": "ab"[n % 2], "counts": 0.5 + n} for n in range(20)]
    sftdata.prepare(sftdata.load_recipe(text_recipe(rows, schema="weighed.yaml")))
    sftdata.export(tmp_path / "out", tmp_path / "text", to="parquet", contents="text")
    table = pl.read_parquet(tmp_path / "text" / "train-*.parquet")
    assert table.columns == ["row_id", "weight", "text", "label"]
    split = sftdata.load_split(tmp_path / "out")
    assert table["weight"].to_list() == [row["weight"] for row in split]
    shown = Console(file=io.StringIO(), width=200)
    shown.print(RowView(tmp_path / "out", split, colour=False).show(split[0]))
    assert f", weight {split[0]['weight']:g}" in shown.file.getvalue()
