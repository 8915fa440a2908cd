"""The messages that workers set aside, as the broker keeps them: a list in Redis, a queue in RabbitMQ; without a broker none.

A page or a scrape asks, so each question has a short limit of time, and no more is read than is shown. Redis cuts what is too
long before it is sent. RabbitMQ sends messages whole, so they are taken one by one up to a bound, and given back by closing the
channel: whoever looks at the same moment may see fewer.

Source: Redis, "EVAL" and `redis.sha1hex`; RabbitMQ, "Consumer Acknowledgements" and "Dead Letter Exchanges" (`x-death`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from worker.errors import ServerUnavailable
from worker.ports import SetAside
from worker.stranded import (
    COUNTER,
    MAX_KEPT,
    MAX_KEPT_BYTES,
    MAX_WRAPPED_BYTES,
    SET_ASIDE,
    Aside,
    Stranded,
    identity,
    unwrapped,
)

PATIENCE_SECONDS = 2.0
"""How long a broker may take to answer."""

SEARCH_SECONDS = 10.0
"""How long Redis may take to find one among all of them, by what it reckons of each."""

QUEUE_ARGUMENTS = {"x-max-length": MAX_KEPT, "x-overflow": "drop-head"}
"""Of what RabbitMQ sets aside, the newest messages are kept. Source: RabbitMQ 3.10, "Queue Length Limit"."""

MAX_TAKEN_BYTES = 32 << 20
"""Bytes of messages that RabbitMQ is asked for at most: the last one may be longer."""

READ = """
local told = {redis.call('LLEN', KEYS[1]), redis.call('GET', KEYS[2])}
local found = tonumber(ARGV[1]) > 0 and redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1) or {}
for place, item in ipairs(found) do
  told[place + 2] = {redis.sha1hex(item), #item, string.sub(item, 1, ARGV[2])}
end
return told
"""

FIND = """
for _, item in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if redis.sha1hex(item) == ARGV[1] then return {#item, string.sub(item, 1, ARGV[2])} end
end
return {}
"""

REMOVE = """
local gone = 0
for _, item in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if redis.sha1hex(item) == ARGV[1] then gone = gone + redis.call('LREM', KEYS[1], 0, item) end
end
return gone
"""


def set_aside_at(broker_url: str | None) -> SetAside:
    """Return where messages are set aside; nothing is connected before it is asked."""
    scheme = urlsplit(broker_url or "").scheme
    if broker_url and scheme.startswith("redis"):
        return RedisSetAside(broker_url)
    if broker_url and scheme.startswith("amqp"):
        return RabbitSetAside(broker_url)
    return NothingSetAside()


class NothingSetAside:
    """There is no broker, so there are no messages: workers look at the database."""

    def look(self, most: int) -> Aside:
        return Aside((), 0, None, None)

    def find(self, message_id: str) -> Stranded | None:
        return None

    def count(self) -> int:
        return 0

    def remove(self, message_id: str | None) -> int:
        return 0


class MemorySetAside:
    """`worker.ports.SetAside` in memory: what `wrapped` made, the newest first."""

    def __init__(self, kept: Sequence[bytes] = ()) -> None:
        self._kept = list(kept)

    def look(self, most: int) -> Aside:
        return Aside(tuple(unwrapped(item) for item in self._kept[:most]), len(self._kept), None, "redis")

    def find(self, message_id: str) -> Stranded | None:
        return next((one for one in map(unwrapped, self._kept) if one.id == message_id), None)

    def count(self) -> int:
        return len(self._kept)

    def remove(self, message_id: str | None) -> int:
        left = [] if message_id is None else [item for item in self._kept if identity(item) != message_id]
        gone, self._kept = len(self._kept) - len(left), left
        return gone


class RedisSetAside:
    """The list of `redis_transport`, newest first."""

    def __init__(self, url: str) -> None:
        self._url = url

    def look(self, most: int) -> Aside:
        with self._asked() as redis:
            kept, ever, *items = redis.eval(READ, 2, SET_ASIDE, COUNTER, most, MAX_WRAPPED_BYTES)
        found = tuple(unwrapped(item, size, digest.decode()) for digest, size, item in items)
        return Aside(found, int(kept), _counted(ever), "redis")

    def find(self, message_id: str) -> Stranded | None:
        with self._asked(SEARCH_SECONDS) as redis:
            item = redis.eval(FIND, 1, SET_ASIDE, message_id, MAX_WRAPPED_BYTES)
        return unwrapped(item[1], item[0], message_id) if item else None

    def count(self) -> int:
        with self._asked() as redis:
            return int(redis.llen(SET_ASIDE))

    def remove(self, message_id: str | None) -> int:
        with self._asked(SEARCH_SECONDS) as redis:
            if message_id is not None:
                return int(redis.eval(REMOVE, 1, SET_ASIDE, message_id))
            with redis.pipeline(transaction=True) as together:
                together.llen(SET_ASIDE).delete(SET_ASIDE)
                return int(together.execute()[0])

    @contextmanager
    def _asked(self, seconds: float = PATIENCE_SECONDS) -> Iterator[Any]:
        from redis import Redis, RedisError

        limits = {"socket_timeout": seconds, "socket_connect_timeout": PATIENCE_SECONDS}
        try:
            with Redis.from_url(self._url, **limits) as redis:
                yield redis
        except (RedisError, OSError, ValueError) as exc:
            raise ServerUnavailable(f"the broker does not tell what was set aside: {type(exc).__name__}: {exc}"[:300]) from exc


def _counted(ever: bytes | None) -> int | None:
    """Return what the counter says, 0 where there is none yet; None where somebody left no count there."""
    if ever is None:
        return 0
    return int(ever) if ever.isdigit() and len(ever) < 20 else None


class RabbitSetAside:
    """The queue into which RabbitMQ moves what is refused (`celery_app.SetAside`)."""

    def __init__(self, url: str) -> None:
        self._url = url

    def look(self, most: int) -> Aside:
        with self._asked() as channel:
            kept = _length(channel)
            found = [one for _, one in _taken(channel, MAX_KEPT)]
        return Aside(tuple(reversed(found[-most:] if most else [])), kept, None, "rabbitmq")

    def find(self, message_id: str) -> Stranded | None:
        with self._asked() as channel:
            return next((one for _, one in _taken(channel, MAX_KEPT) if one.id == message_id), None)

    def count(self) -> int:
        with self._asked() as channel:
            return _length(channel)

    def remove(self, message_id: str | None) -> int:
        with self._asked() as channel:
            if message_id is None:
                return int(channel.queue_purge(SET_ASIDE) or 0) if _length(channel) else 0
            gone = [tag for tag, one in _taken(channel, MAX_KEPT) if one.id == message_id]
            for tag in gone:
                channel.basic_ack(tag)
            return len(gone)

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        from kombu import Connection

        limits = {"read_timeout": PATIENCE_SECONDS, "write_timeout": PATIENCE_SECONDS}
        connection = Connection(self._url, connect_timeout=PATIENCE_SECONDS, transport_options=limits)
        try:
            with connection, connection.channel() as channel:
                yield channel
        except _errors_of(connection) as exc:
            raise ServerUnavailable(f"the broker does not tell what was set aside: {type(exc).__name__}: {exc}"[:300]) from exc


def _errors_of(connection: Any) -> tuple[type[Exception], ...]:
    """Return what the connection raises where the broker does not answer, or not what was asked for."""
    return (*connection.connection_errors, *connection.channel_errors, OSError, ValueError)


def _length(channel: Any) -> int:
    """Return how many messages the queue holds; it is made by the first worker, with what `celery_app` says of it."""
    return int(channel.queue_declare(queue=SET_ASIDE, durable=True, auto_delete=False, arguments=QUEUE_ARGUMENTS).message_count)


def _taken(channel: Any, most: int) -> list[tuple[Any, Stranded]]:
    """Return delivery tags and messages, the oldest first. They are given back when the channel closes."""
    found: list[tuple[Any, Stranded]] = []
    size = 0
    while len(found) < most and size < MAX_TAKEN_BYTES:
        message = channel.basic_get(SET_ASIDE, no_ack=False)
        if message is None:
            break
        body = message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else bytes(message.body)
        size += len(body)
        found.append((message.delivery_tag, _of_rabbit(body, message)))
    return found


def _of_rabbit(body: bytes, message: Any) -> Stranded:
    headers = message.headers or {}
    deaths = headers.get("x-death") or [{}]
    death = deaths[0] if isinstance(deaths, list) and isinstance(deaths[0], dict) else {}
    at, queue, reason = death.get("time"), death.get("queue"), death.get("reason")
    moment = at.replace(tzinfo=UTC) if isinstance(at, datetime) and at.tzinfo is None else at
    moment = moment if isinstance(moment, datetime) else None
    said = None if reason is None else f"a worker refused it ({reason})"
    known = identity(body + str(moment).encode())
    return Stranded(known, moment, None if queue is None else str(queue), said, len(body), body[:MAX_KEPT_BYTES])
