"""Turns raw text into training data for supervised fine-tuning, and trains from it.

The public names load what they need when they are first used, so that `import sftdata` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sftdata.augmentation import augment
    from sftdata.duplicates.frames import decontaminate, deduplicate
    from sftdata.interchange import export
    from sftdata.manifest import Manifest, read_manifest
    from sftdata.pipeline import prepare
    from sftdata.recipe import Recipe, load_recipe
    from sftdata.records import IGNORE_INDEX, StageResult, Task
    from sftdata.schema import Schema, load_schema
    from sftdata.shards.reader import load_split
    from sftdata.shards.verification import verify
    from sftdata.stages.balance_frame import balance
    from sftdata.stages.cleaning import clean
    from sftdata.stages.split_frame import split
    from sftdata.training import evaluate, predict, to_torch, train
    from sftdata.validation import validate

_HOMES = {
    "IGNORE_INDEX": "sftdata.records",
    "Manifest": "sftdata.manifest",
    "Recipe": "sftdata.recipe",
    "Schema": "sftdata.schema",
    "StageResult": "sftdata.records",
    "Task": "sftdata.records",
    "augment": "sftdata.augmentation",
    "balance": "sftdata.stages.balance_frame",
    "clean": "sftdata.stages.cleaning",
    "decontaminate": "sftdata.duplicates.frames",
    "deduplicate": "sftdata.duplicates.frames",
    "evaluate": "sftdata.training",
    "export": "sftdata.interchange",
    "load_recipe": "sftdata.recipe",
    "load_schema": "sftdata.schema",
    "load_split": "sftdata.shards.reader",
    "predict": "sftdata.training",
    "prepare": "sftdata.pipeline",
    "read_manifest": "sftdata.manifest",
    "split": "sftdata.stages.split_frame",
    "to_torch": "sftdata.training",
    "train": "sftdata.training",
    "validate": "sftdata.validation",
    "verify": "sftdata.shards.verification",
}

__all__ = [
    "IGNORE_INDEX",
    "Manifest",
    "Recipe",
    "Schema",
    "StageResult",
    "Task",
    "augment",
    "balance",
    "clean",
    "decontaminate",
    "deduplicate",
    "evaluate",
    "export",
    "load_recipe",
    "load_schema",
    "load_split",
    "predict",
    "prepare",
    "read_manifest",
    "split",
    "to_torch",
    "train",
    "validate",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sftdata' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
