import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import random_turns, write_dataset

from sftdata.errors import VerificationError
from sftdata.plan import Plan, make_plan
from sftdata.records import Task
from sftdata.shards.reader import load_split
from sftdata.training.examples import Examples
from sftdata.training.loader import Loader

CAPACITY = 40


@pytest.fixture(scope="module")
def examples(turn_data):
    return Examples(load_split(turn_data))


def plan_of(examples, *, step_size=6, capacity=None, epochs=2.0, seed=1) -> Plan:
    return make_plan(examples.lengths, seed=seed, step_size=step_size, epochs=epochs, capacity=capacity)


def contents(batch):
    """The examples of a batch, whatever its form."""
    return sorted(batch.rows.tolist())


kinds = st.sampled_from([(None, False), (None, True), (CAPACITY, False), (CAPACITY, True)])


@given(kinds, st.integers(1, 8), st.integers(1, 5), st.integers(1, 4))
def test_all_ranks_together_see_each_example_of_a_step_once_in_as_many_batches(
    examples, kind, step_size, batch_size, ranks
):
    capacity, packed = kind
    plan = plan_of(examples, step_size=step_size, capacity=capacity, epochs=1)
    loaders = [
        iter(Loader(examples, plan, batch_size=batch_size, packed=packed, rank=rank, ranks=ranks))
        for rank in range(ranks)
    ]
    seen = []
    for steps in zip(*loaders, strict=True):
        assert len({len(loaded.batches) for loaded in steps}) == 1
        assert len({(loaded.step, loaded.targets, loaded.tokens, tuple(loaded.rows)) for loaded in steps}) == 1
        of_step = [row for loaded in steps for batch in loaded.batches for row in batch.rows.tolist()]
        assert sorted(of_step) == sorted(steps[0].rows.tolist())
        trained = sum(int((batch.targets != -100).sum()) for loaded in steps for batch in loaded.batches)
        assert trained == steps[0].targets == examples.targets[steps[0].rows].sum()
        assert steps[0].tokens == examples.lengths[steps[0].rows].sum()
        seen += of_step
    assert sorted(seen) == list(range(len(examples)))


