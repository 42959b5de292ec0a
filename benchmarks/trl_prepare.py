"""Prepare conversations as TRL's SFTTrainer does before its first step; run by the Python of TRL's environment.

usage: python benchmarks/trl_prepare.py DATA.jsonl MODEL OUT [--processes N]

MODEL is a folder with a tokenizer, whose chat template marks responses with generation tags, and with the `config.json`
of a model that is small enough to cost nothing; its weights are random. No step is taken. What the trainer cached is
linked into OUT, which takes no time.
"""

import argparse
import os
import tempfile
from pathlib import Path

from datasets import load_dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def main() -> None:
    """Read the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            assistant_only_loss=True,
            max_length=None,  # nothing is cut; it also saves TRL a pass over the rows
            dataset_num_proc=arguments.processes if arguments.processes > 1 else None,
            use_cpu=True,
            bf16=False,
            report_to="none",
        )
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(arguments.model)),
            settings,
            train_dataset=load_dataset("json", data_files=arguments.data, split="train"),
            processing_class=AutoTokenizer.from_pretrained(arguments.model),
        )
    arguments.out.mkdir(parents=True)
    for number, file in enumerate(trainer.train_dataset.cache_files):
        os.link(file["filename"], arguments.out / f"data-{number:05}.arrow")


if __name__ == "__main__":
    main()
