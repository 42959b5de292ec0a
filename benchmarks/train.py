"""Measure how many real tokens a second are trained, by sftdata, transformers.Trainer and TRL's SFTTrainer.

usage: python benchmarks/train.py [--rows N] [--runs N] [--cases NAME ...] [--assets DIR] [--work DIR]

On a GPU: causal language models of 0.5 and 1.5 billion parameters (Qwen2.5's shapes, random weights), bfloat16, packs
of 4,096 and 16,384 tokens, with the share of the card's peak (MFU) that sftdata logs. Without one it says so and runs
on the CPU: SmolLM2-135M on conversations and MiniLM on glosses of WordNet, whose lengths vary, and both on rows of one
length.

All train the same rows for one epoch, from the same weights, in the same precision, with steps of the same size; each
in a process of its own, in turn. Exits 1 when they did not train the same tokens.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from corpora import write_conversations, write_glosses
from programs import ProgramError, find_sftdata, measure

import sftdata
from sftdata.manifest import InputFile, Manifest, RowCounts, TokenizerRecord, digest_file
from sftdata.records import Task
from sftdata.shards.index import index_path
from sftdata.shards.layout import dataset_dict_file, example_schema
from sftdata.shards.writer import SplitWriter

HERE = Path(__file__).resolve().parent
TITLES = {
    "ours": "sftdata",
    "trainer": "transformers.Trainer",
    "grouped": "transformers.Trainer, group_by_length",
    "trl": "TRL SFTTrainer",
}
SIZES = {
    "0.5B": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "intermediate_size": 4864},
    "1.5B": {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "intermediate_size": 8960},
}
"""Of Qwen2.5; both have 2 key heads and a vocabulary of 151,936."""


class Case(NamedTuple):
    """What is trained.

    Attributes:
        title: what it is called in the table.
        data: a prepared dataset.
        model: a directory.
        programs: who trains it.
        options: of `train_programs.py`.
    """

    title: str
    data: Path
    model: Path
    programs: tuple[str, ...]
    options: tuple[str, ...]


def prepare(work: Path, name: str, recipe: dict[str, Any]) -> Path:
    """Prepare a dataset that is trained from as a whole."""
    folder = work / name
    recipe |= {"split": {"train": 1, "validation": 0, "test": 0}, "output": {"dir": str(folder)}}
    path = work / f"{name}.yaml"
    path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    measure([find_sftdata(), "prepare", str(path)], work / f"{name}.log")
    return folder


def write_tokens(folder: Path, task: Task, lengths: np.ndarray, model: Path, vocabulary: int) -> Path:
    """Write a prepared dataset of random tokens, all of them trained, or of two classes."""
    names = ("no", "yes") if task == Task.TEXT_CLASSIFICATION else None
    schema, draw = example_schema(task, names), np.random.default_rng(7)
    writer = SplitWriter(folder, "train", task, schema, shard_size=256 * 2**20)
    for start in range(0, len(lengths), 1000):
        ids = [draw.integers(5, vocabulary, size) for size in lengths[start : start + 1000]]
        labels: Any = ids if names is None else draw.integers(0, 2, len(ids))
        row_ids = [f"tokens:{start + place}" for place in range(1, len(ids) + 1)]
        columns = {"row_id": row_ids, "input_ids": ids, "labels": labels}
        writer.write(pa.RecordBatch.from_pydict(columns, schema=schema))
    record, tokenizer = writer.close(), model / "tokenizer.json"
    digest = digest_file(tokenizer) if tokenizer.exists() else "sha256:0"
    manifest = Manifest(
        version=sftdata.__version__,
        task=task,
        recipe={},
        inputs=(InputFile(id="tokens", path="tokens", bytes=0, digest=""),),
        rows=RowCounts(read=len(lengths), written=len(lengths)),
        rejected_by_reason={},
        label_names=names,
        tokenizer=TokenizerRecord(name="none", digest=digest, backend="none", vocab_size=vocabulary, proof={}),
        chat_template_digest=None,
        splits={"train": record},
        seed=7,
        files={index_path("train"): digest_file(folder / index_path("train"))},
    )
    (folder / "dataset_dict.json").write_text(dataset_dict_file(["train"]), encoding="utf-8")
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return folder


def cpu_cases(work: Path, assets: Path, rows: int) -> dict[str, Case]:
    """Write the data of the cases for a CPU; MiniLM gets eight times the rows, for it is so much smaller."""
    smollm, minilm = (assets / name for name in ("smollm2", "minilm"))
    write_conversations(assets / "chitchat.json", work / "conversations.jsonl", rows)
    write_glosses(assets, work / "glosses.jsonl", 8 * rows)
    chats = {
        "task": "causal_lm",
        "schema": "messages",
        "sources": [{"path": "conversations.jsonl"}],
        "tokenize": {"tokenizer": str(smollm), "max_length": 1024},
    }
    glosses = {
        "task": "text_classification",
        "schema": "text_label",
        "sources": [{"path": "glosses.jsonl"}],
        "tokenize": {"tokenizer": str(minilm), "max_length": 256},
    }
    classes, words = Task.TEXT_CLASSIFICATION, np.full(8 * rows, 32)
    shape = ("--batch", "16")
    tags = (*shape, "--task", "text_classification")
    every, some = tuple(TITLES), ("ours", "trainer", "grouped")
    same = np.full(max(16, rows // 2), 128)
    return {
        "chats": Case("SmolLM2-135M, conversations", prepare(work, "chats", chats), smollm, every, shape),
        "chats-equal": Case(
            "SmolLM2-135M, 128 tokens each",
            write_tokens(work / "chats-equal", Task.CAUSAL_LM, same, smollm, 49_152),
            smollm,
            ("ours", "trainer", "trl"),
            shape,
        ),
        "glosses": Case("MiniLM, glosses", prepare(work, "glosses", glosses), minilm, some, tags),
        "glosses-equal": Case(
            "MiniLM, 32 tokens each",
            write_tokens(work / "glosses-equal", classes, words, minilm, 30_522),
            minilm,
            ("ours", "trainer"),
            tags,
        ),
    }


def gpu_cases(work: Path, rows: int) -> dict[str, Case]:
    """Write models with random weights, and rows of random tokens of log-normal lengths, 400 in the median."""
    import transformers

    lengths = np.random.default_rng(7).lognormal(6.0, 0.8, rows).astype(np.int64).clip(16, 4096)
    cases = {}
    for size, shape in SIZES.items():
        model = work / f"model-{size}"
        if not (model / "config.json").exists():
            config = transformers.Qwen2Config(
                **shape, num_key_value_heads=2, vocab_size=151_936, tie_word_embeddings=True, pad_token_id=0
            )
            transformers.Qwen2ForCausalLM(config).save_pretrained(model)
        for capacity in (4096, 16_384):
            name, packs = f"{size}-{capacity}", 16_384 // capacity
            data = write_tokens(work / name, Task.CAUSAL_LM, lengths, model, 151_936)
            options = ("--batch", str(packs), "--pack", str(capacity), "--warm", "5")
            cases[name] = Case(f"{size}, packs of {capacity:,}", data, model, ("ours", "trl"), options)
    return cases


def run_case(case: Case, work: Path, runs: int) -> dict[str, list[dict[str, Any]]]:
    """Run the programs of a case in turn; one that fails says why and is left out."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in case.programs}
    for number in range(runs):
        for name in case.programs:
            print(f"run {number + 1} of {runs}: {case.title}, {TITLES[name]}", file=sys.stderr)
            command = [sys.executable, str(HERE / "train_programs.py"), name, str(case.data), str(case.model)]
            log = work / f"{name}.log"
            try:
                measure([*command, *case.options], log)
            except ProgramError as failure:
                print(failure, file=sys.stderr)
                continue
            found[name].append(json.loads(log.read_text(encoding="utf-8").splitlines()[-1]))
    return {name: of_program for name, of_program in found.items() if of_program}