@given(kinds, st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_resumed_loader_goes_on_with_the_very_next_step_however_it_is_cut(examples, kind, first, then, data):
    capacity, packed = kind
    plan = plan_of(examples, capacity=capacity)
    start = data.draw(st.integers(0, plan.steps))
    whole = list(Loader(examples, plan, batch_size=first, packed=packed))
    rest = list(Loader(examples, plan_of(examples, capacity=capacity), batch_size=then, packed=packed, start=start))
    assert [loaded.step for loaded in rest] == list(range(start, plan.steps))
    for before, after in zip(whole[start:], rest, strict=True):
        assert before.rows.tolist() == after.rows.tolist()
        if first == then:
            for left, right in zip(before.batches, after.batches, strict=True):
                assert left.input_ids.tolist() == right.input_ids.tolist()


@given(kinds, st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_run_goes_on_with_the_very_next_step_on_another_number_of_ranks(examples, kind, before, after, data):
    capacity, packed = kind
    plan = plan_of(examples, capacity=capacity, epochs=1.5)
    start = data.draw(st.integers(0, plan.steps))

    def steps_of(ranks, first):
        loaders = [
            Loader(examples, plan, batch_size=2, packed=packed, start=first, rank=rank, ranks=ranks)
            for rank in range(ranks)
        ]
        for steps in zip(*loaders, strict=True):
            yield sorted(row for loaded in steps for batch in loaded.batches for row in batch.rows.tolist())

    assert list(steps_of(before, 0))[start:] == list(steps_of(after, start))


def test_batches_of_packs_have_at_most_as_many_packs_or_padded_tokens(examples):
    plan = plan_of(examples, capacity=CAPACITY)
    for packed in (True, False):
        for loaded in Loader(examples, plan, batch_size=2, packed=packed):
            assert all(batch.input_ids.numel() <= 2 * CAPACITY for batch in loaded.batches)


def test_fixed_batches_are_all_of_one_shape_on_all_ranks(examples):
    plan = plan_of(examples, capacity=CAPACITY, step_size=7)
    shapes = set()
    for rank in range(3):
        for loaded in Loader(examples, plan, batch_size=2, packed=True, fixed=True, rank=rank, ranks=3):
            for batch in loaded.batches:
                shapes.add((batch.input_ids.shape, batch.positions.shape, batch.cu_seqlens.shape))
    assert len(shapes) == 1


def test_wrong_combinations_are_refused(examples):
    for wrong, capacity in (({"packed": True, "fixed": True}, None), ({"fixed": True}, CAPACITY)):
        with pytest.raises(ValueError, match="needs"):
            Loader(examples, plan_of(examples, capacity=capacity), batch_size=1, **wrong)


@pytest.mark.parametrize("capacity", [None, CAPACITY])
def test_a_known_overhead_changes_how_a_step_is_cut_and_nothing_else(examples, capacity):
    plan = plan_of(examples, step_size=12, capacity=capacity, epochs=1)
    usual, cheap, dear = (
        [loaded.batches for loaded in Loader(examples, plan, batch_size=12, overhead=overhead)]
        for overhead in (None, 5, 10**6)
    )
    for one, other in zip(usual, cheap, strict=True):
        assert sorted(row for batch in one for row in batch.rows) == sorted(
            row for batch in other for row in batch.rows
        )
    sizes = [sum(batch.input_ids.numel() for batches in steps for batch in batches) for steps in (usual, cheap)]
    assert sizes[1] < sizes[0], "less padding"
    assert list(map(len, dear)) == list(map(len, usual)), "no more passes than are needed"


def test_the_next_step_is_gathered_while_this_one_is_computed(examples, monkeypatch):
    loader, gathered = Loader(examples, plan_of(examples), batch_size=3), threading.Event()
    load = loader.load

    def watch(step):
        loaded = load(step)
        if step == 1:
            gathered.set()
        return loaded

    monkeypatch.setattr(loader, "load", watch)
    steps = iter(loader)
    assert next(steps).step == 0
    assert gathered.wait(timeout=30), "step 1 was not asked for"
    steps.close()


def test_one_thread_gathers_and_it_ends_with_the_iteration(examples):
    before = threading.active_count()
    steps = iter(Loader(examples, plan_of(examples), batch_size=3))
    next(steps)
    assert threading.active_count() == before + 1
    steps.close()
    assert threading.active_count() == before


def test_what_goes_wrong_in_the_thread_is_raised_at_the_step(tmp_path):
    write_dataset(tmp_path, Task.CAUSAL_LM, {"train": random_turns(60, 3)})
    split = load_split(tmp_path)
    examples = Examples(split)
    (tmp_path / split.shards[2].file).write_bytes(b"")
    with pytest.raises(VerificationError, match="has 0 bytes"):
        list(Loader(examples, plan_of(examples), batch_size=3))


def test_a_damaged_shard_ends_the_iteration_at_the_latest_behind_the_last_step(tmp_path):
    write_dataset(tmp_path, Task.CAUSAL_LM, {"train": random_turns(60, 3)})
    split = load_split(tmp_path)
    path = tmp_path / split.shards[1].file
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(damaged)
    examples = Examples(split)
    with pytest.raises(VerificationError, match="content has changed"):
        list(Loader(examples, plan_of(examples, epochs=1), batch_size=9))


def test_nothing_is_left_to_load_at_the_end(examples):
    plan = plan_of(examples)
    assert list(Loader(examples, plan, batch_size=3, start=plan.steps)) == []


def test_loading_from_disk_twice_gives_the_same_tensors(turn_data):
    first, second = (Examples(load_split(turn_data)) for _ in range(2))
    plan = plan_of(first, capacity=CAPACITY)
    for left, right in zip(
        Loader(first, plan, batch_size=2, packed=True), Loader(second, plan, batch_size=2, packed=True), strict=True
    ):
        for one, other in zip(left.batches, right.batches, strict=True):
            assert np.array_equal(one.input_ids.numpy(), other.input_ids.numpy())
            assert np.array_equal(one.targets.numpy(), other.targets.numpy())
