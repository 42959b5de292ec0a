"""The wheel without extras, in an environment that has its dependencies and nothing else, away from the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sftdata

ROOT = Path(__file__).parents[2]
OWN = {"train_tokenizer": {"kind": "bpe", "vocab_size": 600}}
RECIPE = {
    "task": "text_classification",
    "schema": "text_label",
    "sources": [{"path": "topics.csv"}],
    "clean": {"repair": True, "whitespace": "lines", "language": {"keep": ["en"]}},
    "deduplicate": {"near": {"threshold": 0.8, "action": "group"}},
    "augment": [{"synonym_replacement": {"rate": 0.2, "copies": 1}}],
    "tokenize": OWN,
    "output": {"dir": "out"},
    "max_rejected": 1.0,
}


def needed(requirements):
    """The distributions that these requirements bring with them, as they are installed here."""
    found, left = {}, [(Requirement(line), "") for line in requirements]
    while left:
        requirement, extra = left.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        known = found.setdefault(name, set())
        for wanted in {"", *requirement.extras} - known:
            known.add(wanted)
            left += [(Requirement(line), wanted) for line in distribution(name).requires or ()]
    return set(found)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with the wheel and, as links, what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in needed(project["dependencies"]):
        one = distribution(name)
        for top in {file.parts[0] for file in one.files if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(one.locate_file(top))
    install = ["install", "-q", "--no-deps", "--no-index", "--no-compile", *map(str, folder.glob("*.whl"))]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, capture_output=True)
    return python


@pytest.fixture
def run(environment, tmp_path):
    """Run a program of the environment, with warnings as errors, and return what it prints."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}

    def start(*command):
        done = subprocess.run(
            [environment.parent / command[0], *command[1:]],
            cwd=tmp_path,
            env={**variables, "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return start


def test_it_is_alone(run, environment):
    program = (
        "import sftdata; from importlib.util import find_spec\n"
        "print(sftdata.__file__, sftdata.__version__)\n"
        "extras = 'torch transformers datasets pandas pytest nltk'.split()\n"
        "print(*(name for name in extras if find_spec(name)))"
    )
    where, others, *_ = run("python", "-c", program).split("\n")
    assert where.startswith(str(environment.parents[1]))
    assert where.endswith(f" {sftdata.__version__}")
    assert others == ""


def test_its_scanner_is_compiled(run):
    assert "_scan.abi3.so" in run("python", "-c", "from sftdata.sources.native import scan; print(scan.__file__)")


def test_a_file_is_validated_and_prepared_and_looked_at(run, tmp_path):
    lines = (ROOT / "samples" / "wordnet_topics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "topics.csv").write_text("".join(lines[:801]), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    report = json.loads(run("sftdata", "validate", "topics.csv", "--schema", "text_label", "--json"))
    assert (report["rows"], report["rejected"]) == (800, 0)
    manifest = json.loads(run("sftdata", "prepare", "recipe.yaml", "--json"))
    assert manifest["rows"]["written"] > 500
    assert manifest["rows"]["augmented"] > 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert json.loads(run("sftdata", "verify", "out", "--json"))["verified"]
    assert "label" in run("sftdata", "inspect", "out", "-n", "1")


def test_what_an_extra_brings_is_asked_for_by_name(run):
    program = (
        "import sftdata, sftdata.errors\n"
        "settings = {'model': 'm', 'output_dir': 'r'}\n"
        "for call in (lambda: sftdata.train('out', settings), lambda: sftdata.predict('r', 'a')):\n"
        "    try: call()\n"
        "    except sftdata.errors.TrainingError as error: print(error)"
    )
    first, second = run("python", "-c", program).splitlines()
    assert first == second
    assert first.endswith("not installed here: pip install 'sftdata[train]'")
