"""How each peer is told to prepare the same conversations, and what its result must be equal to."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from peers import PEERS, python_of, why_missing
from programs import Example, Program
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
LONGEST = 1_000_000
"""Tokens of an example: no program cuts anything."""
THOUGHT = "<think>\n\n</think>\n\n"
END = "<|im_end|>"


def same(example: Example) -> Example:
    """Return an example as it is."""
    return example


class Rival(NamedTuple):
    """A program to compare with.

    Attributes:
        program: how it is run.
        change: what our example must be changed into to be equal to the program's.
        labels: whether its labels mean what ours mean.
        note: what is changed, or why labels are not compared.
    """

    program: Program
    change: Callable[[Example], Example] = same
    labels: bool = True
    note: str = ""


# What TRL's mask needs in the template: the response and the token that ends it between generation tags. Each pair is a
# part of a tokenizer's own template and what takes its place; the rendered text stays the same.
TAGS = (
    (  # SmolLM2
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}",
        "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}"
        "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}"
        "{% endif %}{{ '\n' }}",
    ),
    (  # Qwen3, three places in which the header is written together with the content, and the end of the turn
        r"{{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + "
        r"content.lstrip('\n') }}",
        r"{{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' }}"
        r"{%- set content = content.lstrip('\n') %}",
    ),
    (r"{{- '<|im_start|>' + message.role + '\n' + content }}", r"{{- '<|im_start|>' + message.role + '\n' }}"),
    ("{%- if message.tool_calls %}", "{%- generation %}{{- content }}{%- if message.tool_calls %}"),
    (
        "{{- '<|im_end|>\\n' }}\n    {%- elif message.role == \"tool\" %}",
        "{{- '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}\n    {%- elif message.role == \"tool\" %}",
    ),
)


def read_template(tokenizer: Path) -> str:
    """Return a tokenizer's own chat template."""
    file = tokenizer / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    return json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]


