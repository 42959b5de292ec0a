"""LLaMA-Factory's datasets as sources and a schema."""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sftdata.conversion.draft import Draft
from sftdata.conversion.llamafactory_keys import IMAGES, PREFERENCE, DatasetInfo
from sftdata.conversion.paths import seen_from
from sftdata.conversion.reading import Foreign
from sftdata.conversion.schemas import MAY_BE_MISSING, SAYS_SOMETHING, TOOLS, Content
from sftdata.documents import describe_faults
from sftdata.errors import ConfigurationError, UsageError

ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
SHAREGPT = {"messages": "conversations"}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""What LLaMA-Factory takes where `dataset_info.json` says nothing of columns or tags; where it says something, the
others are absent."""

_ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "tool_calls",
    "system_tag": "system",
}


def find_dataset_info(config: Path, folder: str) -> Path:
    """Return the dataset_info.json in a `dataset_dir`, seen from here or from a folder above the configuration.

    Raises:
        UsageError: when there is none.
    """
    places = [Path(), *config.absolute().parents]
    for place in places:
        if (found := place / folder / "dataset_info.json").is_file():
            return found
    raise UsageError(
        f"{config}: its datasets are described in {folder}/dataset_info.json, and there is no such file here or in a "
        "folder above the configuration; say where it is with --dataset-info FILE"
    )


def put_data(draft: Draft, info: Path, recipe: Path) -> Content:
    """Give the recipe its sources; return the schema of their rows.

    Raises:
        ConfigurationError: with all faults of the datasets that are used.
    """
    names = [name.strip() for name in draft.get("dataset", "").split(",") if name.strip()]
    entries = _read_entries(info, names)
    stage = draft.get("stage", "sft")
    contents = {name: _make_content(entry.as_given(), stage) for name, entry in entries.items()}
    if len({json.dumps(content, sort_keys=True) for content in contents.values()}) > 1:
        raise ConfigurationError(str(info), [_tell_apart(contents)])
    draft.put("sources", [_make_source(draft, name, entry, info, recipe) for name, entry in entries.items()], "dataset")
    draft.told.add("dataset_dir")
    draft.accept(f"read from {info}", "dataset_dir")
    return next(iter(contents.values()))


def _tell_apart(contents: dict[str, Content]) -> str:
    seen = "; ".join(f"{name}: {', '.join(content['columns'])}" for name, content in contents.items())
    return (
        f"its datasets have other columns, tags or formats ({seen}), and a recipe has one schema. Convert a "
        "configuration for each kind, prepare each recipe, and name their output.dir in train.mix of the one to train"
    )


def _read_entries(info: Path, names: list[str]) -> dict[str, Foreign]:
    try:
        described = json.loads(info.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as cause:
        raise UsageError(f"{info}: cannot be read as JSON: {cause}") from None
    if not isinstance(described, dict):
        raise UsageError(f"{info}: expected a mapping from the names of datasets to what they are")
    faults = [f"{name}: no such dataset{_suggest(name, described)}" for name in names if name not in described]
    entries = {}
    for name in dict.fromkeys(names):
        try:
            entries[name] = DatasetInfo.model_validate(described.get(name, {}))
        except ValidationError as cause:
            faults += [f"{name}: {fault}" for fault in describe_faults(cause, DatasetInfo, None)]
        else:
            faults += [f"{name}: {fault}" for fault in _find_faults(entries[name].as_given())]
    if faults:
        raise ConfigurationError(str(info), faults)
    return entries


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _find_faults(entry: dict[str, Any]) -> list[str]:
    """Find what no recipe can say of a dataset."""
    columns = entry["columns"].as_given() if "columns" in entry else {}
    faults = [f"columns.{name}: {IMAGES}" for name in ("images", "videos", "audios") if name in columns]
    if entry.get("ranking") or "kto_tag" in columns:
        faults.append(f"ranking: {PREFERENCE}; give `chosen` as the column `response`, without ranking, to train on it")
    if not {"file_name", "hf_hub_url"} & entry.keys():
        elsewhere = [name for name in ("ms_hub_url", "om_hub_url", "script_url", "cloud_file_name") if name in entry]
        found = ", ".join(elsewhere) or "neither"
        faults.append(f"found {found}, expected file_name or hf_hub_url; download the data, and give it as file_name")
    return faults


def _make_source(draft: Draft, name: str, entry: Foreign, info: Path, recipe: Path) -> dict[str, Any]:
    given = entry.as_given()
    if count := given.get("num_samples"):
        draft.warn(f"dataset_info takes {count:,} rows of {name} (num_samples); a recipe takes all: cut the file first")
    if given.get("formatting") == "openai":
        text = (
            "LLaMA-Factory gives every conversation without tools a system prompt, `detailed thinking off`; here none"
        )
        draft.warn(f"{name}: {text}")
    if folder := given.get("folder"):
        draft.warn(f"dataset_info takes the folder {folder} of {name} alone; download it, and give it as a path")
    if "hf_hub_url" in given:
        split = {"split": given.get("split", "train")}
        subset = {"subset": given["subset"]} if "subset" in given else {}
        return {"dataset": given["hf_hub_url"], **subset, **split}
    return {"path": seen_from(recipe, info.parent / given["file_name"])}


def _make_content(entry: dict[str, Any], stage: str) -> Content:
    formatting = entry.get("formatting", "alpaca")
    columns = entry["columns"].as_given() if "columns" in entry else {**ALPACA, **SHAREGPT}
    if stage == "pt":
        name = columns.get("prompt", "text")
        return {"columns": {name: SAYS_SOMETHING}, "parts": {"text": name}}
    return _alpaca(columns) if formatting == "alpaca" else _turns(entry, columns)


def _alpaca(columns: dict[str, str]) -> Content:
    """Return the schema of instructions and responses."""
    settings = {
        "prompt": ("instruction", SAYS_SOMETHING),
        "query": ("input", MAY_BE_MISSING),
        "response": ("response", SAYS_SOMETHING),
        "system": ("system", MAY_BE_MISSING),
        "history": (
            "history",
            {"dtype": "pairs", "nullable": True, "required": False, "checks": {"whole_pairs": True}},
        ),
    }
    found = [(columns[key], *settings[key]) for key in settings if key in columns]
    return {
        "columns": {column: content for column, _, content in found},
        "parts": {part: column for column, part, _ in found},
    }


def _turns(entry: dict[str, Any], columns: dict[str, str]) -> Content:
    """Return the schema of conversations."""
    tags = entry["tags"].as_given() if "tags" in entry else TAGS
    roles = {tags[tag]: role for tag, role in _ROLES.items() if tag in tags and tags[tag] != role}
    name = columns.get("messages", "conversations")
    turns = {
        "dtype": "messages",
        "keys": {"role": tags.get("role_tag", "from"), "content": tags.get("content_tag", "value")},
        "roles": roles,
        "checks": {
            "known_roles": ["system", "user", "assistant", "tool"],
            "roles_alternate": {"tools": True},
            "ends_with_response": True,
            "no_blank_turn": True,
        },
    }
    content: Content = {"columns": {name: turns}, "parts": {"messages": name}}
    for part, settings in (("system", MAY_BE_MISSING), ("tools", TOOLS)):
        if part in columns:
            content["columns"][columns[part]] = settings
            content["parts"][part] = columns[part]
    return content
