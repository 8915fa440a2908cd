"""Bodies of requests: bounded before they are read, read before they are decoded, decoded before they mean anything.

Only JSON is taken, and only where it is announced as such: a page from elsewhere cannot do so without asking for leave first.
Who calls was asked before a body is read; where the body was long in coming, it is asked again.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import Headers

from detectors.errors import ModelError
from detectors.json_text import parse_json
from worker.api.auth import caller_of
from worker.api.desk import Desk, desk_of
from worker.api.problems import Problem

MAX_BODY_BYTES = 1 << 20
"""Size of a body: a completion that names 8,000 files with their digests, for example."""

JSON = "application/json"

BODY_SECONDS = 60.0
"""How long a body may take to come: one of the largest size comes at 17 KiB a second then."""

AT_ONCE_SECONDS = 0.01
"""How long a body takes that was there already, at most; a look at the token takes about as long."""


async def _body(request: Request, desk: Annotated[Desk, Depends(desk_of)]) -> bytes:
    """Return the body of *request*, from somebody who may still call when it has come.

    Raises:
        Problem: it is too long, or meanwhile the token was revoked, its time is over, or one is needed now.
    """
    begun = time.monotonic()
    body = await bounded(request)
    if time.monotonic() - begun > AT_ONCE_SECONDS:
        await caller_of(request.headers, desk)
    return body


async def bounded(request: Request) -> bytes:
    """Return the body of *request*; stops reading where it gets too long, or takes too long.

    Raises:
        Problem: it does.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY_BYTES:
        raise _too_long()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_long()
    except TimeoutError as exc:
        detail = f"the body took longer than {BODY_SECONDS:g} s; {len(body)} bytes of it came"
        raise Problem(408, "too-slow", detail, {"Connection": "close"}) from exc
    return bytes(body)


def _too_long() -> Problem:
    return Problem(413, "too-long", f"the body is longer than {MAX_BODY_BYTES} bytes", {"Connection": "close"})


Body = Annotated[bytes, Depends(_body)]


def media_type(headers: Headers) -> str:
    """Return the type of the body without its parameters, in lower case; empty where none is announced.

    Raises:
        Problem: the text is not in UTF-8, or two types are announced.
    """
    announced, *parameters = only_value(headers, "content-type").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise Problem(415, "unsupported-media-type", f"content-type: expected UTF-8, found {value[:40]!a}")
    return announced.strip()


def only_value(headers: Headers, name: str) -> str:
    """Return the value of the header *name*, empty where there is none.

    Raises:
        Problem: there are several, and no telling which one is meant.
    """
    values = headers.getlist(name)
    if len(values) > 1:
        raise Problem(400, "malformed", f"{name[:80]}: expected once, found {len(values)} times")
    return values[0] if values else ""


def expect(announced: str, *wanted: str) -> None:
    """Raise Problem unless the body is announced as one of the types *wanted*."""
    if announced not in wanted:
        found = ascii(announced[:80]) if announced else "nothing"
        raise Problem(415, "unsupported-media-type", f"content-type: expected {' or '.join(wanted)}, found {found}")


def json_of(body: bytes) -> Any:
    """Return the JSON value in *body*.

    Raises:
        Problem: it is no JSON, or nests too deep.
    """
    try:
        value, _ = parse_json(body)
    except ModelError as exc:
        raise Problem(400, "malformed", f"the body is no JSON: {exc}") from exc
    return value
