"""How often somebody may ask, and how much a request may be before anybody looks at it.

Each caller has a bucket for reading and one for writing; each address has one for requests that nobody lets in. A bucket is
full at first, holds what a minute allows, and fills again evenly: who rested may ask a minute's worth at once. It is the memory
of one process: servers that share a registry count apart, and a restart forgets (docs/decisions/0012).

Completions are counted nowhere: when many runs end at once, all of their reports are wanted. So are the addresses by which
machines ask whether this one lives.

Laws (each has a test of the same name):
    in no minute more than two buckets go through;
    who keeps below the rate is never turned away;
    who waits as long as was said is let in.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.api.problems import READS, Problem, answer_to

MINUTE = 60.0

MOST_KEPT = 20_000
"""Buckets that are remembered; the one that was used longest ago is forgotten first, and full again then."""

MAX_HEADERS = 100
"""Headers of a request: a browser behind two proxies sends 40."""

MAX_TARGET_BYTES = 16 << 10
"""Bytes of an address with its query: 500 ids, or a search text with every character escaped."""

SUBNET = 64
"""Bits of an IPv6 address that tell one customer from another; the rest is theirs to choose."""


class Kind(StrEnum):
    """What is counted apart."""

    READS = "reads"
    """Requests that change nothing."""
    WRITES = "writes"
    """All others."""
    SIGN_INS = "failed sign-ins"
    """Requests that nobody lets in: without a token where one is needed, or with one that opens nothing. A browser that comes
    to a page before it signed in is none of them."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How many of each kind a minute allows; 0 allows any number."""

    reads: int = 12_000
    writes: int = 6_000
    sign_ins: int = 60

    def of(self, kind: Kind) -> int:
        """Return the rate of *kind*."""
        return {Kind.READS: self.reads, Kind.WRITES: self.writes, Kind.SIGN_INS: self.sign_ins}[kind]


def taken(full_at: float, now: float, per_minute: int) -> tuple[float, float]:
    """Return when a bucket is full again, and how many seconds until something is in it; 0 where something was taken.

    *full_at* is when it would be full if nobody took from it; that is all there is to know of a bucket.

    Source: the generic cell rate algorithm, ITU-T I.371, "virtual scheduling".
    """
    after = max(full_at, now) + MINUTE / per_minute
    wait = after - now - MINUTE
    return (full_at, wait) if wait > 1e-6 else (after, 0.0)


class Limits:
    """The buckets of one event loop; *seconds* tells the time, from any beginning."""

    def __init__(self, rates: Rates, seconds: Callable[[], float] = time.monotonic, most_kept: int = MOST_KEPT) -> None:
        self._rates = rates
        self._seconds = seconds
        self._most_kept = most_kept
        self._full_at: OrderedDict[tuple[Kind, str], float] = OrderedDict()

    def take(self, kind: Kind, whose: str) -> None:
        """Take one of *kind* from the bucket of *whose*.

        Raises:
            Problem: there is nothing in it; it says when there will be.
        """
        rate = self._rates.of(kind)
        if rate == 0:
            return
        now, key = self._seconds(), (kind, whose)
        self._full_at[key], wait = taken(self._full_at.get(key, now), now, rate)
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most_kept:
            self._full_at.popitem(last=False)
        if wait > 0:
            raise Problem(
                429,
                "too-many-requests",
                f"more than {rate} {kind.value} in a minute by {whose}; come again in {math.ceil(wait)} s",
                {"Retry-After": str(math.ceil(wait))},
            )


def limits_of(request: Request) -> Limits:
    """Return the limits of the app that was asked."""
    limits = request.app.state.limits
    assert isinstance(limits, Limits)
    return limits


def count_call(request: Request, whose: str) -> None:
    """Count *request* as one of *whose*, a caller or an address.

    Raises:
        Problem: there were too many.
    """
    limits_of(request).take(Kind.READS if request.method in READS else Kind.WRITES, whose)


def count_failure(request: Request) -> None:
    """Count *request* as one that nobody lets in.

    Raises:
        Problem: there were too many from this address.
    """
    limits_of(request).take(Kind.SIGN_INS, address_of(request))


async def counted_by_address(request: Request) -> None:
    """Count *request*, which brings no token, as one of its address. For routes, as a dependency.

    Raises:
        Problem: there were too many.
    """
    count_call(request, address_of(request))


def address_of(request: Request) -> str:
    """Return where *request* came from, as people read it: an address, or the subnet of one.

    It is that of the connection: what a header says of it, anybody can say. Behind a proxy all have the proxy's.
    """
    host = request.client.host if request.client is not None else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host or "an unknown address"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> (128 - SUBNET) << (128 - SUBNET))}/{SUBNET}"


class Bounds:
    """Turns away requests with too many headers, too long an address, or one that writes what is not UTF-8, before anything
    reads them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = (_too_much(scope) or _unreadable(scope)) if scope["type"] == "http" else None
        await (self._app if problem is None else answer_to(Request(scope), problem))(scope, receive, send)


def _too_much(scope: Scope) -> Problem | None:
    if len(scope["headers"]) > MAX_HEADERS:
        detail = f"expected at most {MAX_HEADERS} headers, found {len(scope['headers'])}"
        return Problem(431, "too-many-headers", detail, {"Connection": "close"})
    length = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if length > MAX_TARGET_BYTES:
        detail = f"expected an address of at most {MAX_TARGET_BYTES} bytes, found {length}"
        return Problem(414, "address-too-long", detail, {"Connection": "close"})
    return None


def _unreadable(scope: Scope) -> Problem | None:
    """Return what is wrong with an address whose bytes are not UTF-8, where something is to be written: they would be replaced,
    and two names become one. Who only reads finds nothing.
    """
    if scope["method"] in READS:
        return None
    for part in (scope.get("raw_path") or b"", scope["query_string"]):
        try:
            unquote_to_bytes(part).decode()
        except UnicodeDecodeError as exc:
            found = exc.object[exc.start : exc.start + 10]
            return Problem(400, "malformed", f"expected an address in UTF-8, found {found!a} in it")
    return None
