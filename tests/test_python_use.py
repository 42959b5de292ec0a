"""Use from Python: recipes as mappings, frames as data, and objects that show what they are."""

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import sftdata
from sftdata.errors import NothingToWrite, RecipeError, SourceError, UsageError
from sftdata.sources import parsing

ROWS = {
    "text": ["good", " ", "中文", None, "last"],
    "label": ["a", "a", "b", "b", "a\u2028b"],
    "number": [1, 2, 3, 4, 5],
}
"""The second and the fourth are at fault."""


def make_frames():
    import datasets
    import pandas

    frame = pl.DataFrame(ROWS)
    return {
        "polars": frame,
        "lazy": frame.lazy(),
        "sliced": pl.concat([frame[:1], frame, frame[:1]])[1:6],
        "chunked": pl.concat([frame[:2], frame[2:]], rechunk=False),
        "pandas": pandas.DataFrame(ROWS, index=[7, 7, 3, 1, 0]),
        "table": pa.concat_tables([pa.table(ROWS)[:3], pa.table(ROWS)[3:]]),
        "batch": pa.RecordBatch.from_pydict(ROWS),
        "datasets": datasets.Dataset.from_dict(ROWS).select([0, 1, 2, 3, 4]),
    }


FRAMES = make_frames()
GIVEN_BACK = {"pandas": "pandas", "table": "pyarrow", "batch": "pyarrow", "datasets": "pyarrow"}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_of_any_kind_is_judged_and_given_back_in_its_kind(kind):
    report = sftdata.validate(FRAMES[kind], "text_label")
    assert (report.rows, report.accepted, report.rejected) == (5, 3, 2)
    assert report.reasons == {"text:not_blank": 1, "text:not_nullable": 1}
    assert type(report.accepted_rows).__module__.split(".")[0] == GIVEN_BACK.get(kind, "polars")
    kept = pl.DataFrame(report.accepted_rows)
    assert kept.select("text", "label", "number").rows() == pl.DataFrame(ROWS)[[0, 2, 4]].rows()
    if kind == "pandas":
        assert list(report.accepted_rows.index) == [7, 3, 0]


def test_rejected_rows_tell_record_reasons_and_content():
    report = sftdata.validate(FRAMES["polars"], "text_label")
    rejected = report.rejected_rows
    assert rejected.columns == ["source", "record", "reason", "reasons", "detail", "original"]
    assert rejected["record"].to_list() == [2, 4]
    assert rejected["reason"].to_list() == ["text:not_blank", "text:not_nullable"]
    assert json.loads(rejected["original"][0]) == {"text": " ", "label": "a", "number": 2}
    assert FRAMES["polars"][rejected["record"] - 1]["number"].to_list() == [2, 4]


def test_a_frame_without_faults_or_with_nothing_else():
    good = sftdata.validate(pl.DataFrame(ROWS)[[0]], "text_label")
    assert (len(good.accepted_rows), good.rejected_rows.shape) == (1, (0, 6))
    bad = sftdata.validate(pl.DataFrame(ROWS)[[1]], "text_label")
    assert (len(bad.accepted_rows), len(bad.rejected_rows)) == (0, 1)
    with pytest.raises(NothingToWrite, match="no record in frame"):
        sftdata.validate(pl.DataFrame(ROWS)[:0], "text_label")


@given(st.lists(st.tuples(st.sampled_from(["a", "", " ", None, "b"]), st.sampled_from(["x", None])), min_size=1))
def test_accepted_and_rejected_rows_are_all_rows_in_order(rows):
    frame = pl.DataFrame(rows, schema={"text": pl.String, "label": pl.String}, orient="row").with_row_index()
    report = sftdata.validate(frame, "text_label")
    bad = [place for place, (text, label) in enumerate(rows) if not (text or "").strip() or label is None]
    assert (report.rejected_rows["record"] - 1).to_list() == bad
    assert report.accepted_rows["index"].to_list() == [place for place in range(len(rows)) if place not in bad]
    assert (report.accepted, report.rejected) == (len(rows) - len(bad), len(bad))


def test_values_that_may_stand_once_are_rejected_in_a_frame_too_and_in_several_chunks(monkeypatch):
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 2)
    schema = sftdata.Schema.model_validate({"name": "keys", "columns": {"key": {"dtype": "str", "unique": True}}})
    report = sftdata.validate(pl.DataFrame({"key": ["a", "b", "c", "a", "d"]}), schema)
    assert report.reasons == {"key:unique": 2}
    assert report.accepted_rows["key"].to_list() == ["b", "c", "d"]
    assert report.rejected_rows["record"].to_list() == [1, 4]


def test_a_pandera_model_judges_a_frame():
    import pandera.polars

    class Reviews(pandera.polars.DataFrameModel):
        text: str
        number: int = pandera.polars.Field(lt=4)

    report = sftdata.validate(pl.DataFrame(ROWS)[[0, 2, 4]], Reviews)
    assert report.reasons == {"number:less_than": 1}
    assert report.accepted_rows["number"].to_list() == [1, 3]


