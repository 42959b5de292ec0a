"""Prepare conversations as LLaMA-Factory's `tokenized_path` does; run by the Python of LLaMA-Factory's environment.

usage: python benchmarks/llamafactory_prepare.py SETTINGS.json

SETTINGS are those of `llamafactory-cli train`. That command saves what it tokenised and goes on to train; this is its
`run_sft` up to there.
"""

import json
import sys
from pathlib import Path

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer


def main() -> None:
    """Read the settings and prepare."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    model, data, training, _, _ = get_train_args(settings)
    loaded = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    get_dataset(template, model, data, training, stage="sft", **loaded)


if __name__ == "__main__":
    main()
