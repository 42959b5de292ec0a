"""Measure `sftdata prepare` against what people use to tokenise, as whole processes, on the same rows.

usage: python benchmarks/tokenization.py [--task TASK] [--tokenizer DIR] [--rows N] [--runs N] [--peers FOLDER]
                                         [--synthetic N] [--assets DIR] [--work DIR]

causal_lm: windows of four turns out of real chats (`chitchat.json`), prepared by TRL, LLaMA-Factory and axolotl, each
in the environment that `python benchmarks/peers.py FOLDER` made for it, and by `datasets.map`. `--synthetic N` then has
sftdata prepare N conversations put together from turns of those chats, and compares the rates.
text_classification: WordNet's glosses with MiniLM's WordPiece vocabulary, prepared by `datasets.map`.

Each program is started anew for each run, in turn with the others, with empty caches of its own. The ids must be equal
row by row, and the labels where a program's mask means the same, else this exits 1. What is compared is printed.
`python tests/real/fetch.py` fetches what it needs.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

from conversation_peers import Rival, conversation_rivals
from corpora import write_conversations, write_glosses, write_synthetic
from peers import FOLDER
from programs import (
    Example,
    Program,
    ProgramError,
    Usage,
    count_differences,
    find_sftdata,
    print_table,
    read_examples,
    run_all,
)

HERE = Path(__file__).resolve().parent
OURS = "sftdata"
GOALS = {"trl": 25, "trl-2": 25}
"""How many times faster than a program sftdata means to be, on the real conversations."""
GOAL_OF_GLOSSES = {"map": 15, "map-2": 15}
RATE_GOAL = 50
"""How many times TRL's rows a second sftdata means to reach at a million conversations."""


def write_recipe(work: Path, task: str, tokenizer: Path, data: str, out: str) -> Program:
    """Write a recipe and return the run of it. All rows are for training, since no other program splits."""
    recipe = {
        "task": task,
        "schema": "messages" if task == "causal_lm" else "text_label",
        "sources": [{"path": data}],
        "split": {"train": 1, "validation": 0, "test": 0},
        "tokenize": {"tokenizer": str(tokenizer), "max_length": 1_000_000 if task == "causal_lm" else 512},
        "output": {"dir": out},
    }
    path = work / f"{out}.recipe.yaml"
    path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")  # JSON is YAML
    return Program("sftdata prepare", [find_sftdata(), "prepare", str(path)])


def gloss_rivals(work: Path, tokenizer: Path) -> dict[str, Rival]:
    """Return who prepares rows of a text and a label."""
    usual = [sys.executable, str(HERE / "usual_prepare.py"), "rows.jsonl", str(tokenizer)]
    task = ["--task", "text_classification"]
    return {
        "map": Rival(Program("datasets.map", [*usual, str(work / "map"), *task])),
        "map-2": Rival(Program("datasets.map, num_proc=2", [*usual, str(work / "map-2"), *task, "--processes", "2"])),
    }


def compare(ours: dict[int, Example], rival: Rival, folder: Path) -> int:
    """Print how a program's examples differ from ours, and return how many do."""
    theirs = read_examples(folder)
    changed = {number: rival.change(example) for number, example in ours.items()}
    alone, ids, labels = count_differences(changed, theirs)
    said = f"{labels} with other labels" if rival.labels else "labels not compared"
    print(f"Against {rival.program.title}: {alone} rows only in one, {ids} with other ids, {said}.{rival.note}")
    return alone + ids + labels * rival.labels


def median(usages: list[Usage]) -> float:
    """Return the median time."""
    return statistics.median(usage.seconds for usage in usages)


def print_goals(goals: dict[str, int], usages: dict[str, list[Usage]], titles: dict[str, str]) -> None:
    """Print which goals were reached."""
    for name in filter(usages.__contains__, goals):
        times = median(usages[name]) / median(usages[OURS])
        verdict = "reached" if times >= goals[name] else "missed"
        print(f"Goal: {goals[name]} times as fast as {titles[name]}; {verdict}, {times:.1f} times.")


