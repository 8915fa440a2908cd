"""Rings for the workers: a message that says that work may wait, and nothing else.

The registry is the queue; a bell that is lost is rung again by the next sweep, and one too many finds nothing to do. So no
call here may fail the caller or keep it waiting: the broker gets a few seconds, and its errors are logged.

At most `BELLS_PER_WORKER` bells for each living worker are outstanding.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from ssl import CERT_REQUIRED
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import structlog

from worker.connections import Answer
from worker.stranded import SET_ASIDE

if TYPE_CHECKING:
    from celery import Celery

BELLS_PER_WORKER = 2
TASK, SWEEP_TASK = "modelport.ingest", "modelport.sweep"
QUEUE = "modelport"

QUEUE_ARGUMENTS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": SET_ASIDE}
"""What RabbitMQ is told to do with refused messages; Redis ignores it. Whoever names the queue must say the same."""

PAUSE_SECONDS = 0.1
"""How long a ringer rests after a bell. One bell tells of all that came before it, so a burst is told of ten times a second
and not as often as the broker can take it."""

log = structlog.get_logger("modelport.doorbell")


class Doorbell(Protocol):
    """Tells workers that work may wait."""

    def ring(self) -> None:
        """Ring once; never raises, and never waits for long."""
        ...


class NoDoorbell:
    """Nobody listens: workers look at the registry by themselves."""

    def ring(self) -> None:
        """Do nothing."""


class CeleryDoorbell:
    """Rings through a broker. *workers* tells how many workers live."""

    def __init__(self, app: Celery, workers: Callable[[], int]) -> None:
        self._app = app
        self._workers = workers

    def ring(self) -> None:
        """Send a bell unless enough of them are on their way; errors are logged and forgotten."""
        try:
            if self._outstanding() < BELLS_PER_WORKER * max(1, self._workers()):
                self._app.send_task(TASK, queue=QUEUE, ignore_result=True, retry=False)
        except Exception as exc:  # noqa: BLE001 - whatever a broker's client raises: the next sweep rings again
            log.warning("the broker did not take a bell", why=f"{type(exc).__name__}: {exc}")

    def _outstanding(self) -> int:
        """Return how many bells nobody has heard yet."""
        with self._app.connection_or_acquire() as connection:
            channel: Any = connection.default_channel
            declared = channel.queue_declare(queue=QUEUE, durable=True, auto_delete=False, arguments=QUEUE_ARGUMENTS)
            return int(declared.message_count)


def look_at_broker(url: str, seconds: float) -> Answer:
    """Return whether a broker answers at *url* and knows us; it is waited for about *seconds* at each step. Nothing is sent."""
    from kombu import Connection

    waits = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    ours = waits if url.startswith("redis") else {name: waits[name] for name in ("read_timeout", "write_timeout")}
    with Connection(url, connect_timeout=seconds, transport_options=ours, ssl=broker_ssl(url) or False) as connection:
        try:
            transport = connection.transport
            transport.close_connection(transport.establish_connection())
        except Exception as exc:  # noqa: BLE001 - whatever a broker's client raises, there is no bell
            return Answer(f"{broker_shown(url)}: {_in_words(exc)}; look at MODELPORT_BROKER_URL and whether the broker runs")
    return Answer()


def broker_ssl(url: str) -> dict[str, Any] | None:
    """Return how TLS is spoken to the Redis at *url*: with a certificate that is checked, unless the URL says otherwise
    (`?ssl_cert_reqs=none`), which kombu reads. None where its scheme asks for no TLS, or brings a way of its own.
    """
    return {"ssl_cert_reqs": CERT_REQUIRED} if urlsplit(url).scheme == "rediss" else None


def broker_shown(url: str) -> str:
    """Return the URL of a broker without user and password, also where a password has characters that end its part of a URL,
    or where several brokers are named.
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


REFUSALS = ("AuthenticationError", "AccessRefused", "NoPermissionError", "NotAllowed")
"""What clients of brokers raise where one is there and does not let us in, by name: they are not imported before that."""


def _in_words(error: Exception) -> str:
    """Return what an error of a broker's client means, without addresses and figures that change."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & set(REFUSALS) or "WRONGPASS" in str(error) or "NOAUTH" in str(error):
        return "the broker refuses the user or the password"
    if "TimeoutError" in kinds or "timeout" in kinds:
        return "no answer in time"
    return (
        "no broker answers"
        if kinds & {"OSError", "ConnectionError", "OperationalError"}
        else f"no answer ({type(error).__name__})"
    )


class Ringer:
    """Rings for others in a thread of its own, so that who accepts work need not wait for a broker.

    However often it is asked while it rings, it rings once more afterwards.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._asked = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
        self._thread.start()

    def __call__(self) -> None:
        """Ask for a bell."""
        self._asked.set()

    def close(self) -> None:
        """Stop ringing."""
        self._over.set()
        self._asked.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while self._asked.wait() and not self._over.is_set():
            self._asked.clear()
            self._ring()
            self._over.wait(PAUSE_SECONDS)