def test_several_workers_judge_a_frame_alike(tmp_path):
    frame = pl.DataFrame(ROWS)
    report = sftdata.validate(frame, "text_label", workers=2, rejected=str(tmp_path / "r.jsonl"))
    assert report == sftdata.validate(frame, "text_label")
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2
    again = sftdata.validate(tmp_path / "r.jsonl", "text_label")  # what was in a frame can be fed in again
    assert again.reasons == report.reasons


def test_rows_of_files_can_be_had_as_well(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('text,label,number\ngood,a,1\n,a,2\n中文,b,3\n"cut\n', encoding="utf-8")
    report = sftdata.validate(path, "text_label")
    assert (report.rows, report.rejected) == (4, 2)
    assert report.accepted_rows.to_dict(as_series=False) == {"text": ["good", "中文"], "label": ["a", "b"]}
    assert report.rejected_rows["record"].to_list() == [2, 4]
    changed = sftdata.validate(path, "text_label")
    path.write_text("text,label\ngood,a\n", encoding="utf-8")
    with pytest.raises(SourceError, match="0 rows are rejected now, 2 were before"):
        changed.accepted_rows  # noqa: B018


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "found int, expected files, or a frame"),
        ([{"text": "a"}], "found list, expected files.*polars.DataFrame"),
        ({"text": ["a"]}, "found dict, expected files"),
        ("none.csv", "no such file"),
    ],
)
def test_what_is_no_data_is_one_message(data, message):
    with pytest.raises(SourceError, match=message):
        sftdata.validate(data, "text_label")


def test_a_column_that_arrow_cannot_hold_is_one_message():
    import pandas

    with pytest.raises(SourceError, match=r"cannot be read as Arrow: .*column text"):
        sftdata.validate(pandas.DataFrame({"text": ["a", 3], "label": ["b", "c"]}), "text_label")


def as_mapping(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_a_mapping_a_path_and_a_recipe_give_the_same_data(text_recipe, tmp_path, monkeypatch):
    path = text_recipe()
    expected = sftdata.prepare(sftdata.load_recipe(path))
    assert sftdata.prepare(path, out=str(tmp_path / "two")).splits == expected.splits
    mapping = as_mapping(path)
    assert sftdata.prepare(sftdata.load_recipe(mapping, base=tmp_path), out=tmp_path / "three") == expected
    monkeypatch.chdir(tmp_path)
    assert sftdata.prepare({**mapping, "output": {"dir": Path("four")}}).splits == expected.splits
    assert sftdata.verify(tmp_path / "four").splits == expected.splits
    assert sftdata.load_recipe(expected_recipe := sftdata.load_recipe(path)) is expected_recipe


def test_a_faulty_mapping_is_told_all_at_once_with_keys_and_without_lines():
    faulty = {"task": "nonsense", "sources": [{"path": 5}], "tokenize": {"tokenizer": "x", "max_lengt": 3}, "more": 1}
    with pytest.raises(RecipeError) as found:
        sftdata.prepare(faulty)
    assert [fault.partition(":")[0] for fault in found.value.faults] == [
        "more",
        "output",
        "schema",
        "sources.0.path",
        "task",
        "tokenize.max_lengt",
    ]
    assert "did you mean 'max_length'?" in str(found.value)
    assert "line" not in str(found.value)


@pytest.mark.parametrize("nothing", [None, 5, ["recipe.yaml"]])
def test_what_is_no_recipe_is_one_message(nothing):
    with pytest.raises(RecipeError, match="expected a file, a mapping of its keys, or a recipe"):
        sftdata.prepare(nothing)


def test_reprs_show_what_a_notebook_should(text_recipe, tmp_path):
    recipe = sftdata.load_recipe(text_recipe())
    assert "augment" not in repr(recipe)
    assert repr(recipe).startswith("Recipe(task=<Task.TEXT_CLASSIFICATION: 'text_classification'>, schema_name=")
    manifest = sftdata.prepare(recipe)
    first, train, *others = repr(manifest).splitlines()
    assert first == "text_classification: 200 read = 200 written + 0 rejected + 0 duplicates"
    assert train.split()[:3] == ["train", "160", "rows"]
    assert [line.split()[0] for line in others] == ["validation", "test"]
    report = sftdata.validate(FRAMES["polars"], "text_label")
    assert repr(report).splitlines() == [
        "5 rows: 3 accepted, 2 rejected",
        "       1  text:not_blank",
        "       1  text:not_nullable",
    ]
    assert repr(sftdata.load_split(tmp_path / "out", "test")).startswith(f"<Split 'test' of {tmp_path / 'out'}: ")


def test_training_needs_to_know_how(text_recipe, tmp_path):
    path = text_recipe()
    sftdata.prepare(path)
    with pytest.raises(UsageError, match="no `train` part"):
        sftdata.train(path)
    with pytest.raises(UsageError, match="no `train` part"):
        sftdata.predict(as_mapping(path), "a text")
    with pytest.raises(UsageError, match="nothing says how to train"):
        sftdata.train(tmp_path / "out")
    with pytest.raises(UsageError, match=r"train: output_dir: missing.*epoch: unknown key; did you mean 'epochs'"):
        sftdata.train(tmp_path / "out", {"model": "x", "epoch": 3})
