"""Ask the hub only where it can be reached, which is found out once and soon; else keep to its cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

CONNECT = 3.0
"""Seconds that the hub has to take a connection: enough for one packet that gets lost and is sent again."""


@contextmanager
def hub_or_cache() -> Iterator[str | None]:
    """Have huggingface_hub, and who builds on it, look into its cache alone where the hub cannot be reached.

    By itself it asks six times for every file that is not there, and prints a line for each: 25 seconds where no name
    is resolved, minutes where packets vanish. A hub that answers, whatever it says, is asked as ever.

    Yields:
        Why the hub cannot be asked, for a message; None where it can.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield "HF_HUB_OFFLINE forbids to ask the hub"
        return
    why = _find_obstacle(constants.ENDPOINT)
    constants.HF_HUB_OFFLINE = why is not None
    try:
        yield why
    finally:
        constants.HF_HUB_OFFLINE = False


def _find_obstacle(address: str) -> str | None:
    try:
        _reach(address)
    except Exception as cause:  # of the HTTP library that the hub's own uses: faults of network, proxy and address
        said = str(cause).strip().splitlines() or [type(cause).__name__]
        return f"{address or 'the empty address in HF_ENDPOINT'} cannot be reached ({said[0].rstrip('.')})"
    return None


@cache
def _reach(address: str) -> None:
    """Wait for any answer; that there was one is remembered, a failure is not."""
    from huggingface_hub import constants, get_session

    patience = constants.HF_HUB_ETAG_TIMEOUT
    connect = CONNECT if patience == constants.DEFAULT_ETAG_TIMEOUT else patience
    get_session().head(address, follow_redirects=False, timeout=(connect, patience, patience, patience))
