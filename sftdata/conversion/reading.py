"""Read the configuration of another program, and find out whose it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, Field, create_model

from sftdata.documents import Settings, read_document
from sftdata.errors import ConfigurationError, UsageError

Types = Mapping[str, Any]
"""What is expected of the values, by key."""


class Foreign(Settings):
    """Keys as another program has them, all of them optional: each field is called `KEY_` and has KEY for an alias."""

    model_config = ConfigDict(populate_by_name=False, protected_namespaces=())

    def as_given(self) -> dict[str, Any]:
        """Return what was given by key, without what was left empty."""
        fields = type(self).model_fields
        found = {str(fields[name].alias): getattr(self, name) for name in fields if name in self.model_fields_set}
        return {key: value for key, value in found.items() if value is not None}

    def left_empty(self) -> list[str]:
        """Return the keys that were given without a value."""
        fields = type(self).model_fields
        return [str(fields[name].alias) for name in self.model_fields_set if getattr(self, name) is None]


def make_model(name: str, types: Types, others: Mapping[str, str] | None = None) -> type[Foreign]:
    """Return a model of a program's keys.

    Args:
        name: what the model is called.
        types: the keys whose values are looked at.
        others: tables of further keys, which may have any value; several keys stand in one text.
    """
    known = dict.fromkeys((key for keys in (others or {}).values() for key in keys.split()), Any) | dict(types)
    fields: dict[str, Any] = {f"{key}_": (kind | None, Field(default=None, alias=key)) for key, kind in known.items()}
    return create_model(name, __base__=Foreign, **fields)


def read_configuration(path: Path, models: Mapping[str, type[Foreign]]) -> tuple[str, Foreign]:
    """Return the name of the program that a configuration is for, and what it says.

    Raises:
        ConfigurationError: with all faults of the file at once.
        UsageError: when it is a configuration of none of the programs.
    """
    program = find_program(path, models)
    return program, read_document(path, models[program], ConfigurationError)


def find_program(path: Path, models: Mapping[str, type[Foreign]]) -> str:
    """Tell by the keys which program a configuration is for."""
    keys = _top_keys(path)
    known = {name: {str(field.alias) for field in model.model_fields.values()} for name, model in models.items()}
    votes = {name: len(keys & own - _others(name, known)) for name, own in known.items()}
    best, *others = sorted(votes, key=lambda name: -votes[name])
    looks_like = next((text for text, typical in _LOOKALIKES.items() if len(keys & typical) > 1), None)
    if looks_like or not votes[best] or votes[best] <= max((votes[name] for name in others), default=0):
        raise UsageError(f"{path}: {looks_like or _explain(keys)}")
    return best


def _others(name: str, known: Mapping[str, set[str]]) -> set[str]:
    """Return the keys that other programs know."""
    return set().union(*(keys for other, keys in known.items() if other != name))


def _top_keys(path: Path) -> set[str]:
    class Anything(Settings):
        model_config = ConfigDict(extra="allow")

    try:
        return set(read_document(path, Anything, ConfigurationError).model_extra or {})
    except ConfigurationError as error:
        if any("given twice" not in fault for fault in error.faults):
            raise
        return set(yaml.safe_load(path.read_text(encoding="utf-8-sig")))


_LOOKALIKES = {
    "this is a recipe of sftdata already: sftdata prepare takes it": {"schema", "sources", "tokenize"},
    "this looks like LLaMA-Factory's second format (`USE_V1=1`), which still changes; write it in the first one, with "
    "model_name_or_path, dataset and stage": {"model_class", "train_dataset", "dist_config", "kernel_config"},
    "this tells accelerate how to start processes, and nothing of a training": {"compute_environment", "machine_rank"},
}


def _explain(keys: set[str]) -> str:
    found = ", ".join(sorted(map(str, keys))[:6]) + (", ..." if len(keys) > 6 else "")
    return (
        f"{f'the keys {found} do' if found else 'it has no keys, which do'} not tell whose configuration this is. "
        "Expected a training by LLaMA-Factory (model_name_or_path, dataset, stage, ...) or by axolotl (base_model, "
        "datasets, sequence_len, ...). A dataset_info.json goes with --dataset-info, beside the training's YAML."
    )
