"""Prepare rows the usual way: `datasets.map`, for conversations with the tokenizer's chat template.

usage: python benchmarks/usual_prepare.py DATA.jsonl TOKENIZER OUT [--processes N] [--ids-only] [--task TASK]

A template without generation tags gives no mask of its own, so a response is found by the usual prefix method: the
conversation is rendered up to each response and up to its end, and what was added is the response. As in sftdata, the
token that ends a turn is trained, and the newline behind it is not.
"""

import argparse
from typing import Any

from datasets import load_dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

IGNORE_INDEX = -100


def render(tokenizer: PreTrainedTokenizerBase, conversations: list[Any], prompt: bool = False) -> list[list[int]]:
    """Tokenise a batch of conversations; in a batch the tokenizer uses all cores."""
    return tokenizer.apply_chat_template(conversations, tokenize=True, return_dict=False, add_generation_prompt=prompt)


def label(tokenizer: PreTrainedTokenizerBase, conversations: list[Any], ids: list[list[int]]) -> list[list[int]]:
    """Find the responses of a batch by the prefix method."""
    turns = [
        (row, i)
        for row, messages in enumerate(conversations)
        for i, m in enumerate(messages)
        if m["role"] == "assistant"
    ]
    starts = render(tokenizer, [conversations[row][:i] for row, i in turns], prompt=True)
    # The end of the last turn is that of the whole conversation, which is there already.
    inner = [(row, i) for row, i in turns if i + 1 < len(conversations[row])]
    ends = (
        dict(zip(inner, map(len, render(tokenizer, [conversations[row][: i + 1] for row, i in inner])), strict=True))
        if inner
        else {}
    )
    labels = [[IGNORE_INDEX] * len(of_row) for of_row in ids]
    for (row, i), prefix in zip(turns, starts, strict=True):
        start, end = len(prefix), ends.get((row, i), len(ids[row]))
        if ids[row][end - 1] != tokenizer.eos_token_id:
            end -= 1
        labels[row][start:end] = ids[row][start:end]
    return labels


def tokenize(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, ids_only: bool) -> dict[str, Any]:
    """Turn a batch of conversations into ids, and labels if they are wanted."""
    ids = render(tokenizer, batch["messages"])
    return {"input_ids": ids} if ids_only else {"input_ids": ids, "labels": label(tokenizer, batch["messages"], ids)}


def classify(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, classes: list[str]) -> dict[str, Any]:
    """Turn a batch of texts and labels into ids and class indexes."""
    ids = tokenizer(batch["text"], return_attention_mask=False, return_token_type_ids=False)["input_ids"]
    return {"input_ids": ids, "labels": [classes.index(label) for label in batch["label"]]}


def main() -> None:
    """Read the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("tokenizer")
    parser.add_argument("out")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--ids-only", action="store_true", help="no labels: every token would be trained")
    parser.add_argument("--task", choices=["causal_lm", "text_classification"], default="causal_lm")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    dataset = load_dataset("json", data_files=arguments.data, split="train")
    if arguments.task == "causal_lm":
        function, settings = tokenize, {"tokenizer": tokenizer, "ids_only": arguments.ids_only}
    else:
        function, settings = classify, {"tokenizer": tokenizer, "classes": sorted(dataset.unique("label"))}
    dataset = dataset.map(
        function,
        batched=True,
        num_proc=arguments.processes if arguments.processes > 1 else None,
        remove_columns=dataset.column_names,
        fn_kwargs=settings,
    )
    dataset.save_to_disk(arguments.out)


if __name__ == "__main__":
    main()
