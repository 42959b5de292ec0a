"""Make a model of one's own by the function that a recipe names.

The function is called by keyword with those of `vocab_size`, `pad_id` and `label_names` that it has parameters for, and
with `train.model_arguments`. The module that it returns is called by keyword with `input_ids` and those of
`attention_mask`, `token_type_ids` and `logits_to_keep` that its `forward` has parameters for; it returns logits, or an
object that has them as `logits`. Padding stands on the right and must change nothing.
"""

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sftdata.errors import TrainingError
from sftdata.functions import find_named, split_function
from sftdata.manifest import Manifest, digest_file
from sftdata.records import Task
from sftdata.tokenizers.loading import load_tokenizer
from sftdata.training.own_models import OwnConfig, OwnModel, tell_failure

_TRIED = [3, 5]
"""Tokens of the examples that try a new model, in a batch and alone."""
_TOLERANCE = 1e-3
"""Of the logits' spread, by which padding may change them: rounding stays far below it."""


def describe_model(
    name: str, arguments: Mapping[str, Any], manifest: Manifest, tokenizer: Path, label_names: tuple[str, ...]
) -> OwnConfig:
    """Return what makes the model that `name` stands for, for this data; nothing of it is made yet.

    Args:
        name: such as `samples/lstm:build`.
        arguments: `train.model_arguments`.
        manifest: of the data.
        tokenizer: the directory of the tokenizer that made it; without one 0 fills up rows and nothing ends a text.
        label_names: what the model has outputs for; none for tasks that write.

    Raises:
        TrainingError: there is no such function, or the task is none for it.
    """
    file, digest = check_function(name, manifest.task)
    folder, function = split_function(name) or (Path(), name)
    ids = _named_ids(tokenizer)
    return OwnConfig(
        function=function,
        folder=str(folder.resolve()),
        file=str(file),
        digest=digest,
        vocab_size=manifest.tokenizer.vocab_size,
        pad_token_id=ids.get("pad_token", 0),
        eos_token_id=ids.get("eos_token"),
        label_names=label_names,
        arguments=dict(arguments),
    )


def _named_ids(tokenizer: Path) -> dict[str, int]:
    if not (tokenizer / "tokenizer.json").is_file():
        return {}
    loaded = load_tokenizer(str(tokenizer))
    found = {name: loaded.reference.token_to_id(token) for name, token in loaded.named_tokens().items()}
    return {name: place for name, place in found.items() if place is not None}


def check_function(name: str, task: Task) -> tuple[Path, str]:
    """Find the function of a name; return the file that it stands in, and the digest of that.

    Raises:
        TrainingError: there is no such function, or the task is none for it.
    """
    if task == Task.SEQ2SEQ:
        raise TrainingError(
            f"train.model: found the function '{name}', but seq2seq trains encoder-decoders of transformers alone. "
            "Give one of those, or prepare the data for causal_lm."
        )
    folder, function = split_function(name) or (Path(), name)
    file = _find_function(function, folder)[1]
    return file, digest_file(file)


def _find_function(function: str, folder: Path) -> tuple[Any, Path]:
    try:
        found = find_named(function, folder)
    except ValueError as cause:
        raise TrainingError(f"train.model: {cause}") from None
    if not callable(found):
        raise TrainingError(f"train.model: {function} is {type(found).__name__}, expected a function.")
    file = getattr(sys.modules[function.partition(":")[0]], "__file__", None)
    if file is None:
        raise TrainingError(f"train.model: {function} stands in no file, expected a function of a Python file.")
    return found, Path(file).resolve()


