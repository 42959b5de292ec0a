"""axolotl's datasets as sources, a schema and, where axolotl puts prompts together itself, a chat template."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.conversion.axolotl_keys import DATASET_RUNNING, DATASET_WITHOUT
from sftdata.conversion.draft import Draft, is_off
from sftdata.conversion.paths import seen_from
from sftdata.conversion.reading import Foreign
from sftdata.conversion.schemas import MAY_BE_MISSING, SAYS_SOMETHING, TOOLS, Content
from sftdata.conversion.templates import Prompt

ABOUT = "Below is an instruction that describes a task"
PAIRED = ", paired with an input that provides further context"
WRITE = ". Write a response that appropriately completes the request."
STYLES = {
    "instruct": Prompt(
        "{system}\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
        "{system}\n\n### Instruction:\n{instruction}\n\n### Response:\n",
    ),
    "chat": Prompt(
        "SYSTEM: {system}\nUSER: {instruction}\n{input}\nASSISTANT:",
        "SYSTEM: {system}\nUSER: {instruction}\nASSISTANT:",
    ),
    "chatml": Prompt(
        "<|im_start|>system\n{system}<|im_end|>\n"
        "<|im_start|>user\n{instruction}\n{input}<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "phi": Prompt(
        "<|system|>\n{system}<|end|>\n<|user|>\n{instruction}<|end|>{input}<|assistant|>",
        "<|system|>\n{system}<|end|>\n<|user|>\n{instruction}<|end|>\n<|assistant|>\n",
    ),
}
"""Stanford Alpaca's prompt in the styles that axolotl has for it."""

NAMED = {
    "alpaca_instruct.load": ("alpaca", "instruct"),
    "alpaca_chat.load": ("alpaca", "chat"),
    "gpteacher": ("gpteacher", "instruct"),
}


@dataclass(frozen=True)
class Kind:
    """What a dataset's type makes of its rows.

    Attributes:
        content: the schema of the rows.
        prompt: how prompts are put together, where axolotl does it itself.
        part: what stands in the system turn of such a row: `input` or `system`.
    """

    content: Content
    prompt: Prompt | None = None
    part: str = "input"


def put_sources(draft: Draft, entries: list[Foreign], recipe: Path) -> list[str]:
    """Give the recipe its sources; return the faults of those that it cannot have."""
    faults, sources = [], []
    for number, entry in enumerate(entries):
        given = entry.as_given()
        try:
            sources.append(_make_source(draft, given, recipe, f"datasets.{number}"))
        except ValueError as fault:
            faults.append(f"datasets.{number}: {fault}")
    draft.put("sources", sources, "datasets", "pretraining_dataset")
    return faults


_DATA = (".json", ".jsonl", ".csv", ".parquet", ".arrow", ".txt", ".gz", ".zst")


def _make_source(draft: Draft, given: dict[str, Any], recipe: Path, where: str) -> dict[str, Any]:
    path, files = given.get("path", ""), given.get("data_files")
    if not path:
        raise ValueError("found no path, expected a file, a folder or a dataset on the hub")
    if "://" in path:
        raise ValueError(
            f"path: found {path}, expected a file or a name on the hub; copy the data to this machine first"
        )
    if path in ("json", "csv", "parquet", "arrow", "text") and files:
        path, files = files, None
    here = path if isinstance(path, list) else [path]
    if files and not isinstance(path, list) and Path(path).is_dir():
        here = [str(Path(path) / file) for file in ([files] if isinstance(files, str) else files)]
        files = None
    if files:
        draft.warn(f"{where}: axolotl reads {files} of that dataset alone; download it, and give it as a path")
    if given.get("shards"):
        draft.warn(f"{where}: axolotl takes one of {given['shards']} parts of the rows; a recipe takes all")
    if isinstance(path, list) or Path(path).exists() or path.startswith((".", "/", "~")) or path.endswith(_DATA):
        found = [seen_from(recipe, one) for one in here]
        has_splits = len(here) == 1 and Path(here[0]).is_dir() and "split" in given
        return {"path": found[0] if len(found) == 1 else found, **({"split": given["split"]} if has_splits else {})}
    optional = {"subset": given.get("name"), "split": given.get("split", "train"), "revision": given.get("revision")}
    return {"dataset": path, **{key: value for key, value in optional.items() if value}}


def find_kind(given: dict[str, Any]) -> Kind:
    """Return what a dataset's type makes of its rows.

    Raises:
        ValueError: for a type that no recipe can stand for, with what to do instead.
    """
    kind = given.get("type")
    if isinstance(kind, Foreign):
        return _own_prompt(kind.as_given())
    if kind is None:
        raise ValueError(
            "type: found none, so that its rows are tokens already; give sftdata the text that they are of"
        )
    base, _, style = (
        NAMED.get(kind, tuple(kind.partition(":"))) if kind not in NAMED else (NAMED[kind][0], "", NAMED[kind][1])
    )
    if base in ("alpaca", "gpteacher") and (style or "instruct") in STYLES:
        return _alpaca(style or "instruct", "response" if base == "gpteacher" else "output")
    if base == "completion":
        return Kind(_text(given.get("field", "text")))
    if base in ("chat_template", "sharegpt") and (base == "sharegpt" or not style):
        return Kind(_conversation(given, legacy=base == "sharegpt"))
    raise ValueError(
        f"type: found {kind}, expected chat_template, alpaca, alpaca:chat, alpaca:chatml, alpaca:phi, gpteacher, "
        "completion or a mapping with `format`. Spell the prompt of this type out as such a mapping (axolotl's docs, "
        "custom prompts), or bring the data into turns of role and content"
    )


