import gzip
import hashlib
import os
import socket
import subprocess
import sys

import polars as pl
import pytest
from examples import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.errors import SourceError
from sftdata.rejections import describe_rejected
from sftdata.settings.sources import SourceSettings
from sftdata.sources import digest_of, find_sources, parsing, read_chunks, size_of


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


def test_a_file_about_the_data_is_read_only_when_it_is_named(tree):
    for name in ("sub/dataset_info.json", "dataset_infos.json"):
        (tree / name).write_text("{}")
    assert names(tree, ".") == ["a.jsonl", "b.csv", "c.parquet", "x[1].csv"]
    assert names(tree, "sub/**") == ["sub/d.csv", "sub/e.JSONL"]
    assert names(tree, "dataset_infos.json") == ["dataset_infos.json"]


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


KNOWN = ".csv, .tsv, .tab, .jsonl, .ndjson, .json, .conll, .bio, .iob, .parquet, .arrow, .ipc, .feather"
KNOWN += " (text also compressed: .gz, .bz2, .xz, .zst)"


def test_everything_that_is_wrong_is_told_at_once(tree):
    (tree / "empty").mkdir()
    (tree / "notes.what").write_text("text")
    found = faults_of(tree, "none.csv", ("no/*.csv", "notes.what"), "empty", "b.csv", "./b.csv", "sub/../b.csv")
    assert found == [
        f"  {tree}/none.csv: no such file",
        f"  {tree}/no/*.csv: no file matches",
        f"  notes.what: no known format by its name; known: {KNOWN}; or give `format`",
        f"  {tree}/empty: a directory without a file of a known format; known: {KNOWN}",
        f"  {tree}/b.csv: named more than once",
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.xlsx", "save the sheet as CSV"),
        ("a.PKL", "could run code"),
        ("a.pkl.gz", "could run code"),
        ("a.npy", "arrays, not rows"),
        ("a.zip", "unpack it"),
        ("a.tar.gz", "unpack it"),
        ("a.tgz", "unpack it"),
        ("a.sqlite3", "give `uri: sqlite:///FILE` and a `query`"),
        ("a.orc", "convert it"),
        ("a.conllu", "give `format: conll`"),
        ("a.txt", "give `format`"),
        ("a.parquet.gz", "compressed inside; unpack it"),
        ("a.arrow.zst", "compressed inside; unpack it"),
        ("a.gz", "no known format by its name"),
        ("a", "no known format by its name"),
    ],
)
def test_a_format_that_is_not_read_is_told_with_what_to_do(tree, name, advice):
    (tree / name).write_bytes(b"PK")
    (message,) = faults_of(tree, name)
    assert name in message
    assert advice in message


@pytest.mark.parametrize("packing", ["", ".gz", ".bz2", ".xz", ".ZST"])
@pytest.mark.parametrize(
    ("suffix", "found"), [(".CSV", "csv"), (".tsv", "tsv"), (".ndjson", "jsonl"), (".json", "json"), (".bio", "conll")]
)
def test_text_may_be_compressed(tree, suffix, packing, found):
    (tree / f"packed{suffix}{packing}").write_bytes(b"")
    (source,) = find_sources([SourceSettings(path=f"packed{suffix}{packing}")], tree)
    assert source.format == found


def test_rejected_rows_are_known_by_what_is_in_them(tree):
    row = {
        "source": "a.csv",
        "record": 1,
        "stage": "read",
        "reason": "text:dtype",
        "detail": "",
        "original": {"text": 1},
    }
    write_jsonl(tree / "rejected.jsonl", [row])
    (tree / "packed.jsonl.gz").write_bytes(gzip.compress((tree / "rejected.jsonl").read_bytes()))
    write_jsonl(tree / "plain.jsonl", [{"original": 1}])
    (tree / "broken.jsonl.gz").write_bytes(b"no gzip")
    names = ("rejected.jsonl", "packed.jsonl.gz", "plain.jsonl", "broken.jsonl.gz")
    assert [s.format for s in find_sources([SourceSettings(path=names)], tree)] == [
        "rejected",
        "rejected",
        "jsonl",
        "jsonl",
    ]
    (source,) = find_sources([SourceSettings(path="rejected.jsonl", format="jsonl")], tree)
    assert source.format == "jsonl", "what is given stands above what is found"


