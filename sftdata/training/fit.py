"""Refuse a model that does not fit a prepared dataset, before any of its weights are loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from sftdata.errors import TrainingError, VerificationError
from sftdata.functions import split_function
from sftdata.manifest import Manifest, digest_file, read_manifest
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.tokenizers.differences import find_differences
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.building import check_function
from sftdata.training.gguf_models import compare_gguf, is_gguf
from sftdata.training.models import SCORE_NAMES, VOCABULARY_FILES, has_other_labels, local_files, read_config
from sftdata.training.own_models import OwnConfig
from sftdata.training.positions import longest_input
from sftdata.training.run import RunRecord
from sftdata.training.templates import compare_templates, compare_with_recipe

TOKENIZER_NAME = "tokenizer"
"""The directory in a prepared dataset that holds the tokenizer which made it."""


def check_model(data: str | Path, model: str | Path) -> tuple[str, ...]:
    """Refuse a model that cannot learn from the ids of a prepared dataset, or learned to read others.

    Compared are the tokenizers, the size of the vocabulary, the chat templates, and the longest example with the
    positions that the model has. A model without tokenizer files has new weights: only sizes are compared.

    Args:
        data: the directory that `prepare` wrote.
        model: a local directory or a name on the hub.

    Returns:
        What is no fault but worth knowing, a line each: a chat template other than the model's own, chosen on purpose.

    Raises:
        TrainingError: with all that does not fit, at once; or there is no such model.
        VerificationError: the dataset is unfinished, or its tokenizer is not the one that made it any more.
    """
    directory, name = Path(data), str(model)
    manifest = read_manifest(directory)
    check_own_tokenizer(directory, manifest)
    if split_function(name):
        check_function(name, manifest.task)
        return ()
    config = read_config(name)
    _check_kind(config, name, manifest.task)
    own, notes = _compare_with_model(directory, manifest, name)
    own += _size_faults(config, manifest)
    faults = own + _length_faults(directory, manifest, config, ("train", "validation"))
    if faults:
        what, remedy = f"the model '{name}' does not fit the data in {directory}", _remedy(directory, manifest, name)
        raise TrainingError(_report(what, faults, [remedy] if own else []))
    return (*notes, *_tell_new_head(config, name, manifest))


def _compare_with_model(directory: Path, manifest: Manifest, name: str) -> tuple[list[str], list[str]]:
    """Compare tokenizers and chat templates; return what differs, and what is worth saying."""
    if is_gguf(name):
        return compare_gguf(directory / TOKENIZER_NAME, manifest, Path(name))
    files = local_files(name)
    own, notes = _compare_tokenizers(directory, manifest, files), _tell_unread(files)
    if not manifest.chat_template_digest:
        return own, notes
    different, told = compare_with_recipe(manifest, directory / TOKENIZER_NAME, files)
    return own + different, notes + told


def check_run(data: str | Path, split: str, run: str | Path, record: RunRecord, weights: str) -> None:
    """Refuse data that a finished run cannot be measured with.

    Args:
        data: the directory that `prepare` wrote.
        split: which split will be scored.
        run: the directory of the run.
        record: of the run.
        weights: the directory or name from which the model's configuration is read.

    Raises:
        TrainingError: with all that does not fit, at once.
        VerificationError: the dataset is unfinished, has no such split, or another tokenizer than it was made with.
    """
    directory, files = Path(data), Path(run)
    manifest = read_manifest(directory)
    check_own_tokenizer(directory, manifest)
    config = read_config(weights)
    faults = _record_faults(record, manifest)
    faults += _compare_tokenizers(directory, manifest, files, record.tokenizer_digest)
    if manifest.chat_template_digest:
        faults += compare_templates(directory / TOKENIZER_NAME, files)
    faults += _size_faults(config, manifest) + _length_faults(directory, manifest, config, (split,))
    if faults:
        remedy = "Prepare the data with the run's recipe."
        raise TrainingError(_report(f"{directory} does not fit the run {run}", faults, [remedy]))


def check_own_tokenizer(directory: Path, manifest: Manifest) -> None:
    """Refuse a dataset beside which the tokenizer that made it does not stand any more.

    Raises:
        VerificationError: a file is missing or has changed.
    """
    expected = {name: digest for name, digest in manifest.files.items() if name.startswith(f"{TOKENIZER_NAME}/")}
    if manifest.chat_template_digest:
        expected[f"{TOKENIZER_NAME}/chat_template.jinja"] = manifest.chat_template_digest
    changed = [
        name
        for name, digest in sorted(expected.items())
        if not (directory / name).is_file() or digest_file(directory / name) != digest
    ]
    if changed:
        raise VerificationError(
            f"{directory}: {', '.join(changed)} missing or changed since the data was prepared, so nobody can tell "
            "which tokenizer made the ids. Put back what was there, or run `sftdata prepare` again."
        )


def _check_kind(config: Any, name: str, task: Task) -> None:
    """Refuse a model for another task that transformers would load, and that would learn something else."""
    if isinstance(config, OwnConfig):
        raise TrainingError(
            f"train.model: '{name}' holds the weights of {config.function}, a model of one's own. Give the function, "
            "and have it load them to begin with."
        )
    if task != Task.CAUSAL_LM:
        return
    sees_all = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "causal", False)
    if config.is_encoder_decoder:
        found = "an encoder-decoder, which learns targets from sources"
    elif sees_all and not getattr(config, "is_decoder", False):
        found = "an encoder: each of its tokens sees the ones that it would have to predict"
    else:
        return
    raise TrainingError(
        f"train.model: '{name}' ({config.model_type}) is {found}. causal_lm trains decoders, such as Qwen or Llama."
    )


def _tell_unread(files: Path) -> list[str]:
    """Say that a model has a tokenizer which nobody compares: not in tokenizer.json, the only form that we read."""
    held = [] if (files / "tokenizer.json").is_file() else [n for n in VOCABULARY_FILES if (files / n).is_file()]
    return [f"the model's tokenizer is in {held[0]}, not in tokenizer.json, and was not compared"] if held else []


def _tell_new_head(config: Any, name: str, manifest: Manifest) -> tuple[str, ...]:
    names = SCORE_NAMES if manifest.task == Task.REGRESSION else manifest.label_names
    if names is None or not has_other_labels(config, names):
        return ()
    own, ours = _count_labels(tuple(config.id2label.values())), _count_labels(names)
    return (f"the model '{name}' tells {own} labels apart, the data has {ours}: it gets a new head, drawn by the seed",)


def _count_labels(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"


def _size_faults(config: Any, manifest: Manifest) -> list[str]:
    """More embeddings than tokens are usual: they are padded to a multiple of 64 or 128."""
    needed, embedded = manifest.tokenizer.vocab_size, config.get_text_config().vocab_size
    if needed <= embedded:
        return []
    return [
        f"vocabulary size: the data was tokenised with a vocabulary of {needed}, but the model embeds {embedded} tokens"
    ]


def _length_faults(directory: Path, manifest: Manifest, config: Any, splits: Sequence[str]) -> list[str]:
    limit = longest_input(config)
    filled = [load_split(directory, name) for name in splits if name in manifest.splits and manifest.splits[name].rows]
    found = {"max_length": ("example", max((int(split.lengths().max()) for split in filled), default=0))}
    if manifest.task == Task.SEQ2SEQ:
        found["max_target_length"] = ("target", max((int(split.targets().max()) for split in filled), default=0))
    return [
        f"length: the longest {what} has {longest} tokens, but the model takes {limit}; "
        f"set tokenize.{setting} to {limit} and prepare again, or choose another model"
        for setting, (what, longest) in found.items()
        if limit is not None and longest > limit
    ]


def _record_faults(record: RunRecord, manifest: Manifest) -> list[str]:
    facts = (
        ("task", record.task, manifest.task),
        ("label names", record.label_names, manifest.label_names),
        ("pairs of texts", record.has_pairs, manifest.has_pairs),
    )
    return [
        f"{what} {found}, the run was trained with {expected}" for what, expected, found in facts if found != expected
    ]


def _compare_tokenizers(directory: Path, manifest: Manifest, files: Path, recorded: str | None = None) -> list[str]:
    """Compare by digest, and where it differs by what they do; `recorded` is the other digest if its file is gone."""
    ours, theirs = directory / TOKENIZER_NAME, files / "tokenizer.json"
    digest = digest_file(theirs) if theirs.is_file() else recorded
    if digest in (None, manifest.tokenizer.digest):
        return []
    if not theirs.is_file() or not (ours / "tokenizer.json").is_file():
        return [f"tokenizer: the data has {manifest.tokenizer.digest}, the model {digest}"]
    texts = 0 if manifest.task == Task.CAUSAL_LM else 1 + manifest.has_pairs
    found = find_differences(load_tokenizer(str(ours)), load_tokenizer(str(files)), texts=texts)
    return [f"tokenizer: {difference}" for difference in found]


def _report(what: str, faults: Sequence[str], remedies: Sequence[str]) -> str:
    return "\n".join([f"{what}:", *(f"  {fault}" for fault in faults), *remedies])


def _remedy(directory: Path, manifest: Manifest, model: str) -> str:
    if manifest.recipe.get("tokenize", {}).get("train_tokenizer"):
        other = f"give a model with new weights, saved with no tokenizer or with {directory / TOKENIZER_NAME}"
    else:
        other = f"train the model that the data belongs to ({manifest.tokenizer.name})"
    return f"Prepare the data again with `tokenize.tokenizer: {model}`, or {other}."
