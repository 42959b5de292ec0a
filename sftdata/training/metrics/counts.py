"""Precision, recall and F1 from three counts a class: what classes, labels and entities have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """How often each class was there, was predicted, and both; each of shape `[classes]`, int64.

    A ratio whose denominator is 0 is 0, as in scikit-learn with `zero_division=0`. Macro averages are over classes that
    occur among the targets or the predictions, which is scikit-learn's default for single labels: a class that
    this split happens to lack says nothing about the model.
    """

    rows: Ints
    predicted: Ints
    hits: Ints

    @property
    def precision(self) -> Floats:
        """Hits a prediction, shape `[classes]`."""
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> Floats:
        """Hits a row, shape `[classes]`."""
        return _ratio(self.hits, self.rows)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall, shape `[classes]`."""
        return _ratio(2 * self.hits, self.rows + self.predicted)

    @property
    def total(self) -> "Counts":
        """All classes as one."""
        return Counts(*(counts.sum(keepdims=True) for counts in (self.rows, self.predicted, self.hits)))

    def macro(self) -> dict[str, float]:
        """Return `macro_precision`, `macro_recall` and `macro_f1`; 0 where no class occurs."""
        seen = (self.rows + self.predicted) > 0
        found = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {f"macro_{name}": float(values[seen].sum() / max(seen.sum(), 1)) for name, values in found.items()}

    def micro(self) -> dict[str, float]:
        """Return `micro_precision`, `micro_recall` and `micro_f1`."""
        whole = self.total
        found = {"precision": whole.precision, "recall": whole.recall, "f1": whole.f1}
        return {f"micro_{name}": float(values[0]) for name, values in found.items()}

    def describe(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return `precision`, `recall`, `f1` and `rows` by the name of the class."""
        columns = {"precision": self.precision, "recall": self.recall, "f1": self.f1, "rows": self.rows}
        return {
            name: {key: values[place].item() for key, values in columns.items()} for place, name in enumerate(names)
        }


def _ratio(part: Ints, whole: Ints) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
