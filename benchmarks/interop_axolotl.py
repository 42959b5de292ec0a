"""Train two steps from an export with axolotl's own functions; run by the Python of axolotl's environment.

usage: python benchmarks/interop_axolotl.py SETTINGS.yaml RESULT.json

What its loader gives and what its collator makes is written to RESULT. The work stands in `main`: axolotl starts
processes, which import this file.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    """Watch the loader and the collator while axolotl trains."""
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets
    from axolotl.train import train
    from axolotl.utils.collators import batching

    found: dict = {"batches": []}
    collate = batching.DataCollatorForSeq2Seq.__call__

    def watch_collate(self, features, return_tensors=None):
        batch = collate(self, features, return_tensors)
        found["batches"].append({name: value.tolist() for name, value in batch.items()})
        return batch

    batching.DataCollatorForSeq2Seq.__call__ = watch_collate
    cfg = load_cfg(sys.argv[1])
    loaded = load_datasets(cfg=cfg)
    found["loaded"] = [[row["input_ids"], row["labels"]] for row in loaded.train_dataset]
    found["evaluated"] = len(loaded.eval_dataset)
    _, _, trainer = train(cfg=cfg, dataset_meta=loaded)
    found["loss"] = next(entry["train_loss"] for entry in trainer.state.log_history if "train_loss" in entry)
    found["versions"] = {name: version(name) for name in ("axolotl", "transformers", "datasets", "torch")}
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
