"""What a person sees: progress, quiet, verbose, colours, pages. On a real pseudo-terminal where one matters."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest
from examples import make_texts
from terminal import COMMAND, run_in_terminal

from sftdata.cli import main
from sftdata.report import pager
from sftdata.report.browsing import show_rows
from sftdata.shards.reader import Split

STAGES = ["read and validate", "find duplicates", "split and audit", "prove the tokenizer", "tokenize and write"]
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(3[0-9]|9[0-7])[0-9;]*m")


class Piped(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def piped(*arguments):
    """Run a command without a terminal, in this process, which has paid for the imports."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["sftdata", *map(str, arguments)])
        patch.setenv("COLUMNS", "160")
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Piped(code, out.getvalue(), err.getvalue())


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def dataset(tmp_path, text_recipe):
    piped("prepare", text_recipe([*make_texts(200), {"text": " ", "label": "a"}], max_rejected=1))
    return tmp_path / "out"


@pytest.mark.parametrize("columns", [80, 120])
def test_prepare_shows_its_stages_and_what_each_left_on_a_terminal(tmp_path, text_recipe, columns):
    recipe = text_recipe([*make_texts(300), {"text": " ", "label": "a"}], max_rejected=1)
    seen = run_in_terminal("prepare", recipe, columns=columns)
    assert seen.code == 0
    end = "\n".join(seen.lines)
    table = end[end.index("stage  ") :]
    for stage in STAGES:
        assert re.search(rf"^{stage} +.* \d+(\.\d)? s", table, re.MULTILINE)
        assert f"{stage}  " in end[: end.index("stage  ")], "its bar"
    assert re.search(r"^read and validate +1 +0 +300 ", table, re.MULTILINE)
    assert "301 read = 300 written + 1 rejected + 0 duplicates" in table
    assert [line for line in seen.lines if len(line) > columns and line.startswith(("stage ", *STAGES))] == []
    assert "\x1b[?25h" in seen.raw.rpartition("\x1b[?25l")[2], "the cursor is there again"
    assert COLOUR.search(seen.raw)


def test_what_is_shown_changes_no_byte(tmp_path, text_recipe):
    recipe = text_recipe()
    assert run_in_terminal("prepare", recipe, "--out", tmp_path / "seen", "--verbose").code == 0
    assert piped("prepare", recipe, "--out", tmp_path / "unseen", "--quiet").returncode == 0
    assert files_of(tmp_path / "seen") == files_of(tmp_path / "unseen")


