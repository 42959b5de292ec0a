"""Hand one prepared dataset over to programs that do not fit in the test environment, and compare what they train on.

usage: python benchmarks/interop.py [FOLDER] [--tokenizer DIRECTORY] [--work DIRECTORY] [--only NAME ...]

FOLDER holds their environments, as `peers.py` makes them. Beside those it takes

    python -m venv FOLDER/tensorflow && FOLDER/tensorflow/bin/pip install tensorflow-cpu==2.21.0 datasets==5.2.0
    FOLDER/axolotl/bin/pip install --no-deps --target FOLDER/axolotl-more \
        bitsandbytes==0.50.2 fastcore==2.2.39 triton==3.9.0

since axolotl's trainer, unlike its preparation, imports those three, also where there is no GPU. LLaMA-Factory and
axolotl take two steps with a tiny model of random weights. Every row that a program loads, and every example of every
batch that it makes, must have the tokens and labels of ours.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import sftdata

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CAPACITY = 512
Examples = list[tuple[tuple[int, ...], tuple[int, ...]]]


def prepare(work: Path, tokenizer: Path) -> Path:
    """Prepare the sample conversations; return the dataset."""
    recipe = {
        "task": "causal_lm",
        "schema": "messages",
        "sources": [{"path": str(ROOT / "samples" / "wordnet_chat.jsonl")}],
        "tokenize": {"tokenizer": str(tokenizer), "max_length": CAPACITY},
        "output": {"dir": "dataset"},
    }
    (work / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    sftdata.prepare(sftdata.load_recipe(work / "recipe.yaml"))
    return work / "dataset"


def write_model(folder: Path, dataset: Path) -> Path:
    """Save a tiny model of random weights beside the dataset's tokenizer."""
    import torch
    import transformers

    shutil.copytree(dataset / "tokenizer", folder)
    size = sftdata.read_manifest(dataset).tokenizer.vocab_size
    widths = dict.fromkeys(("hidden_size", "intermediate_size"), 16)
    counts = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=size, **widths, **counts)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


QUIET = {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(work: Path, python: Path, script: str, *arguments: Path, more: Path | None = None) -> dict:
    """Run a program in its own environment; return what it wrote down."""
    result = work / f"{script}.json"
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(more or "")}
    command = [str(python), str(HERE / f"{script}.py"), *map(str, arguments), str(result)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(result.read_text(encoding="utf-8"))


def tensorflow(work: Path, folder: Path, dataset: Path) -> dict:
    """`to_tf_dataset` on the shards themselves."""
    return run(work, folder / "tensorflow" / "bin" / "python", "interop_tensorflow", dataset)


def llamafactory(work: Path, folder: Path, dataset: Path) -> dict:
    """`llamafactory-cli train` with the export as its tokenized_path."""
    sftdata.export(dataset, work / "for-llamafactory", to="llamafactory")
    settings = {
        "model_name_or_path": str(work / "model"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset": "none",
        "template": "empty",
        "tokenized_path": str(work / "for-llamafactory"),
        "output_dir": str(work / "llamafactory-run"),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
    }
    (work / "llamafactory.json").write_text(json.dumps(settings), encoding="utf-8")
    python = folder / "llamafactory" / "bin" / "python"
    return run(work, python, "interop_llamafactory", work / "llamafactory.json")


def axolotl(work: Path, folder: Path, dataset: Path, *, packing: bool = False) -> dict:
    """Axolotl's loader and trainer with the export as its dataset."""
    sftdata.export(dataset, work / "for-axolotl", to="axolotl")
    source = {"path": str(work / "for-axolotl"), "type": None}
    settings = {
        "base_model": str(work / "model"),
        "datasets": [{**source, "split": "train"}],
        "test_datasets": [{**source, "split": "validation"}],
        "dataset_prepared_path": str(work / f"axolotl-prepared-{packing}"),
        "dataset_num_proc": 1,
        "dataloader_num_workers": 0,  # batches made in other processes could not be watched
        "sequence_len": CAPACITY,
        "sample_packing": packing,
        "eval_sample_packing": False,
        "attn_implementation": "eager",
        "micro_batch_size": 1 if packing else 4,
        "gradient_accumulation_steps": 1,
        "max_steps": 2,
        "learning_rate": 0.0001,
        "optimizer": "adamw_torch",
        "bf16": False,
        "fp16": False,
        "tf32": False,
        "output_dir": str(work / f"axolotl-run-{packing}"),
        "special_tokens": {"pad_token": "<|im_end|>"},
    }
    (work / "axolotl.yaml").write_text(json.dumps(settings), encoding="utf-8")
    python = folder / "axolotl" / "bin" / "python"
    return run(work, python, "interop_axolotl", work / "axolotl.yaml", more=folder / "axolotl-more")


def axolotl_packed(work: Path, folder: Path, dataset: Path) -> dict:
    """The same with axolotl's own `sample_packing`."""
    return axolotl(work, folder, dataset, packing=True)


PROGRAMS = {
    "tensorflow": tensorflow,
    "llamafactory": llamafactory,
    "axolotl": axolotl,
    "axolotl-packed": axolotl_packed,
}


def cut(batch: dict) -> Examples:
    """Take the examples of a batch apart, where positions begin anew or a mask ends."""
    found = []
    for line, ids in enumerate(batch["input_ids"]):
        labels = batch["labels"][line]
        if "position_ids" in batch:
            starts = [place for place, position in enumerate(batch["position_ids"][line]) if position == 0]
            bounds = list(pairwise([*starts, len(ids)]))
        else:
            bounds = [(0, sum(batch["attention_mask"][line]))]
        found += [(tuple(ids[a:b]), tuple(labels[a:b])) for a, b in bounds]
    return [(ids, labels) for ids, labels in found if set(labels) != {-100}]  # padding behind the last example


def compare(dataset: Path, result: dict) -> str:
    """Compare what a program loaded and trained on with the shards; say how much it was, or how it differs."""
    split = list(sftdata.load_split(dataset))
    ours = [(tuple(row["input_ids"]), tuple(row["labels"])) for row in split]
    loaded = [(tuple(ids), tuple(labels)) for ids, labels in result["loaded"]]
    if Counter(loaded) != Counter(ours):
        return f"DIFFERS: {len(loaded)} rows loaded, {len(Counter(ours) - Counter(loaded))} of ours not among them"
    known = set(ours)
    seen = [example for batch in result["batches"] for example in cut(batch)]
    wrong = [example for example in seen if example not in known]
    if wrong or not seen:
        return f"DIFFERS: {len(wrong)} of {len(seen)} examples in batches are not ours"
    order = "in our order" if loaded == ours else "in an order of its own"
    return f"{len(loaded)} rows loaded {order}, {len(seen)} examples in {len(result['batches'])} batches: all ours"


def main() -> int:
    """Run all; 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "results" / "peers")
    parser.add_argument("--tokenizer", type=Path, default=ROOT / ".assets" / "smollm2")
    parser.add_argument("--work", type=Path, help="keep files here; a temporary folder by default")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        dataset = prepare(work, arguments.tokenizer.resolve())
        shutil.rmtree(work / "model", ignore_errors=True)
        write_model(work / "model", dataset)
        differ = False
        for name in arguments.only:
            result = PROGRAMS[name](work, arguments.folder.resolve(), dataset)
            said = compare(dataset, result)
            differ |= said.startswith("DIFFERS")
            versions = ", ".join(f"{package} {number}" for package, number in result["versions"].items())
            print(f"{name} ({versions}): {said}; loss {result['loss']:.4g}", flush=True)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
