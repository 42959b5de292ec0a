import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan import Plan, make_plan, share, shuffle

CAPACITY = 64
lengths_lists = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.int64)
)
step_sizes = st.integers(1, 12)
seeds = st.integers(-(2**70), 2**70)
capacities = st.sampled_from([None, CAPACITY, 100])


def plan_of(lengths, size, seed, epochs=2.0, max_steps=None, capacity=None, rows=None) -> Plan:
    return make_plan(
        lengths, seed=seed, step_size=size, epochs=epochs, max_steps=max_steps, capacity=capacity, rows=rows
    )


def flat(steps):
    return [[unit.tolist() for unit in step] for step in steps]


def rows_of(units):
    return np.concatenate([np.zeros(0, dtype=np.int64), *units])


@given(lengths_lists, step_sizes, seeds, capacities, st.data())
def test_every_epoch_has_every_example_exactly_once(lengths, size, seed, capacity, data):
    subset = data.draw(st.sets(st.sampled_from(range(len(lengths))), min_size=1))
    rows = data.draw(st.sampled_from([None, np.array(sorted(subset))]))
    plan = plan_of(lengths, size, seed, epochs=3, capacity=capacity, rows=rows)
    steps = list(plan.iterate())
    assert len(steps) == plan.steps == 3 * plan.epoch_steps[0]
    for epoch in range(3):
        part = steps[epoch * plan.epoch_steps[0] : (epoch + 1) * plan.epoch_steps[0]]
        seen = rows_of(itertools.chain.from_iterable(part))
        assert sorted(seen.tolist()) == (list(range(len(lengths))) if rows is None else rows.tolist())


@given(lengths_lists, step_sizes, seeds, st.sampled_from([CAPACITY, 100]))
def test_no_pack_holds_more_than_its_capacity(lengths, size, seed, capacity):
    for units in plan_of(lengths, size, seed, capacity=capacity).iterate():
        assert all(0 < lengths[unit].sum() <= capacity for unit in units)


@given(lengths_lists, step_sizes, seeds, capacities)
def test_every_step_but_the_last_of_an_epoch_is_full(lengths, size, seed, capacity):
    plan = plan_of(lengths, size, seed, epochs=1, capacity=capacity)
    counts = [len(units) for units in plan.iterate()]
    assert counts[:-1] == [size] * (len(counts) - 1)
    assert 0 < counts[-1] <= size


@given(lengths_lists, step_sizes, seeds, capacities, st.integers(1, 5))
def test_ranks_share_every_step_with_nothing_twice_nothing_dropped_and_as_many_units_each(
    lengths, size, seed, capacity, ranks
):
    plan = plan_of(lengths, size, seed, capacity=capacity)
    for step in range(plan.steps):
        shares = share(plan.units(step), lengths, ranks)
        assert {len(units) for units in shares} == {math.ceil(len(plan.units(step)) / ranks)}
        units = [unit.tolist() for units in shares for unit in units if len(unit)]
        assert sorted(units) == sorted(unit.tolist() for unit in plan.units(step))


@given(lengths_lists, step_sizes, seeds, capacities)
def test_the_same_inputs_give_the_same_plan(lengths, size, seed, capacity):
    first, second = (plan_of(lengths.copy(), size, seed, capacity=capacity) for _ in range(2))
    assert flat(first.iterate()) == flat(second.iterate())
    assert first.digest == second.digest


@given(lengths_lists, step_sizes, seeds, capacities, st.data())
def test_a_resumed_plan_goes_on_with_the_very_next_step(lengths, size, seed, capacity, data):
    plan = plan_of(lengths, size, seed, epochs=2.5, capacity=capacity)
    start = data.draw(st.integers(0, plan.steps))
    again = plan_of(lengths, size, seed, epochs=2.5, capacity=capacity)
    assert flat(again.iterate(start)) == flat(plan.iterate())[start:]


@given(lengths_lists, step_sizes, seeds, capacities)
def test_a_longer_run_begins_with_the_steps_of_a_shorter_one(lengths, size, seed, capacity):
    short, long = (plan_of(lengths, size, seed, epochs=epochs, capacity=capacity) for epochs in (1, 3))
    assert flat(long.iterate())[: short.steps] == flat(short.iterate())
    assert (short.digest == long.digest) == (short.steps == long.steps)


