"""Learning curves: what a run has logged, thinned to what a figure can show, and laid out for the page's template.

Lines are drawn in a square of 1000 by 1000 that the page stretches; all other places are per cent of the figure.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sftdata.report.figures import Tick, percent

Floats = NDArray[np.float64]

POINTS = 200
"""Points of a line at most; of more, neighbours are put together: their mean, and a band from the least to the most."""

DOTS = 60
"""Up to so many points of an evaluation are shown one by one."""

SQUARE = 1000
HEAD_ROOM = 0.06
"""Share of the height that stays free above and below the lines."""


@dataclass(frozen=True, eq=False)
class Series:
    """Values over steps.

    Attributes:
        name: what they are called beside others in a figure.
        steps: after which they were logged, ascending, shape `[points]`.
        values: finite, of the same shape.
        dotted: they are few and each of them counts, as evaluations do.
        best: the step whose value is marked.
    """

    name: str
    steps: Floats
    values: Floats
    dotted: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Dot:
    """A point; places are per cent. `said` is what it shows, in words."""

    left: str
    top: str
    said: str
    is_best: bool


@dataclass(frozen=True)
class Line:
    """A line of a figure.

    Attributes:
        name: of the series.
        path: of the line in the square, as SVG has it.
        band: the outline of what its points vary in; empty where each is one value.
        dots: its points, where they are shown.
        steps: of its points, for the page's script.
        values: of its points, for the page's script.
        last: the last value, in words.
    """

    name: str
    path: str
    band: str
    dots: list[Dot]
    steps: str
    values: str
    last: str


@dataclass(frozen=True)
class Level:
    """A number beside the vertical axis, at `top` per cent."""

    top: str
    text: str


@dataclass(frozen=True)
class Figure:
    """Lines over steps. `mark` is where the best checkpoint stands, `end` the last step, `said` all of it in words."""

    title: str
    note: str
    lines: list[Line]
    ticks: list[Tick]
    levels: list[Level]
    mark: str | None
    end: int
    said: str


def read_journal(path: Path) -> dict[str, dict[str, Series]]:
    """Read what a run has logged, by part (`train`, `validation`) and value; lines that are none of it are left out."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {"train": {}, "validation": {}}
    for line in _read_lines(path):
        try:
            logged = json.loads(line)
            part, step = found[logged.pop("part")], float(logged.pop("step"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        for name, value in logged.items():
            if isinstance(value, int | float) and math.isfinite(value):
                steps, values = part.setdefault(name, ([], []))
                steps.append(step)
                values.append(float(value))
    return {
        part: {name: Series(name, np.array(steps), np.array(values)) for name, (steps, values) in columns.items()}
        for part, columns in found.items()
    }


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def draw_figure(
    title: str,
    series: Sequence[Series],
    end: int,
    *,
    note: str = "",
    best: int | None = None,
    span: tuple[float, float] | None = None,
) -> Figure:
    """Lay out a figure.

    Args:
        title: of it.
        series: at least one, with a point each.
        end: the last step of the axis, from 1 up.
        note: what else is to be said.
        best: the step after which the best checkpoint was written.
        span: the least and the greatest value of the axis, if not those of the series.
    """
    low, high = span or find_span(series)
    numbers = _round_levels(low, high)
    room = HEAD_ROOM * (high - low)
    low, high = low - room, high + room
    lines = [_draw_line(one, end, low, high) for one in series]
    shown = best is not None and 0 < best <= end
    return Figure(
        title=title,
        note=note,
        lines=lines,
        ticks=_draw_ticks(end),
        levels=[
            Level(percent(1 - (number - low) / (high - low)), said)
            for number, said in zip(numbers, _say_levels(numbers), strict=True)
        ],
        mark=percent(best / end) if shown and best is not None else None,
        end=end,
        said=f"{title} over {end:,} steps. " + "; ".join(_say_line(one) for one in series),
    )


def find_span(series: Sequence[Series]) -> tuple[float, float]:
    """Return the least and the greatest value of several series, which are never the same."""
    low = min(float(one.values.min()) for one in series)
    high = max(float(one.values.max()) for one in series)
    if 0 < low < 0.35 * high:
        low = 0.0
    size = max(abs(low), abs(high))
    if size < 1e-300:
        return low - 0.5, high + 0.5
    if high - low > 1e-9 * size:
        return low, high
    return low - size / 2, high + size / 2


def say_value(value: float, digits: int = 4) -> str:
    """Write a number as short as a reader wants it; below 1000 with so many digits."""
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def _say_line(series: Series) -> str:
    values = series.values
    said = f"from {say_value(float(values[0]))} to {say_value(float(values[-1]))}"
    return f"{series.name} {said}, at least {say_value(float(values.min()))}, at most {say_value(float(values.max()))}"


def _round_levels(low: float, high: float) -> list[float]:
    """Return three to six round numbers from `low` to `high`."""
    width = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(width))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= width * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _say_levels(numbers: Sequence[float]) -> list[str]:
    """Write numbers that lie close together with as many digits as tell them apart."""
    return next(
        said
        for digits in range(4, 17)
        if len(set(said := [say_value(number, digits) for number in numbers])) == len(said)
    )


def _draw_ticks(end: int) -> list[Tick]:
    """Return the steps below the axis: the beginning, round numbers, and the last one."""
    between = [number for number in _round_levels(0, end) if 0.1 * end < number < 0.86 * end and number == int(number)]
    middle = [Tick(percent(number / end), f"{int(number):,}", "middle") for number in between]
    return [Tick(percent(0), "0", "start"), *middle, Tick(percent(1), f"{end:,}", "end")]


def _draw_line(series: Series, end: int, low: float, high: float) -> Line:
    steps, values, least, most = _thin(series)
    across = np.round(SQUARE * steps / end).astype(np.int64).tolist()
    down = _place(values, low, high)
    band = ""
    if (least < most).any():
        back = list(zip(across, _place(least, low, high), strict=True))[::-1]
        band = _join([*zip(across, _place(most, low, high), strict=True), *back]) + "z"
    dots = []
    if series.dotted and len(series.steps) <= DOTS:
        tops = 1 - (series.values - low) / (high - low)
        dots = [
            Dot(percent(step / end), percent(top), f"step {int(step):,}: {say_value(value)}", int(step) == series.best)
            for step, top, value in zip(series.steps.tolist(), tops.tolist(), series.values.tolist(), strict=True)
        ]
    return Line(
        name=series.name,
        path=_join(zip(across, down, strict=True)),
        band=band,
        dots=dots,
        steps=" ".join(f"{step:.0f}" for step in steps),
        values=" ".join(f"{value:.5g}" for value in values),
        last=say_value(float(series.values[-1])),
    )


def _thin(series: Series) -> tuple[Floats, Floats, Floats, Floats]:
    """Return steps, values, least and greatest values of at most `POINTS` points, each shape `[points]`."""
    if len(series.steps) <= POINTS:
        return series.steps, series.values, series.values, series.values
    starts = (np.arange(POINTS) * len(series.steps)) // POINTS
    sizes = np.diff(np.append(starts, len(series.steps)))
    means = np.add.reduceat(series.values, starts) / sizes
    steps = series.steps[np.append(starts[1:], len(series.steps)) - 1]
    return steps, means, np.minimum.reduceat(series.values, starts), np.maximum.reduceat(series.values, starts)


def _place(values: Floats, low: float, high: float) -> list[int]:
    places: list[int] = np.round(SQUARE * (1 - (values - low) / (high - low))).astype(np.int64).tolist()
    return places


def _join(points: "zip[tuple[int, int]] | list[tuple[int, int]]") -> str:
    return "M" + "L".join(f"{left} {top}" for left, top in points)
