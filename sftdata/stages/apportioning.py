"""Deal units to parts so that sizes come out as wished, and every part has the strata in nearly the same shares.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) deals one row at a time, the rarest label first, to the
part that needs it most. Here units that look the same (as many rows of the same strata) are dealt together in
proportion to what each part needs, so that the work grows with the kinds of units and not with the rows; large units
come first, single rows last, which even out what is left.
"""

import numpy as np
from numpy.typing import NDArray

from sftdata.stages.evening import even_out
from sftdata.stages.kinds import Kinds, sort_kinds
from sftdata.stages.strata import Strata

Indexes = NDArray[np.int64]

_TINY = 1e-9

_FEW = 16
"""Up to so many units that look the same are dealt one by one, which is as fast and looks closer."""


def apportion_units(
    units: Indexes, keys: NDArray[np.uint64], strata: Strata, wishes: list[int], open_parts: int
) -> Indexes:
    """Give each unit a part.

    Units stay whole. A part never gets more rows than it wishes, but for the open ones (training, or all folds), which
    also take what fits nowhere else. Within that, strata decide. Every stratum has a unit in an open part. Which of
    the units that look the same falls where depends on their keys.

    Args:
        units: unit of each row, from 0 on without gaps, shape `[rows]`.
        keys: random key of each row; that of a unit is the smallest of its rows.
        strata: strata of the rows.
        wishes: rows that each part is to have; they add up to `rows`.
        open_parts: how many of the first parts are open.

    Returns:
        Part of each unit, shape `[units]`, dtype int64.
    """
    if not len(units):
        return np.zeros(0, dtype=np.int64)
    unit_keys = np.full(int(units.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(unit_keys, units, keys)
    kinds = sort_kinds(units, unit_keys, strata)
    counts = even_out(_Dealer(kinds, wishes, open_parts).deal(), kinds, open_parts)
    order = np.lexsort((unit_keys, kinds.of_unit))
    parts = np.empty(len(unit_keys), dtype=np.int64)
    parts[order] = np.repeat(np.tile(np.arange(len(wishes)), len(counts)), counts.ravel())
    return parts


class _Dealer:
    """What each part still needs, while kinds are dealt one after the other.

    In lists of Python numbers: there are few parts and few strata a kind, for which an array costs ten times as much.
    """

    def __init__(self, kinds: Kinds, wishes: list[int], open_parts: int) -> None:
        units = np.repeat(kinds.units, np.diff(kinds.starts))
        rows = np.bincount(kinds.strata, weights=units * kinds.amounts)
        forced = np.where(np.arange(len(wishes)) < open_parts, wishes, 0) / max(sum(wishes[:open_parts]), 1)
        rest = np.maximum(wishes - forced * kinds.rows_of_pool(), _TINY)
        rest /= rest.sum()
        in_pool = np.arange(len(rows)) == kinds.pool
        self.kinds, self.open = kinds, open_parts
        self.weights: list[float] = rest.tolist()
        self.need: list[list[float]] = (rows[:, None] * np.where(in_pool[:, None], forced, rest)).tolist()
        self.left: list[float] = rows.tolist()
        self.units_left: list[int] = np.bincount(kinds.strata, weights=units).astype(np.int64).tolist()
        self.trained = [False] * len(rows)
        self.gap = [float(wish) for wish in wishes]  # rows that each part still wishes for; below zero: it has too many
        self.rows_left = sum(wishes)
        self.rows_a_pair: list[float] = (kinds.count_rows() / np.maximum(rows, 1)).tolist()
        self.drift = [0.0] * len(wishes)  # rows too few in each part, of which the strata to come do not know

    def deal(self) -> Indexes:
        """Return how many units of each kind each part gets, shape `[kinds, parts]`."""
        kinds, dealt = self.kinds, []
        starts, strata, amounts = kinds.starts.tolist(), kinds.strata.tolist(), kinds.amounts.tolist()
        for kind, (size, units) in enumerate(zip(kinds.sizes.tolist(), kinds.units.tolist(), strict=True)):
            pairs = slice(starts[kind], starts[kind + 1])
            pair_list = list(zip(strata[pairs], amounts[pairs], strict=True))
            if units > _FEW or size == 1 == len(pair_list):
                dealt.append(self._divide(size, units, pair_list))
                self._book(size, units, pair_list, dealt[-1])
                continue
            dealt.append([0] * len(self.gap))
            for _ in range(units):
                one = self._choose(size, pair_list)
                self._book(size, 1, pair_list, one)
                dealt[-1] = [old + new for old, new in zip(dealt[-1], one, strict=True)]
        return np.array(dealt, dtype=np.int64)

    def _book(self, size: int, units: int, pairs: list[tuple[int, int]], dealt: list[int]) -> None:
        trained = any(dealt[: self.open])
        for stratum, amount in pairs:
            self.need[stratum] = [
                need - amount * got if got else need for need, got in zip(self.need[stratum], dealt, strict=True)
            ]
            self.left[stratum] -= amount * units
            self.units_left[stratum] -= units
            self.trained[stratum] |= trained
            if not self.units_left[stratum]:
                rows = self.rows_a_pair[stratum]
                self.drift = [drift + rows * need for drift, need in zip(self.drift, self.need[stratum], strict=True)]
        self.gap = [gap - size * got for gap, got in zip(self.gap, dealt, strict=True)]
        self.rows_left -= size * units

    def _wanted(self, size: int, units: int, pairs: list[tuple[int, int]]) -> list[float]:
        """Return how many of these units each part would need for what its strata lack, and for its share of the drift.

        The first is where the chi-square distance of the strata from what they should be is smallest; for units of
        several strata, whose needs need not add up to rows, the rows count like one more stratum.
        """
        norm, wanted = 0.0, [0.0] * len(self.gap)
        if len(pairs) > 1:
            near = size / self.rows_left
            norm, wanted = near * size, [near * gap for gap in self.gap]
        for stratum, amount in pairs:
            near = amount / self.left[stratum]
            norm += near * amount
            wanted = [sum_ + near * need for sum_, need in zip(wanted, self.need[stratum], strict=True)]
        per_row = units / self.rows_left
        return [
            pull / norm + (0.0 if -size <= drift <= size else (drift - size if drift > 0 else drift + size) * per_row)
            for pull, drift in zip(wanted, self.drift, strict=True)
        ]  # a drift of less than a unit is made up for by rounding

    def _room(self, size: int, units: int, pairs: list[tuple[int, int]], must_train: bool) -> list[int]:
        """Return how many of these units each part has room for."""
        room = [int(gap // size) if gap > 0 else 0 for gap in self.gap]
        if pairs[-1][0] == self.kinds.pool or (must_train and units == 1):
            room[self.open :] = [0] * (len(room) - self.open)
        return room

    def _must_train(self, units: int, pairs: list[tuple[int, int]]) -> bool:
        """Tell whether these are the last units of a stratum of which training has none."""
        return any(not self.trained[stratum] and self.units_left[stratum] == units for stratum, _ in pairs)

    def _choose(self, size: int, pairs: list[tuple[int, int]]) -> list[int]:
        """Deal one unit to the part with room that it suits best, else to the emptiest open one."""
        room = self._room(size, 1, pairs, self._must_train(1, pairs))
        wanted = self._wanted(size, 1, pairs)
        best, cost = -1, np.inf
        for part, (want, weight) in enumerate(zip(wanted, self.weights, strict=True)):
            if room[part] and (1 - 2 * want) / weight < cost:
                best, cost = part, (1 - 2 * want) / weight
        dealt = [0] * len(room)
        dealt[best if best >= 0 else self._emptiest(dealt)] = 1
        return dealt

    def _divide(self, size: int, units: int, pairs: list[tuple[int, int]]) -> list[int]:
        """Divide units of one kind as they are wanted; what no part has room for goes to the emptiest open ones."""
        must_train = self._must_train(units, pairs)
        room = self._room(size, units, pairs, must_train)
        fit = min(units, sum(room))
        shares = fill_shares(self._wanted(size, units, pairs), self.weights, fit, room)
        lead = [
            drift / size + gap / self.rows_left - weight
            for drift, gap, weight in zip(self.drift, self.gap, self.weights, strict=True)
        ]
        dealt = round_shares(shares, fit, room, lead)
        for part in range(self.open):
            dealt[part] += (units - fit) // self.open
        for _ in range((units - fit) % self.open):
            dealt[self._emptiest([size * got for got in dealt])] += 1
        if must_train and not any(dealt[: self.open]):
            dealt[dealt.index(max(dealt))] -= 1
            dealt[self._emptiest([size * got for got in dealt])] += 1
        return dealt

    def _emptiest(self, rows: list[int]) -> int:
        return max(range(self.open), key=lambda part: self.gap[part] - rows[part])


def fill_shares(wanted: list[float], weights: list[float], total: int, room: list[int]) -> list[float]:
    """Return the shares nearest to `wanted` that add up to `total`, none below zero or above its room.

    Near by the squared differences, each over its weight: what is too much or missing is spread as the weights say.

    Args:
        wanted: one number a part.
        weights: above zero.
        total: at most the sum of `room`.
        room: the largest share of each part.
    """
    shares, free = [0.0] * len(wanted), list(range(len(wanted)))
    while free:
        surplus = (sum(wanted[part] for part in free) + sum(shares) - total) / sum(weights[part] for part in free)
        tried = {part: wanted[part] - weights[part] * surplus for part in free}
        low = [part for part, share in tried.items() if share < -_TINY]
        high = [part for part, share in tried.items() if share > room[part] + _TINY]
        if sum(tried[part] - room[part] for part in high) < -sum(tried[part] for part in low):
            high = []  # the worse side is bound to stay at its limit; the other may not
        elif high:
            low = []
        for part in high or (tried if not low else ()):
            shares[part] = min(tried[part], room[part])
        free = [part for part in free if part not in (low or high)] if low or high else []
    return shares


def round_shares(shares: list[float], total: int, room: list[int], lead: list[float]) -> list[int]:
    """Round each share down or up so that they add up to `total`; up where fraction and lead together are largest."""
    whole = [int(share + _TINY) for share in shares]
    claims = {
        part: lead[part] + share - whole[part]
        for part, share in enumerate(shares)
        if share - whole[part] > _TINY and whole[part] < room[part]
    }
    for part in sorted(claims, key=lambda part: -claims[part])[: total - sum(whole)]:
        whole[part] += 1
    return whole
