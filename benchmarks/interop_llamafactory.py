"""Train two steps from an export with LLaMA-Factory's own command; run by the Python of LLaMA-Factory's environment.

usage: python benchmarks/interop_llamafactory.py SETTINGS.json RESULT.json

SETTINGS are those of `llamafactory-cli train`. What its loader gives and what its collator makes is written to RESULT.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from llamafactory.data import collator
from llamafactory.train import tuner
from llamafactory.train.sft import workflow


def main() -> None:
    """Watch the loader and the collator while LLaMA-Factory trains."""
    found: dict = {"loaded": [], "batches": []}
    load, collate = workflow.get_dataset, collator.SFTDataCollatorWith4DAttentionMask.__call__

    def watch_load(*arguments, **named):
        module = load(*arguments, **named)
        found["loaded"] = [[row["input_ids"], row["labels"]] for row in module["train_dataset"]]
        return module

    def watch_collate(self, features):
        batch = collate(self, features)
        found["batches"].append({name: value.tolist() for name, value in batch.items()})
        return batch

    workflow.get_dataset = watch_load
    collator.SFTDataCollatorWith4DAttentionMask.__call__ = watch_collate
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tuner.run_exp(settings)
    results = json.loads((Path(settings["output_dir"]) / "train_results.json").read_text(encoding="utf-8"))
    found["loss"] = results["train_loss"]
    found["versions"] = {name: version(name) for name in ("llamafactory", "transformers", "datasets", "torch")}
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