def print_case(title: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print a line for each program: the best of its runs."""
    best = {name: max(one["tokens"] / one["seconds"] for one in runs) for name, runs in found.items()}
    for name, runs in found.items():
        slowest = min(one["tokens"] / one["seconds"] for one in runs)
        peak, loss, steps = max(one["peak"] for one in runs), runs[0]["loss"], runs[0]["steps"]
        mfu = f"{runs[0]['mfu']:.1%}" if runs[0].get("mfu") else ""
        ratio = f"{best['ours'] / best[name]:.2f}" if "ours" in best else ""
        print(
            f"| {title} | {TITLES[name]} | {best[name]:,.0f} ({slowest:,.0f}) | {ratio} | {mfu} | "
            f"{peak / 1e6:,.0f} MB | {loss:.3f} | {steps} |"
        )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    assets = Path(os.environ.get("SFTDATA_ASSETS") or HERE.parent / ".assets")
    parser.add_argument("--rows", type=int, help="256 on a CPU, 4,000 on a GPU")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--cases", nargs="+", help="all by default")
    parser.add_argument("--assets", type=Path, default=assets)
    parser.add_argument("--work", type=Path, default=HERE / "results" / "train", help="folder for data and results")
    return parser.parse_args()


def main() -> int:
    """Measure, compare and print."""
    given = parse_arguments()
    work, on_gpu = given.work.resolve(), torch.cuda.is_available()
    work.mkdir(parents=True, exist_ok=True)
    try:
        cases = (
            gpu_cases(work, given.rows or 4000)
            if on_gpu
            else cpu_cases(work, given.assets.resolve(), given.rows or 256)
        )
    except ProgramError as failure:
        sys.exit(str(failure))
    unknown = set(given.cases or ()) - cases.keys()
    if unknown:
        sys.exit(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(cases)}")
    where = torch.cuda.get_device_name() if on_gpu else f"no GPU here: {os.cpu_count()} cores, {platform.machine()}"
    results = {name: run_case(cases[name], work, given.runs) for name in given.cases or cases}
    print(
        f"{where}; torch {torch.__version__}, Python {platform.python_version()}; best of {given.runs} runs (slowest)\n"
    )
    print("| what | program | real tokens/s | sftdata is times as fast | MFU | peak memory | mean loss | steps |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, found in results.items():
        print_case(cases[name].title, found)
    failed = 0
    for name, found in results.items():
        counts = {program: runs[0]["tokens"] for program, runs in found.items()}
        if len(set(counts.values())) > 1 and "--warm" not in cases[name].options:
            print(f"{cases[name].title}: not the same tokens: {counts}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