def _text(column: str) -> Content:
    return {"columns": {column: SAYS_SOMETHING}, "parts": {"text": column}}


def _alpaca(style: str, response: str) -> Kind:
    prompt = STYLES[style]
    full = (prompt.with_input or "").replace("{system}", f"{ABOUT}{PAIRED}{WRITE}")
    plain = prompt.without_input.replace("{system}", f"{ABOUT}{WRITE}")
    return Kind(_instructions("instruction", response, "input"), Prompt(full, plain))


def _instructions(instruction: str, response: str, more: str | None) -> Content:
    content: Content = {
        "columns": {instruction: SAYS_SOMETHING, response: SAYS_SOMETHING},
        "parts": {"prompt": instruction, "completion": response},
    }
    if more:
        content["columns"][more] = MAY_BE_MISSING
        content["parts"]["system"] = more
        content["note"] = (
            f"{more} stands in for a system prompt, so that the chat template beside the recipe can tell it from the "
            "instruction."
        )
    return content


def _own_prompt(own: dict[str, str]) -> Kind:
    """Return what a type makes of the rows that somebody spelled out."""
    full, plain = own.get("format", "{instruction} {input} "), own.get("no_input_format", "{instruction} ")
    names = {key: own.get(f"field_{key}", key) for key in ("instruction", "input", "output", "system")}
    system = own.get("system_format", "{system}")
    if "{input}" in full and "field_system" in own:
        raise ValueError(
            "type: found an input and a system prompt of each row, and a recipe's prompts have one of them beside the "
            "instruction; put both into turns of role and content, with a chat template of your own"
        )
    if "field_system" in own:
        prompt = Prompt(system + plain, plain)
        return Kind(_instructions(names["instruction"], names["output"], names["system"]), prompt, "system")
    before = system.replace("{system}", own["system_prompt"]) if own.get("system_prompt") else ""
    more = names["input"] if "{input}" in full else None
    return Kind(_instructions(names["instruction"], names["output"], more), Prompt(before + full, before + plain))


_ROLES = {"user": ["human", "user"], "assistant": ["gpt", "assistant"], "system": ["system"], "tool": ["tool"]}


def _conversation(given: dict[str, Any], *, legacy: bool) -> Content:
    """Return the schema of conversations; axolotl asks less of them than the schemas that ship."""
    mappings = given.get("message_property_mappings") or ({"role": "from", "content": "value"} if legacy else {})
    role = mappings.get("role", given.get("message_field_role", "role"))
    content = mappings.get("content", given.get("message_field_content", "content"))
    roles = given.get("roles") or _ROLES
    name = given.get("field_messages", "conversations" if legacy else "messages")
    turns: Content = {
        "dtype": "messages",
        "keys": {"role": role, "content": content},
        "roles": {theirs: ours for ours, names in roles.items() for theirs in names if theirs != ours},
        "checks": {
            "known_roles": sorted({"system", "user", "assistant", "tool"} | set(roles)),
            "has_response": True,
        },
    }
    tools = given.get("field_tools", "tools")
    return {
        "columns": {name: turns, tools: TOOLS},
        "parts": {"messages": name, "tools": tools},
    }


def tell_rest(draft: Draft, given: dict[str, Any], where: str) -> None:
    """Tell what is said of a dataset that no schema and no source says."""
    for key, text in _CONVERSATION.items():
        if key in given and not _is_usual(key, given):
            draft.warn(f"{where}.{key}: {json.dumps(given[key], ensure_ascii=False)}: {text}")
    for advice, keys in {**DATASET_WITHOUT, **DATASET_RUNNING}.items():
        for key in keys.split():
            if key in given and not is_off(given[key]):
                draft.warn(f"{where}.{key}: {advice}")
    own = given.get("message_property_mappings") or {}
    for ours, theirs in own.items():
        if ours not in ("role", "content") and ours != theirs:
            draft.warn(f"{where}.message_property_mappings.{ours}: a turn's {theirs} keeps its name; rename it")


_CONVERSATION = {
    "roles_to_train": "responses of the assistant alone are trained here",
    "train_on_eos": "the token that ends a trained turn is trained, as with `turn`, and no other",
    "train_on_eot": "the token that ends a trained turn is trained, as with `turn`, and no other",
    "message_field_training": "what leaves a turn untrained is called `train` or `weight` here; rename it in the data. "
    "No turn but an assistant's is ever trained",
    "message_field_training_detail": "a turn is trained as a whole or not at all",
    "drop_system_message": "take the system turns out of the data",
    "field_thinking": "a turn's key keeps its name; call it as the chat template does",
    "ds_type": "the format is found by name and content; lines of plain text are none, put them into JSON Lines",
    "shards_idx": "a recipe takes all rows; cut the files first",
    "conversation": "the chat template makes the text",
}


def _is_usual(key: str, given: dict[str, Any]) -> bool:
    value = given[key]
    usual = {
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
        "train_on_eot": "turn",
        "message_field_training": "train",
        "field_thinking": given.get("template_thinking_key", "reasoning_content"),
    }
    return value == usual.get(key) or (key == "ds_type" and value != "text") or value is False
