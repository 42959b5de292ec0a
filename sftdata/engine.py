"""Map a pure function over chunks, in order, in this process or in several."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from sftdata.errors import SftdataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_installed: list[Callable[..., Any]] = []
"""In a worker process: the one function that it runs, sent once, so that what it caches outlives a chunk."""


def map_chunks(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int = 1, threads: int = 1
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in the order of the items, whatever the number of workers.

    At most two items a worker are under way, so memory stays bounded however long `items` is.

    Args:
        function: pure; with several workers it and its items must pickle.
        items: chunks, taken one by one as they are needed.
        workers: 1 runs in this process; more start that many processes.
        threads: with one worker, items under way at the same time; for functions that leave Python for most of it.
    """
    if workers == 1 and threads == 1:
        yield from map(function, items)
        return
    if workers == 1:
        with ThreadPoolExecutor(threads) as pool:
            yield from _in_order(lambda item: pool.submit(function, item), items, threads + 1)
        return
    try:
        yield from _map_in_processes(function, items, workers)
    except BrokenProcessPool:
        raise SftdataError("a worker process died, most likely for lack of memory; use fewer workers") from None


def _map_in_processes(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    # spawn: polars and tokenizers run threads, and a forked child of a threaded process can deadlock
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_install, initargs=(function,)) as pool:
        yield from _in_order(lambda item: pool.submit(_call, item), items, 2 * workers)


def _in_order(submit: Callable[[Item], "Future[Result]"], items: Iterable[Item], most: int) -> Iterator[Result]:
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(submit(item))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _install(function: Callable[..., Any]) -> None:
    _installed.append(function)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker as soon as the process that started it is gone; nothing else tells a worker of a kill.

    A worker that lived on would keep its memory, and might write its last chunk among the files of the next run.
    """
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _installed[0](item)
