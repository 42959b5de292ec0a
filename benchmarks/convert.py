"""Prepare the same rows by LLaMA-Factory, by axolotl, and by recipes converted from their configurations; compare.

usage: python benchmarks/convert.py [FOLDER] [--tokenizer DIRECTORY] [--work DIRECTORY] [--only NAME ...]

FOLDER holds their environments, as `peers.py` makes them. Each configuration is small, and names what matters to what
is trained. A row counts as equal when all its tokens and all its labels are.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import datasets

import sftdata
from sftdata.conversion import convert_recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROWS = 120
QUIET = {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
TURNS = {"field_messages": "conversations", "message_property_mappings": {"role": "from", "content": "value"}}
OWN = {"format": "Q: {instruction}\nMore: {input}\nA: ", "no_input_format": "Q: {instruction}\nA: "}

LLAMAFACTORY: dict[str, dict[str, Any]] = {
    "default": {"dataset": "alpaca", "template": "default"},
    "chatml": {"dataset": "talks", "template": "chatml"},
    "vicuna": {"dataset": "talks", "template": "vicuna"},
    "alpaca-template": {"dataset": "alpaca", "template": "alpaca"},
    "smollm2": {"dataset": "talks", "template": "smollm2"},
    "last": {"dataset": "talks", "template": "smollm2", "mask_history": True},
}
AXOLOTL: dict[str, dict[str, Any]] = {
    "alpaca": {"path": "alpaca.jsonl", "type": "alpaca"},
    "alpaca-chatml": {"path": "alpaca.jsonl", "type": "alpaca:chatml"},
    "chat": {"path": "messages.jsonl", "type": "chat_template"},
    "from-value": {"path": "talks.jsonl", "type": "chat_template", **TURNS},
    "completion": {"path": "texts.jsonl", "type": "completion", "field": "body"},
    "own": {"path": "alpaca.jsonl", "type": {"field_output": "output", "system_prompt": "Be brief.\n", **OWN}},
}


def write_data(work: Path) -> None:
    """Write the sample conversations in the formats that the configurations name."""
    lines = (ROOT / "samples" / "wordnet_chat.jsonl").read_text(encoding="utf-8").splitlines()[:ROWS]
    messages = [json.loads(line) for line in lines]
    said = {"user": "human", "assistant": "gpt", "system": "system"}
    talks = [
        {"conversations": [{"from": said[turn["role"]], "value": turn["content"]} for turn in row["messages"]]}
        for row in messages
    ]
    alpaca = []
    for number, row in enumerate(messages):
        first = {turn["role"]: turn["content"] for turn in reversed(row["messages"])}
        more = "" if number % 3 else f"Think of a bird, {number}."
        alpaca.append({"instruction": first["user"], "input": more, "output": first["assistant"]})
    texts = [{"body": row["output"]} for row in alpaca]
    for name, rows in {"messages": messages, "talks": talks, "alpaca": alpaca, "texts": texts}.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (work / f"{name}.jsonl").write_text(text, encoding="utf-8")
    info = {"alpaca": {"file_name": "alpaca.jsonl"}, "talks": {"file_name": "talks.jsonl", "formatting": "sharegpt"}}
    (work / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")


def write_configurations(work: Path, tokenizer: Path) -> dict[str, list[str]]:
    """Write a file for each configuration; return by its name how its program prepares it."""
    shared = {"output_dir": "run", "bf16": False, "learning_rate": 0.0001}
    commands = {}
    for name, keys in LLAMAFACTORY.items():
        model = {"model_name_or_path": str(tokenizer), "stage": "sft", "do_train": True, "finetuning_type": "full"}
        rest = {"dataset_dir": ".", "cutoff_len": 1024, "use_cpu": True, "report_to": "none", "overwrite_cache": True}
        config = model | shared | rest | keys | {"tokenized_path": f"theirs/llamafactory-{name}"}
        commands[f"llamafactory-{name}"] = _write(
            work, f"llamafactory-{name}", config, [str(HERE / "llamafactory_prepare.py")]
        )
    for name, dataset in AXOLOTL.items():
        model = {"base_model": str(tokenizer), "datasets": [{"ds_type": "json", **dataset}], "sequence_len": 1024}
        rest = {"micro_batch_size": 1, "gradient_accumulation_steps": 1, "num_epochs": 1, "dataset_num_proc": 1}
        config = model | shared | rest | {"dataset_prepared_path": f"theirs/axolotl-{name}"}
        commands[f"axolotl-{name}"] = [
            *_write(work, f"axolotl-{name}", config, ["-m", "axolotl.cli.main", "preprocess"]),
            "--no-download",
        ]
    return commands


def _write(work: Path, name: str, config: dict[str, Any], command: list[str]) -> list[str]:
    (work / f"{name}.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return [*command, f"{name}.json"]


def read_rows(folder: Path) -> Counter[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return how often each row, as tokens and labels, stands in what a program saved."""
    place = next(path.parent for path in sorted(folder.rglob("state.json")))
    rows = datasets.load_from_disk(str(place))
    return Counter((tuple(row["input_ids"]), tuple(row["labels"])) for row in rows)


def main() -> None:
    """Compare, and print a line a configuration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("peers"))
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "samples" / "models" / "smollm2")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    folder, tokenizer = given.folder.absolute(), given.tokenizer.absolute()
    work = (given.work or Path(tempfile.mkdtemp())).absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    write_data(work)
    for name, command in write_configurations(work, tokenizer).items():
        if given.only and name not in given.only:
            continue
        recipe = sftdata.load_recipe(convert_recipe(f"{name}.json", out=work / "ours" / name / "recipe.yaml").recipe)
        sftdata.prepare(recipe)
        python = folder / name.partition("-")[0] / "bin" / "python"
        done = subprocess.run([str(python), *command], env={**os.environ, **QUIET}, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        ours, theirs = read_rows(recipe.resolve(recipe.output.dir)), read_rows(work / "theirs" / name)
        print(f"{name}: {ours.total()} rows, {theirs.total()} of theirs, {(ours & theirs).total()} equal", flush=True)


if __name__ == "__main__":
    main()
