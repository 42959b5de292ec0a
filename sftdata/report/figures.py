"""The geometry of figures; the page's template draws them.

All places are per cent of the figure, so that it may be of any width without its letters growing or shrinking.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftdata.report.lengths import Axis

TICKS = 4
"""Numbers below an axis, beside the one at its beginning."""

HEAD_ROOM = 0.92
"""How much of the height the tallest bar takes."""


@dataclass(frozen=True)
class Bar:
    """A bar; `left`, `top`, `width` and `height` are per cent. `said` is what it shows, in words."""

    left: str
    top: str
    width: str
    height: str
    said: str


@dataclass(frozen=True)
class Tick:
    """A number below an axis; `anchor` says which end of it stands at `left`."""

    left: str
    text: str
    anchor: str


@dataclass(frozen=True)
class Mark:
    """A line across a figure; `is_beyond` says that the place lies to the right of it."""

    left: str
    anchor: str
    is_beyond: bool


@dataclass(frozen=True)
class Histogram:
    """Bars over an axis, and perhaps a line."""

    bars: list[Bar]
    ticks: list[Tick]
    mark: Mark | None


def draw_histogram(axis: Axis, bins: NDArray[np.integer], unit: str, marked: int | None = None) -> Histogram:
    """Lay out a histogram.

    Args:
        axis: what the bins are.
        bins: rows in each, shape `[bins]`.
        unit: of what is measured.
        marked: where a line is drawn.
    """
    most = max(1, int(bins.max(initial=0)))
    rows = bins.tolist()
    bars = [_draw_bar(axis, place, count, most, unit) for place, count in enumerate(rows) if count]
    step = -(-axis.bins // TICKS)
    places = [*range(0, axis.bins - step // 2, step), axis.bins]
    ticks = [_draw_tick(axis, place) for place in places]
    return Histogram(bars, ticks, None if marked is None else _draw_mark(axis, marked))


def percent(share: float) -> str:
    """Return a share as a place in a figure."""
    return f"{100 * share:.3f}%"


def _draw_bar(axis: Axis, place: int, count: int, most: int, unit: str) -> Bar:
    height = max(HEAD_ROOM * count / most, 0.006)  # a single row among many is to be seen, too
    rows = "row" if count == 1 else "rows"
    return Bar(
        left=percent((place + 0.06) / axis.bins),
        top=percent(1 - height),
        width=percent(0.88 / axis.bins),
        height=percent(height),
        said=f"{_say_bin(axis, place)} {unit}: {count:,} {rows}",
    )


def _say_bin(axis: Axis, place: int) -> str:
    start, end = axis.edge(place), axis.edge(place + 1)
    if axis.is_open and place == axis.bins - 1:
        return f"{_say(start)} and more"
    if isinstance(axis.width, int):
        return f"{start:,}" if axis.width == 1 else f"{start:,} to {end - 1:,}"
    return f"{_say(start)} to {_say(end)}"


def _draw_tick(axis: Axis, place: int) -> Tick:
    is_last = place == axis.bins
    more = "+" * (axis.is_open and is_last)
    anchor = "end" if is_last else "start" if place == 0 else "middle"
    return Tick(percent(place / axis.bins), _say(axis.edge(place)) + more, anchor)


def _draw_mark(axis: Axis, marked: int) -> Mark:
    share = (marked - axis.start) / (axis.end - axis.start)
    if share > 1:
        return Mark(percent(1), "end", is_beyond=True)
    return Mark(percent(share), "end" if share > 0.5 else "start", is_beyond=False)


def _say(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
