"""Scores of one number an example."""

import numpy as np
from numpy.typing import NDArray

from sftdata.training.metrics.ranking import spearman
from sftdata.training.metrics.scores import Figure, Scores

Numbers = NDArray[np.floating]
"""A number an example, shape `[rows]`."""


def score_numbers(targets: Numbers, found: Numbers) -> Scores:
    """Score one number an example, in float64; at least one row, and the targets are finite.

    Returns:
        `mse`, `mae`, `r2` (undefined where all targets are equal: there is nothing to explain) and `spearman`
        (undefined where all targets or all predictions are equal). All are undefined where a prediction is not finite.
    """
    targets, found = targets.astype(np.float64), found.astype(np.float64)
    broken = int((~np.isfinite(found)).sum())
    if broken:
        why = f"{broken} of {len(found)} predictions are not finite numbers"
        return Scores.make(dict.fromkeys(("mse", "mae", "r2", "spearman"), why))
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        errors = found - targets
        figures: dict[str, Figure] = {"mse": float(np.mean(errors**2)), "mae": float(np.mean(np.abs(errors)))}
        figures["r2"] = _explained(targets, errors)
    return Scores.make({**figures, "spearman": spearman(targets, found)})


def _explained(targets: Numbers, errors: Numbers) -> Figure:
    spread = float(np.sum((targets - targets.mean()) ** 2))
    if targets.min() == targets.max() or spread == 0:
        return "all targets are equal"
    return 1 - float(np.sum(errors**2)) / spread
