"""Say how near a split came to what was wished."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftdata.stages.strata import Strata

Indexes = NDArray[np.int64]

SHOWN = 20
"""Most names that are told of the strata that a part lacks."""


@dataclass(frozen=True)
class WorstShare:
    """The stratum whose share in one part is farthest from its share in all rows."""

    stratum: str
    part: str
    share: float
    share_of_all: float


@dataclass(frozen=True)
class Lacking:
    """The strata of which a part has no row: how many, and the first of them by name."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class SplitReport:
    """How near a split came to what was wished; `dataclasses.asdict` makes a JSON value of it.

    Attributes:
        rows: rows that were divided.
        units: what could be divided: rows, or groups and clusters of rows that must stay together.
        wanted: rows that each part, or fold (`fold 0`), was to have.
        got: rows that it has.
        biggest_unit: rows of the largest unit.
        oversized_units: units larger than the smallest part or fold that was wished.
        shares_of: `label`, `labels`, `score` or `length`: what shares are told of. Those of a label are told even where
            the split was not stratified by it.
        worst_share: the worst deviation of a stratum's share.
        mean_deviation: the mean over strata and parts of how far shares are from those of all rows.
        lacking: for each part or fold that has no row of some stratum, which.
    """

    rows: int
    units: int
    wanted: dict[str, int]
    got: dict[str, int]
    biggest_unit: int
    oversized_units: int
    shares_of: str | None
    worst_share: WorstShare | None
    mean_deviation: float
    lacking: dict[str, Lacking]


def report_split(
    units: Indexes, places: Indexes, names: Sequence[str], wishes: list[int], strata: Strata, shares_of: str | None
) -> SplitReport:
    """Compare a split with what was wished.

    Args:
        units: unit of each row, shape `[rows]`.
        places: part or fold of each row, a position in `names`, shape `[rows]`.
        names: what the parts and folds are called.
        wishes: rows that each was to have.
        strata: strata of the rows.
        shares_of: what the strata are, or None when they are not to be reported on.
    """
    sizes, got = np.bincount(units), np.bincount(places, minlength=len(names))
    counts = np.bincount(strata.codes * len(names) + places[strata.rows], minlength=len(strata.names) * len(names))
    counts = counts.reshape(len(strata.names), len(names))
    told = shares_of is not None and len(places) > 0
    worst, mean = _compare_shares(counts, got, strata.names, names) if told else (None, 0.0)
    missing = {name: np.flatnonzero(counts[:, place] == 0) for place, name in enumerate(names) if told}
    return SplitReport(
        rows=len(places),
        units=len(sizes),
        wanted=dict(zip(names, wishes, strict=True)),
        got=dict(zip(names, got.tolist(), strict=True)),
        biggest_unit=int(sizes.max(initial=0)),
        oversized_units=int((sizes > min(wishes)).sum()),
        shares_of=shares_of,
        worst_share=worst,
        mean_deviation=mean,
        lacking={
            name: Lacking(len(codes), tuple(strata.names[code] for code in codes[:SHOWN]))
            for name, codes in missing.items()
            if len(codes)
        },
    )


def _compare_shares(
    counts: Indexes, got: Indexes, strata: Sequence[str], names: Sequence[str]
) -> tuple[WorstShare, float]:
    """Find the worst share and the mean deviation over the parts that have rows."""
    share_of_all = counts.sum(axis=1) / got.sum()
    shares = counts / np.maximum(got, 1)
    away = np.where(got > 0, np.abs(shares - share_of_all[:, None]), 0)
    code, place = divmod(int(np.argmax(away)), len(names))
    worst = WorstShare(strata[code], names[place], float(shares[code, place]), float(share_of_all[code]))
    return worst, float(away[:, got > 0].mean())
