"""The examples that cost a model most: what it should have said, what it said, and how sure it was.

Which they are is known from the losses of an evaluation. Tasks with many targets a row run these few again, so that
the loss of each target need not be kept for all rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sftdata.plan import Rows
from sftdata.records import IGNORE_INDEX, Task
from sftdata.report.tokens import origin
from sftdata.training.batch import Batch
from sftdata.training.examples import Examples
from sftdata.training.heads import HEADS, Loss
from sftdata.training.isolation import attends_within
from sftdata.training.metrics import choose_labels
from sftdata.training.scoring import Outputs, cut_split
from sftdata.training.sharding import without_gradients
from sftdata.training.split_head import can_split

ANSWERS, TEXTS = 40, 12
"""Examples that are kept: of tasks with one answer a row, and of those with many targets a row."""

TRAINED, BEFORE, BEHIND = 240, 60, 10
"""Tokens that are kept of a sequence: so many targets, and so many tokens before and behind each stretch of them."""

HEAD, TAIL = 280, 120
"""Tokens that are kept of a sequence without targets: so many of its beginning, and so many of its end."""

LABELS = 20
"""Labels that are told of a row which may have any number."""


def describe_worst(
    model: torch.nn.Module,
    examples: Examples,
    outputs: Outputs,
    names: Sequence[str],
    *,
    thresholds: NDArray[np.float32] | None,
    bf16: bool,
    batch_size: int,
    written: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the examples with the highest loss, the highest first, of JSON's types.

    Of each: `row_id`, `source` and `record` (where it was read), `loss` (the mean over its targets), `targets` (how
    many), and `sequences`, its tokens, in stretches, for the middle of long ones is left out. Where a row has one
    answer, also `expected`, `predicted` and `confidence` (`describe_answer`); else each target has its own loss.

    Args:
        model: is run over a few examples, by all ranks alike.
        examples: what `outputs` are of.
        outputs: of `run_model`.
        names: of classes, labels or tags.
        thresholds: of each label, shape `[labels]`; None: 0.5 for all.
        bf16: compute in bfloat16.
        batch_size: as for `run_model`.
        written: what the model wrote for each row, if it did.
    """
    if outputs.task in (Task.TEXT_CLASSIFICATION, Task.MULTILABEL, Task.REGRESSION):
        return describe_answers(examples, outputs, find_worst(outputs.losses, ANSWERS), names, thresholds)
    rows = find_worst(outputs.losses, TEXTS)
    some = examples.select(rows)
    details = look_closer(model, some, batch_size=batch_size, bf16=bf16)
    told = []
    for place, (row, example) in enumerate(zip(rows.tolist(), examples.read(rows), strict=True)):
        sequences = _cut_sequences(some.task, example, details[place])
        said = {"written": written[row]} if written else {}
        told.append(_describe(examples, example, outputs, row) | {"sequences": sequences, **said})
    return told


def find_worst(losses: NDArray[np.float32], count: int) -> Rows:
    """Return the rows with the highest losses, the highest first, earlier rows first among equals; O(rows).

    A loss that is not a number is the highest of all.
    """
    known = np.where(np.isnan(losses), np.inf, losses)
    last = np.partition(known, -min(count, len(known)))[-min(count, len(known))]
    rows = np.flatnonzero(known >= last)
    return rows[np.argsort(-known[rows], kind="stable")][:count]


def describe_answers(
    examples: Examples,
    outputs: Outputs,
    rows: Rows,
    names: Sequence[str],
    thresholds: NDArray[np.float32] | None = None,
) -> list[dict[str, Any]]:
    """Return what `describe_worst` says of these rows, whose task has one answer a row; no model is run."""
    return [
        _describe(examples, example, outputs, row)
        | describe_answer(outputs, row, names, thresholds)
        | {"sequences": [_cut_plain("tokens", example["input_ids"])]}
        for row, example in zip(rows.tolist(), examples.read(rows), strict=True)
    ]


def describe_answer(
    outputs: Outputs, row: int, names: Sequence[str], thresholds: NDArray[np.float32] | None = None
) -> dict[str, Any]:
    """Return `expected`, `predicted` and `confidence`.

    These are a class, a class and its probability; lists of labels, and the probability of each of them; or a score, a
    score and None. So is the probability of a class where probabilities were not kept.
    """
    target, found = outputs.targets[row], outputs.found[row]
    match outputs.task:
        case Task.MULTILABEL:
            chosen = choose_labels(found, thresholds)
            either = [int(place) for place in np.flatnonzero((target > 0) | chosen)][:LABELS]
            return {
                "expected": [names[place] for place in either if target[place] > 0],
                "predicted": [names[place] for place in either if chosen[place]],
                "confidence": {names[place]: _figure(found[place]) for place in either},
            }
        case Task.REGRESSION:
            return {"expected": _figure(target), "predicted": _figure(found), "confidence": None}
    best = int(found.argmax()) if found.ndim else int(found)
    confidence = _figure(found[best]) if found.ndim else None
    return {"expected": names[int(target)], "predicted": names[best], "confidence": confidence}