def build_model(config: OwnConfig, task: Task) -> OwnModel:
    """Make the model, with the weights that torch's generator draws, and try it.

    Raises:
        TrainingError: its function is gone, has changed since, or makes no model of the task.
    """
    if Path(config.file).is_file():
        _require_unchanged(Path(config.file), config)  # before any of it runs
    make, file = _find_function(config.function, Path(config.folder))
    _require_unchanged(file, config)
    given = _choose_arguments(make, config)
    try:
        module = make(**given)
    except Exception as cause:  # whatever a person's function does
        raise tell_failure(f"{config.function} failed", cause) from cause
    if not isinstance(module, torch.nn.Module) or not any(True for _ in module.parameters()):
        raise TrainingError(
            f"train.model: {config.function} returned {type(module).__name__}, expected an nn.Module with weights."
        )
    model = OwnModel(module.float(), config)
    with torch.random.fork_rng(), torch.no_grad():
        _try_model(model.eval(), task)
    return model


def _require_unchanged(file: Path, config: OwnConfig) -> None:
    if digest_file(file) != config.digest:
        raise TrainingError(
            f"{file}, which makes the model ({config.function}), has changed since it was trained. Put back the file "
            f"as it was ({config.digest}, then in {config.file}), or train again."
        )


def _choose_arguments(make: Any, config: OwnConfig) -> dict[str, Any]:
    known = {"vocab_size": config.vocab_size, "pad_id": config.pad_token_id, "label_names": config.label_names}
    signature = inspect.signature(make)
    takes_all = any(one.kind == one.VAR_KEYWORD for one in signature.parameters.values())
    given = {name: value for name, value in known.items() if takes_all or name in signature.parameters}
    twice = sorted(config.arguments.keys() & known.keys())
    if twice:
        raise TrainingError(f"train.model_arguments: {', '.join(twice)} is known from the data; leave it out.")
    try:
        signature.bind(**given, **config.arguments)
    except TypeError as cause:
        raise TrainingError(f"train.model_arguments: {config.function}{signature}: {cause}") from None
    return given | config.arguments


def _try_model(model: OwnModel, task: Task) -> None:
    """Run a model on a few tokens; refuse logits of another shape, and padding that changes them."""
    config = model.config
    ids = list(torch.split(torch.arange(sum(_TRIED)) % config.vocab_size, _TRIED))
    mask = torch.arange(max(_TRIED)) < torch.tensor(_TRIED)[:, None]
    rows = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=config.pad_token_id)
    together = model(input_ids=rows, attention_mask=mask.long()).logits
    by_token = task in (Task.CAUSAL_LM, Task.TOKEN_CLASSIFICATION)
    outputs = len(config.label_names) or config.vocab_size
    _check_shape(model, together, (*rows.shape, outputs) if by_token else (len(ids), outputs))
    alone = [model(input_ids=row[None], attention_mask=torch.ones(1, len(row)).long()).logits[0] for row in ids]
    padded = [row[mask] for row, mask in zip(together, mask, strict=True)] if by_token else [*together]
    away = max(float((one - other).abs().max()) for one, other in zip(alone, padded, strict=True))
    if not away <= _TOLERANCE * float(together.std(correction=0)) + 1e-6:
        raise TrainingError(
            f"train.model: the model of {config.function} gives an example other logits when padding stands to the "
            "right of it, so its batches would decide what it learns. Have its forward leave out the tokens whose "
            "attention_mask is 0, or run forward in time only; the same tokens must give the same logits in eval mode."
        )
    if task == Task.CAUSAL_LM and "logits_to_keep" in inspect.signature(model.module.forward).parameters:
        kept = model(input_ids=rows, attention_mask=mask.long(), logits_to_keep=torch.tensor([0, 2])).logits
        _check_shape(model, kept, (len(ids), 2, outputs))


def _check_shape(model: OwnModel, logits: torch.Tensor, expected: tuple[int, ...]) -> None:
    if tuple(logits.shape) != expected:
        raise TrainingError(
            f"train.model: the model of {model.config.function} returned logits of shape {list(logits.shape)}, "
            f"expected {list(expected)} here: {'lines, tokens' if len(expected) == 3 else 'lines'}, outputs."
        )
