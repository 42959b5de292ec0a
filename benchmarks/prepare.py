"""Measure `sftdata prepare` against `datasets.map` on real conversations, as whole processes.

usage: python benchmarks/prepare.py [--rows N] [--tokenizer DIR] [--runs N] [--assets DIR] [--work DIR]

The data are windows of four turns, two by each speaker, out of real chats (`chitchat.json` of the assets, seeded).
Each program is started anew for each run, in turn with the others, with empty caches of its own. Then the results are
compared row by row: ids and labels must be equal, else this exits 1.
`python tests/real/fetch.py --group test --group bench` fetches what it needs.
"""

import argparse
import itertools
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

try:
    import psutil
except ImportError:
    psutil = None

HERE = Path(__file__).resolve().parent
SEED = 7
TURNS = 4


class Usage(NamedTuple):
    """What one run of a program took."""

    seconds: float
    peak_bytes: int


class Example(NamedTuple):
    """What a program made of one conversation."""

    ids: np.ndarray
    labels: np.ndarray


def read_chats(path: Path) -> Iterator[list[tuple[str, str]]]:
    """Yield chats as (speaker, text), messages in a row by one speaker merged, without those of one speaker only."""
    for chat in json.loads(path.read_text(encoding="utf-8")).values():
        turns: list[tuple[str, str]] = []
        for message in (message for block in chat["messages"] for message in block if message["text"].strip()):
            if turns and turns[-1][0] == message["sender"]:
                turns[-1] = (message["sender"], turns[-1][1] + "\n" + message["text"])
            else:
                turns.append((message["sender"], message["text"]))
        if len({speaker for speaker, _ in turns}) == 2:
            yield turns


