"""What the shells offer on Tab, asked as they ask it; and by a real bash."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; sys.argv[0] = 'sftdata'; from sftdata.cli import main; main()"
SAMPLES = Path(__file__).parent.parent / "samples"


def complete(line, folder=SAMPLES.parent):
    """Return what is offered for the last word of a command line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_SFTDATA_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **asked}, cwd=folder, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "out").mkdir()
    splits = {name: {} for name in ("train", "test", "validation")}
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({"splits": splits}))
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sftdata verif", ["verify"]),
        ("sftdata prepare --pla", ["--plan"]),
        ("sftdata validate x.csv --schema text_", ["text_label", "text_multilabel", "text_score"]),
        ("sftdata export d o --to ", ["trl", "llamafactory", "axolotl", "jsonl", "parquet"]),
        ("sftdata prepare samples/wordnet_", ["samples/wordnet_chat.yaml", "samples/wordnet_topics.yaml"]),
        ("sftdata train samples/wordnet_c", ["samples/wordnet_chat.yaml"]),
        ("sftdata prepare sampl", []),
        ("sftdata prepare nowhere/", []),
    ],
)
def test_tab_offers_what_fits(line, offered):
    assert complete(line) == offered


def test_tab_offers_the_splits_of_the_dataset_named_before(dataset):
    assert complete(f"sftdata inspect {dataset} --split t") == ["train", "test"]
    assert complete(f"sftdata export {dataset} o --to trl --split v") == ["validation"]
    assert complete(f"sftdata evaluate run --data {dataset} --split te") == ["test"]
    assert complete("sftdata inspect nowhere --split t") == []


def test_completion_loads_nothing_heavy(dataset):
    heavy = {"polars", "pyarrow", "numpy", "rich", "yaml", "torch", "pandera"}
    line = f"sftdata inspect {dataset} --split t"
    program = (
        f"import sys, os\nos.environ.update(COMP_WORDS={line!r}, COMP_CWORD='4', _SFTDATA_COMPLETE='complete_bash')\n"
        f"try:\n    exec({PROGRAM!r})\nexcept SystemExit:\n    pass\n"
        f"found = {heavy} & set(sys.modules)\nsys.exit(' '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["train", "test"]), done.stderr


@pytest.fixture
def home(tmp_path):
    """A home directory with `sftdata` on the path."""
    program = tmp_path / "bin" / "sftdata"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM}" "$@"\n')
    program.chmod(0o755)
    given = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # not the shell that runs the tests
    return {**os.environ, **given, "HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_installs_for_each_shell(tmp_path, home, shell):
    done = subprocess.run(["sftdata", "--install-completion", shell], env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "_SFTDATA_COMPLETE" in path.read_text()]
    assert len(written) == 1
    asked = {"_SFTDATA_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "sftdata validate x --schema alp"}
    asked |= {"COMP_WORDS": "sftdata validate x --schema alp", "COMP_CWORD": "4"}
    asked["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    assert "alpaca" in subprocess.run(["sftdata"], env={**home, **asked}, capture_output=True, text=True).stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_a_real_bash_completes(tmp_path, home):
    subprocess.run(["sftdata", "--install-completion", "bash"], env=home, capture_output=True, check=True)
    script = (
        f"source {tmp_path}/.bash_completions/sftdata.sh; COMP_WORDS=(sftdata validate x --schema sha); COMP_CWORD=4; "
        '_sftdata_completion sftdata; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], env=home, capture_output=True, text=True)
    assert done.stdout == "sharegpt\n"
