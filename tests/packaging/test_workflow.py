"""The workflow does what the Makefile does, on every Python that the package is for, with actions of fixed versions."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
JOBS = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]


def test_each_step_runs_a_target_of_the_makefile_and_none_that_a_change_must_pass_is_left_out():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    run = [step["run"].removeprefix("make ") for step in STEPS if "run" in step]
    assert set(run) <= targets
    local = re.findall(r"^make (\w+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(local) <= set(run)


def test_the_tests_run_on_every_python_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    assert JOBS["test"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("action", [step["uses"] for step in STEPS if "uses" in step])
def test_actions_are_of_a_fixed_version(action):
    assert re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", action)