def write_model(folder: Path, tokenizer: Path, template: str) -> Path:
    """Write a model folder: the tokenizer with a template, and the configuration of a model of no size."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
    config = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    size = Tokenizer.from_file(str(tokenizer / "tokenizer.json")).get_vocab_size()
    widths = dict.fromkeys(("hidden_size", "intermediate_size"), 8)
    counts = dict.fromkeys(("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1)
    model = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": size, **widths, **counts}
    (folder / "config.json").write_text(json.dumps(model), encoding="utf-8")
    return folder


def train_newline(example: Example, end: int) -> Example:
    """Train the token behind the end of each response too, as LLaMA-Factory does: it is the newline."""
    behind = np.flatnonzero(example.labels == end) + 1
    labels = example.labels.copy()
    labels[behind] = example.ids[behind]
    return Example(example.ids, labels)


def remove(example: Example, part: list[int]) -> Example:
    """Take a sequence of ids out of an example, wherever it stands."""
    places = np.lib.stride_tricks.sliding_window_view(example.ids, len(part))
    starts = np.flatnonzero((places == part).all(axis=1))
    gone = (starts[:, None] + np.arange(len(part))).ravel()
    return Example(np.delete(example.ids, gone), np.delete(example.labels, gone))


def trl(work: Path, tokenizer: Path, python: Path) -> dict[str, Rival]:
    """TRL as it is, and with two processes."""
    template = read_template(tokenizer)
    for own, tagged in TAGS:
        template = template.replace(own, tagged)
    if "{%- generation %}" not in template and "{% generation %}" not in template:
        sys.exit(f"TRL needs generation tags, and this benchmark does not know where they go in {tokenizer}'s template")
    model = write_model(work / "model-tagged", tokenizer, template)
    command = [str(python), str(HERE / "trl_prepare.py"), "rows.jsonl", str(model)]
    title, note = PEERS["trl"].title, " TRL is given the same template with generation tags."
    two = Program(f"{title}, dataset_num_proc=2", [*command, str(work / "trl-2"), "--processes", "2"])
    return {
        "trl": Rival(Program(title, [*command, str(work / "trl")]), note=note),
        "trl-2": Rival(two, note=note),
    }


def llamafactory(work: Path, tokenizer: Path, python: Path) -> dict[str, Rival]:
    """LLaMA-Factory with two processes; by itself it uses one."""
    reader = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    thought, end = reader.encode(THOUGHT, add_special_tokens=False).ids, reader.token_to_id(END)
    thinks = "<think>" in read_template(tokenizer)
    tags = {f"{name}_tag": name for name in ("role", "content", "user", "assistant", "system")}
    source = {"file_name": "rows.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    (work / "dataset_info.json").write_text(json.dumps({"rows": source}), encoding="utf-8")
    settings = {
        "model_name_or_path": str(write_model(work / "model", tokenizer, read_template(tokenizer))),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset": "rows",
        "dataset_dir": str(work),
        "template": "qwen3_nothink" if thinks else "smollm2",
        "cutoff_len": LONGEST,
        "tokenized_path": str(work / "llamafactory"),
        "output_dir": str(work / "llamafactory-run"),
        "preprocessing_num_workers": 2,
        "report_to": "none",
        "use_cpu": True,
    }
    note = " LLaMA-Factory also trains the newline behind a response; ours is compared with it trained."
    if thinks:
        note += " Its template qwen3 puts an empty thought into every response and qwen3_nothink into none, the"
        note += " tokenizer's own into the last; ours is compared without it."
    else:
        # Its copy of SmolLM2's template ends this with a full stop that the tokenizer's own has not.
        settings["default_system"] = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
        note += " Its own system message is replaced by the tokenizer's, which has no full stop."
    file = work / "llamafactory.json"
    file.write_text(json.dumps(settings, indent=2), encoding="utf-8")

    def change(example: Example) -> Example:
        return train_newline(remove(example, thought) if thinks else example, end)

    command = [str(python), str(HERE / "llamafactory_prepare.py"), str(file)]
    title = f"{PEERS['llamafactory'].title}, preprocessing_num_workers=2"
    return {"llamafactory": Rival(Program(title, command), change, note=note)}


def axolotl(work: Path, tokenizer: Path, python: Path) -> dict[str, Rival]:
    """Axolotl; by itself it uses as many processes as there are cores."""
    dataset = {
        "path": "rows.jsonl",
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    settings = {
        "base_model": str(write_model(work / "model", tokenizer, read_template(tokenizer))),
        "chat_template": "tokenizer_default",
        "datasets": [dataset],
        "dataset_prepared_path": str(work / "axolotl"),
        "sequence_len": LONGEST,
        "shuffle_merged_datasets": False,
        "val_set_size": 0,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": 0.0001,
        "num_epochs": 1,
        "bf16": False,
        "output_dir": str(work / "axolotl-run"),
    }
    file = work / "axolotl.yaml"
    file.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    command = [str(python), "-m", "axolotl.cli.main", "preprocess", str(file), "--no-download"]
    return {"axolotl": Rival(Program(f"{PEERS['axolotl'].title} preprocess", command))}


def usual(work: Path, tokenizer: Path) -> dict[str, Rival]:
    """`datasets.map` with the tokenizer's template, in this Python."""
    command = [sys.executable, str(HERE / "usual_prepare.py"), "rows.jsonl", str(tokenizer)]
    thinks = "<think>" in read_template(tokenizer)
    note = " The prefix method mislabels responses that this template renders in one way last and in another before."
    rival = {"labels": not thinks, "note": note * thinks}
    return {
        "map": Rival(Program("datasets.map", [*command, str(work / "map")]), **rival),
        "map-2": Rival(
            Program("datasets.map, num_proc=2", [*command, str(work / "map-2"), "--processes", "2"]), **rival
        ),
    }


def conversation_rivals(work: Path, tokenizer: Path, folder: Path) -> tuple[dict[str, Rival], dict[str, str]]:
    """Return who prepares conversations, by folder, and why others do not, by title."""
    rivals, missing = usual(work, tokenizer), {}
    for name, tell in (("trl", trl), ("llamafactory", llamafactory), ("axolotl", axolotl)):
        why = why_missing(folder, name)
        if why:
            missing[PEERS[name].title] = why
        else:
            rivals |= tell(work, tokenizer, python_of(folder, name))
    return rivals, missing
