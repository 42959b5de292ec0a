"""`train`, `evaluate` and `predict` take a recipe in any form, or directories, and do the same."""

import json

import numpy as np
import polars as pl
import pytest
from spoken import write_spoken
from tiny import settings

import sftdata
from sftdata.errors import TrainingError
from sftdata.records import Task


@pytest.fixture(scope="module")
def given(tmp_path_factory, tiny_bert):
    """A prepared dataset, and a recipe that says it was made by it."""
    folder = tmp_path_factory.mktemp("given")
    data = write_spoken(folder, Task.TEXT_CLASSIFICATION, rows=16)
    train = settings(tiny_bert, folder / "run", max_steps=2).model_dump(mode="json", exclude_unset=True)
    recipe = {"task": "text_classification", "schema": "text_label", "sources": [{"path": "data.csv"}]}
    recipe |= {"tokenize": {"tokenizer": "-"}, "output": {"dir": str(data)}, "train": train}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    sftdata.train(path, progress=False)
    return folder, path, recipe, data


def test_a_recipe_trains_as_its_parts_do(given, tmp_path):
    folder, path, recipe, data = given
    trained = (folder / "run" / "model.safetensors").read_bytes()
    for number, arguments in enumerate(
        [(recipe,), (data,), (str(data),), (sftdata.load_recipe(path),)],
    ):
        other = {**recipe["train"], "output_dir": str(tmp_path / str(number))}
        result = sftdata.train(*arguments, other, progress=False)
        assert result.steps == 2
        assert (tmp_path / str(number) / "model.safetensors").read_bytes() == trained


def test_a_recipe_and_a_run_are_measured_alike(given):
    folder, path, recipe, data = given
    expected = sftdata.evaluate(folder / "run", data, "validation")
    for run in (path, str(path), recipe, sftdata.load_recipe(recipe), folder / "run", str(folder / "run")):
        assert sftdata.evaluate(run, split="validation") == expected


def test_texts_come_as_a_list_a_column_or_alone(given):
    folder, path, recipe, _ = given
    texts = ["w5 w6", "w7"]
    import pandas

    expected = sftdata.predict(folder / "run", texts)
    assert [row["text"] for row in expected] == texts
    for column in (tuple(texts), iter(texts), pl.Series(texts), pandas.Series(texts), np.array(texts)):
        assert sftdata.predict(path, column) == expected
    assert sftdata.predict(recipe, texts[1])[0]["label"] == expected[1]["label"]


def test_what_is_no_run_is_one_message(tmp_path):
    with pytest.raises(TrainingError, match="is not a run"):
        sftdata.evaluate(tmp_path)
    with pytest.raises(TrainingError, match="is not a run"):
        sftdata.predict(tmp_path / "none", "a")
