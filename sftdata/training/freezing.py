"""Weights that are not trained."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch

from sftdata.documents import hint
from sftdata.errors import TrainingError
from sftdata.training.heads import base_of


def freeze_weights(model: torch.nn.Module, patterns: Sequence[str]) -> None:
    """Train none of the weights whose names one of the patterns matches; tied weights go by all of their names.

    Raises:
        TrainingError: a pattern matches nothing, or all is frozen.
    """
    weights = dict(base_of(model).named_parameters(remove_duplicate=False))
    for pattern in patterns:
        matched = [weight for name, weight in weights.items() if fnmatchcase(name, pattern)]
        if not matched:
            raise TrainingError(f"train.freeze: '{pattern}' matches no weight; {_suggest(pattern, list(weights))}")
        for weight in matched:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in weights.values()):
        raise TrainingError(
            f"train.freeze: {', '.join(patterns)} freezes all weights, so that there is nothing to train"
        )


def _suggest(pattern: str, names: list[str]) -> str:
    inside = [name for name in names if name.startswith(f"{pattern}.")]
    if inside:
        return f"did you mean '{pattern}.*'?"
    return hint(pattern, names) if len(names) <= 20 else f"names are such as {', '.join(names[:3])}, {names[-1]}"
