import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan import budget_batches, cheapest_batches, micro_batches

lengths_lists = st.lists(st.integers(1, 50), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


@given(lengths_lists, st.integers(1, 9))
def test_micro_batches_hold_examples_of_like_length(lengths, batch_size):
    batches = micro_batches(np.arange(len(lengths)), lengths, batch_size)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in batches)
    assert all(lengths[left].min() >= lengths[right].max() for left, right in itertools.pairwise(batches)), (
        "the longest come first, and the ranges of two batches do not overlap"
    )


@given(lengths_lists, st.integers(1, 200))
def test_a_batch_with_its_padding_stays_within_the_budget_or_is_one_example(lengths, budget):
    batches = budget_batches(np.arange(len(lengths)), lengths, budget)
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= budget for batch in batches)
    assert all(lengths[left].min() >= lengths[right].max() for left, right in itertools.pairwise(batches))


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=7).map(np.array),
    st.integers(1, 4),
    st.integers(1, 60),
    st.integers(0, 40),
)
def test_the_cheapest_cut_costs_what_trying_all_cuts_finds(lengths, batch_size, max_tokens, overhead):
    lengths = lengths.astype(np.int64)
    batches = cheapest_batches(
        np.arange(len(lengths)), lengths, batch_size=batch_size, max_tokens=max_tokens, overhead=overhead
    )
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    found = _cost(batches, lengths, batch_size, max_tokens, overhead)
    falling = np.argsort(-lengths, kind="stable")
    cuts = itertools.chain.from_iterable(
        itertools.combinations(range(1, len(lengths)), count) for count in range(max(1, len(lengths)))
    )
    costs = [_cost(np.split(falling, cut), lengths, batch_size, max_tokens, overhead) for cut in cuts]
    assert found == min(costs)


def _cost(batches, lengths, batch_size, max_tokens, overhead):
    total = 0
    for batch in batches:
        tokens = len(batch) * int(lengths[batch].max())
        if len(batch) > batch_size or (len(batch) > 1 and tokens > max_tokens):
            return float("inf")
        total += tokens + overhead
    return total


def test_a_step_without_examples_is_cut_into_no_batches():
    nothing = np.zeros(0, dtype=np.int64)
    assert cheapest_batches(nothing, nothing, batch_size=2, max_tokens=9, overhead=1) == []