def test_what_is_no_file_is_refused_and_not_waited_for(tree):
    os.mkfifo(tree / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tree / "socket.csv"))
        for name in ("pipe.csv", "socket.csv", "/dev/zero"):
            (message,) = faults_of(tree, name, format="csv")
            assert f"{name}: a pipe, socket or device, expected a file; write what it gives to a file first" in message
        assert len(faults_of(tree, ".")) == 2, "nor are they passed over in a directory"
        assert len(faults_of(tree, "*.csv")) == 2


def test_a_link_that_leads_nowhere_is_told(tree):
    (tree / "gone.csv").symlink_to(tree / "nothing.csv")
    (tree / "self.csv").symlink_to(tree / "self.csv")
    for pattern in ("gone.csv", "g*.csv", "**/gone.csv"):
        assert faults_of(tree, pattern) == [f"  {tree}/gone.csv: a link that leads nowhere (No such file or directory)"]
    assert "a link that leads nowhere (Too many levels of symbolic links)" in faults_of(tree, "self.csv")[0]
    assert len(faults_of(tree, ".")) == 2


def test_links_in_a_circle_end(tree):
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "sub" / "here").symlink_to(tree / "sub")
    (tree / "sub" / "deep").mkdir()
    (tree / "sub" / "deep" / "f.csv").write_text("text\n1\n")
    (tree / "again").symlink_to(tree / "sub" / "deep")
    assert names(tree, "**/*.csv") == ["again/f.csv", "b.csv", "sub/d.csv", "x[1].csv"]
    assert names(tree, "sub/**/f.csv") == ["sub/deep/f.csv"]
    below = ["sub/d.csv", "sub/deep/f.csv", "sub/up/b.csv", "sub/up/x[1].csv"]
    assert names(tree, f"{tree}/sub/**/*.csv") == [f"{tree}/{name}" for name in below]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.csv", ["b.csv", "sub/d.csv", "x[1].csv"]),
        ("**/sub/*.csv", ["sub/d.csv"]),
        ("*/**/*.csv", ["sub/d.csv"]),
        ("**/**/d.csv", ["sub/d.csv"]),
        ("s*/**", ["sub/d.csv", "sub/e.JSONL"]),
        ("./**/[a-d].csv", ["b.csv", "sub/d.csv"]),
        ("sub/../**/d.csv", ["sub/../sub/d.csv"]),
    ],
)
def test_patterns_over_folders(tree, pattern, found):
    (tree / ".hidden").mkdir()
    (tree / ".hidden" / "d.csv").write_text("text\n1\n")
    assert names(tree, pattern) == found


def test_a_name_that_no_file_can_have_is_told(tree):
    assert len(faults_of(tree, "a\0b.csv")) == 1
    assert "File name too long" in faults_of(tree, "a" * 5000 + ".csv")[0]


def test_a_file_that_may_not_be_read_is_told(tree, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "b.csv")  # to root nothing is forbidden
    assert faults_of(tree, ".") == [f"  {tree}/b.csv: you may not read this file (see its permissions)"]


def test_a_folder_that_may_not_be_read_is_told(tree, monkeypatch):
    def refuse(path="."):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    assert faults_of(tree, ".") == [f"  {tree}: Permission denied"]
    assert faults_of(tree, "**/*.csv") == [f"  {tree}/**/*.csv: Permission denied"]


def test_size_and_digest_of_a_file_are_those_of_its_bytes(tree):
    (source,) = find_sources([SourceSettings(path="b.csv")], tree)
    assert (size_of(source), digest_of(source)) == (7, "sha256:" + hashlib.sha256(b"text\n1\n").hexdigest())
    source.path.unlink()
    for ask in (size_of, digest_of):
        with pytest.raises(SourceError, match=r"b\.csv cannot be read: .*No such file"):
            ask(source)


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
        patch.setattr(parsing, "CHUNK_ROWS", most)
        found = {(row["source"], row["record"]): row["original"] for row in describe_rejected(sources, frame)}
    assert found == {(name, i): {"text": f"{'c' if name == 'a.csv' else 'j'}{i}"} for name, i in wanted}


def test_plain_csv_needs_nothing_of_the_other_formats(tmp_path):
    (tmp_path / "x.csv").write_text('text,label\n"a, b",x\nc,y\n')
    program = (
        "import sys; from sftdata import validate\n"
        f"report = validate({str(tmp_path / 'x.csv')!r}, 'text_label', rejected={str(tmp_path / 'r.jsonl')!r})\n"
        "assert report.accepted == 2\n"
        "sys.exit(' '.join({'pyarrow', 'sqlite3', 'pandera', 'rich'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