def write_conversations(chats: Path, out: Path, rows: int) -> None:
    """Write `rows` windows of four turns, chosen and ordered by SEED; the first speaker of a window is the user."""
    windows = [turns[i : i + TURNS] for turns in read_chats(chats) for i in range(len(turns) - TURNS + 1)]
    if len(windows) < rows:
        sys.exit(f"{chats} gives {len(windows)} conversations, fewer than --rows {rows}")
    roles = ("user", "assistant") * (TURNS // 2)
    with out.open("w", encoding="utf-8") as file:
        for window in random.Random(SEED).sample(windows, rows):  # noqa: S311 - a sample, no secret
            messages = [{"role": role, "content": text} for role, (_, text) in zip(roles, window, strict=True)]
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def write_recipe(work: Path, tokenizer: Path) -> Path:
    """Write the recipe for `sftdata prepare`. JSON is YAML."""
    recipe = {
        "task": "causal_lm",
        "schema": "messages",
        "sources": [{"path": "conversations.jsonl"}],
        "split": {"train": 1, "validation": 0, "test": 0},
        "tokenize": {"tokenizer": str(tokenizer), "max_length": 1_000_000},
        "output": {"dir": "sftdata"},
    }
    path = work / "recipe.yaml"
    path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    return path


def commands(work: Path, tokenizer: Path) -> dict[str, list[str]]:
    """Return the programs to compare by name; each writes into the directory of that name."""
    sftdata = shutil.which("sftdata", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not sftdata:
        sys.exit("the command sftdata is not installed beside this Python: pip install -e .")
    usual = [sys.executable, str(HERE / "usual_prepare.py"), str(work / "conversations.jsonl"), str(tokenizer)]
    return {
        "sftdata": [sftdata, "prepare", str(write_recipe(work, tokenizer))],
        "map": [*usual, str(work / "map")],
        "map-2": [*usual, str(work / "map-2"), "--processes", "2"],
        "map-ids": [*usual, str(work / "map-ids"), "--ids-only"],
    }


TITLES = {
    "sftdata": "sftdata prepare",
    "map": "datasets.map",
    "map-2": "datasets.map, num_proc=2",
    "map-ids": "datasets.map, ids without labels",
}


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


def measure(command: list[str], log: Path) -> Usage:
    """Run a program to its end; stop if it fails."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as cache, log.open("w") as output:
        environment["HF_DATASETS_CACHE"] = cache
        start, peak = time.perf_counter(), 0
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while psutil and process.returncode is None:
            peak = max(peak, tree_bytes(process.pid))
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        if not psutil:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    return Usage(seconds, peak)


def run_all(programs: dict[str, list[str]], work: Path, runs: int) -> dict[str, list[Usage]]:
    """Run the programs in turn, `runs` times each, always into an empty directory."""
    usages: dict[str, list[Usage]] = {name: [] for name in programs}
    for number in range(runs):
        for name, command in programs.items():
            shutil.rmtree(work / name, ignore_errors=True)
            usages[name].append(measure(command, work / f"{name}.log"))
            print(f"run {number + 1} of {runs}: {TITLES[name]} {usages[name][-1].seconds:.1f} s", file=sys.stderr)
    return usages


def lists(table: pa.Table, column: str) -> list[np.ndarray]:
    """Return a column of lists as one array a row."""
    array = table[column].combine_chunks()
    values, offsets = array.values.to_numpy(), array.offsets.to_numpy()
    return [values[start:end] for start, end in itertools.pairwise(offsets)]


def read_examples(path: Path) -> dict[int, Example]:
    """Read what a program wrote, by the conversation's number from 1."""
    from datasets import Dataset, load_from_disk

    found: Any = load_from_disk(str(path))
    dataset: Dataset = found if isinstance(found, Dataset) else found["train"]
    table = dataset.with_format("arrow")[:]
    ids = lists(table, "input_ids")
    labels = lists(table, "labels") if "labels" in table.column_names else ids
    if "row_id" in table.column_names:
        numbers = [int(row_id.rpartition(":")[2]) for row_id in table["row_id"].to_pylist()]
    else:
        numbers = list(range(1, len(ids) + 1))
    return dict(zip(numbers, map(Example, ids, labels), strict=True))


def count_differences(ours: dict[int, Example], usual: dict[int, Example]) -> tuple[int, int, int]:
    """Return how many conversations only one of them has, have other ids, and have other labels."""
    both = ours.keys() & usual.keys()
    return (
        len(ours.keys() ^ usual.keys()),
        sum(not np.array_equal(ours[number].ids, usual[number].ids) for number in both),
        sum(not np.array_equal(ours[number].labels, usual[number].labels) for number in both),
    )


def print_table(usages: dict[str, list[Usage]], rows: int, tokens: int) -> None:
    """Print the medians, and each program's time as a multiple of ours."""
    ours = statistics.median(usage.seconds for usage in usages["sftdata"])
    print("| program | seconds (range) | rows/s | tokens/s | peak memory | time of sftdata |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, of_program in usages.items():
        seconds = [usage.seconds for usage in of_program]
        median, peak = statistics.median(seconds), max(usage.peak_bytes for usage in of_program)
        print(
            f"| {TITLES[name]} | {median:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {rows / median:,.0f} | "
            f"{tokens / median:,.0f} | {peak / 1e6:,.0f} MB | {median / ours:.1f} times |"
        )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    assets = Path(os.environ.get("SFTDATA_ASSETS") or HERE.parent / ".assets")
    parser.add_argument("--rows", type=int, default=63_436)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--assets", type=Path, default=assets)
    parser.add_argument("--tokenizer", type=Path, help="a model directory; the assets' smollm2 by default")
    parser.add_argument("--work", type=Path, default=HERE / "results", help="folder for data and results")
    return parser.parse_args()


def main() -> int:
    """Measure, compare and print."""
    arguments = parse_arguments()
    work, tokenizer = arguments.work.resolve(), (arguments.tokenizer or arguments.assets / "smollm2").resolve()
    for path in (arguments.assets / "chitchat.json", tokenizer / "tokenizer.json"):
        if not path.exists():
            sys.exit(f"{path} is missing; fetch it: python tests/real/fetch.py --group test --group bench")
    work.mkdir(parents=True, exist_ok=True)
    data = work / "conversations.jsonl"
    write_conversations(arguments.assets / "chitchat.json", data, arguments.rows)
    programs = commands(work, tokenizer)
    usages = run_all(programs, work, arguments.runs)
    made = {name: read_examples(work / name) for name in programs}
    tokens = sum(len(example.ids) for example in made["map"].values())
    print(
        f"{arguments.rows:,} conversations, {data.stat().st_size / 1e6:.1f} MB, {tokens:,} tokens of "
        f"{tokenizer.name}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"median of {arguments.runs} runs\n"
    )
    print_table(usages, arguments.rows, tokens)
    kind = "sum over the processes of a program, sampled 20 times a second" if psutil else "largest single process"
    print(f"\nPeak memory: {kind}.")
    bad = 0
    for name in ("map", "map-2"):
        alone, ids, labels = count_differences(made["sftdata"], made[name])
        bad += alone + ids + labels
        print(f"Against {TITLES[name]}: {alone} rows only in one, {ids} with other ids, {labels} with other labels.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
