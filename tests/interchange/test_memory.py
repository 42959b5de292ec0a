"""An export of much data needs no more memory than one of little."""

import subprocess
import sys

import numpy as np
import pytest
from tiny import Example, write_dataset

from sftdata.records import Task

PROGRAM = r"""
import re, sys, threading, time
from sftdata.cli import main

most = 0

def look():
    global most
    while True:
        status = open("/proc/self/status").read()
        most = max(most, int(re.search(r"RssAnon:\s+(\d+)", status)[1]))  # without the pages of mapped files
        time.sleep(0.005)

threading.Thread(target=look, daemon=True).start()
try:
    main()
finally:
    print(most / 1024, file=sys.stderr)
"""


def write(directory, rows):
    directory.mkdir()
    ids = np.random.default_rng(1).integers(3, 40_000, size=2_000).tolist()
    examples = [Example(ids[: 1_000 + place % 1_000], ids[: 1_000 + place % 1_000]) for place in range(rows)]
    return write_dataset(directory, Task.CAUSAL_LM, {"train": examples}, batch_rows=rows)


def peak(source, out, *arguments):
    """Return the most memory in MiB that `sftdata export` held, apart from mapped files."""
    command = [sys.executable, "-c", PROGRAM, "export", str(source), str(out), *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stderr)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    return write(folder / "few", 2_000), write(folder / "many", 12_000)


@pytest.mark.parametrize("to", ["trl", "llamafactory", "jsonl", "parquet"])
def test_six_times_the_tokens_need_no_more_memory(sources, tmp_path, to):
    arguments = ["--to", to, *(["--capacity", "4096"] if to == "trl" else [])]
    few, many = (peak(source, tmp_path / "out", *arguments) for source in sources)
    grown = sum(path.stat().st_size for path in (sources[1] / "train").iterdir()) / 2**20
    assert grown > 120
    assert many - few < grown / 4, "the rows of the split are held in memory"
