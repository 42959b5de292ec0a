"""Serve the page of a dataset on this machine, until Ctrl-C."""

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sftdata.errors import UsageError

if TYPE_CHECKING:
    import uvicorn

ADDRESS = "127.0.0.1"


def serve(directory: Path, port: int, announce: Callable[[str], None]) -> None:
    """Serve a page to look at a prepared dataset; return when Ctrl-C or SIGTERM ends it.

    Args:
        directory: what `prepare` wrote.
        port: where to listen; any free port where it is 0.
        announce: told the address, the token in it, once it answers there.

    Raises:
        UsageError: what the page needs is not installed, or the port is taken.
        VerificationError: the directory is not a prepared dataset.
    """
    try:
        import uvicorn

        from sftdata.view.site import make_site
    except ModuleNotFoundError as cause:
        package = (cause.name or "").partition(".")[0]
        if package not in ("starlette", "uvicorn"):
            raise
        raise UsageError(f"view needs {package}, which is not installed: pip install 'sftdata[view]'") from None
    token = secrets.token_urlsafe(32)
    site = make_site(directory, token)
    with closing(_listen(port)) as listening:
        config = uvicorn.Config(
            site,
            access_log=False,  # it would have the token
            http="h11",
            lifespan="off",
            log_level="warning",
            loop="asyncio",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            ws="none",
        )
        address = f"http://{ADDRESS}:{listening.getsockname()[1]}/{token}/"
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(uvicorn.Server(config), listening, lambda: announce(address)))


async def _serve(server: "uvicorn.Server", listening: socket.socket, announce: Callable[[], None]) -> None:
    async def announce_when_started() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        announce()

    announcing = asyncio.create_task(announce_when_started())  # only now does Ctrl-C end it as it should
    await server.serve(sockets=[listening])
    await announcing


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as cause:
        if cause.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken by another program" if cause.errno == errno.EADDRINUSE else "is for administrators only"
        raise UsageError(f"port {port} {why}; name another: --port N, or leave it out for any free one") from None
