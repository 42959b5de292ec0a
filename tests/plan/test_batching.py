import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftdata.plan import budget_batches, micro_batches

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