@given(lengths_lists, step_sizes, seeds, capacities, st.data())
def test_a_row_is_found_in_the_steps_that_see_it(lengths, size, seed, capacity, data):
    plan = plan_of(lengths, size, seed, epochs=2.5, capacity=capacity)
    row = data.draw(st.integers(0, len(lengths) - 1))
    assert plan.find(row) == [step for step in range(plan.steps) if row in rows_of(plan.units(step))]


@given(lengths_lists, step_sizes, seeds)
def test_what_ends_an_epoch_is_known(lengths, size, seed):
    plan = plan_of(lengths, size, seed, epochs=2.5)
    ends = [step for step in range(1, plan.steps + 1) if plan.ends_epoch(step)]
    per_epoch = plan.epoch_steps[0]
    assert ends == sorted({per_epoch, 2 * per_epoch, plan.steps})
    assert not plan.ends_epoch(0)


@given(lengths_lists, step_sizes, st.floats(0.01, 5), st.one_of(st.none(), st.integers(1, 20)), capacities)
def test_epochs_may_be_a_fraction_and_max_steps_cuts(lengths, size, epochs, max_steps, capacity):
    plan = plan_of(lengths, size, 0, epochs=epochs, max_steps=max_steps, capacity=capacity)
    wanted = epochs * plan.epoch_steps[0]
    if max_steps is None or plan.steps < max_steps:
        assert wanted - 1e-5 <= plan.steps < wanted + 1
    else:
        assert plan.steps == max_steps <= math.ceil(wanted)
    assert len(list(plan.iterate())) == plan.steps


def test_a_fraction_of_an_epoch_is_not_rounded_up_by_floating_point():
    assert 0.07 * 100 > 7
    assert plan_of(np.ones(100, dtype=np.int64), 1, 0, epochs=0.07).steps == 7


def test_every_part_of_a_plan_is_in_its_digest():
    lengths = np.arange(1, 21)
    plans = [
        plan_of(lengths, 2, 0),
        plan_of(lengths + 1, 2, 0),
        plan_of(lengths, 4, 0, epochs=4),
        plan_of(lengths, 2, 1),
        plan_of(lengths, 2, 0, capacity=64),
        plan_of(lengths, 2, 0, capacity=100),
        plan_of(lengths, 2, 0, max_steps=3),
        plan_of(lengths, 2, 0, rows=np.arange(20)),
        plan_of(lengths, 2, 0, rows=np.arange(19)),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)


def test_packs_differ_from_epoch_to_epoch():
    lengths = np.tile(np.arange(1, 33), 20)
    plan = plan_of(lengths, 4, 0, epochs=2, capacity=CAPACITY)
    per_epoch = plan.epoch_steps[0]
    first, second = ({tuple(sorted(unit)) for step in part for unit in step} for part in halves(plan, per_epoch))
    assert len(first & second) < len(first) / 10


def halves(plan, per_epoch):
    steps = flat(plan.iterate())
    return steps[:per_epoch], steps[per_epoch:]


def test_an_example_longer_than_the_capacity_is_refused():
    with pytest.raises(ValueError, match="expected 1 to 10"):
        plan_of(np.array([3, 11]), 1, 0, capacity=10)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(shuffle(50, seed, epoch).tolist()) for seed in (0, 1, 2**32, -1) for epoch in range(5)}
    assert len(orders) == 20
    assert shuffle(50, 0, 1).tolist() != shuffle(50, 0, 1, 0).tolist() != shuffle(50, 0, 1, 0, 1).tolist()


@given(st.integers(0, 200), seeds)
def test_a_shuffle_is_a_permutation(count, seed):
    assert sorted(shuffle(count, seed, 0).tolist()) == list(range(count))


def test_places_in_an_order_are_uniform():
    places = np.array([np.flatnonzero(shuffle(10, seed, 0) == 0)[0] for seed in range(2000)])
    counts = np.bincount(places, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 33.7  # chi squared, 9 degrees of freedom, p = 0.0001


def test_an_order_never_changes_between_versions():
    assert shuffle(12, 7, 0).tolist() == [0, 8, 5, 2, 3, 4, 9, 10, 7, 6, 1, 11]
    packed = plan_of(np.array([9, 1, 5, 5, 7, 3, 10, 2]), 2, 7, epochs=1, capacity=10)
    assert flat(packed.iterate()) == [[[4, 5], [0, 1]], [[7], [2, 3]], [[6]]]


def test_an_order_does_not_touch_the_global_generator():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    list(plan_of(np.ones(20, dtype=np.int64), 3, 5).iterate())
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002
