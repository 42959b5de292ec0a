"""Prepared datasets of each task with a tokenizer that has a word for each id, so that runs can be used on texts."""

import json
import shutil
from pathlib import Path

import tokenizers
from tiny import (
    LABELS,
    VOCABULARY,
    Example,
    random_classes,
    random_label_sets,
    random_tags,
    random_turns,
    write_dataset,
)
from tokenizers import models, pre_tokenizers, processors

from sftdata.records import Task

TAGS = ("O", "B-X", "I-X")
SPECIAL = ["[PAD]", "[CLS]", "[SEP]"]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
PHRASES = ([5, 6, 2], [20, 21, 22, 2], [40, 41, 42, 43, 2])


def plain_scores(rows: int, seed: int) -> list[Example]:
    """Texts of three kinds, each with one score: a model of 16 dimensions learns these in seconds."""
    return [Example(one.input_ids, one.labels - 1.0) for one in random_classes(rows, seed)]


def plain_translations(rows: int, seed: int) -> list[Example]:
    """Sources of three kinds, each with one target: a model of 16 dimensions learns to write these in seconds."""
    return [Example(one.input_ids[1:], PHRASES[one.labels]) for one in random_classes(rows, seed)]


MAKERS = {
    Task.TEXT_CLASSIFICATION: (random_classes, LABELS),
    Task.MULTILABEL: (random_label_sets, LABELS),
    Task.REGRESSION: (plain_scores, None),
    Task.TOKEN_CLASSIFICATION: (random_tags, TAGS),
    Task.SEQ2SEQ: (plain_translations, None),
    Task.CAUSAL_LM: (random_turns, None),
}


def say(ids: list[int]) -> str:
    """Write a text that has these ids."""
    return " ".join(f"w{token}" for token in ids)


def unsay(example: Example | dict) -> str:
    """Write the text of an example, without special tokens."""
    ids = example["input_ids"] if isinstance(example, dict) else example.input_ids
    return say([token for token in ids if token >= len(SPECIAL)])


def write_tokenizer(directory: Path, task: Task) -> Path:
    """Write a tokenizer of words `w3`, `w4`, ...; it puts around a text what the examples of the task have there."""
    words = [*SPECIAL, *(f"w{token}" for token in range(len(SPECIAL), VOCABULARY))]
    tokenizer = tokenizers.Tokenizer(models.WordLevel(dict(zip(words, range(VOCABULARY), strict=True)), "[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    single, pair = ("$A [SEP]", None) if task == Task.SEQ2SEQ else ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    directory.mkdir()
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"pad_token": "[PAD]", "cls_token": "[CLS]", "eos_token": "[SEP]", "chat_template": TEMPLATE}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def write_spoken(directory: Path, task: Task, rows: int = 90, folds: int | None = None) -> Path:
    """Write a prepared dataset of a task, with its tokenizer; with folds there is no validation part."""
    tokenizer = write_tokenizer(directory / "made-with", task)
    make, names = MAKERS[task]
    splits = {"train": make(rows, 1), "validation": make(20, 2), "test": make(25, 3)}
    if folds:
        del splits["validation"]
    data = write_dataset(directory / "data", task, splits, label_names=names, model=tokenizer, folds=folds)
    shutil.copytree(tokenizer, data / "tokenizer")
    return data