def measure_synthetic(work: Path, tokenizer: Path, arguments: argparse.Namespace, rates: dict[str, float]) -> None:
    """Let sftdata prepare many made-up conversations, and print its rate beside those of the smaller run."""
    data, count = work / "synthetic.jsonl", arguments.synthetic
    write_synthetic(arguments.assets / "chitchat.json", data, count)
    program = write_recipe(work, "causal_lm", tokenizer, data.name, "synthetic")
    usages = run_all({"synthetic": program}, work, arguments.runs)["synthetic"]
    if isinstance(usages, ProgramError):
        sys.exit(str(usages))
    train = json.loads((work / "synthetic" / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]
    if train["rows"] != count:
        sys.exit(f"{count - train['rows']} of {count} made-up conversations were not written")
    size, tokens = data.stat().st_size / 1e6, train["tokens"]
    print(f"\n{count:,} conversations of turns drawn from the same chats, {size:,.1f} MB, {tokens:,} tokens:\n")
    print_table({"synthetic": program}, {"synthetic": usages}, count, tokens)
    for title, rate in rates.items():
        goal = f"; the goal is {RATE_GOAL} times" if title.startswith("TRL") else ""
        print(f"{count / median(usages) / rate:.1f} times the rows a second of {title} above{goal}.")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    assets = Path(os.environ.get("SFTDATA_ASSETS") or HERE.parent / ".assets")
    parser.add_argument("--task", choices=["causal_lm", "text_classification"], default="causal_lm")
    parser.add_argument("--tokenizer", type=Path, help="a model folder; the assets' smollm2, or minilm for glosses")
    parser.add_argument("--rows", type=int, help="63,436 conversations, or all glosses")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=FOLDER, help="folder of environments made by peers.py")
    parser.add_argument("--synthetic", type=int, default=0, help="also prepare so many made-up conversations")
    parser.add_argument("--assets", type=Path, default=assets)
    parser.add_argument("--work", type=Path, help="folder for data and results; benchmarks/results/TASK")
    return parser.parse_args()


def main() -> int:
    """Measure, compare and print."""
    arguments = parse_arguments()
    task, assets = arguments.task, arguments.assets
    chats = task == "causal_lm"
    if arguments.synthetic and not chats:
        sys.exit("--synthetic makes conversations; leave it out, or take --task causal_lm")
    work = (arguments.work or HERE / "results" / task).resolve()
    tokenizer = (arguments.tokenizer or assets / ("smollm2" if chats else "minilm")).resolve()
    for path in (assets / "chitchat.json" if chats else assets / "wordnet" / "data.noun", tokenizer / "tokenizer.json"):
        if not path.exists():
            sys.exit(f"{path} is missing; fetch it: python tests/real/fetch.py")
    work.mkdir(parents=True, exist_ok=True)
    data = work / "rows.jsonl"
    if chats:
        write_conversations(assets / "chitchat.json", data, arguments.rows or 63_436)
        rivals, missing = conversation_rivals(work, tokenizer, arguments.peers.resolve())
    else:
        write_glosses(assets, data, arguments.rows)
        rivals, missing = gloss_rivals(work, tokenizer), {}
    programs = {OURS: write_recipe(work, task, tokenizer, data.name, OURS)}
    programs |= {name: rival.program for name, rival in rivals.items()}
    titles = {name: program.title for name, program in programs.items()}
    outcome = run_all(programs, work, arguments.runs)
    if isinstance(outcome[OURS], ProgramError):
        sys.exit(str(outcome[OURS]))
    usages = {name: of_program for name, of_program in outcome.items() if not isinstance(of_program, ProgramError)}
    missing |= {titles[name]: str(outcome[name]).splitlines()[-1] for name in outcome if name not in usages}
    ours = read_examples(work / OURS)
    rows, tokens = len(ours), sum(len(example.ids) for example in ours.values())
    print(
        f"{rows:,} rows, {data.stat().st_size / 1e6:.1f} MB, {tokens:,} tokens of {tokenizer.name}; {os.cpu_count()} "
        f"cores, {platform.machine()}, Python {platform.python_version()}; median of {arguments.runs} runs. "
        "All rows are for training (split: {train: 1}), for no other program splits.\n"
    )
    print_table(programs, usages, rows, tokens)
    for title, why in missing.items():
        print(f"{title}: not measured: {why}")
    print_goals(GOALS if chats else GOAL_OF_GLOSSES, usages, titles)
    bad = sum(compare(ours, rivals[name], work / name) for name in usages if name != OURS)
    if arguments.synthetic:
        rates = {titles[name]: rows / median(of_program) for name, of_program in usages.items() if name != OURS}
        measure_synthetic(work, tokenizer, arguments, rates)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
