"""`prepare --plan` writes nothing, refuses what a run refuses before it reads, and comes near what a run then gives."""

import gzip
import json
import sqlite3

import polars as pl
import pytest
from examples import make_texts, write_jsonl

import sftdata
from sftdata.errors import OutputError, RecipeError, SourceError, TokenizerError, UsageError
from sftdata.forecast import forecast
from sftdata.recipe import load_recipe
from sftdata.report.progress import UNITS
from sftdata.sources import parsing
from sftdata.trial import CHUNKS


def files_in(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture
def small_chunks(monkeypatch):
    """A sample is a small part of a few thousand rows."""
    monkeypatch.setattr(parsing, "CHUNK_ROWS", 200)


def test_a_plan_of_small_data_is_what_a_run_does_and_writes_nothing(tmp_path, text_recipe):
    rows = [*make_texts(300), *make_texts(20), {"text": " ", "label": "a"}]
    recipe = load_recipe(text_recipe(rows, deduplicate={"exact": True}, max_rejected=5))
    before = files_in(tmp_path)
    found = forecast(recipe)
    assert files_in(tmp_path) == before
    manifest = sftdata.prepare(recipe)
    assert found.sample == {"rows": 321, "bytes": found.sample["bytes"], "is_all": True}
    assert found.rows == manifest.rows.model_dump()
    assert found.splits == {name: {"rows": s.rows, "tokens": s.tokens} for name, s in manifest.splits.items()}
    assert found.rejected_by_reason == manifest.rejected_by_reason
    assert found.tokenizer["backend"] == manifest.tokenizer.backend
    assert found.warnings == []
    assert forecast(recipe).output["stands_there"] == "a dataset of 300 rows, which is replaced"


def test_a_sample_stands_for_data_of_any_size(tmp_path, text_recipe, small_chunks):
    recipe = load_recipe(text_recipe([*make_texts(5000), *[{"text": "", "label": "a"}] * 3], max_rejected=1.0))
    found = forecast(recipe)
    assert not found.sample["is_all"]
    assert found.sample["rows"] == 200 * CHUNKS
    manifest = sftdata.prepare(recipe)
    assert found.rows["read"] == pytest.approx(manifest.rows.read, rel=0.05)
    tokens = sum(split.tokens for split in manifest.splits.values())
    assert sum(split["tokens"] for split in found.splits.values()) == pytest.approx(tokens, rel=0.1)
    shards = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)
    assert shards < found.disk["dataset"] < 1.5 * shards + 2 * 10**6


@pytest.mark.parametrize("kind", ["jsonl.gz", "parquet"])
def test_packed_rows_are_counted_as_they_are_unpacked(tmp_path, text_recipe, small_chunks, kind):
    rows, path = make_texts(5000), tmp_path / f"packed.{kind}"
    if kind == "parquet":
        pl.DataFrame(rows).write_parquet(path, row_group_size=500)
    else:
        plain = write_jsonl(tmp_path / "plain.jsonl", rows)
        path.write_bytes(gzip.compress(plain.read_bytes()))
    found = forecast(load_recipe(text_recipe(sources=[{"path": path.name}])))
    assert found.inputs[0]["rows"] == pytest.approx(5000, rel=0 if kind == "parquet" else 0.05)


def test_of_many_files_some_stand_for_all(tmp_path, text_recipe, small_chunks):
    for number in range(30):
        write_jsonl(tmp_path / f"part-{number:02}.jsonl", make_texts(100 * (1 + number % 3)))
    found = forecast(load_recipe(text_recipe(sources=[{"path": "part-*.jsonl"}], deduplicate={"near": False})))
    assert len(found.inputs) == 30
    assert found.rows["read"] == pytest.approx(6000, rel=0.05)


def test_workers_take_time_to_start_and_memory(text_recipe):
    recipe = load_recipe(text_recipe(make_texts(100)))
    one, two = forecast(recipe), forecast(recipe, workers=2)
    assert two.seconds["read and check"] > one.seconds["read and check"]
    assert two.memory > 1.5 * one.memory


def test_what_a_run_refuses_before_it_reads_is_refused(tmp_path, text_recipe):
    with pytest.raises(SourceError, match="no such file"):
        forecast(load_recipe(text_recipe(sources=[{"path": "nowhere.csv"}])))
    with pytest.raises(TokenizerError):
        forecast(load_recipe(text_recipe(tokenize={"tokenizer": str(tmp_path), "max_length": 9})))
    with pytest.raises(RecipeError, match="no column 'author'"):
        forecast(load_recipe(text_recipe(split={"group": "author"})))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.doc").touch()
    with pytest.raises(OutputError, match="not written by sftdata"):
        forecast(load_recipe(text_recipe()), out=tmp_path / "taken")
    with pytest.raises(OutputError, match="is a file"):
        forecast(load_recipe(text_recipe()), out=tmp_path / "data.jsonl")
    with pytest.raises(UsageError):
        forecast(load_recipe(text_recipe(schema="text_lable")))


@pytest.mark.parametrize(
    ("rows", "given", "said"),
    [
        ([*make_texts(90), *[{"text": " ", "label": "a"}] * 10], {}, "10 of 100 rows were rejected"),
        ([{"text": " ", "label": "a"}], {"max_rejected": 1.0}, ""),
        (make_texts(30), {"split": {"test": 100}}, "more than the 100"),
        (make_texts(30), {"decontaminate": {"files": ["data.jsonl"]}}, "30 of 30"),
    ],
)
def test_what_a_run_refuses_of_the_rows_is_a_warning(text_recipe, rows, given, said):
    found = forecast(load_recipe(text_recipe(rows, **given)))
    assert any(said in warning for warning in found.warnings) or not said
    assert found.rows["read"] == len(rows)


def test_rows_of_a_database_may_be_more_than_anybody_knows(tmp_path, text_recipe, small_chunks):
    with sqlite3.connect(tmp_path / "texts.db") as database:
        database.execute("CREATE TABLE texts (text, label)")
        database.executemany("INSERT INTO texts VALUES (:text, :label)", make_texts(3000))
    database.close()
    source = {"uri": f"sqlite:///{tmp_path}/texts.db", "query": "SELECT text, label FROM texts ORDER BY rowid"}
    found = forecast(load_recipe(text_recipe(sources=[source])))
    assert found.rows["read"] >= 200 * CHUNKS
    assert found.splits["train"]["rows"] > 0


def test_an_empty_source_is_a_warning(text_recipe):
    assert "no record" in forecast(load_recipe(text_recipe([]))).warnings[0]


def test_every_stage_that_is_told_has_a_unit(text_recipe):
    told = set()
    recipe = load_recipe(
        text_recipe(
            make_texts(100),
            clean={"whitespace": "lines"},
            tokenize={"train_tokenizer": {"kind": "word", "segmenter": "whitespace", "min_frequency": 1}},
        )
    )
    sftdata.prepare(recipe, watch=lambda stage, done, total: told.add(stage))
    forecast(recipe, watch=lambda stage, done, total: told.add(stage))
    sftdata.verify(recipe.resolve(recipe.output.dir), watch=lambda stage, done, total: told.add(stage))
    assert told <= UNITS.keys()
    assert len(told) == 9


def test_the_document_is_json(text_recipe):
    document = json.loads(json.dumps(forecast(load_recipe(text_recipe())).to_json()))
    assert document["total_seconds"] == pytest.approx(sum(document["seconds"].values()))
    assert [one["stage"] for one in document["stages"]] == ["validate", "deduplicate", "split", "tokenize"]
