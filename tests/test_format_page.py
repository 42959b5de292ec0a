"""The writer in docs/format.md, which knows nothing of our code, is understood by every command and by `datasets`."""

import ast
import re
from pathlib import Path

import datasets
import independent
import pytest
from tiny import make_tiny_bert, settings
from typer.testing import CliRunner

import sftdata
from sftdata.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "format.md"
ROWS = [("films:1", [1, 2, 4], 1), ("films:2", [1, 3, 4], 0), ("films:3", [1, 2, 5], 1), ("films:4", [1, 3, 5], 0)]


def writer() -> str:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(writer(), str(PAGE), "exec"), {"__name__": "example"})  # noqa: S102  # our own page
    return tmp_path / "written"


def run(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_writer_that_knows_only_the_page_is_understood_by_every_command(written, tmp_path):
    assert independent.Checker(written).faults == []
    assert "is whole" in run("verify", written)
    assert "a good film" in run("inspect", written, "-n", 1)
    assert "films:6" in run("inspect", written, "--split", "test", "--row", "films:6")
    run("report", written, "-o", tmp_path / "page.html")
    assert "films" in (tmp_path / "page.html").read_text(encoding="utf-8")
    run("export", written, tmp_path / "tables", "--to", "jsonl", "--with", "text")
    assert "a good film" in next((tmp_path / "tables").rglob("train*.jsonl")).read_text(encoding="utf-8")


def test_what_it_wrote_is_read_and_trained_on(written, tmp_path):
    split = sftdata.load_split(written)
    assert [(row["row_id"], row["input_ids"], row["labels"]) for row in split] == ROWS
    assert (split.lengths().tolist(), split.targets().tolist()) == ([3] * 4, [1] * 4)
    loaded = datasets.load_from_disk(str(written))
    assert [tuple(row.values()) for row in loaded["train"].to_list()] == ROWS
    assert loaded["test"].features["labels"].names == ["bad", "good"]
    result = sftdata.train(
        written, settings(make_tiny_bert(tmp_path / "bert"), tmp_path / "run", batch_size=2, epochs=1)
    )
    assert result.steps == 2
    assert sftdata.evaluate(tmp_path / "run", written)["rows"] == 2
    assert f"step {result.steps}" in run("inspect", tmp_path / "run", "--step", 2)


def test_the_writer_imports_nothing_of_ours_and_nothing_that_the_page_does_not_name():
    tree = ast.parse(writer())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {"hashlib", "json", "os", "pathlib", "pyarrow"}
