"""A webhook as a destination: an address that is sent one signed event for each delivery.

Structured CloudEvents (`webhook_words`), signed as Standard Webhooks has it, sent where `guarded_network` lets us. The id of a
message is that of its delivery, however often it is sent, so that a receiver knows what it has seen. Nothing that comes back is
read or shown but the status and when to come again: who could have us ask an address would else have us read it aloud.

Laws (each has a test of the same name):
    each try has the same id and body, and a time and a signature of its own;
    every secret signs;
    what is not a 2xx is tried again, but for a 410;
    no message holds what is secret in the address.

Sources: Standard Webhooks 1.0, "Webhook headers", "Verifying", "Operational considerations"; RFC 9110 section 10.2.3.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus

import httpcore
import httpx
from standardwebhooks import Webhook as Signer

from worker.delivery import DeliveryKind
from worker.errors import BadSetting, NotTaken, ServerUnavailable
from worker.guarded_network import GuardedBackend, Refused, Resolve, resolve
from worker.ports import Notice
from worker.public_addresses import Allowed
from worker.webhook_words import CONTENT_TYPE, body

NAME = "webhook"
"""The name of this destination."""

WANTS = frozenset({DeliveryKind.REGISTERED, DeliveryKind.FAILED, DeliveryKind.FINDING, DeliveryKind.GATE_FAILED})

CONNECT_SECONDS, ANSWER_SECONDS, ALL_SECONDS = 10.0, 20.0, 40.0
"""How long a connection may take, how long nothing may come, and how long all of it may take."""

TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""What names the authorities, as httpx reads it: the first that is set."""

FAILURES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
)


@cache
def trusted() -> ssl.SSLContext:
    """Return who vouches for servers: the file or the folder that `SSL_CERT_FILE` or `SSL_CERT_DIR` names, else certifi's.

    Raises:
        ServerUnavailable: it cannot be read now, or holds no certificates.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as exc:  # ssl.SSLError is one
        named = next((f"{name}={os.environ[name]}" for name in TRUST if os.environ.get(name)), "certifi's file")
        raise ServerUnavailable(f"no certificates of authorities can be read from {named}: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. *may* are places that are not public and yet sent to; *api_url* is where others reach the API."""

    url: httpx.URL = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    may: Allowed
    now: Callable[[], datetime]
    api_url: str | None = None
    trusts: Callable[[], ssl.SSLContext] = trusted
    resolve: Resolve = resolve
    seconds: float = ALL_SECONDS

    @property
    def wants(self) -> Collection[DeliveryKind]:
        return WANTS

    def take(self, notice: Notice) -> str:
        """Tell *notice*, as `Destination.take`."""
        if notice.delivery.version_id is not None and notice.version is None:
            return "it was deleted before it was told"
        status, after_seconds = self._send(notice.delivery.id, body(notice, self.api_url))
        said = f"{self._place} says {_called(status)}"
        if 200 <= status < 300:
            return said
        if status == HTTPStatus.GONE:
            raise NotTaken(said)
        if 300 <= status < 400:
            said += ", and where it sends us nobody looked at: set the address that takes events"
        raise ServerUnavailable(said, after_seconds)

    def check(self) -> str:
        """As `Destination.check`; nothing is sent, but for what begins a connection.

        Raises:
            ServerUnavailable: nobody answers there, it is nothing that is sent to, or `trusted` says so.
        """
        with_tls, backend = self.url.scheme == "https", self._backend()
        try:
            stream = backend.connect_tcp(_host(self.url), _port(self.url), CONNECT_SECONDS)
            try:
                if with_tls:
                    stream = stream.start_tls(self.trusts(), _host(self.url), CONNECT_SECONDS)
            finally:
                stream.close()
        except (Refused, *FAILURES) as exc:
            raise self._unavailable(exc) from exc
        return f"{self._place} answers; whether it takes what it is told, `modelport deliveries list` tells"

    def _send(self, id: str, text: str) -> tuple[int, float]:
        """Send the event *text* as the message *id*; return the status, and in how many seconds to come again.

        Raises:
            ServerUnavailable: nobody answers there, it is nothing that is sent to, or `trusted` says so.
        """
        headers = {"content-type": CONTENT_TYPE, "user-agent": "modelport", **self._signed(id, text)}
        request = httpx.Request("POST", self.url, headers=headers, content=text.encode())
        target = httpcore.URL(scheme=self.url.raw_scheme, host=self.url.raw_host, port=self.url.port, target=self.url.raw_path)
        timeouts = {"connect": CONNECT_SECONDS, "read": ANSWER_SECONDS, "write": ANSWER_SECONDS}
        try:
            context = self.trusts() if self.url.scheme == "https" else None
            with (
                httpcore.ConnectionPool(ssl_context=context, network_backend=self._backend()) as pool,
                pool.stream(
                    "POST", target, headers=request.headers.raw, content=request.content, extensions={"timeout": timeouts}
                ) as answer,
            ):
                return answer.status, self._after_seconds(answer.headers)
        except (Refused, *FAILURES) as exc:
            raise self._unavailable(exc) from exc

    def _signed(self, id: str, text: str) -> dict[str, str]:
        """Return the headers by which a receiver knows the message *id*, and that *text* is ours: one signature by secret."""
        now = self.now().astimezone(UTC)
        signatures = " ".join(Signer(secret).sign(id, now, text) for secret in self.secrets)
        return {"webhook-id": id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signatures}

    def _after_seconds(self, headers: Sequence[tuple[bytes, bytes]]) -> float:
        """Return in how many seconds the receiver wants to hear from us again; 0 where it does not say."""
        said = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
        if said.isascii() and said.isdecimal():
            return float(said[:9])
        with suppress(ValueError, OverflowError):
            return max(0.0, (parsedate_to_datetime(said).astimezone(UTC) - self.now()).total_seconds())
        return 0.0

    def _backend(self) -> GuardedBackend:
        until = time.monotonic() + self.seconds
        return GuardedBackend(self.may, until, self.url.scheme != "https", self.resolve)

    def _unavailable(self, exc: Exception) -> ServerUnavailable:
        if isinstance(exc, Refused):
            advice = "MODELPORT_WEBHOOK_ALLOW names what may be sent to besides public addresses over https"
            return ServerUnavailable(f"nothing is sent to {self._place}: {exc}; {advice}")
        return ServerUnavailable(f"{self._place} does not answer: {exc or type(exc).__name__}")

    @property
    def _place(self) -> str:
        """Return where it is, without what may be secret: many who take webhooks know the sender by the path."""
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"


def webhook(url: str, secrets: str, may: Allowed, now: Callable[[], datetime], api_url: str | None) -> Webhook:
    """Return the receiver at *url*; *secrets* are as in the setting.

    Raises:
        BadSetting: *url* is none that can be sent to.
    """
    try:
        parsed = httpx.URL(url)
        _host(parsed).encode("ascii")
    except (httpx.InvalidURL, ValueError) as exc:
        raise BadSetting("MODELPORT_WEBHOOK_URL: expected https://HOST/PATH") from exc
    return Webhook(parsed, secrets.split(), may, now, api_url)


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _called(status: int) -> str:
    """Return *status* with its name; what a receiver calls it is not shown."""
    names = {one.value: one.phrase for one in HTTPStatus}
    return f"{status} {names[status]}" if status in names else str(status)
