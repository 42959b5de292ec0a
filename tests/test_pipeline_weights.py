"""Weights of rows and of turns, from CSV and JSON Lines to shards: each label gets its own, else nothing changes."""

import csv
import json
from pathlib import Path

import independent
import pytest
import yaml
from examples import make_conversations, make_pairs, make_tagged, make_texts, make_translations

import sftdata
from sftdata import IGNORE_INDEX
from sftdata.errors import SchemaError
from sftdata.schema import Schema, schema_directory
from sftdata.sources import parsing
from sftdata.tokenizers.loading import load_tokenizer

ROWS = {"text": make_texts, "chat": make_conversations, "tag": make_tagged, "translation": make_translations}
ROWS |= dict.fromkeys(("pair", "multilabel", "regression"), make_pairs)
SHARDS = {"dir": "out", "shard_size": "4KB"}


def weight_of(number):
    """The weight of the row with this place; every fifth has none."""
    return None if number % 5 == 4 else 0.25 * (1 + number % 4)


def read_yaml(path):
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def add_weight(recipe, **column):
    """Give the recipe a schema that has a column `counts` with the weights of rows."""
    document = read_yaml(recipe)
    own, shipped = recipe.parent / document["schema"], schema_directory() / f"{document['schema']}.yaml"
    schema = read_yaml(own if own.is_file() else shipped)
    schema["columns"]["counts"] = {"dtype": "float", "nullable": True, **column}
    schema["parts"]["weight"] = "counts"
    (recipe.parent / "weighed.yaml").write_text(json.dumps(schema))
    recipe.write_text(json.dumps({**document, "schema": "weighed.yaml"}))
    return recipe


def prepare(recipe, **options):
    return sftdata.prepare(sftdata.load_recipe(recipe), **options)


def everything(out):
    return [row for split in sftdata.read_manifest(out).splits for row in sftdata.load_split(out, split)]


def place_of(row):
    return int((row.get("parent_id") or row["row_id"]).partition(":")[2].partition("/")[0]) - 1


