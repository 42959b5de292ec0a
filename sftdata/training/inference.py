"""Use a finished run: score it on a split, or apply it to texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from sftdata.errors import DataError, TrainingError, UsageError
from sftdata.manifest import Manifest
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training.heads import takes
from sftdata.training.loader import Examples, require_targets
from sftdata.training.metrics import classification_scores, describe_classes, majority_class
from sftdata.training.models import (
    check_fit,
    choose_device,
    fit_config,
    load_weights,
    longest_input,
    quiet_transformers,
    read_config,
    uses_bf16,
)
from sftdata.training.run import RunRecord, read_run
from sftdata.training.scoring import score

Encoded = tuple[list[int], list[int] | None]
"""The ids of a text or a pair, and their types where the tokenizer gives them."""


def evaluate(run: str | Path, data: str | Path, split: str, *, batch_size: int, device: str) -> dict[str, Any]:
    """Do what `sftdata.training.evaluate` says."""
    record, part = read_run(Path(run)), load_split(data, split)
    _check_data(record, part.manifest, Path(run), Path(data))
    place = choose_device(device)
    with quiet_transformers():
        model, config = load_run(Path(run), record, place)
        examples = Examples(part.table, record.task, config.get_text_config().pad_token_id or 0)
        require_targets(examples, f"{data}: the {split} split")
        longest = int(examples.lengths.max())
        check_fit(config, record.base_model, vocab_size=part.manifest.tokenizer.vocab_size, longest=longest)
        names = record.label_names or ()
        bf16 = uses_bf16(record.settings.precision, place)
        scores, found = score(model, examples, record.task, classes=len(names), batch_size=batch_size, bf16=bf16)
    if record.task == Task.CAUSAL_LM:
        return {"rows": len(examples), "trained_tokens": int(examples.targets.sum()), **scores}
    baseline = _baseline(Examples(load_split(data, "train").table, record.task), examples, names)
    per_class = describe_classes(examples.classes, found, names)
    return {"rows": len(examples), **scores, "baseline": baseline, "per_class": per_class}


def predict(
    run: str | Path,
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    *,
    batch_size: int,
    device: str,
    max_new_tokens: int,
) -> list[dict[str, Any]]:
    """Do what `sftdata.training.predict` says."""
    record = read_run(Path(run))
    _check_pairs(record, texts, text_pairs, Path(run))
    with quiet_transformers():
        model, config = load_run(Path(run), record, choose_device(device))
        model.eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(run)
        room = max_new_tokens if record.task == Task.CAUSAL_LM else 0
        encoded = _encode(tokenizer, texts, text_pairs, record.task, Path(run))
        _check_lengths([tokens for tokens, _ in encoded], longest_input(config), room)
        results: list[dict[str, Any]] = []
        for start in range(0, len(texts), batch_size):
            part = encoded[start : start + batch_size]
            if record.task == Task.CAUSAL_LM:
                results += _respond(model, tokenizer, [tokens for tokens, _ in part], max_new_tokens)
            else:
                results += _classify(model, config, part)
    said = [{"text": text} for text in texts]
    if text_pairs is not None:
        said = [{**of_row, "text_pair": text} for of_row, text in zip(said, text_pairs, strict=True)]
    return [{**of_row, **result} for of_row, result in zip(said, results, strict=True)]


def _check_pairs(record: RunRecord, texts: Sequence[str], text_pairs: Sequence[str] | None, run: Path) -> None:
    if record.has_pairs != (text_pairs is not None):
        expected = "two texts a row, `text` and `text_pair`" if record.has_pairs else "single texts"
        raise UsageError(f"{run} was trained on {expected}; give it such")
    if text_pairs is not None and len(texts) != len(text_pairs):
        raise UsageError(f"found {len(texts)} texts and {len(text_pairs)} second texts, expected as many of both")


def load_run(run: Path, record: RunRecord, device: torch.device) -> tuple[Any, Any]:
    """Load the model of a finished run, with its adapters where it has some; return it with its configuration."""
    adapted = (run / "adapter_config.json").is_file()
    source = record.base_model if adapted else str(run)
    config = fit_config(read_config(source), record.task, record.label_names)
    model: Any = load_weights(source, config, record.task)
    if adapted:
        import peft

        model = peft.PeftModel.from_pretrained(model, run)
    return model.to(device), config


def _check_data(record: RunRecord, manifest: Manifest, run: Path, data: Path) -> None:
    for what, expected, found in (
        ("task", record.task, manifest.task),
        ("tokenizer", record.tokenizer_digest, manifest.tokenizer.digest),
        ("label names", record.label_names, manifest.label_names),
        ("pairs of texts", record.has_pairs, manifest.has_pairs),
    ):
        if expected != found:
            raise TrainingError(
                f"{data} does not fit the run {run}: {what} {found}, the run was trained with {expected}. "
                "Prepare the data with the run's recipe."
            )


def _baseline(train: Examples, examples: Examples, names: Sequence[str]) -> dict[str, Any]:
    """Score the label that is most frequent in the training split, given to every example."""
    label = majority_class(train.classes)
    always = np.full(len(examples), label, dtype=np.int64)
    return {"label": names[label], **classification_scores(examples.classes, always, len(names))}


def _encode(
    tokenizer: Any, texts: Sequence[str], text_pairs: Sequence[str] | None, task: Task, run: Path
) -> list[Encoded]:
    if task == Task.TEXT_CLASSIFICATION:
        pairs = [None] * len(texts) if text_pairs is None else text_pairs
        found = [tokenizer(*pair, truncation=False, padding=False) for pair in zip(texts, pairs, strict=True)]
        typed = tokenizer.num_special_tokens_to_add(pair=True) > 0  # as `stages.tokenization.pairs` has it
        return [(tokens["input_ids"], tokens.get("token_type_ids") if typed else None) for tokens in found]
    if not tokenizer.chat_template:
        raise TrainingError(
            f"{run} has no chat template, expected one in chat_template.jinja; the base model lacks it."
        )
    rendered = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        for text in texts
    ]
    return [(tokenizer(text, add_special_tokens=False)["input_ids"], None) for text in rendered]


def _check_lengths(ids: list[list[int]], limit: int | None, room: int) -> None:
    for number, tokens in enumerate(ids, start=1):
        if limit is not None and len(tokens) + room > limit:
            raise DataError(
                f"text {number} has {len(tokens)} tokens{f' and {room} to come' if room else ''}; the model takes "
                f"{limit}. Shorten it."
            )


def _classify(model: Any, config: Any, encoded: list[Encoded]) -> list[dict[str, Any]]:
    pad_id = config.get_text_config().pad_token_id or 0
    tokens, mask = _pad([tokens for tokens, _ in encoded], pad_id, left=False)
    inputs = {"input_ids": tokens.to(model.device), "attention_mask": mask.to(model.device)}
    types = [types for _, types in encoded if types is not None]
    if types and takes(model, "token_type_ids"):
        inputs["token_type_ids"] = _pad(types, 0, left=False)[0].to(model.device)
    with torch.inference_mode():
        logits = model(**inputs).logits.float()
    best = logits.softmax(dim=-1).max(dim=-1)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [{"label": config.id2label[index], "probability": probability} for index, probability in pairs]


def _respond(model: Any, tokenizer: Any, ids: list[list[int]], max_new_tokens: int) -> list[dict[str, Any]]:
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    tokens, mask = _pad(ids, pad_id, left=True)
    with torch.inference_mode():
        written = model.generate(
            input_ids=tokens.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad_id,
        )
    texts = tokenizer.batch_decode(written[:, tokens.shape[1] :], skip_special_tokens=True)
    return [{"response": text} for text in texts]


def _pad(ids: list[list[int]], pad_id: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(tokens) for tokens in ids)
    padded = np.full((len(ids), width), pad_id, dtype=np.int64)
    mask = np.zeros_like(padded)
    for line, tokens in enumerate(ids):
        place = slice(width - len(tokens), width) if left else slice(0, len(tokens))
        padded[line, place], mask[line, place] = tokens, 1
    return torch.from_numpy(padded), torch.from_numpy(mask)
