"""Map a pure function over chunks, in order, in this process or in several."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from sftdata.errors import SftdataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_installed: list[Callable[..., Any]] = []
"""In a worker process: the one function that it runs, sent once, so that what it caches outlives a chunk."""


def map_chunks(function: Callable[[Item], Result], items: Iterable[Item], workers: int = 1) -> Iterator[Result]:
    """Yield `function(item)` for each item, in the order of the items, whatever the number of workers.

    At most two items a worker are under way, so memory stays bounded however long `items` is.

    Args:
        function: pure; with several workers it and its items must pickle.
        items: chunks, taken one by one as they are needed.
        workers: 1 runs in this process; more start that many processes.
    """
    if workers == 1:
        yield from map(function, items)
        return
    try:
        yield from _map_in_processes(function, items, workers)
    except BrokenProcessPool:
        raise SftdataError("a worker process died, most likely for lack of memory; use fewer workers") from None


def _map_in_processes(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    # spawn: polars and tokenizers run threads, and a forked child of a threaded process can deadlock
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_install, initargs=(function,)) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(_call, item))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _install(function: Callable[..., Any]) -> None:
    _installed.append(function)


def _call(item: Any) -> Any:
    return _installed[0](item)
