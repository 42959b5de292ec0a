import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan import fewest_packs, pack

CAPACITIES = st.sampled_from([1, 2, 7, 10, 64, 70_000])


@st.composite
def lengths_and_capacities(draw):
    capacity = draw(CAPACITIES)
    few = draw(st.lists(st.integers(1, capacity), min_size=1, max_size=4))  # many of one length, as in real data
    chosen = draw(st.lists(st.one_of(st.sampled_from(few), st.integers(1, capacity)), max_size=80))
    dtype = draw(st.sampled_from([np.int64, np.int32]))
    return np.array(chosen, dtype=dtype), capacity


def naive_best_fit_decreasing(lengths, capacity):
    spaces = []
    for length in sorted(lengths.tolist(), reverse=True):
        fitting = [place for place, space in enumerate(spaces) if space >= length]
        if not fitting:
            spaces.append(capacity)
            fitting = [len(spaces) - 1]
        tightest = min(fitting, key=spaces.__getitem__)
        spaces[tightest] -= length
    return sorted(spaces)


@given(lengths_and_capacities())
def test_every_example_is_in_exactly_one_pack_and_no_pack_is_too_full_or_empty(drawn):
    lengths, capacity = drawn
    packs = pack(lengths, capacity)
    assert sorted(packs.rows.tolist()) == list(range(len(lengths)))
    assert packs.offsets[0] == 0
    assert packs.offsets[-1] == len(lengths)
    fills = [int(lengths[packs[number]].sum()) for number in range(len(packs))]
    assert all(0 < fill <= capacity for fill in fills)


@given(lengths_and_capacities())
def test_packs_are_those_of_best_fit_decreasing_one_example_after_the_other(drawn):
    lengths, capacity = drawn
    packs = pack(lengths, capacity)
    spaces = sorted(capacity - int(lengths[packs[number]].sum()) for number in range(len(packs)))
    assert spaces == naive_best_fit_decreasing(lengths, capacity)


@given(lengths_and_capacities())
def test_nobody_gets_below_the_bound_and_we_stay_near_it(drawn):
    lengths, capacity = drawn
    bound, packs = fewest_packs(lengths, capacity), len(pack(lengths, capacity))
    assert -(-int(lengths.sum()) // capacity) <= bound <= packs
    assert packs <= 3 / 2 * bound + 1, "L2 is at least two thirds of the optimum, best fit decreasing at most 11/9"


@given(st.lists(st.integers(1, 6), min_size=1, max_size=7))
def test_the_bound_is_below_the_true_optimum(lengths):
    capacity, best = 8, len(lengths)

    def place(left, spaces):
        nonlocal best
        if len(spaces) >= best:
            return
        if not left:
            best = len(spaces)
            return
        for number, space in enumerate(spaces):
            if space >= left[0]:
                place(left[1:], [*spaces[:number], space - left[0], *spaces[number + 1 :]])
        place(left[1:], [*spaces, capacity - left[0]])

    best += 1
    place(lengths, [])
    assert fewest_packs(np.array(lengths), capacity) <= best


def test_the_bound_sees_what_the_sum_does_not():
    assert fewest_packs(np.array([6] * 10), 10) == 10
    assert fewest_packs(np.array([6, 6, 5, 5, 5]), 10) == 4


@pytest.mark.parametrize("wrong", [[0], [-1], [11], [3, 11]])
def test_a_length_that_no_pack_holds_is_refused(wrong):
    with pytest.raises(ValueError, match="expected 1 to 10"):
        pack(np.array(wrong), 10)


def test_shuffled_examples_are_packed_anew():
    lengths = np.array([5, 5, 5, 5, 3, 3, 2, 2] * 10)
    order = np.random.default_rng(1).permutation(len(lengths))
    first, again = pack(lengths, 10), pack(lengths[order], 10)
    partners = {tuple(sorted(first[number].tolist())) for number in range(len(first))}
    moved = {tuple(sorted(order[again[number]].tolist())) for number in range(len(again))}
    assert len(first) == len(again)
    assert len(partners & moved) < len(partners) / 2


def test_a_million_lengths_of_a_wide_range_are_packed_almost_wholly():
    lengths = np.clip(np.random.default_rng(0).lognormal(5, 1, 1_000_000), 1, 2048).astype(np.int64)
    packs = pack(lengths, 2048)
    assert lengths.sum() / (len(packs) * 2048) > 0.999
