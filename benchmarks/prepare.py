"""Measure `sftdata prepare` against `datasets.map` on real conversations, as whole processes.

usage: python benchmarks/prepare.py [--rows N] [--tokenizer DIR] [--runs N] [--assets DIR] [--work DIR]

The data are windows of four turns, two by each speaker, out of real chats (`chitchat.json` of the assets, seeded).
Each program is started anew for each run, in turn with the others, with empty caches of its own. Then the results are
compared row by row: ids and labels must be equal, else this exits 1.
`python tests/real/fetch.py --group test --group bench` fetches what it needs.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from corpora import write_conversations
from programs import Program, count_differences, find_sftdata, print_table, read_examples, run_or_exit

HERE = Path(__file__).resolve().parent


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


def programs_of(work: Path, tokenizer: Path) -> dict[str, Program]:
    """Return the programs to compare by name; each writes into the folder of that name."""
    usual = [sys.executable, str(HERE / "usual_prepare.py"), str(work / "conversations.jsonl"), str(tokenizer)]
    return {
        "sftdata": Program("sftdata prepare", [find_sftdata(), "prepare", str(write_recipe(work, tokenizer))]),
        "map": Program("datasets.map", [*usual, str(work / "map")]),
        "map-2": Program("datasets.map, num_proc=2", [*usual, str(work / "map-2"), "--processes", "2"]),
        "map-ids": Program("datasets.map, ids without labels", [*usual, str(work / "map-ids"), "--ids-only"]),
    }


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
    programs = programs_of(work, tokenizer)
    usages = run_or_exit(programs, work, arguments.runs)
    made = {name: read_examples(work / name) for name in programs}
    tokens = sum(len(example.ids) for example in made["map"].values())
    print(
        f"{arguments.rows:,} conversations, {data.stat().st_size / 1e6:.1f} MB, {tokens:,} tokens of "
        f"{tokenizer.name}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; "
        f"median of {arguments.runs} runs\n"
    )
    print_table(programs, usages, arguments.rows, tokens)
    bad = 0
    for name in ("map", "map-2"):
        alone, ids, labels = count_differences(made["sftdata"], made[name])
        bad += alone + ids + labels
        print(
            f"Against {programs[name].title}: {alone} rows only in one, {ids} with other ids, "
            f"{labels} with other labels."
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
