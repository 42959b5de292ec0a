"""Measure how long it takes to open a dataset and read a row at random, and in how much memory, by number of shards.

usage: python benchmarks/open.py [--shards N ...] [--rows N] [--runs N]

The same shards are opened by `sftdata.load_split` and by `datasets.load_from_disk`. Every opening is a process of its
own, which reads one row, then a hundred; imports are not counted. "memory" is what the process grew by until it had
read one row, and "shards mapped" are those it had in memory then. "lengths" is the time to get the length of every row,
which is what a run is planned from: ours from the index, whose digest is checked, theirs from the column's offsets.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from small_datasets import write_dataset

from sftdata.records import Task
from sftdata.shards.layout import example_schema

TOKENS = 150
"""Tokens of a row, as in a conversation of four turns."""

PROGRAMS = ("sftdata", "datasets")


def make_batches(shards: int, rows: int) -> list[pa.RecordBatch]:
    """Make one batch a shard."""
    ids = np.random.default_rng(0).integers(0, 50, rows * TOKENS, dtype=np.int32)
    lists = pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * TOKENS, ids)
    schema = example_schema(Task.CAUSAL_LM)
    return [
        pa.RecordBatch.from_arrays([pa.array([f"s:{shard}-{row}" for row in range(rows)]), lists, lists], schema=schema)
        for shard in range(shards)
    ]


def resident() -> float:
    """Return the resident memory of this process in MB, what is mapped from files and was read included."""
    found = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(found["VmRSS"].split()[0]) / 1024


def measure(program: str, out: Path) -> dict[str, float]:
    """Open, read one row, then a hundred, then all lengths."""
    import datasets  # by both, so that memory begins alike

    import sftdata

    before, clock = resident(), time.perf_counter
    begun = clock()
    split = sftdata.load_split(out) if program == "sftdata" else datasets.load_from_disk(str(out))["train"]
    opened = clock()
    places = np.random.default_rng(1).integers(0, len(split), 100).tolist()
    split[places[0]]
    read = clock()
    memory = resident() - before
    files = sum(".arrow" in line for line in Path("/proc/self/maps").read_text().splitlines())
    hundred = clock()
    for place in places:
        split[place]
    done = begin_lengths = clock()
    if program == "sftdata":
        lengths = split.lengths()
    else:
        lengths = np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in split.data["input_ids"].chunks])
    end = clock()
    if lengths.sum() != TOKENS * len(split):
        raise SystemExit(f"{program} finds {lengths.sum()} tokens, expected {TOKENS * len(split)}")
    seconds = {
        "open": opened - begun,
        "row": read - opened,
        "next": (done - hundred) / 100,
        "lengths": end - begin_lengths,
    }
    return {**seconds, "MB": memory, "files": files}


def best(program: str, out: Path, runs: int) -> dict[str, float]:
    """Measure in processes of their own; return the least of each figure."""
    command = [sys.executable, __file__, "--measure", program, str(out)]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(runs)]
    return {name: min(figures[name] for figures in found) for name in found[0]}


def main() -> None:
    """Write datasets, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rows", type=int, default=200, help="rows of a shard")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("PROGRAM", "DIR"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure[0], Path(given.measure[1]))))
        return
    print(
        "| shards | program | open, ms | first row, ms | a further row, ms | lengths, ms | memory, MB | shards mapped |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for shards in given.shards:
        with tempfile.TemporaryDirectory() as folder:
            out = write_dataset(Path(folder), Task.CAUSAL_LM, {"train": make_batches(shards, given.rows)})
            for program in PROGRAMS:
                got = best(program, out, given.runs)
                times = " | ".join(f"{got[name] * 1000:.2f}" for name in ("open", "row", "next", "lengths"))
                print(f"| {shards} | {program} | {times} | {got['MB']:.1f} | {got['files']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
