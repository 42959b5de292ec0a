import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan.ranks import attention_cost, share

units_of_lengths = st.lists(st.lists(st.integers(1, 20_000), min_size=1, max_size=5), max_size=30)


def make_units(drawn):
    lengths = np.array([length for unit in drawn for length in unit], dtype=np.int64)
    ends = np.cumsum([0, *map(len, drawn)])
    return [np.arange(start, end) for start, end in itertools.pairwise(ends)], lengths


@given(units_of_lengths, st.integers(1, 6))
def test_two_ranks_differ_by_no_more_than_the_costliest_unit(drawn, ranks):
    units, lengths = make_units(drawn)
    shares = share(units, lengths, ranks)
    loads = [sum(attention_cost(lengths[unit]).sum() for unit in taken) for taken in shares]
    costliest = max((attention_cost(lengths[unit]).sum() for unit in units), default=0)
    assert max(loads) - min(loads) <= costliest


@given(units_of_lengths, st.integers(1, 6))
def test_each_unit_is_taken_once_and_each_rank_takes_as_many(drawn, ranks):
    units, lengths = make_units(drawn)
    shares = share(units, lengths, ranks)
    assert len({len(taken) for taken in shares}) == 1
    taken = [unit.tolist() for units in shares for unit in units if len(unit)]
    assert sorted(taken) == [unit.tolist() for unit in units]


@given(units_of_lengths, st.integers(2, 6))
def test_the_nth_units_of_all_ranks_come_from_one_round(drawn, ranks):
    units, lengths = make_units(drawn)
    rounds = zip(*share(units, lengths, ranks), strict=True)
    costs = [[attention_cost(lengths[unit]).sum() for unit in turn] for turn in rounds]
    assert all(min(before) >= max(after) for before, after in itertools.pairwise(costs))


def test_long_context_costs_more_than_the_same_tokens_in_short_ones():
    assert attention_cost(np.array([4096])).sum() > attention_cost(np.full(4, 1024)).sum() > 0
    assert len(attention_cost(np.zeros(0, dtype=np.int64))) == 0


def test_the_balance_is_better_than_taking_turns():
    lengths = np.random.default_rng(3).integers(1, 8192, 64)
    units = [np.array([row]) for row in range(64)]

    def spread(shares):
        loads = [sum(attention_cost(lengths[unit]).sum() for unit in taken) for taken in shares]
        return max(loads) / min(loads)

    assert spread(share(units, lengths, 8)) < 1.03 < spread([units[rank::8] for rank in range(8)])