def test_a_log_has_no_progress_whatever_is_said_of_colours(text_recipe):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run([*COMMAND, "prepare", str(text_recipe())], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("given", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_terminal_gets_only_what_it_wants(text_recipe, given):
    seen = run_in_terminal("prepare", text_recipe(), **given)
    assert seen.code == 0
    assert not COLOUR.search(seen.raw)
    assert ("\x1b" in seen.raw) == ("NO_COLOR" in given)


def test_quiet_leaves_errors_and_what_was_asked_for(tmp_path, text_recipe, dataset):
    recipe = text_recipe()
    for command in (["prepare", recipe], ["verify", dataset], ["export", dataset, tmp_path / "x", "--to", "jsonl"]):
        done = piped(*command, "--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command
    assert "row" in piped("inspect", dataset, "-q", "-n", "1").stdout or piped("inspect", dataset, "-q").stdout
    document = piped("prepare", recipe, "--json", "-q")
    assert json.loads(document.stdout)["rows"]["written"] == 200
    assert document.stderr == ""
    refused = piped("--quiet", "prepare", tmp_path / "no.yaml")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert run_in_terminal("--quiet", "prepare", recipe).raw == ""


def test_quiet_writes_files_without_a_word(tmp_path, dataset):
    config = tmp_path / "axolotl.yaml"
    config.write_text(
        "base_model: a/b\ndatasets: [{path: x.jsonl, type: alpaca}]\nlearning_rate: 1e-4\nadam_epsilon: 1.0e-8\n"
    )
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "a good film indeed,good\na bad film indeed,bad\n" * 20)
    for command, written in (
        (["convert-recipe", config, "-o", tmp_path / "made.yaml"], tmp_path / "made.yaml"),
        (["init", data, "-o", tmp_path / "proposed.yaml"], tmp_path / "proposed.yaml"),
        (["report", dataset, "-o", tmp_path / "seen.html"], tmp_path / "seen.html"),
    ):
        assert piped(*command, "--quiet") == (0, "", ""), command
        assert written.stat().st_size > 500
        written.unlink()
        written.with_suffix(".schema.yaml").unlink(missing_ok=True)
        written.with_suffix(".jinja").unlink(missing_ok=True)
        assert str(written) in piped(*command).stdout, "else nothing is there to be quiet about"


def test_quiet_validate_still_says_why_it_fails(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\nfine,a\n ,a\n")
    done = piped("validate", tmp_path / "data.csv", "--schema", "text_label", "-q")
    assert (done.returncode, done.stdout) == (1, "")
    assert "text:not_blank" in done.stderr
    seen = run_in_terminal("validate", tmp_path / "data.csv", "--schema", "text_label", "-q")
    assert "text:not_blank" in seen.raw


def test_verbose_tells_stages_decisions_and_memory_on_stderr(text_recipe):
    recipe = text_recipe()
    usual, more = piped("prepare", recipe), piped("-v", "prepare", recipe)
    assert more.stdout == usual.stdout
    for said in (*STAGES, "peak memory: ", "encoder ", "data.jsonl: "):
        assert said in more.stderr
    assert usual.stderr == ""


def test_quiet_and_verbose_together_are_refused(tmp_path):
    for arguments in (["verify", tmp_path, "-q", "-v"], ["-q", "verify", tmp_path, "-v"], ["-qv", "verify", tmp_path]):
        done = piped(*arguments)
        assert done.returncode == 2
        assert done.stderr == "error: found both --quiet and --verbose, expected one of them\n"


def test_a_plan_fits_the_terminal_and_writes_nothing(tmp_path, text_recipe):
    recipe = text_recipe(make_texts(100), clean={"whitespace": "lines"}, deduplicate={"exact": True})
    seen = run_in_terminal("prepare", recipe, "--plan", columns=80)
    assert seen.code == 0
    end = "\n".join(seen.lines)
    for title in ("read  ", "validate  ", "clean  ", "deduplicate  ", "split  ", "tokenize  ", "write  ", "time  "):
        assert f"\n{title}" in end, title
    assert "100 read = 100 written + 0 rejected + 0 duplicates" in end
    assert max(len(line) for line in seen.lines if "would do" not in line) <= 80
    assert not (tmp_path / "out").exists()
    document = piped("prepare", recipe, "--plan", "--json")
    assert json.loads(document.stdout)["rows"]["written"] == 100
    assert document.stderr == ""
    refused = piped("prepare", text_recipe(sources=[{"path": "nowhere.csv"}]), "--plan")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no such file" in refused.stderr


def test_inspect_pages_and_a_pager_that_is_left_is_no_fault(dataset):
    seen = run_in_terminal("inspect", dataset, "-n", "150", PAGER="head -n 4")
    assert seen.code == 0
    assert "error" not in seen.raw
    assert len([line for line in seen.lines if ", record " in line]) == 2
    plain = run_in_terminal("inspect", dataset, "-n", "3", PAGER="no-such-pager")
    assert len([line for line in plain.lines if "(data.jsonl, record " in line]) == 3
    assert f"go on:  sftdata inspect {dataset} -n 3 --from 4" in " ".join(plain.lines)


def test_rows_that_nobody_looks_at_are_not_read(dataset, monkeypatch):
    read, original = [], Split.__getitem__
    monkeypatch.setattr(Split, "__getitem__", lambda self, place: read.append(place) or original(self, place % 160))
    monkeypatch.setattr(Split, "__len__", lambda self: 10**6)
    monkeypatch.setattr(pager, "_find_pager", lambda: ["head", "-n", "4"])
    show_rows(dataset, dataset, "train", 1, 10**6)
    assert 2 <= len(read) < 10_000


def test_inspect_goes_on_where_it_is_told(dataset):
    first = piped("inspect", dataset, "-n", "3").stdout
    assert first.endswith(piped("inspect", dataset, "-n", "2", "--from", "2").stdout)
    assert piped("inspect", dataset, "--split", "test", "--from", "20").stdout.count("label ") == 1
    done = piped("inspect", dataset, "--split", "test", "--from", "21")
    assert done.returncode == 2
    assert "--from: found 21; the split 'test' has 20 rows" in done.stderr
    assert "text:not_blank" in piped("inspect", dataset, "--rejected", "--from", "1").stdout
    assert "text:not_blank" not in piped("inspect", dataset, "--rejected", "--from", "2").stdout
