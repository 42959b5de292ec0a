"""What an evaluation gives: numbers that are always finite, and the reason where a number does not exist."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Figure = float | str
"""A number, or why there is none."""


@dataclass(frozen=True)
class Scores:
    """The scores of one evaluation.

    Attributes:
        values: finite numbers by metric; any of them can choose the best checkpoint.
        details: what a report shows beside them (each class, the confusion matrix, signatures), of JSON's types.
        undefined: why a metric has no value, by metric.
    """

    values: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, figures: Mapping[str, Figure], details: Mapping[str, Any] | None = None) -> Self:
        """Sort numbers from reasons; a number that is not finite becomes a reason, for JSON has no such numbers."""
        said = {name: figure if isinstance(figure, str) else f"it is {figure}" for name, figure in figures.items()}
        values = {name: float(figure) for name, figure in figures.items() if _is_finite(figure)}
        return cls(values, dict(details or {}), {name: said[name] for name in figures if name not in values})

    def __or__(self, other: "Scores") -> "Scores":
        """Join two evaluations of the same predictions."""
        return Scores(self.values | other.values, self.details | other.details, self.undefined | other.undefined)

    def value(self, metric: str) -> float:
        """Return a number to compare with others: NaN, which beats nothing, where the metric is undefined."""
        return self.values.get(metric, math.nan)

    def to_json(self) -> dict[str, Any]:
        """Return values and details in one flat dict, and `undefined` where there is any."""
        return {**self.values, **self.details, **({"undefined": self.undefined} if self.undefined else {})}


def _is_finite(figure: Figure) -> bool:
    return not isinstance(figure, str) and math.isfinite(figure)
