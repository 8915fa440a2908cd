"""Names each request, so that all lines of the log that it leads to can be found: `X-Request-ID`, which who asks may give.

In goes a request, out comes the same one, in a block whose lines name it; the answer says how it was named.
"""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker import bound

HEADER = b"x-request-id"

GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""A name that is taken from who asks; any other is passed over, and one is made."""


class RequestIds:
    """Binds each request's lines to its name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = _name(scope)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, name.encode())]
            await send(message)

        with bound.to_request(name):
            await self._app(scope, receive, named)


def _name(scope: Scope) -> str:
    given = [value for key, value in scope["headers"] if key == HEADER]
    if len(given) == 1 and GIVEN.fullmatch(given[0]):
        return bytes(given[0]).decode()
    return secrets.token_hex(8)
