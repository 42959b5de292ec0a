"""Figures of a run show what was logged, whatever the numbers are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from sftdata.report.curves import POINTS, SQUARE, Series, draw_figure, find_span, read_journal, say_value

values = st.lists(
    st.floats(-1e30, 1e30) | st.floats(0, 1) | st.sampled_from([0.0, 1e-320, 1.0, 1.0 + 1e-12]), min_size=1
)


def series_of(numbers, **others):
    return Series(
        "line", np.arange(1, len(numbers) + 1, dtype=np.float64), np.array(numbers, dtype=np.float64), **others
    )


def places_of(path):
    return [tuple(map(int, point.split())) for point in path.removeprefix("M").removesuffix("z").split("L")]


@given(values)
@quick
def test_every_point_lies_in_the_figure_and_higher_where_it_is_more(numbers):
    figure = draw_figure("x", [series_of(numbers, dotted=True)], len(numbers))
    points = places_of(figure.lines[0].path)
    assert [left for left, _ in points] == [round(SQUARE * (n + 1) / len(numbers)) for n in range(len(numbers))]
    assert all(0 <= top <= SQUARE for _, top in points)
    order = np.argsort(numbers, kind="stable")
    assert (np.diff([points[place][1] for place in order]) <= 0).all()
    tops = [float(level.top.removesuffix("%")) for level in figure.levels]
    assert 2 <= len(tops) <= 7
    assert all(0 <= top <= 100 for top in tops)
    assert len({level.text for level in figure.levels}) == len(tops)


@given(st.integers(1, 5000), st.integers(0, 99))
@quick
def test_long_lines_are_thinned_to_means_between_the_least_and_the_greatest(count, seed):
    numbers = np.random.default_rng(seed).normal(size=count)
    line = draw_figure("x", [series_of(numbers)], count).lines[0]
    steps, means = ([float(value) for value in text.split()] for text in (line.steps, line.values))
    assert len(steps) == len(means) == min(count, POINTS)
    assert steps[-1] == count
    starts = [0, *(int(step) for step in steps[:-1])]
    expected = [numbers[start : int(end)].mean() for start, end in zip(starts, steps, strict=True)]
    assert means == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert bool(line.band) == (count > POINTS)


def test_a_span_begins_at_nothing_where_it_nearly_does():
    assert find_span([series_of([0.5, 4.0])]) == (0.0, 4.0)
    assert find_span([series_of([3.0, 4.0]), series_of([5.0])]) == (3.0, 5.0)
    assert find_span([series_of([2.0, 2.0])]) == (1.0, 3.0)
    assert find_span([series_of([0.0])]) == (-0.5, 0.5)


def test_numbers_are_written_short():
    assert [say_value(value) for value in (14816.4, 0.123456, 2e-05, -1234.5, 3)] == [
        "14,816",
        "0.1235",
        "2e-05",
        "-1,234",
        "3",
    ]


def test_a_journal_is_read_by_part_and_value_and_what_is_no_line_of_it_is_passed_over(tmp_path):
    lines = [
        {"part": "train", "step": 10, "loss": 2.0, "note": "text", "bad": float("nan")},
        {"part": "validation", "step": 10, "loss": 3},
        {"part": "other", "step": 10, "loss": 3},
        {"step": 10},
        [1],
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"part": "train", "st')
    found = read_journal(path)
    assert {part: {name: one.values.tolist() for name, one in columns.items()} for part, columns in found.items()} == {
        "train": {"loss": [2.0]},
        "validation": {"loss": [3.0]},
    }
    assert read_journal(tmp_path / "none") == {"train": {}, "validation": {}}
