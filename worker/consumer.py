"""How a worker hears its broker, in whose queue anybody may have left anything.

A message that is no bell of ours is refused: one that cannot be read, that leaves out what every task has, that asks for
another task, or for one of ours with arguments that it does not take. Celery takes some of them for done, and others end the
worker, and then the next one. What is refused is kept and counted: by RabbitMQ in a queue of its own (`celery_app`), with
Redis in a list (`redis_transport`). No work is in it: a message is only a bell.

Source: celery 5.7 `worker/consumer/consumer.py` (`on_decode_error`, `create_task_handler`), `app/task.py` (`apply_async`, where
`__header__` checks arguments); "Message Protocol", version 2, which is what we send.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker import consumer as celery_consumer

from worker.doorbell import SWEEP_TASK, TASK

OURS = frozenset({TASK, SWEEP_TASK})
"""The tasks that a message may ask for. Celery brings more of its own, which nobody here asks for."""

WHAT_IS_MISSING = (KeyError, TypeError)
"""What Celery raises where a message leaves something out. With Redis, kombu takes a KeyError for a lost connection: each new
one would get the same message again, for ever."""

MOST_SHOWN = 200
"""Characters that the log shows of what is wrong; names in a foreign message may be of any length."""

log = structlog.get_logger("modelport.broker")

Base: Any = celery_consumer.Consumer
"""What its stubs tell of it leaves out all that is needed here."""


class NoBell(Exception):
    """A message asks for what no bell of ours asks for."""


class Consumer(Base):  # type: ignore[misc]
    """Celery's, but that no message ends it."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse *message*, which cannot be used."""
        log.error("a message cannot be used and is set aside", why=f"{type(exc).__name__}: {exc}"[:MOST_SHOWN])
        if not message.acknowledged:
            message.reject_log_error(logging.getLogger("modelport.broker"), self.connection_errors)

    def create_task_handler(self, *arguments: Any, **more: Any) -> Callable[[Any], None]:
        """Return what is told of each message; it raises only what the connection does."""
        handle = super().create_task_handler(*arguments, **more)

        def handle_any(message: Any) -> None:
            try:
                self._check(message)
                handle(message)
            except WHAT_IS_MISSING as exc:
                self.on_decode_error(message, exc)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as exc:  # noqa: BLE001 - any message may be there, and nothing in it may end the worker
                self.on_decode_error(message, exc)

        return handle_any

    def _check(self, message: Any) -> None:
        """Raise where *message* is no bell.

        Raises:
            NoBell: it asks for another task.
            Exception: whatever reading it leads to, or a TypeError where the task does not take the arguments.
        """
        name = message.headers["task"]
        if name not in OURS:
            raise NoBell(f"expected one of {', '.join(sorted(OURS))}, found {name!a}")
        arguments, keywords, _ = message.payload
        self.app.tasks[name].__header__(*arguments, **keywords)
