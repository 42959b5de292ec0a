"""From which source each example is, and what the examples of each cost: the loss by source.

A source is one of `inputs` of a dataset. The sums stay on the device until the loss is logged.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import polars as pl
import pyarrow as pa
import torch

from sftdata.shards.reader import Split
from sftdata.training.columns import Values
from sftdata.training.distributed import Ranks, add_up

MOST = 32
"""Sources whose losses are logged: more of them would only clutter the log."""


def number_sources(splits: Sequence[Split]) -> list[dict[str, int]]:
    """Number the sources of all splits, each of a dataset of its own; return for each split id to number."""
    number = count()
    return [{entry.id: next(number) for entry in split.manifest.inputs} for split in splits]


def name_sources(splits: Sequence[Split]) -> tuple[str, ...]:
    """Name the sources in the order of their numbers: by the ends of their paths, as short as tells them apart.

    What is the same file in two datasets is told apart by a number behind it.
    """
    paths = [entry.path.rstrip("/").split("/") for split in splits for entry in split.manifest.inputs]
    names = ["/".join(path[-1:]) for path in paths]
    for size in range(2, max(map(len, paths), default=0) + 1):
        several = Counter(names)
        names = ["/".join(path[-size:]) if several[name] > 1 else name for name, path in zip(names, paths, strict=True)]
    met: Counter[str] = Counter()
    several = Counter(names)
    for place, name in enumerate(names):
        met[name] += 1
        names[place] = f"{name} {met[name]}" if several[name] > 1 else name
    return tuple(names)


def trace_rows(row_ids: pa.ChunkedArray, numbers: Mapping[str, int], none: int) -> Values:
    """Return the number of the source of each row, int8, shape `[rows]`; `none` for an id of no source."""
    ids = pl.Series(row_ids, dtype=pl.String).str.replace(r":[^:]*$", "")
    found = ids.replace_strict(list(numbers), list(numbers.values()), default=none, return_dtype=pl.Int8)
    traced: Values = found.to_numpy()
    return traced


def are_told_apart(names: Sequence[str]) -> bool:
    """Tell whether losses are logged by source: where there are several, and not too many."""
    return 1 < len(names) <= MOST


def follow_sources(names: Sequence[str], device: torch.device, say: Callable[[str], None]) -> "SourceLosses | None":
    """Return what adds up the losses of these sources; None where they are not told apart, which is said if need be."""
    if len(names) > MOST:
        say(f"the data has {len(names)} sources; the loss by source is logged for up to {MOST}")
    return SourceLosses(names, device) if are_told_apart(names) else None


class SourceLosses:
    """What the targets of each source cost since the last report, added up on the device.

    Args:
        names: of the sources, by number.
        device: of the model.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._names = names
        self._sums = torch.zeros(len(names) + 1, 2, dtype=torch.float64, device=device)  # the last row: no target

    def add(self, losses: torch.Tensor, sources: torch.Tensor) -> None:
        """Add the loss of each target to its source's; nothing waits for the device.

        Args:
            losses: as they train, shape `[targets]`.
            sources: the number of the source of each, `len(names)` where there is no target; int64, `[targets]`.
        """
        found = torch.stack([losses.detach().double(), torch.ones_like(losses, dtype=torch.float64)], dim=1)
        self._sums.index_add_(0, sources, found)

    def note(self) -> torch.Tensor:
        """Return the sums as they are."""
        return self._sums.clone()

    def go_back(self, noted: torch.Tensor) -> None:
        """Forget what was added since `noted`."""
        self._sums.copy_(noted)

    def take(self, ranks: Ranks) -> dict[str, float]:
        """Return the mean loss of the targets of each source, on all ranks, and begin anew.

        A source without targets has none.
        """
        sums = add_up(ranks, self._sums)[:-1].tolist()
        self._sums.zero_()
        return {name: loss / targets for name, (loss, targets) in zip(self._names, sums, strict=True) if targets}