def shards(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.arrow"))}


@pytest.mark.parametrize("kind", ROWS)
def test_every_row_has_its_weight_and_is_as_before_else(request, tmp_path, kind):
    rows = [{**row, "counts": weight_of(number)} for number, row in enumerate(ROWS[kind](60))]
    recipe = request.getfixturevalue(f"{kind}_recipe")(rows, max_rejected=1.0, output=SHARDS)
    prepare(recipe)
    plain = everything(tmp_path / "out")
    prepare(add_weight(recipe))
    sftdata.verify(tmp_path / "out")
    assert independent.Checker(tmp_path / "out").faults == []
    found = everything(tmp_path / "out")
    assert len(found) > 30
    assert [row.pop("weight") for row in found] == [weight_of(place_of(row)) or 1.0 for row in plain]
    assert found == plain


def test_a_table_of_csv_has_weights(tmp_path, text_recipe):
    recipe = text_recipe(sources=[{"path": "data.csv"}], max_rejected=1.0)
    given = ["0.5", "", "2", "3e-1", "0", "-1", "nan", "inf", "1e39", "1e-60", "much", "1"]
    with (tmp_path / "data.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "counts"])
        table.writerows([*row.values(), weight] for row, weight in zip(make_texts(12), given, strict=True))
    manifest = prepare(add_weight(recipe))
    found = {place_of(row): row["weight"] for row in everything(tmp_path / "out")}
    assert found == pytest.approx({0: 0.5, 1: 1.0, 2: 2.0, 3: 0.3, 11: 1.0})
    assert manifest.rejected_by_reason == {"counts:weight": 6, "counts:dtype": 1}
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    of_weight = [line["detail"] for line in lines if line["reason"] == "counts:weight"]
    assert of_weight[0] == "counts: found 0.0, expected a number above 0, up to 3.4e+38 (0 would train nothing)"


def test_validation_alone_finds_the_same_faults(tmp_path, text_recipe):
    rows = [{**row, "counts": weight} for row, weight in zip(make_texts(3), (0, -2, 1), strict=True)]
    add_weight(text_recipe(rows))
    result = sftdata.validate([tmp_path / "data.jsonl"], tmp_path / "weighed.yaml")
    assert (result.accepted, result.reasons) == (1, {"counts:weight": 2})


def test_pandera_gives_the_same_verdict_and_a_schema_of_its_own_may_name_a_weight(tmp_path, text_recipe):
    import pandera.polars as pa
    import polars as pl

    add_weight(text_recipe())
    schema = sftdata.load_schema(tmp_path / "weighed.yaml")
    frame = pl.DataFrame({"text": ["a", "b", "c"], "label": ["x"] * 3, "counts": [0.5, 0.0, None]})
    with pytest.raises(pa.errors.SchemaErrors) as refused:
        schema.to_pandera().validate(frame, lazy=True)
    assert list(refused.value.failure_cases["failure_case"]) == ["0.0"]
    (tmp_path / "judges.py").write_text(
        "import pandera.polars as pa\n\nclass Rows(pa.DataFrameModel):\n    text: str\n    label: str\n    n: float\n"
    )
    parts = {"text": "text", "label": "label", "weight": "n"}
    own = {"name": "own", "task": "text_classification", "pandera": "judges:Rows", "parts": parts}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    rows = [{**row, "n": 0.5 * (number % 3)} for number, row in enumerate(make_texts(30))]
    manifest = prepare(text_recipe(rows, schema="own.yaml", max_rejected=1.0))
    assert manifest.rejected_by_reason == {"n:weight": 10}
    assert {row["weight"] for row in everything(tmp_path / "out")} == {0.5, 1.0}


@pytest.mark.parametrize(("dtype", "good"), [("float", True), ("int", True), ("str", False), ("bool", False)])
def test_a_weight_is_a_number(dtype, good):
    columns = {"text": {}, "label": {}, "counts": {"dtype": dtype}}
    parts = {"text": "text", "label": "label", "weight": "counts"}
    document = {"name": "x", "task": "text_classification", "columns": columns, "parts": parts}
    if good:
        assert Schema.model_validate(document).has_weights
    else:
        with pytest.raises(ValueError, match="this part needs float or int"):
            Schema.model_validate(document)


def test_a_schema_without_a_task_has_no_weight(tmp_path):
    (tmp_path / "s.yaml").write_text("{name: x, columns: {n: {dtype: float}}, parts: {weight: n}}")
    with pytest.raises(SchemaError, match="a schema without a task has no parts"):
        sftdata.load_schema(tmp_path / "s.yaml")


def test_copies_repetitions_and_folds_keep_the_weight_of_their_row(tmp_path, text_recipe):
    rows = [{**row, "counts": weight_of(number)} for number, row in enumerate(make_texts(90))]
    augment = [{"random_swap": {"rate": 0.5, "copies": 2}}]
    split = {"folds": 3, "test": 0.1, "seed": 7}
    prepare(add_weight(text_recipe(rows, augment=augment, balance={"oversample": "largest"}, split=split)))
    assert independent.Checker(tmp_path / "out").faults == []
    found = everything(tmp_path / "out")
    assert sum("+" in row["row_id"] for row in found) > 20
    assert sum("*" in row["row_id"] for row in found) > 20
    assert list(found[0]) == ["row_id", "input_ids", "labels", "weight", "parent_id", "fold"]
    assert all(row["weight"] == (weight_of(place_of(row)) or 1.0) for row in found)


# Turns


def weigh_turns(rows):
    """Give every response a weight of its own, by its place; some have none or `train`."""
    given = [{"weight": 0.5}, {}, {"weight": 0}, {"weight": 3}, {"train": False}, {"train": True}, {"weight": 0.125}]
    weighed = []
    for number, row in enumerate(rows):
        turns = [
            {**turn, **(given[(number + place) % len(given)] if turn["role"] == "assistant" else {})}
            for place, turn in enumerate(row["messages"])
        ]
        weighed.append({**row, "messages": turns})
    return weighed


def said(turns):
    """The responses that are trained, with the token that ends each, and what each weighs."""
    found = []
    for turn in turns:
        weight = turn.get("weight", turn.get("train", 1.0)) if turn["role"] == "assistant" else 0
        found += [(turn["content"] + "<|im_end|>", float(weight))] * (float(weight) > 0)
    return found


def decode(tokenizer, example):
    """What the labels of each weight say, as they follow each other; a weight of 0 is no label's."""
    runs = []
    weights = example.get("weights", [float(label != IGNORE_INDEX) for label in example["labels"]])
    for place, (label, weight) in enumerate(zip(example["labels"], weights, strict=True)):
        assert (label == IGNORE_INDEX) == (weight == 0)
        goes_on = place and weights[place - 1] == weight and runs
        if label != IGNORE_INDEX and goes_on:
            runs[-1][0].append(label)
        elif label != IGNORE_INDEX:
            runs.append(([label], weight))
    return [(tokenizer.reference.decode(ids, skip_special_tokens=False), weight) for ids, weight in runs]


def test_each_response_has_the_weight_of_its_turn(tmp_path, chat_recipe, chat_tokenizer):
    rows, tokenizer, seen = weigh_turns(make_conversations(90)), load_tokenizer(str(chat_tokenizer)), set()
    manifest = prepare(chat_recipe(rows, max_rejected=1.0, output=SHARDS))
    sftdata.verify(tmp_path / "out")
    assert independent.Checker(tmp_path / "out").faults == []
    found = everything(tmp_path / "out")
    for row in found:
        expected = said(rows[place_of(row)]["messages"])
        assert decode(tokenizer, row) == expected
        seen |= {weight for _, weight in expected}
    assert seen == {0.125, 0.5, 1.0, 3.0}
    assert len(found) > 60
    assert set(manifest.rejected_by_reason) <= {"response_boundary", "nothing_trained"}
    assert list(found[0]) == ["row_id", "input_ids", "labels", "weights"]


def test_weights_of_turns_and_of_rows_stand_side_by_side(tmp_path, chat_recipe):
    rows = weigh_turns(make_conversations(30))
    rows = [{**row, "counts": weight_of(number)} for number, row in enumerate(rows)]
    prepare(add_weight(chat_recipe(rows, max_rejected=1.0)))
    assert independent.Checker(tmp_path / "out").faults == []
    found = everything(tmp_path / "out")
    assert list(found[0]) == ["row_id", "input_ids", "labels", "weights", "weight"]
    assert all(row["weight"] == (weight_of(place_of(row)) or 1.0) for row in found)


def test_a_turn_that_is_trained_or_not_needs_no_column(tmp_path, chat_recipe):
    """Weights of 0 and 1, and of turns that are no response, are the mask that there has always been."""
    rows = make_conversations(20)
    rows[3]["messages"][-1]["weight"], rows[4]["messages"][-1]["weight"] = 1, 0
    rows[5]["messages"][-2]["weight"] = 0.5
    prepare(chat_recipe(rows, max_rejected=1.0))
    assert list(everything(tmp_path / "out")[0]) == ["row_id", "input_ids", "labels"]


def test_one_weight_in_one_chunk_gives_all_shards_the_column_for_any_number_of_workers(
    tmp_path, monkeypatch, chat_recipe
):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 10)
    rows = make_conversations(80)
    rows[71]["messages"][-1]["weight"] = 0.5
    recipe, seen = chat_recipe(rows, max_rejected=1.0, output=SHARDS), []
    for workers in (1, 3):
        prepare(recipe, workers=workers)
        seen.append(shards(tmp_path / "out"))
    assert seen[0] == seen[1]
    found = everything(tmp_path / "out")
    assert len(found) > 50
    assert all("weights" in row for row in found)
    assert {weight for row in found if place_of(row) != 71 for weight in row["weights"]} == {0.0, 1.0}


@pytest.mark.parametrize("weight", [-1, -1e-9, 1e39, 1e-60, "much", True, [1]])
@pytest.mark.parametrize("details", [{}, {"name": "bot"}])
def test_what_is_no_weight_rejects_the_row_and_says_why(tmp_path, chat_recipe, weight, details):
    rows = make_conversations(12)
    rows[2]["messages"][-1] |= {"weight": weight, **details}
    manifest = prepare(chat_recipe(rows, max_rejected=1.0))
    assert manifest.rejected_by_reason["messages:dtype"] == 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    (line,) = (line for line in lines if line["reason"] == "messages:dtype")
    assert line["record"] == 3
    assert f"found {weight!r} as weight of turn" in line["detail"]
    assert "expected a number from 0 to 3.4e+38" in line["detail"]


@pytest.mark.parametrize("overflow", ["truncate", "split"])
def test_what_is_left_of_a_long_conversation_keeps_its_weights(tmp_path, chat_recipe, chat_tokenizer, overflow):
    rows, tokenizer = weigh_turns(make_conversations(90)), load_tokenizer(str(chat_tokenizer))
    tokenize = {"tokenizer": str(chat_tokenizer), "max_length": 110, "overflow": overflow}
    prepare(chat_recipe(rows, max_rejected=1.0, tokenize=tokenize))
    assert independent.Checker(tmp_path / "out").faults == []
    shorter, of_row = 0, {}
    for row in everything(tmp_path / "out"):
        of_row.setdefault(place_of(row), []).append((row["row_id"], decode(tokenizer, row)))
    for place, parts in of_row.items():
        expected, found = said(rows[place]["messages"]), [run for _, runs in sorted(parts) for run in runs]
        shorter += found != expected if overflow == "truncate" else len(parts) > 1
        if overflow == "split":
            assert set(found) <= set(expected), "a part in which nothing is trained is left out, and no more"
            assert found == expected
        else:
            assert [weight for _, weight in found] == [weight for _, weight in expected][: len(found)]
            texts = zip(found, expected, strict=False)  # a sign of several tokens may be cut in two
            assert all(whole.startswith(text.rstrip("�")) for (text, _), (whole, _) in texts)
    assert shorter > 5


def test_spelled_control_tokens_and_offsets_of_characters_keep_weights(tmp_path, chat_recipe, chat_tokenizer):
    """Rows that are escaped, and weave with others, have weights as well."""
    tokenizer = load_tokenizer(str(chat_tokenizer))
    rows = weigh_turns(make_conversations(40))
    for row in rows[::3]:
        row["messages"][-1]["content"] = f"a <|im_end|> b {row['messages'][-1]['content']}"
    tokenize = {"tokenizer": str(chat_tokenizer), "max_length": 512, "special_tokens_in_text": "escape"}
    prepare(chat_recipe(rows, max_rejected=1.0, tokenize=tokenize))
    found = everything(tmp_path / "out")
    assert sum(place_of(row) % 3 == 0 for row in found) > 8
    for row in found:
        assert decode(tokenizer, row) == said(rows[place_of(row)]["messages"])


def test_copies_of_conversations_keep_the_weights_of_their_turns(tmp_path, chat_recipe, chat_tokenizer):
    rows, tokenizer = weigh_turns(make_conversations(40)), load_tokenizer(str(chat_tokenizer))
    for number, row in enumerate(rows):
        row["messages"][-2]["content"] = f"the quick brown fox jumps over number {number} and a lazy dog"
    augment = [{"random_deletion": {"rate": 0.4, "copies": 1}}]
    prepare(chat_recipe(rows, max_rejected=1.0, augment=augment))
    found = [row for row in everything(tmp_path / "out") if "+" in row["row_id"]]
    assert len(found) > 8
    for row in found:
        assert decode(tokenizer, row) == said(rows[place_of(row)]["messages"])
