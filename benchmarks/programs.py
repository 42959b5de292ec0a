"""Run the programs that a benchmark compares, and read and compare what they made. What several benchmarks need."""

import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

try:
    import psutil
except ImportError:
    psutil = None

PEAK = "sum over the processes of a program, sampled 4 times a second" if psutil else "largest single process"
"""What is meant by peak memory here."""

Change = Callable[["Example"], "Example"]
"""What makes our example and a program's comparable."""

PAUSE = 0.25
"""Seconds between two looks at the memory. Each takes some milliseconds of the cores that are measured."""


class Usage(NamedTuple):
    """What one run of a program took: time on the clock, time of processors, most memory."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Example(NamedTuple):
    """What a program made of one row: ids, shape `[tokens]`, and labels, shape `[tokens]` or a single class."""

    ids: np.ndarray
    labels: np.ndarray


class ProgramError(Exception):
    """A program did not come to its end."""


class Program(NamedTuple):
    """A program to measure.

    Attributes:
        title: what it is called in tables.
        command: what is run; it writes Arrow files somewhere below the folder that has the program's name.
    """

    title: str
    command: list[str]


def find_sftdata() -> str:
    """Return the command that is installed beside this Python, else the one on PATH."""
    found = shutil.which("sftdata", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    return found or sys.exit("the command sftdata is not installed beside this Python: pip install -e .")


def tree_bytes(pid: int) -> int:
    """Return the resident memory of a process and all that it started; pages they share count for each."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def cpu_of_children() -> float:
    """Return the processor time of all programs that have ended, with those that they started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(command: list[str], log: Path) -> Usage:
    """Run a program to its end, with empty caches of its own.

    Raises:
        ProgramError: with the end of what it printed, when it fails.
    """
    # The caches lie beside the results, so that a program may link what it cached into them.
    with tempfile.TemporaryDirectory(dir=log.parent) as cache, log.open("w") as output:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": cache, "AXOLOTL_DO_NOT_TRACK": "1"}
        start, cpu, peak = time.perf_counter(), cpu_of_children(), 0
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent)
        while psutil and process.returncode is None:
            peak = max(peak, tree_bytes(process.pid))
            try:
                process.wait(PAUSE)
            except subprocess.TimeoutExpired:
                continue
        if not psutil:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        seconds = time.perf_counter() - start
    if process.returncode:
        raise ProgramError(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-2000:]}")
    return Usage(seconds, cpu_of_children() - cpu, peak)


def run_all(programs: dict[str, Program], work: Path, runs: int) -> dict[str, list[Usage] | ProgramError]:
    """Run the programs in turn, `runs` times each, always into an empty folder; one that failed is not run again."""
    usages: dict[str, list[Usage] | ProgramError] = {name: [] for name in programs}
    for number, (name, program) in itertools.product(range(runs), programs.items()):
        of_program = usages[name]
        if isinstance(of_program, ProgramError):
            continue
        shutil.rmtree(work / name, ignore_errors=True)
        try:
            of_program.append(measure(program.command, work / f"{name}.log"))
            if not any((work / name).rglob("*.arrow")):
                raise ProgramError(f"{program.title} wrote no Arrow file below {work / name}")
        except ProgramError as failure:
            usages[name] = failure
            continue
        print(f"run {number + 1} of {runs}: {program.title} {of_program[-1].seconds:.1f} s", file=sys.stderr)
    return usages


def run_or_exit(programs: dict[str, Program], work: Path, runs: int) -> dict[str, list[Usage]]:
    """Run programs of which none may fail."""
    done: dict[str, list[Usage]] = {}
    for name, usages in run_all(programs, work, runs).items():
        if isinstance(usages, ProgramError):
            sys.exit(str(usages))
        done[name] = usages
    return done


def values_of(table: pa.Table, column: str) -> Iterable[np.ndarray]:
    """Return a column row by row: views of one array."""
    array = table[column].combine_chunks()
    if not hasattr(array, "offsets"):
        return array.to_numpy()
    values, offsets = array.values.to_numpy(zero_copy_only=False), array.offsets.to_numpy()
    return [values[start:end] for start, end in itertools.pairwise(offsets)]


def read_examples(folder: Path) -> dict[int, Example]:
    """Read the Arrow files that a program wrote in `folder` or below, by the row's number from 1."""
    files = sorted(folder.rglob("*.arrow"))
    table = pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files])
    ids = values_of(table, "input_ids")
    labels = values_of(table, "labels") if "labels" in table.column_names else ids
    if "row_id" in table.column_names:
        numbers = [int(row_id.rpartition(":")[2]) for row_id in table["row_id"].to_pylist()]
    else:
        numbers = list(range(1, len(table) + 1))
    return dict(zip(numbers, map(Example, ids, labels), strict=True))


def count_differences(ours: dict[int, Example], theirs: dict[int, Example]) -> tuple[int, int, int]:
    """Return how many rows only one of them has, have other ids, and have other labels."""
    both = ours.keys() & theirs.keys()
    return (
        len(ours.keys() ^ theirs.keys()),
        sum(not np.array_equal(ours[number].ids, theirs[number].ids) for number in both),
        sum(not np.array_equal(ours[number].labels, theirs[number].labels) for number in both),
    )


def print_table(programs: dict[str, Program], usages: dict[str, list[Usage]], rows: int, tokens: int) -> None:
    """Print the medians, and each program's time as a multiple of that of the first."""
    ours = statistics.median(usage.seconds for usage in next(iter(usages.values())))
    print("| program | seconds (range) | processor | rows/s | tokens/s | peak memory | time of sftdata |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, of_program in usages.items():
        seconds = [usage.seconds for usage in of_program]
        median, peak = statistics.median(seconds), max(usage.peak_bytes for usage in of_program)
        cpu = statistics.median(usage.cpu_seconds for usage in of_program)
        print(
            f"| {programs[name].title} | {median:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {cpu:.1f} s | "
            f"{rows / median:,.0f} | {tokens / median:,.0f} | {peak / 1e6:,.0f} MB | {median / ours:.1f} times |"
        )
    print(f"\nPeak memory: {PEAK}.")
