from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan import Mixture, make_plan
from sftdata.plan.mixing import draw, mix_counts

mixtures = st.lists(st.tuples(st.integers(1, 30), st.floats(0.05, 5)), min_size=1, max_size=4).flatmap(
    lambda parts: st.builds(
        Mixture,
        sizes=st.just(tuple(size for size, _ in parts)),
        weights=st.just(tuple(weight for _, weight in parts)),
        by=st.sampled_from(["rows", "tokens"]),
        repeat=st.booleans(),
    )
)


def lengths_for(mixture, seed=0):
    return np.random.default_rng(seed).integers(1, 40, sum(mixture.sizes))


def datasets_of(mixture):
    return np.repeat(np.arange(len(mixture.sizes)), mixture.sizes)


@given(mixtures)
def test_with_repetition_every_example_is_in_an_epoch_and_without_it_none_is_twice(mixture):
    counts = mix_counts(mixture, lengths_for(mixture))
    seen = Counter(draw(mixture.sizes, counts, 0, 0).tolist())
    if mixture.repeat:
        assert set(seen) == set(range(sum(mixture.sizes)))
    else:
        assert max(seen.values()) == 1
    dataset = datasets_of(mixture)
    assert Counter(dataset[list(seen.elements())].tolist()) == dict(enumerate(counts))


@given(mixtures, st.integers(1, 5))
def test_over_epochs_no_example_is_seen_more_than_once_more_than_another_of_its_dataset(mixture, epochs):
    counts = mix_counts(mixture, lengths_for(mixture))
    seen = Counter(dict.fromkeys(range(sum(mixture.sizes)), 0))
    for epoch in range(epochs):
        seen.update(draw(mixture.sizes, counts, 5, epoch).tolist())
    for number in range(len(mixture.sizes)):
        of_one = [seen[row] for row in np.flatnonzero(datasets_of(mixture) == number).tolist()]
        assert max(of_one) - min(of_one) <= 1


@given(st.lists(st.tuples(st.integers(500, 3000), st.floats(0.2, 5)), min_size=1, max_size=4), st.booleans())
def test_shares_are_those_of_the_weights(parts, repeat):
    sizes, weights = zip(*parts, strict=True)
    for by in ("rows", "tokens"):
        mixture = Mixture(sizes=sizes, weights=weights, by=by, repeat=repeat)
        lengths = lengths_for(mixture) * (1 + 3 * datasets_of(mixture))  # datasets of unlike mean lengths
        counts = np.array(mix_counts(mixture, lengths), dtype=float)
        starts = np.cumsum([0, *sizes[:-1]])
        means = np.add.reduceat(lengths, starts) / sizes if by == "tokens" else np.ones(len(sizes))
        shares = counts * means / (counts * means).sum()
        assert shares == pytest.approx(np.array(weights) / sum(weights), rel=1 / counts.min())  # whole rows


def test_one_dataset_is_all_of_itself_whatever_its_weight():
    for repeat in (False, True):
        mixture = Mixture(sizes=(7,), weights=(0.1,), repeat=repeat)
        assert mix_counts(mixture, np.ones(7, dtype=np.int64)) == (7,)


@given(mixtures, st.sampled_from([None, 40, 100]), st.data())
def test_a_mixed_plan_resumes_finds_rows_and_keeps_its_counts(mixture, capacity, data):
    lengths = lengths_for(mixture)

    def planned():
        return make_plan(lengths, seed=3, step_size=3, epochs=2.5, capacity=capacity, mixture=mixture)

    plan, start = planned(), data.draw(st.integers(0, planned().steps))
    steps = [[unit.tolist() for unit in units] for units in plan.iterate()]
    assert [[unit.tolist() for unit in units] for units in planned().iterate(start)] == steps[start:]
    row = data.draw(st.integers(0, len(lengths) - 1))
    assert plan.find(row) == [step for step, units in enumerate(steps) if any(row in unit for unit in units)]
    of_first = [step for step in range(plan.steps) if plan.locate(step)[0] == 0]
    seen = Counter(row for step in of_first for unit in steps[step] for row in unit)
    assert seen.total() == sum(mix_counts(mixture, lengths))


def test_everything_of_a_mixture_is_in_the_digest():
    lengths = np.arange(1, 21)
    base = {"sizes": (10, 10), "weights": (1.0, 2.0), "by": "rows", "repeat": False}
    changes = [{}, {"sizes": (9, 11)}, {"weights": (1.0, 3.0)}, {"by": "tokens"}, {"repeat": True}]
    plans = [
        make_plan(lengths, seed=0, step_size=2, epochs=1, max_steps=2, mixture=Mixture(**base | change))
        for change in changes
    ]
    assert len({plan.digest for plan in plans}) == len(changes)


def test_folds_and_mixtures_do_not_go_together():
    with pytest.raises(ValueError, match="either rows or mixture"):
        make_plan(
            np.ones(4, dtype=np.int64),
            seed=0,
            step_size=1,
            epochs=1,
            rows=np.arange(2),
            mixture=Mixture(sizes=(2, 2), weights=(1.0, 1.0)),
        )
