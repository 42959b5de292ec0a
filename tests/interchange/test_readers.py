"""datasets, polars, DuckDB and pyarrow read the shards and the exports, each in its own ways."""

import datasets
import duckdb
import polars as pl
import pyarrow as pa
import pytest
import torch

import sftdata

KINDS = ["text", "chat", "tag", "translation", "multilabel", "regression", "pair"]


@pytest.fixture(params=KINDS)
def prepared(request, tmp_path):
    write = request.getfixturevalue(f"{request.param}_recipe")
    sftdata.prepare(sftdata.load_recipe(write(output={"dir": "out", "shard_size": 3000})))
    return tmp_path / "out"


def ours(directory, split="train"):
    return list(sftdata.load_split(directory, split))


def test_datasets_gives_tensors(prepared):
    loaded = datasets.load_from_disk(str(prepared))["train"].with_format("torch", output_all_columns=True)
    for row, found in zip(ours(prepared), loaded, strict=True):
        for name, value in row.items():
            if name != "row_id":
                assert isinstance(found[name], torch.Tensor)
                assert found[name].tolist() == value
        assert found["input_ids"].dtype == torch.int64


def test_datasets_streams(prepared):
    loaded = datasets.load_from_disk(str(prepared))["train"]
    assert list(loaded.to_iterable_dataset(num_shards=2)) == ours(prepared)


def test_polars_reads_shards_and_exports(prepared, tmp_path):
    shards = sorted((prepared / "train").glob("*.arrow"))
    frames = [pl.read_ipc_stream(shard) for shard in shards]
    assert pl.concat(frames).to_dicts() == ours(prepared)
    assert pl.DataFrame(sftdata.load_split(prepared).table).to_dicts() == ours(prepared)
    sftdata.export(prepared, tmp_path / "parquet", to="parquet")
    assert pl.scan_parquet(tmp_path / "parquet" / "train-*.parquet").collect().to_dicts() == ours(prepared)
    sftdata.export(prepared, tmp_path / "jsonl", to="jsonl")
    assert pl.scan_ndjson(tmp_path / "jsonl" / "train-*.jsonl").collect().to_dicts() == ours(prepared)


def test_duckdb_reads_shards_and_exports(prepared, tmp_path):
    rows = ours(prepared)
    table = sftdata.load_split(prepared).table
    with duckdb.connect() as connection:
        connection.register("shards", table)
        asked = "select row_id, input_ids, labels from {} order by len(input_ids), row_id"
        expected = sorted(((r["row_id"], r["input_ids"], r["labels"]) for r in rows), key=lambda r: (len(r[1]), r[0]))
        assert connection.sql(asked.format("shards")).fetchall() == expected
        sftdata.export(prepared, tmp_path / "parquet", to="parquet")
        files = f"'{tmp_path}/parquet/train-*.parquet'"
        assert connection.sql(asked.format(files)).fetchall() == expected
        sftdata.export(prepared, tmp_path / "jsonl", to="jsonl")
        files = f"'{tmp_path}/jsonl/train-*.jsonl'"
        assert [found[:2] for found in connection.sql(asked.format(files)).fetchall()] == [row[:2] for row in expected]


def test_datasets_finds_the_splits_and_class_names_of_tables(prepared, tmp_path):
    sftdata.export(prepared, tmp_path / "parquet", to="parquet")
    loaded = datasets.load_dataset(str(tmp_path / "parquet"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == set(sftdata.read_manifest(prepared).splits)
    for name in loaded:
        assert loaded[name].to_list() == ours(prepared, name)
    assert loaded["train"].features == datasets.load_from_disk(str(prepared))["train"].features


def test_pyarrow_alone_reads_a_shard(prepared):
    rows = []
    for shard in sorted((prepared / "train").glob("*.arrow")):
        with pa.memory_map(str(shard)) as file:
            rows += pa.ipc.open_stream(file).read_all().to_pylist()
    assert rows == ours(prepared)
