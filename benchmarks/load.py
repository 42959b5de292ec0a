"""Measure how fast batches come out of the same shards on one core, and how long it takes to go on at step 100,000.

usage: python benchmarks/load.py [--rows N] [--step N] [--lengths N] [--runs N] [--programs NAME ...] [--work DIR]

The conversations of `prepare.py` are prepared once, then loaded by `sftdata`, by `datasets` with torch's DataLoader, by
torchdata's StatefulDataLoader, and as TRL's SFTTrainer does with packing; `load_programs.py` is one of them. Each has a
process of its own for each run, in turn, bound to one core; imports are not counted. A resume has a process, too.
All must deliver the same tokens, ids and trained tokens, else this exits 1.
`pip install --no-deps torchdata==0.11.0` gives what it needs beside `sftdata[train,dev]`.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

from corpora import write_conversations
from load_programs import BATCH, CAPACITY, PROGRAMS, REPLAYED
from programs import PEAK, ProgramError, find_sftdata, measure

HERE = Path(__file__).resolve().parent

TITLES = {
    "ours-padded": "sftdata, padded",
    "ours-packed": "sftdata, packed",
    "ours-fixed": "sftdata, packed, fixed shape",
    "usual": "datasets, DataLoader",
    "usual-2": "datasets, DataLoader, 2 workers",
    "stateful": "datasets, StatefulDataLoader",
    "stateful-2": "datasets, StatefulDataLoader, 2 workers",
    "trl": "TRL, packed by bfd",
    "streamed": "datasets as a stream, DataLoader",
}


def prepare(work: Path, assets: Path, rows: int) -> Path:
    """Prepare the conversations; what is longer than a pack is rejected, for TRL would cut it."""
    write_conversations(assets / "chitchat.json", work / "conversations.jsonl", rows)
    recipe = {
        "task": "causal_lm",
        "schema": "messages",
        "sources": [{"path": "conversations.jsonl"}],
        "split": {"train": 1, "validation": 0, "test": 0},
        "tokenize": {"tokenizer": str((assets / "smollm2").resolve()), "max_length": CAPACITY},
        "output": {"dir": "shards"},
    }
    (work / "recipe.yaml").write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    measure([find_sftdata(), "prepare", str(work / "recipe.yaml")], work / "prepare.log")
    return work / "shards"


def run(name: str, data: Path, *options: str) -> dict[str, Any]:
    """Run one program to its end; return what it says and its most memory."""
    log = data.with_name(f"{name}.log")
    command = [sys.executable, str(HERE / "load_programs.py"), name, str(data)]
    usage = measure([*command, "--packs", str(data.with_name("packs.arrow")), *options], log)
    return {**json.loads(log.read_text(encoding="utf-8").splitlines()[-1]), "memory": usage.peak_bytes}


def run_all(names: list[str], data: Path, step: int, copies: int, runs: int) -> dict[str, dict[str, list[Any]]]:
    """Run the programs in turn; return for each what its epochs and its resumes said."""
    found: dict[str, dict[str, list[Any]]] = {name: {"epochs": [], "resumes": []} for name in names}
    for number in range(runs):
        for name in names:
            print(f"run {number + 1} of {runs}: {TITLES[name]}", file=sys.stderr)
            if name != "streamed":
                check = ["--check"] if number == 0 else []
                found[name]["epochs"].append(run(name, data, *check))
            found[name]["resumes"].append(run(name, data, "--copies", str(copies), "--step", str(step)))
    return found


def print_table(found: dict[str, dict[str, list[Any]]], tokens: int, step: int) -> None:
    """Print the least time of each program, and the range."""
    print(f"| loader | tokens/s (range) | processor | before | full | to step {step:,} | peak memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, got in found.items():
        resume, epochs = min(one["seconds"] for one in got["resumes"]), got["epochs"]
        if not epochs:
            memory = max(one["memory"] for one in got["resumes"])
            print(f"| {TITLES[name]} | | | | | about {resume:,.0f} s | {memory / 1e6:,.0f} MB |")
            continue
        rates = sorted(tokens / one["seconds"] for one in epochs)
        packed = name in ("ours-packed", "ours-fixed", "trl")
        full = f"{tokens / (epochs[0]['batches'] * CAPACITY):.2%}" if packed else ""
        before = min(one["prepared"] for one in epochs)
        print(
            f"| {TITLES[name]} | {rates[-1]:,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f}) | "
            f"{min(one['processor'] for one in epochs):.2f} s | {f'{before:.1f} s' if before else ''} | {full} | "
            f"{resume:.2f} s | {max(one['memory'] for one in epochs) / 1e6:,.0f} MB |"
        )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    assets = Path(os.environ.get("SFTDATA_ASSETS") or HERE.parent / ".assets")
    parser.add_argument("--rows", type=int, default=63_436)
    parser.add_argument("--step", type=int, default=100_000)
    parser.add_argument("--lengths", type=int, default=10_000_000, help="lengths to plan")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--assets", type=Path, default=assets)
    parser.add_argument("--work", type=Path, default=HERE / "results" / "load", help="folder for data and results")
    return parser.parse_args()


def main() -> int:
    """Measure, compare and print."""
    given = parse_arguments()
    if not importlib.util.find_spec("torchdata"):
        sys.exit("torchdata is not installed: pip install --no-deps torchdata==0.11.0")
    for path in (given.assets / "chitchat.json", given.assets / "smollm2" / "tokenizer.json"):
        if not path.exists():
            sys.exit(f"{path} is missing; fetch it: python tests/real/fetch.py --group test --group bench")
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    copies = math.ceil(given.step * BATCH * 1.1 / given.rows)  # steps enough for packs, too
    try:
        data = prepare(work, given.assets, given.rows)
        planned = [run("plan", data, "--lengths", str(given.lengths)) for _ in range(given.runs)]
        found = run_all(given.programs, data, given.step, copies, given.runs)
    except ProgramError as failure:
        sys.exit(str(failure))
    counts = {name: tuple(got["epochs"][0]["counts"]) for name, got in found.items() if got["epochs"]}
    train = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]
    print(
        f"{train['rows']:,} conversations, {train['tokens']:,} tokens; batches of {BATCH} examples or of one pack of "
        f"{CAPACITY}; one core, {platform.machine()}, Python {platform.python_version()}; best of {given.runs} runs\n"
    )
    print_table(found, train["tokens"], given.step)
    best = min(planned, key=lambda one: one["seconds"])
    print(
        f"\nThe step is in an epoch of {copies} copies of the data; a stream is replayed for {REPLAYED:,} steps and "
        f"scaled.\nPeak memory: {PEAK}.\n{given.lengths:,} lengths planned in {best['seconds']:.1f} s, packs "
        f"{best['full']:.2%} full, at most {best['peak'] / 1e6:,.0f} MB, {best['before'] / 1e6:,.0f} MB of them before."
    )
    expected = {(train["tokens"], train["trained_tokens"])}
    if {(tokens, trained) for tokens, _, trained in counts.values()} != expected or len(set(counts.values())) > 1:
        print(f"Not the same tokens: {counts}, expected {expected}.")
        return 1
    print(f"All deliver the same tokens, ids and trained tokens: {', '.join(TITLES[name] for name in counts)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
