"""Who may see the page: programs on this machine that know its address, by its own name, reading only."""

import hmac
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = frozenset(("127.0.0.1", "localhost"))
"""What the page is called. Any other name in `Host` is a site that has its name lead here: DNS rebinding."""

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""What goes with every answer; none of it lets another site read one."""


class Guard:
    """Hands on to an application what may pass; the token is the first part of every address.

    Args:
        app: what answers.
        token: what the address must begin with.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        root, refusal = f"/{self._token}", self._refuse(scope)
        if refusal is not None:
            status, why = refusal
            await PlainTextResponse(f"{why}\n", status)(scope, receive, send_guarded)
        elif scope["path"] == root:
            await RedirectResponse(f"{root}/")(scope, receive, send_guarded)  # or its links would lead elsewhere
        else:
            await self._app({**scope, "root_path": root}, receive, send_guarded)

    def _refuse(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Return the status and the reason with which a request is refused; None where it may pass."""
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].partition(":")[0] not in HOSTS:
            return 403, f"This page is at {' and '.join(sorted(HOSTS))} only, under no other name."
        if scope["method"] != "GET":
            return 405, "This page can only be read: GET."
        given = scope["path"].removeprefix("/").partition("/")[0]
        if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
            return 403, "The address lacks the right token. Open the address that `sftdata view` has printed."
        return None
