"""How a worker hears its broker, in whose queue anybody may have left anything.

Celery refuses most of what it cannot use. But a message that cannot be read it takes for done, and one that leaves out what
every task has ends the worker, and then the next one. Here both are refused as well. RabbitMQ moves what was refused into a
queue of its own (`celery_app`); with Redis, only the log tells, but that `redis_transport` keeps what is no message at all. No
work is in it: a message is only a bell.

Source: celery 5.7 `worker/consumer/consumer.py` (`on_decode_error`, `create_task_handler`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker import consumer as celery_consumer

WHAT_IS_MISSING = (KeyError, TypeError)
"""What Celery raises where a message leaves something out. With Redis, kombu takes a KeyError for a lost connection: each new
one would get the same message again, for ever."""

log = structlog.get_logger("modelport.broker")

Base: Any = celery_consumer.Consumer
"""What its stubs tell of it leaves out all that is needed here."""


class Consumer(Base):  # type: ignore[misc]
    """Celery's, but that no message ends it."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse *message*, which cannot be read."""
        log.error("a message cannot be read and is set aside", why=f"{type(exc).__name__}: {exc}", size=len(message.body))
        if not message.acknowledged:
            message.reject_log_error(logging.getLogger("modelport.broker"), self.connection_errors)

    def create_task_handler(self, *arguments: Any, **more: Any) -> Callable[[Any], None]:
        """Return what is told of each message; it raises only what the connection does."""
        handle = super().create_task_handler(*arguments, **more)

        def handle_any(message: Any) -> None:
            try:
                handle(message)
            except WHAT_IS_MISSING as exc:
                self.on_decode_error(message, exc)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as exc:  # noqa: BLE001 - any message may be there, and nothing in it may end the worker
                self.on_decode_error(message, exc)

        return handle_any
