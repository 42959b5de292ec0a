"""Files that are none, never end, change under way, unpack to a flood, or have names to trip over."""

import bz2
import gzip
import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from isolated import Outcome, run_commands

ROW = b"text,label\na,b\n"
FLOOD = b"\0" * 2**20
"""Unpacked, a member of a bomb; a file of many of them is packed a thousand times smaller."""


def repeat(member: bytes, packed_as: Callable[[bytes], bytes], unpacked: int) -> bytes:
    """Return members that unpack to so many bytes together, without ever having these in memory."""
    return packed_as(member) * (unpacked // len(member))


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd", 19).compress(content, asbytes=True)


def make_loop(folder: Path) -> str:
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    return str(folder / "loop.csv")


def make_circle(folder: Path) -> str:
    (folder / "circle").mkdir()
    (folder / "circle" / "again").symlink_to(folder / "circle")
    return str(folder / "circle" / "**" / "*.csv")


def make_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe.csv")
    return str(folder / "pipe.csv")


def make_link(name: str, target: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).symlink_to(target)
        return str(folder / name)

    return make


def make_file(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def make_directory(folder: Path) -> str:
    (folder / "directory.csv").mkdir()
    return str(folder / "directory.csv")


def make_unreadable_directory(folder: Path) -> str:
    (folder / "inner.parquet").mkdir()
    (folder / "inner.parquet" / "data.csv").mkdir()
    return str(folder / "inner.parquet")


REFUSED: dict[str, Callable[[Path], str]] = {
    "a link to itself": make_loop,
    "folders in a circle": make_circle,
    "a link to nowhere": make_link("nowhere.csv", "/no/such/file"),
    "a pipe": make_pipe,
    "a device that never ends": make_link("zero.csv", "/dev/zero"),
    "a device that never ends, packed": make_link("zero.jsonl.gz", "/dev/zero"),
    "a device that is empty": make_link("null.jsonl", "/dev/null"),
    "a file of the kernel": make_link("memory.csv", "/proc/self/mem"),
    "a directory named as a file": make_directory,
    "a directory of directories": make_unreadable_directory,
    "a name that no file can have": lambda folder: str(folder / "a\0b.csv"),
    "a name that is too long": lambda folder: str(folder / ("a" * 5000 + ".csv")),
    "a name with control characters": lambda folder: str(folder / "no\x1b[31m\nfile\x07.csv"),
    "a name that is not UTF-8": lambda folder: str(folder / "caf\udce9.csv"),
    "an empty name": lambda folder: "",
    "an empty file": make_file("empty.csv", b""),
    "an empty packed file": make_file("empty.csv.gz", b""),
    "an empty Parquet file": make_file("empty.parquet", b""),
    "an empty Arrow file": make_file("empty.arrow", b""),
    "a header alone": make_file("header.csv", b"text,label\n"),
    "a mark alone": make_file("mark.csv", b"\xef\xbb\xbf"),
    "NUL bytes alone": make_file("nul.csv", b"\0" * 100_000),
    "NUL bytes as JSON Lines": make_file("nul.jsonl", b"\0" * 100_000),
    "Parquet that is not": make_file("not.parquet", b"PAR1" + b"\xff" * 200 + b"PAR1"),
    "Arrow that is not": make_file("not.arrow", b"ARROW1\0\0" + b"\xff" * 200 + b"ARROW1"),
    "packed data that is not": make_file("not.csv.gz", ROW),
    "a bomb of gzip": make_file("bomb.csv.gz", repeat(FLOOD, gzip.compress, 2**33)),
    "a bomb of bzip2": make_file("bomb.csv.bz2", repeat(FLOOD, bz2.compress, 2**33)),
    "a bomb of xz": make_file("bomb.jsonl.xz", repeat(FLOOD, lzma.compress, 2**33)),
    "a bomb of zstd": make_file("bomb.jsonl.zst", repeat(FLOOD, zstd, 2**33)),
    "a bomb of good rows": make_file(
        "rows.jsonl.gz", repeat(b'{"text": "a", "label": "b"}\n' * 2**16, gzip.compress, 2**33)
    ),
    "a bomb in a bomb": make_file("twice.csv.gz", gzip.compress(repeat(FLOOD, gzip.compress, 2**33))),
    "a header of many columns": make_file("wide.csv", b",".join(b"c%d" % n for n in range(200_000)) + b"\na,b\n"),
    "a header of one column many times": make_file("same.csv", b",".join([b"text"] * 100_000) + b"\na,b\n"),
    "a header that never ends": make_file("header-only.csv", b"text,label" * 5_000_000),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def outcomes(folder) -> dict[str, Outcome]:
    commands = {}
    for name, make in REFUSED.items():
        place = folder / name
        place.mkdir()
        out = str(place / "rejected.out")
        commands[name] = ["validate", make(place), "--schema", "text_label", "--rejected", out]
    return dict(zip(commands, run_commands(list(commands.values()), seconds=60), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_file_of_rows_is_refused_in_plain_words(outcomes, name):
    outcome = outcomes[name]
    assert outcome.code in {1, 2}, outcome
    assert outcome.errors.startswith("error: "), outcome
    assert "Traceback" not in outcome.errors
    assert len(outcome.errors) < 8000, outcome.errors[:3000]
    assert (outcome.output + outcome.errors).replace("\n", "").isprintable(), outcome
    assert outcome.seconds < 30, outcome.seconds
    assert outcome.peak < 1.5e9, outcome.peak


NAMES = [
    "new\nline.csv",
    "colour\x1b[31m.csv",
    "star*[1]?.csv",
    "中文 🙂.csv",
    "-dash.csv",
    "a'b\"c.csv",
]


def test_a_file_of_any_name_is_validated_and_told_in_plain_words(tmp_path):
    commands, out = [], tmp_path / "out"
    out.mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(ROW + b" ,b\n")
        command = ["validate", "--schema", "text_label", "--rejected", str(out / f"{number}"), "--max-rejected", "1.0"]
        commands += [[*command, "--", str(tmp_path / name)], [*command, "--json", "--", str(tmp_path / name)]]
    found = run_commands(commands)
    for number, name in enumerate(NAMES):
        human, machine = found[2 * number], found[2 * number + 1]
        assert (human.code, machine.code) == (0, 0), (human, machine)
        assert human.output.replace("\n", "").isprintable(), human
        assert machine.report()["files"][0]["path"] == str(tmp_path / name)
        (line,) = (out / f"{number}").read_bytes().splitlines()
        assert json.loads(line)["source"] == str(tmp_path / name)


def test_folders_in_a_circle_give_each_file_once(tmp_path):
    (tmp_path / "data.csv").write_bytes(ROW)
    (tmp_path / "again").symlink_to(tmp_path)
    (outcome,) = run_commands([["validate", str(tmp_path / "**" / "*.csv"), "--schema", "text_label", "--json"]])
    assert outcome.report()["rows"] == 1, outcome


def test_a_document_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "data.csv").write_bytes(ROW)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "directory.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    documents = [str(file) for file in sorted(tmp_path.glob("*.yaml"))]
    commands = [["validate", str(tmp_path / "data.csv"), "--schema", document] for document in documents]
    commands += [["prepare", document] for document in documents]
    assert len(commands) == 8
    for command, outcome in zip(commands, run_commands(commands, seconds=20), strict=True):
        assert outcome.code == 2, (command, outcome)
        assert outcome.errors.startswith("error: ")


def test_rejected_rows_that_cannot_be_written_are_told(tmp_path):
    (tmp_path / "data.csv").write_bytes(ROW + b",b\n")
    (tmp_path / "folder").mkdir()
    command = ["validate", str(tmp_path / "data.csv"), "--schema", "text_label", "--rejected"]
    places = ["folder", "data.csv/rejected.jsonl", "data.csv", "n" * 300]
    for place, outcome in zip(places, run_commands([[*command, str(tmp_path / p)] for p in places]), strict=True):
        assert outcome.code == 2, (place, outcome)
        assert outcome.errors.startswith("error: ")
    assert (tmp_path / "data.csv").read_bytes() == ROW + b",b\n"


def test_rejected_rows_never_replace_what_is_no_file(tmp_path):
    """As root, `--rejected /dev/null` must not put a file in the place of the device; a pipe stands for it here."""
    (tmp_path / "data.csv").write_bytes(ROW + b",b\n")
    os.mkfifo(tmp_path / "pipe")
    command = ["validate", str(tmp_path / "data.csv"), "--schema", "text_label", "--rejected", str(tmp_path / "pipe")]
    (outcome,) = run_commands([command], seconds=20)
    assert (tmp_path / "pipe").is_fifo()
    assert outcome.code == 2, outcome
    assert outcome.errors.startswith("error: ")


def test_a_name_that_is_not_utf8_is_refused_in_plain_words(tmp_path):
    (outcome,) = run_commands([["validate", str(tmp_path / "caf\udce9.csv"), "--schema", "text_label"]])
    assert outcome.code == 2
    assert "the name is not UTF-8; rename the file" in outcome.errors


def test_a_file_that_unpacks_to_a_flood_is_read_in_bounded_memory(tmp_path):
    """Two gigabytes of text in two hundred kilobytes, all in one row group."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["word " * 20_000]))
    label = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["a"]))
    table = pa.table({"text": text, "label": label})
    pa.parquet.write_table(table, tmp_path / "flood.parquet", store_schema=False)
    with pa.ipc.new_file(tmp_path / "flood.arrow", table.schema) as file:
        file.write_table(table)
    for path in (tmp_path / "flood.parquet", tmp_path / "flood.arrow"):
        assert path.stat().st_size < 1e6
        (outcome,) = run_commands([["validate", str(path), "--schema", "text_label", "--json"]])
        assert outcome.code == 0, outcome
        assert '"accepted": 20000' in outcome.output
        assert outcome.peak < 1.0e9, outcome.peak


CHANGE = """
import os, sys
from pathlib import Path
from sftdata.errors import SftdataError
from sftdata.validation import validate

folder = Path(sys.argv[1])
for change in ("shrinks", "vanishes", "is emptied"):
    path = folder / change / sys.argv[2]

    def once(stage, read, total, done=[]):
        if done or not read:
            return
        done.append(True)
        if change == "vanishes":
            path.unlink()
        else:
            os.truncate(path, 1000 if change == "shrinks" else 0)

    try:
        print(change, validate([path], sys.argv[3], watch=once).rows)
    except SftdataError as error:
        print(change, error)
"""


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.parquet", "data.arrow"])
def test_a_file_that_changes_under_way_is_no_crash(tmp_path, name):
    rows = pl.DataFrame({"text": [f"text {n % 119_900}" for n in range(120_000)], "label": ["a", "b", "c"] * 40_000})
    write = {".csv": rows.write_csv, ".jsonl": rows.write_ndjson, ".parquet": rows.write_parquet}
    write.get(Path(name).suffix, rows.write_ipc)(tmp_path / name)
    for change in ("shrinks", "vanishes", "is emptied"):
        (tmp_path / change).mkdir()
        shutil.copy(tmp_path / name, tmp_path / change / name)
    (tmp_path / "schema.yaml").write_text(
        "name: s\ntask: text_classification\nparts: {text: text, label: label}\n"
        "columns: {text: {unique: true}, label: {checks: {not_blank: true}}}\n"
    )
    command = [sys.executable, "-c", CHANGE, str(tmp_path), name, str(tmp_path / "schema.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    assert len(done.stdout.splitlines()) >= 3
