"""Run a model over a split and score what it says, during training and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sftdata.plan import budget_batches
from sftdata.records import IGNORE_INDEX, Task
from sftdata.training.batch import Batch
from sftdata.training.distributed import ALONE, Ranks, add_up, gather_all
from sftdata.training.examples import Examples, Ints
from sftdata.training.heads import HEADS, Loss
from sftdata.training.isolation import attends_within
from sftdata.training.metrics import (
    Scores,
    score_classes,
    score_labels,
    score_loss,
    score_numbers,
    score_tags,
    score_tokens,
    tune_thresholds,
)
from sftdata.training.sharding import without_gradients
from sftdata.training.split_head import can_split

MOST_PROBABILITIES = 2**26
"""Up to so many probabilities of classes are kept, 256 MB; for more rows or classes there is no ROC-AUC."""

_WRITING = (Task.SEQ2SEQ, Task.CAUSAL_LM)


@dataclass(frozen=True)
class Outputs:
    """What a model says of all examples of a split, and what it should have said.

    Attributes:
        task: says what the arrays hold.
        loss_sum: the loss, not weighted, summed over all targets.
        counts: targets of each example, shape `[rows]`, int64.
        correct: tokens that it predicts, for tasks that write; they have no arrays.
        targets: a class or score an example, `[rows]`; a number for each label, `[rows, labels]`; the tags of all
            words, row after row, `[words]`.
        found: the same as the model has it: float32 probabilities of classes, `[rows, classes]`, or the likeliest class
            where those are too many, `[rows]`; of labels, `[rows, labels]`; scores; the likeliest tags.
        losses: the loss of each example, its mean over the example's targets, shape `[rows]`, float32.
    """

    task: Task
    loss_sum: float
    counts: Ints
    correct: int
    targets: NDArray[Any]
    found: NDArray[Any]
    losses: NDArray[np.float32]


def run_model(
    model: torch.nn.Module,
    examples: Examples,
    *,
    batch_size: int,
    bf16: bool,
    ranks: Ranks = ALONE,
    watch: Callable[[int], None] = lambda done: None,
) -> Outputs:
    """Run a model over a split without training it; the host waits for the device once, at the end.

    Args:
        model: is left in its evaluation mode.
        examples: of the split.
        batch_size: as many of the longest examples fit into a batch, and more of shorter ones.
        bf16: compute in bfloat16.
        ranks: share the batches; each gets what all of them found.
        watch: told how many examples were handed to the device.
    """
    device = next(model.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    batches = cut_split(examples, batch_size)
    each: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    found: list[torch.Tensor] = []
    done = 0
    mine = take_turns(batches, ranks, filler=np.zeros(0, dtype=np.int64))
    loss = Loss(split=examples.task == Task.CAUSAL_LM and can_split(model, bf16=bf16))
    gather = examples.gather_packs if attends_within(model) else examples.gather
    model.eval()
    with without_gradients(model):
        for rows in mine:
            here = gather(rows)
            there = here.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                losses, said = HEADS[examples.task](model, there, loss)
            sums[0] += losses.sum()
            if len(rows):
                each.append(_add_by_example(losses, there))
            if examples.task in _WRITING:
                likeliest = said if said.ndim == 1 else said.argmax(dim=-1)
                sums[1] += (likeliest == there.targets.flatten()).sum()
            elif len(rows):
                targets.append(here.targets if examples.task != Task.TOKEN_CLASSIFICATION else here.targets.flatten())
                found.append(_read(said, examples))
            done += len(rows)
            watch(done)
    examples.settle()  # no score is given for a damaged shard
    loss_sum, correct = add_up(ranks, sums).tolist()
    told = [(np.concatenate(mine), *map(_fetch, (each, targets, found)))] if each else []
    parts = [part for of_rank in gather_all(ranks, told) for part in of_rank]
    order, losses_of_rows, *arrays = (np.concatenate(column) for column in zip(*parts, strict=True))
    means = np.empty_like(losses_of_rows)
    means[order] = losses_of_rows / examples.targets[order]
    said_of_rows = (arrays[0], arrays[1])
    if examples.task not in _WRITING:
        said_of_rows = _in_order(said_of_rows, examples, order)
    return Outputs(examples.task, loss_sum, examples.targets, int(correct), *said_of_rows, means)


def _add_by_example(losses: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the loss of each example, the sum over its targets, shape `[examples]`; nothing waits for the device."""
    if batch.cu_seqlens is None or batch.positions is None:
        return losses.reshape(len(batch.rows), -1).sum(dim=1)
    places = torch.bucketize(batch.positions, batch.cu_seqlens[1:-1].long(), right=True)
    return losses.new_zeros(len(batch.rows)).index_add_(0, places, losses)


