"""Compare shards with their digests while their rows are in use already."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from sftdata.shards.reader import Split


class ShardChecks:
    """One thread that digests shards, each once.

    A digest takes a second for each gigabyte or so, and the first steps of a run touch all shards: whoever waited for
    them would resume as slowly as the data is large. So rows are given out at once, and what is found to be damaged is
    raised as soon as it is known, in any case before `settle` returns; a run settles before it saves anything.
    One thread may gather while another settles.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="digests")
        self._lock = Lock()
        self._pending: list[Future[None]] = []

    def begin(self, split: Split, number: int) -> None:
        """Have a shard checked."""
        with self._lock:
            self._pending.append(self._thread.submit(split.check_shard, number))

    def raise_found(self) -> None:
        """Raise what has been found by now; `settle` raises it again, for it may be another thread that saves.

        Raises:
            VerificationError: a shard is not the one that was written.
        """
        with self._lock:
            found = [check for check in self._pending if check.done()]
            self._pending = [check for check in self._pending if check not in found or check.exception()]
        for check in found:
            check.result()

    def settle(self) -> None:
        """Wait for all checks, and raise what they find.

        Raises:
            VerificationError: a shard is not the one that was written.
        """
        with self._lock:
            pending, self._pending = self._pending, []
        for check in pending:
            check.result()
