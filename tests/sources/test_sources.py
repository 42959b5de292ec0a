import hashlib

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import SourceError
from sftdata.recipe import SourceSettings
from sftdata.sources import csv, find_sources, jsonl, read_chunks, read_originals


@pytest.fixture
def tree(tmp_path):
    for name in ("b.csv", "a.jsonl", "c.parquet", "notes.txt", ".hidden.csv", "sub/d.csv", "sub/e.JSONL", "x[1].csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text\n1\n")
    return tmp_path


def names(tree, *paths, **options):
    return [source.name for source in find_sources([SourceSettings(path=path, **options) for path in paths], tree)]


def faults_of(tree, *paths, **options):
    with pytest.raises(SourceError) as caught:
        names(tree, *paths, **options)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()[1:]


def test_sources_stand_in_the_order_of_the_recipe_and_files_of_a_pattern_in_order_of_name(tree):
    assert names(tree, "sub/d.csv", ("b.csv", "a.jsonl")) == ["sub/d.csv", "b.csv", "a.jsonl"]
    assert names(tree, "*.csv") == ["b.csv", "x[1].csv"]
    assert names(tree, "**/*.csv") == ["b.csv", "sub/d.csv", "x[1].csv"]


def test_a_directory_means_its_files_of_a_known_format(tree):
    assert names(tree, ".") == ["a.jsonl", "b.csv", "c.parquet", "x[1].csv"]
    assert names(tree, "sub/") == ["sub/d.csv", "sub/e.JSONL"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree):
    assert names(tree, "x[1].csv") == ["x[1].csv"]


def test_absolute_paths_and_patterns_are_found(tree):
    assert names(tree, str(tree / "b.csv"), str(tree / "sub" / "*.csv")) == [f"{tree}/b.csv", f"{tree}/sub/d.csv"]


def test_a_given_format_stands_above_the_name(tree):
    (source,) = find_sources([SourceSettings(path="notes.txt", format="csv")], tree)
    assert source.format == "csv"
    assert names(tree, ".", format="csv") == ["a.jsonl", "b.csv", "c.parquet", "notes.txt", "x[1].csv"]


def test_a_row_id_begins_with_a_digest_of_the_name_alone(tree):
    (source,) = find_sources([SourceSettings(path="sub/../b.csv")], tree)
    assert source.path == tree / "sub/../b.csv"
    assert source.id == hashlib.sha256(source.name.encode()).hexdigest()[:8]


def test_everything_that_is_wrong_is_told_at_once(tree):
    (tree / "empty").mkdir()
    found = faults_of(tree, "none.csv", ("no/*.csv", "notes.txt"), "empty", "b.csv", "./b.csv", "sub/../b.csv")
    known = ".csv, .csv.gz, .tsv, .tsv.gz, .jsonl, .ndjson, .jsonl.gz, .ndjson.gz, .parquet"
    assert found == [
        f"  {tree}/none.csv: no such file",
        f"  {tree}/no/*.csv: no file matches",
        f"  notes.txt: no known format by its name; known: {known}; or give `format`",
        f"  {tree}/empty: a directory without a file of a known format; known: {known}",
        f"  {tree}/b.csv: named more than once",
    ]


def test_a_file_that_two_patterns_name_is_told(tree):
    (tree / "link.csv").symlink_to(tree / "b.csv")
    assert faults_of(tree, "b.csv", "*.csv") == [f"  {tree}/b.csv: named more than once"]


def test_a_file_that_vanishes_is_told(tree):
    (source,) = find_sources([SourceSettings(path="b.csv")], tree)
    source.path.unlink()
    with pytest.raises(SourceError, match=r"b\.csv cannot be read: .*No such file"):
        list(read_chunks(source))


@given(
    st.lists(st.integers(1, 30), max_size=8, unique=True),
    st.lists(st.integers(1, 20), max_size=8, unique=True),
    st.integers(1, 7),
)
@quick
def test_originals_are_exactly_the_records_wanted_from_whatever_chunk(tmp_path_factory, of_csv, of_jsonl, most):
    folder = tmp_path_factory.getbasetemp() / "originals"
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_text("text\n" + "".join(f"c{i}\n" for i in range(1, 31)))
    (folder / "b.jsonl").write_text("".join(f'{{"text": "j{i}"}}\n\n' for i in range(1, 21)))
    wanted = [("a.csv", i) for i in of_csv] + [("b.jsonl", i) for i in of_jsonl]
    frame = pl.DataFrame(wanted[::-1], schema={"source": pl.String, "record": pl.Int64}, orient="row")
    sources = find_sources([SourceSettings(path=("a.csv", "b.jsonl"))], folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "CHUNK_ROWS", most)
        patch.setattr(jsonl, "CHUNK_ROWS", most)
        found = read_originals(sources, frame)
    assert found == {(name, i): {"text": f"{'c' if name == 'a.csv' else 'j'}{i}"} for name, i in wanted}