def _fetch(parts: list[torch.Tensor]) -> NDArray[Any]:
    found: NDArray[Any] = torch.cat(parts).cpu().numpy() if parts else np.zeros(0)
    return found


def take_turns(batches: Sequence[Ints], ranks: Ranks, *, filler: Ints) -> list[Ints]:
    """Return the batches of this rank, and fillers behind them, so that all ranks have as many."""
    mine = list(batches[ranks.rank :: ranks.count])
    return mine + [filler] * (-(-len(batches) // ranks.count) - len(mine))


def cut_split(examples: Examples, batch_size: int) -> list[Ints]:
    """Cut a split into batches of like lengths, none with more tokens than `batch_size` of the longest examples have.

    Of sources and targets both count.
    """
    sizes = examples.lengths + (examples.targets if examples.task == Task.SEQ2SEQ else 0)
    return budget_batches(np.arange(len(examples)), sizes, batch_size * int(sizes.max()))


def _read(logits: torch.Tensor, examples: Examples) -> torch.Tensor:
    """Turn the logits of a batch into what is kept of them."""
    match examples.task:
        case Task.REGRESSION:
            return logits
        case Task.MULTILABEL:
            return logits.sigmoid()
        case Task.TEXT_CLASSIFICATION if len(examples) * logits.shape[1] <= MOST_PROBABILITIES:
            return logits.softmax(dim=-1)
    return logits.argmax(dim=-1).int()


def _in_order(
    arrays: tuple[NDArray[Any], NDArray[Any]], examples: Examples, order: Ints
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bring what was gathered in `order` into the order of the rows; of tags leave out what is none."""
    places = order
    if examples.task == Task.TOKEN_CLASSIFICATION:
        labelled = arrays[0] != IGNORE_INDEX
        arrays = (arrays[0][labelled], arrays[1][labelled])
        counts = examples.targets[order]
        begins = (np.cumsum(examples.targets) - examples.targets)[order]
        places = np.repeat(begins - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    ordered = (np.empty_like(arrays[0]), np.empty_like(arrays[1]))
    ordered[0][places], ordered[1][places] = arrays
    return ordered


def tune(outputs: Outputs) -> NDArray[np.float32] | None:
    """Find the thresholds of a multilabel task on these outputs, which must be the validation split's; else None."""
    return tune_thresholds(outputs.targets, outputs.found) if outputs.task == Task.MULTILABEL else None


def score(outputs: Outputs, names: Sequence[str], thresholds: NDArray[np.float32] | None = None) -> Scores:
    """Score what a model said.

    Args:
        outputs: of `run_model`.
        names: of classes, labels or tags.
        thresholds: of each label, shape `[labels]`; None: 0.5 for all.
    """
    targets, found, counts = outputs.targets, outputs.found, outputs.counts
    if outputs.task in _WRITING:
        return score_tokens(outputs.loss_sum, outputs.correct, int(counts.sum()))
    loss = score_loss(outputs.loss_sum, int(counts.sum()))
    match outputs.task:
        case Task.TEXT_CLASSIFICATION if found.ndim == 1:
            return loss | score_classes(targets, found, names)
        case Task.TEXT_CLASSIFICATION:
            return loss | score_classes(targets, found.argmax(axis=1), names, found)
        case Task.MULTILABEL:
            return loss | score_labels(targets, found, names, thresholds)
        case Task.REGRESSION:
            return loss | score_numbers(targets, found)
    return loss | score_tags(targets, found, names, counts)
