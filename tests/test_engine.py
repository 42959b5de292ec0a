import os
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from threading import Event, get_ident
from threading import enumerate as enumerate_threads

import pytest
from engine_functions import die, fail, process, square

from sftdata import engine
from sftdata.engine import map_chunks
from sftdata.errors import RecipeError, SftdataError, TooManyRejected

HOW = [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]
"""Numbers of workers and of threads."""


@pytest.mark.parametrize("how", HOW)
def test_results_come_in_the_order_of_the_items(how):
    assert list(map_chunks(square, range(25), *how)) == [number * number for number in range(25)]
    assert list(map_chunks(square, [], *how)) == []
    assert list(map_chunks(square, iter([4]), *how)) == [16]


@pytest.mark.parametrize("how", HOW)
def test_endless_items_are_taken_as_needed_never_far_ahead(how):
    taken = 0

    def items():
        nonlocal taken
        for number in count(1):
            taken = number
            yield number

    ahead = []
    results = map_chunks(square, items(), *how)
    assert taken == 0
    for given, result in enumerate(islice(results, 12), start=1):
        assert result == given * given
        ahead.append(taken - given + 1)
    results.close()
    assert 1 <= max(ahead) <= (2 * how[0] if how[1] == 1 else how[1] + 1)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("bad", "error"), [(3, RecipeError), (5, TooManyRejected), (7, ValueError)])
def test_an_error_of_the_function_comes_out_whole_after_the_results_before_it(how, bad, error):
    results = map_chunks(fail, [1, 2, bad, *range(10, 40)], *how)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(error) as caught:
        next(results)
    with pytest.raises(error) as alone:
        fail(bad)
    assert str(caught.value) == str(alone.value)
    assert getattr(caught.value, "faults", None) == getattr(alone.value, "faults", None)


@pytest.mark.parametrize("how", HOW)
def test_an_error_of_the_items_comes_out_after_the_results_before_it(how):
    def items():
        yield from range(4)
        raise OSError("the disk is gone")

    results = map_chunks(square, items(), *how)
    given = []
    with pytest.raises(OSError, match="the disk is gone"):
        given.extend(results)
    assert given == [0, 1, 4, 9][: None if how[0] == 1 else len(given)]


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("wanted", [0, 1, 5, 100])
def test_one_thread_takes_all_items_and_closes_them(threads, wanted):
    seen = []

    def items():
        try:
            for number in range(20):
                seen.append(get_ident())
                yield number
        finally:
            seen.append(get_ident())

    results = map_chunks(square, items(), 1, threads)
    assert list(islice(results, wanted)) == [number * number for number in range(min(wanted, 20))]
    results.close()
    assert len(set(seen)) == (wanted > 0)
    assert get_ident() not in seen
    assert len(seen) == 21 if wanted == 100 else len(seen) <= wanted + threads + 2
    assert not any(thread.name.startswith("ThreadPool") for thread in enumerate_threads())


def test_what_is_not_taken_yet_stays_where_it_is_when_the_consumer_stops(monkeypatch):
    go_on, taken = Event(), []

    class Ended(Event):
        def set(self):
            super().set()
            go_on.set()

    def items():
        for number in count():
            taken.append(number)
            if number:
                assert go_on.wait(60)
            yield number

    monkeypatch.setattr(engine, "Event", Ended)
    results = map_chunks(square, items(), 1, 3)
    assert next(results) == 0
    results.close()
    assert taken in ([0], [0, 1]), "of those that were to come none is taken"


def test_a_worker_that_is_killed_gives_a_message():
    with pytest.raises(SftdataError, match=r"a worker process died.*use fewer workers"):
        list(map_chunks(die, range(8), 2))


def test_one_worker_is_this_process_and_more_are_others():
    assert set(map_chunks(process, range(3), 1)) == {os.getpid()}
    assert os.getpid() not in set(map_chunks(process, range(6), 2))


def test_no_process_outlives_a_consumer_that_stops_early(monkeypatch):
    pools = []

    class Watched(ProcessPoolExecutor):
        def shutdown(self, *arguments, **named):
            pools.append(self._processes)
            super().shutdown(*arguments, **named)

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", Watched)
    results = map_chunks(square, count(), 2)
    assert next(results) == 0
    results.close()
    (processes,) = pools
    assert processes
    assert not any(worker.is_alive() for worker in processes.values())