def look_closer(
    model: torch.nn.Module, examples: Examples, *, batch_size: int, bf16: bool
) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Run a model over a few examples, and return of each the loss of its targets, and the likeliest id in their place.

    Args:
        model: is left in its evaluation mode; all ranks run it, over all of these.
        examples: of a task with many targets a row.
        batch_size: as for `run_model`.
        bf16: compute in bfloat16.
    """
    device = next(model.parameters()).device
    found: dict[int, tuple[NDArray[np.float32], NDArray[np.int64]]] = {}
    loss = Loss(split=examples.task == Task.CAUSAL_LM and can_split(model, bf16=bf16))
    gather = examples.gather_packs if attends_within(model) else examples.gather
    model.eval()
    with without_gradients(model):
        for rows in cut_split(examples, batch_size):
            here = gather(rows)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                losses, said = HEADS[examples.task](model, here.to(device), loss)
            likeliest = said if said.ndim == 1 else said.argmax(dim=-1)
            found |= zip(rows.tolist(), _part(losses, likeliest, here, examples.targets[rows]), strict=True)
    return [found[row] for row in range(len(examples))]


def _part(
    losses: torch.Tensor, likeliest: torch.Tensor, batch: Batch, counts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Give each example what is its own: targets stand row after row, in rows and in packs."""
    labelled, ends = batch.targets.flatten().numpy() != IGNORE_INDEX, np.cumsum(counts)[:-1]
    parts = (np.split(column.cpu().numpy()[labelled], ends) for column in (losses, likeliest))
    return zip(*parts, strict=True)


def _describe(examples: Examples, example: Mapping[str, Any], outputs: Outputs, row: int) -> dict[str, Any]:
    source, record = origin(examples.manifest, dict(example))
    where = {"row_id": example["row_id"], "source": source, "record": record}
    return {**where, "loss": _figure(outputs.losses[row]), "targets": int(outputs.counts[row])}


def _cut_sequences(
    task: Task, example: Mapping[str, Any], details: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> list[dict[str, Any]]:
    """Return the tokens of an example with the loss of each target.

    Beside them stands what the model takes for the likeliest in the place of each target: a token, or a tag, and then
    also the tag that is expected.
    """
    ids, labels = np.array(example["input_ids"]), np.array(example["labels"])
    if task == Task.SEQ2SEQ:
        return [_cut_plain("source", ids.tolist()), _cut_trained("target", labels, labels != IGNORE_INDEX, details)]
    trained = labels != IGNORE_INDEX
    if task == Task.TOKEN_CLASSIFICATION:
        return [_cut_trained("tokens", ids, trained, details, labels)]
    trained[0] = False  # nothing predicts the first token
    return [_cut_trained("tokens", ids, trained, details)]


def _cut_plain(name: str, ids: Sequence[int]) -> dict[str, Any]:
    """Leave out the middle of a long sequence."""
    size = len(ids)
    ranges = [(0, size)] if size <= HEAD + TAIL else [(0, HEAD), (size - TAIL, size)]
    return {"name": name, "tokens": size, "stretches": [{"start": at, "ids": list(ids[at:end])} for at, end in ranges]}


def _cut_trained(
    name: str,
    ids: NDArray[np.int64],
    trained: NDArray[np.bool_],
    details: tuple[NDArray[np.float32], NDArray[np.int64]],
    tags: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Keep the first targets and what is around them; the other columns are null for tokens that are none."""
    losses, likeliest = np.full(len(ids), np.nan), np.full(len(ids), -1)
    losses[trained], likeliest[trained] = details
    stretches = []
    for start, end in _find_stretches(trained):
        here = slice(start, end)
        of_targets = trained[here].tolist()
        columns = {
            "losses": [_figure(value) for value in losses[here]],
            "likeliest": _blank(likeliest[here], of_targets),
            **({"expected": _blank(tags[here], of_targets)} if tags is not None else {}),
        }
        stretches.append({"start": start, "ids": ids[here].tolist(), **columns})
    return {"name": name, "tokens": len(ids), "stretches": stretches}


def _find_stretches(trained: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where the stretches begin and end that hold the first targets, and what is around them."""
    kept = np.zeros(len(trained) + 1, dtype=np.int64)
    for place in np.flatnonzero(trained)[:TRAINED].tolist():
        kept[max(0, place - BEFORE)] += 1
        kept[min(len(trained), place + 1 + BEHIND)] -= 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.cumsum(kept[:-1]) > 0, [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _blank(values: NDArray[np.int64], wanted: Sequence[bool]) -> list[int | None]:
    return [value if is_wanted else None for value, is_wanted in zip(values.tolist(), wanted, strict=True)]


def _figure(value: Any) -> float | None:
    """Return a number in five digits; None for one that JSON does not have."""
    return float(f"{float(value):.5g}") if math.isfinite(value) else None
