"""The Redis transport of kombu, for a list in which anybody may have left anything.

kombu's own raises where a message cannot be read, which ends the worker; one whose body is not base64 is put back and ends the
next worker too. Here what cannot be read is set aside in a list of its own, and counted; and so is what a worker refuses
(`consumer`), which kombu forgets. No work is in it: a message is only a bell.

Source: kombu 5.7 `transport/redis.py` (`_brpop_read`, `QoS`), `transport/virtual/base.py` (`Message`, `basic_reject`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis as typed_kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.exceptions import ResponseError

from worker.stranded import COUNTER, MAX_KEPT, MAX_WHY_CHARACTERS, SET_ASIDE, wrapped

log = structlog.get_logger("modelport.broker")

kombu_redis: Any = typed_kombu_redis
"""What its stubs tell of it leaves out all that is needed here."""


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that sets aside what it cannot read."""

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver one message. As kombu's, but for what cannot be read."""
        try:
            try:
                popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not popped:
                raise Empty
            key, item = popped
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._deliver(item, queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _deliver(self, item: bytes, queue: str) -> None:
        try:
            message = loads(bytes_to_str(item))
            _check(self.Message(message, channel=self))
        except Exception as exc:  # noqa: BLE001 - any bytes may be there, and nothing they do may end the worker
            self._set_aside(item, queue, exc)
            return
        self.connection._deliver(message, queue)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Take the message back, or keep it apart where it is not to come again."""
        refused = None if requeue else self.qos._delivered.get(delivery_tag)
        if refused is not None:
            why = getattr(refused, "refused_for", "a worker refused it")
            self._keep(dumps(refused._raw).encode(), str(refused.delivery_info.get("routing_key")), why)
        super().basic_reject(delivery_tag, requeue)

    def _set_aside(self, item: bytes, queue: str, error: Exception) -> None:
        why = f"{type(error).__name__}: {error}"[:MAX_WHY_CHARACTERS]
        log.error("a message cannot be read and is set aside", why=why, size=len(item))
        self._keep(item, queue, why)

    def _keep(self, item: bytes, queue: str, why: str) -> None:
        """Keep a message apart, and count it; it is lost where Redis refuses to, as where another key is called so."""
        with self.conn_or_acquire() as client:
            try:
                client.incr(COUNTER)
            except ResponseError as exc:
                log.error("messages that are set aside are not counted", why=str(exc), key=COUNTER)
            try:
                client.lpush(SET_ASIDE, wrapped(item, queue, why, datetime.now(UTC)))
                client.ltrim(SET_ASIDE, 0, MAX_KEPT - 1)
            except ResponseError as exc:
                log.error("a message is lost that was to be set aside", why=str(exc), key=SET_ASIDE, size=len(item))


def _check(message: Any) -> None:
    """Raise where *message* lacks what kombu takes for granted when it notes that a message was taken.

    Raises:
        KeyError, TypeError: it lacks that, or has something else there.
    """
    where = message.delivery_info
    if not all(isinstance(one, str) for one in (message.delivery_tag, where["exchange"], where["routing_key"])):
        raise TypeError("expected text as delivery tag, exchange and routing key")


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with the channel above."""

    Channel = Channel
