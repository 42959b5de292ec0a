import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan import Plan, epoch_order, make_plan, micro_batches

lengths_lists = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.int64)
)
sizes = st.tuples(st.integers(1, 9), st.integers(1, 4))
seeds = st.integers(-(2**70), 2**70)


def plan_of(lengths, size, seed, epochs=2.0, max_steps=None) -> Plan:
    return make_plan(lengths, seed=seed, batch_size=size[0], accumulate=size[1], epochs=epochs, max_steps=max_steps)


def flat(steps):
    return [[batch.tolist() for batch in step] for step in steps]


@given(lengths_lists, sizes, seeds)
def test_every_epoch_has_every_example_exactly_once(lengths, size, seed):
    plan = plan_of(lengths, size, seed, epochs=3)
    steps = list(plan.iterate())
    assert len(steps) == 3 * plan.steps_per_epoch
    for epoch in range(3):
        part = steps[epoch * plan.steps_per_epoch : (epoch + 1) * plan.steps_per_epoch]
        seen = np.concatenate(list(itertools.chain.from_iterable(part)))
        assert sorted(seen.tolist()) == list(range(len(lengths)))


@given(lengths_lists, sizes, seeds)
def test_every_step_but_the_last_of_an_epoch_is_full(lengths, size, seed):
    plan = plan_of(lengths, size, seed, epochs=1)
    counts = [sum(len(batch) for batch in step) for step in plan.iterate()]
    assert counts[:-1] == [size[0] * size[1]] * (len(counts) - 1)
    assert 0 < counts[-1] <= size[0] * size[1]
    assert all(len(batch) <= size[0] for step in plan.iterate() for batch in step)
    assert all(len(step) <= size[1] for step in plan.iterate())


@given(lengths_lists, sizes, seeds)
def test_the_same_inputs_give_the_same_plan(lengths, size, seed):
    first, second = plan_of(lengths, size, seed), plan_of(lengths.copy(), size, seed)
    assert flat(first.iterate()) == flat(second.iterate())
    assert first.digest == second.digest


@given(lengths_lists, sizes, seeds, st.data())
def test_a_resumed_plan_goes_on_with_the_very_next_step(lengths, size, seed, data):
    plan = plan_of(lengths, size, seed, epochs=2.5)
    start = data.draw(st.integers(0, plan.steps))
    assert flat(plan.iterate(start)) == flat(plan.iterate())[start:]


@given(lengths_lists, sizes, seeds)
def test_a_longer_run_begins_with_the_steps_of_a_shorter_one(lengths, size, seed):
    short, long = plan_of(lengths, size, seed, epochs=1), plan_of(lengths, size, seed, epochs=3)
    assert flat(long.iterate())[: short.steps] == flat(short.iterate())
    assert (short.digest == long.digest) == (short.steps == long.steps)


@given(lengths_lists, st.integers(1, 9), seeds)
def test_how_a_step_is_cut_does_not_change_its_examples(lengths, batch_size, seed):
    whole, cut = plan_of(lengths, (batch_size * 4, 1), seed), plan_of(lengths, (batch_size, 4), seed)
    together = [sorted(np.concatenate(step).tolist()) for step in whole.iterate()]
    assert together == [sorted(np.concatenate(step).tolist()) for step in cut.iterate()]


@given(lengths_lists, st.integers(1, 9))
def test_micro_batches_hold_examples_of_like_length(lengths, batch_size):
    batches = micro_batches(np.arange(len(lengths)), lengths, batch_size)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(lengths[left].min() >= lengths[right].max() for left, right in itertools.pairwise(batches)), (
        "the longest come first, and the ranges of two batches do not overlap"
    )


@given(lengths_lists, sizes, st.floats(0.01, 5), st.one_of(st.none(), st.integers(1, 20)))
def test_epochs_may_be_a_fraction_and_max_steps_cuts(lengths, size, epochs, max_steps):
    plan = plan_of(lengths, size, 0, epochs=epochs, max_steps=max_steps)
    wanted = epochs * math.ceil(len(lengths) / (size[0] * size[1]))
    if max_steps is None or plan.steps < max_steps:
        assert wanted - 1e-5 <= plan.steps < wanted + 1
    else:
        assert plan.steps == max_steps <= math.ceil(wanted)
    assert len(list(plan.iterate())) == plan.steps


def test_a_fraction_of_an_epoch_is_not_rounded_up_by_floating_point():
    assert 0.07 * 100 > 7
    assert plan_of(np.ones(100, dtype=np.int64), (1, 1), 0, epochs=0.07).steps == 7


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(epoch_order(50, seed, epoch).tolist()) for seed in (0, 1, 2**32, -1) for epoch in range(5)}
    assert len(orders) == 20


def test_an_order_never_changes_between_versions():
    assert epoch_order(12, 7, 0).tolist() == [0, 8, 5, 2, 3, 4, 9, 10, 7, 6, 1, 11]


def test_an_order_does_not_touch_the_global_generator():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    epoch_order(1000, 1, 1)
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002


def test_places_in_an_order_are_uniform():
    places = np.array([np.flatnonzero(epoch_order(10, seed, 0) == 0)[0] for seed in range(2000)])
    counts = np.bincount(places, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 33.7  # chi squared, 9 degrees of freedom, p = 0.0001


def test_all_that_decides_the_plan_is_in_its_digest():
    lengths = np.arange(1, 20)
    base = {"lengths": lengths, "seed": 1, "batch_size": 2, "accumulate": 3, "steps": 4}
    changes = [{"lengths": lengths[::-1].copy()}, {"seed": 2}, {"batch_size": 3}, {"accumulate": 2}, {"steps": 5}]
    digests = {Plan(**{**base, **change}).digest for change in [{}, *changes]}
    assert len(digests) == 6
