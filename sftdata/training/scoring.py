"""Run a model over a split and score it, during training and after."""

import numpy as np
import torch
from numpy.typing import NDArray

from sftdata.records import Task
from sftdata.training.heads import HEADS
from sftdata.training.loader import Examples
from sftdata.training.metrics import classification_scores, token_scores


def score(
    model: torch.nn.Module, examples: Examples, task: Task, *, classes: int, batch_size: int, bf16: bool
) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Score a model without training it; the host waits for the device once, at the end.

    Returns:
        The metrics of the task, and the predicted class of each example, shape `[rows]`, int64 (empty for causal_lm).
    """
    device = next(model.parameters()).device
    loss, correct = torch.zeros(2, dtype=torch.float64, device=device)
    predictions = torch.zeros(len(examples), dtype=torch.int64, device=device)
    model.eval()
    with torch.inference_mode():
        for rows in _batches(examples, batch_size):
            batch = examples.gather(rows).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                part, logits = HEADS[task](model, batch, None)
            found = logits.argmax(dim=-1)
            loss += part
            correct += (found == batch.targets.flatten()).sum()
            if task == Task.TEXT_CLASSIFICATION:
                predictions[torch.from_numpy(rows).to(device)] = found
    if task == Task.CAUSAL_LM:
        return token_scores(loss.item(), int(correct.item()), int(examples.targets.sum())), np.zeros(0, np.int64)
    found_classes = predictions.cpu().numpy()
    scores = classification_scores(examples.classes, found_classes, classes)
    return {"loss": loss.item() / len(examples), **scores}, found_classes


def _batches(examples: Examples, batch_size: int) -> list[NDArray[np.int64]]:
    longest_first = np.argsort(-examples.lengths, kind="stable")
    return [longest_first[start : start + batch_size] for start in range(0, len(examples), batch_size)]
