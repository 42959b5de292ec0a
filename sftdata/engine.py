"""Map a pure function over chunks, in order, in this process or in several."""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from enum import Enum, auto
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from sftdata.errors import SftdataError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Watch = Callable[[str, int, int], None]
"""Told the stage, how much of it is done and how much there is: bytes while reading, rows afterwards; 0 of 0 where a
stage cannot tell."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_installed: list[Callable[..., Any]] = []
"""In a worker process: the one function that it runs, sent once, so that what it caches outlives a chunk."""


def map_chunks(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = 1, threads: int = 1
) -> Generator[Result]:
    """Yield `function(item)` for each item, in the order of the items, whatever the number of workers.

    At most two items a worker are under way, so memory stays bounded however long `items` is. Close the generator when
    it is left early: what is under way ends then, and not at some time later.

    Args:
        function: pure; with several workers it and its items must pickle.
        items: chunks, taken one by one as they are needed; with several threads by another one, always the same.
        workers: 1 runs in this process; more start that many processes.
        threads: with one worker, items under way at the same time; for functions that leave Python for most of it.
    """
    if workers == 1 and threads == 1:
        yield from map(function, items)
        return
    if workers == 1:
        yield from _map_in_threads(function, items, threads)
        return
    from concurrent.futures.process import BrokenProcessPool  # here, for one process does without multiprocessing

    try:
        yield from _map_in_processes(function, items, workers)
    except BrokenProcessPool:
        raise SftdataError("a worker process died, most likely for lack of memory; use fewer workers") from None


def _map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Take items in a thread of its own, always the same, so that whoever is given the results does not hold it up."""

    def take() -> Iterator["Future[Item | _End]"]:
        while True:
            yield reader.submit(lambda: _End.END if ended.is_set() else next(iterator, _End.END))

    def work(taken: "Future[Item | _End]") -> Result | _End:
        item = taken.result()
        return item if isinstance(item, _End) else function(item)

    iterator, ended = iter(items), Event()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as pool:
        try:
            for result in _in_order(lambda taken: pool.submit(work, taken), take(), threads + 1, _cancel):
                if isinstance(result, _End):
                    return
                yield result
        finally:
            ended.set()
            reader.submit(getattr(iterator, "close", bool))  # where it was begun, for some readers insist on that


class _End(Enum):
    """What comes after the last item."""

    END = auto()


def _map_in_processes(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # spawn: polars and tokenizers run threads, and a forked child of a threaded process can deadlock
    context = get_context("spawn")
    alive, held = context.Pipe(duplex=False)
    with alive, held, ProcessPoolExecutor(workers, context, initializer=_install, initargs=(function, alive)) as pool:
        # nobody wants what the workers are at when this ends early: they end, too, and not when they are done
        yield from _in_order(lambda item: _submit(pool, item), items, 2 * workers, lambda pending: held.close())


def _submit(pool: Executor, item: Any) -> "Future[Any]":
    """Hand an item to a worker. Ctrl-C reaches all processes of a terminal; workers, started here, leave it to us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_call, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_order(
    submit: Callable[[Item], "Future[Result]"],
    items: Iterable[Item],
    most: int,
    give_up: Callable[["deque[Future[Result]]"], None],
) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(submit(item))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BaseException:
        give_up(pending)
        raise


def _cancel(pending: "deque[Future[Any]]") -> None:
    for future in pending:
        future.cancel()


def _install(function: Callable[..., Any], alive: "Connection") -> None:
    _installed.append(function)
    Thread(target=_end_with_parent, args=(alive,), daemon=True).start()


def _end_with_parent(alive: "Connection") -> None:
    """End this worker once the process that started it holds the other end no more: it is gone, or wants no result.

    A worker that lived on would keep its memory, and might write its last chunk among the files of the next run.
    """
    alive.poll(None)
    os._exit(1)


def _call(item: Any) -> Any:
    return _installed[0](item)
