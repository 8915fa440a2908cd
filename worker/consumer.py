"""How a worker hears its broker, in whose queue anybody may have left anything.

Only what looks like a bell of ours in every part goes on to Celery: two tasks, their arguments, and headers that ask for
nothing else, neither limits of time nor another time, stamps, groups or callbacks. Celery takes some of the rest for done;
others end the worker, and then the next one, or keep one of its processes from any further work. What is refused is kept and
counted: by RabbitMQ in a queue of its own (`celery_app`), with Redis in a list (`redis_transport`). No work is in it: a message
is only a bell.

Source: celery 5.7 `worker/consumer/consumer.py` (`on_decode_error`, `create_task_handler`), `worker/worker.py`
(`_process_task`), `app/amqp.py` (`as_task_v2`, which writes a bell), `app/task.py` (`apply_async`, where `__header__` checks
arguments), kombu 5.7 `transport/redis.py` (`_do_restore_message`, which adds `redelivered`); "Message Protocol", version 2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from celery.apps import worker as celery_worker
from celery.worker import consumer as celery_consumer

from worker.doorbell import QUEUE, SWEEP_TASK, TASK

OURS = frozenset({TASK, SWEEP_TASK})
"""The tasks that a message may ask for. Celery brings more of its own, which nobody here asks for."""

WHAT_IS_MISSING = (KeyError, TypeError)
"""What Celery raises where a message leaves something out. With Redis, kombu takes a KeyError for a lost connection: each new
one would get the same message again, for ever."""

WRITTEN = ("application/json", "utf-8")
"""Type and encoding of a body. kombu decodes bytes by the one that is named, and any will do where it has text already."""

MOST_TEXT = 2048
"""Characters of any text in a bell. The longest is what Celery shows of the arguments, cut at 1024."""

MOST_SHOWN = 200
"""Characters that the log shows of what is wrong; names in a foreign message may be of any length."""

log = structlog.get_logger("modelport.broker")

Base: Any = celery_consumer.Consumer
BaseWorker: Any = celery_worker.Worker
"""What its stubs tell of them leaves out all that is needed here."""

Kind = Callable[[Any], bool]
"""Whether a value is of one kind; never raises."""


def is_text(value: Any) -> bool:
    """Return whether *value* is text of a usual length."""
    return isinstance(value, str) and len(value) <= MOST_TEXT


def is_text_or_none(value: Any) -> bool:
    """Return whether *value* is that, or left open."""
    return value is None or is_text(value)


def is_flag(value: Any) -> bool:
    """Return whether *value* is true, false, or left open."""
    return value is None or isinstance(value, bool)


def one_of(*values: Any) -> Kind:
    """Return the kind of which *values* are all."""

    def is_one(value: Any) -> bool:
        return value in values

    return is_one


NEEDED = ("task", "id")
"""The headers without which nothing is a bell."""

HEADERS: Mapping[str, Kind] = {
    "task": one_of(*OURS),
    "id": is_text,
    **dict.fromkeys(("argsrepr", "kwargsrepr", "lang", "origin", "parent_id", "root_id"), is_text_or_none),
    **dict.fromkeys(("eta", "expires", "group", "group_index", "shadow"), one_of(None)),
    **dict.fromkeys(("replaced_task_nesting", "retries"), one_of(0)),
    **dict.fromkeys(("ignore_result", "redelivered"), is_flag),
    "stamped_headers": one_of(None, []),
    "stamps": one_of(None, {}),
    "timelimit": one_of(None, [None, None]),
    **dict.fromkeys(("baggage", "traceparent", "tracestate"), is_text),
}
"""All headers that a bell may have, and what may be in them. Celery makes attributes of whatever others there are. The last
line is what tracing tools add. Source: W3C Trace Context and Baggage.
"""

PROPERTIES: Mapping[str, Kind] = {
    "correlation_id": is_text_or_none,
    "priority": one_of(None, 0),
    "reply_to": is_text_or_none,
}
"""What may be in the properties that Celery reads; it passes over the others."""

EMBEDDED: Mapping[str, Kind] = dict.fromkeys(("callbacks", "chain", "chord", "errbacks"), one_of(None, []))
"""What may be in the third part of a body: nothing is to follow a bell."""


class NoBell(Exception):
    """A message asks for what no bell of ours asks for."""


class Consumer(Base):  # type: ignore[misc]
    """Celery's, but that no message ends it."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse *message*, which cannot be used."""
        why = f"{type(exc).__name__}: {exc}"[:MOST_SHOWN]
        log.error("a message cannot be used and is set aside", why=why)
        with suppress(AttributeError):  # what is kept says why, where the transport can tell (`redis_transport`)
            message.refused_for = why
        if not message.acknowledged:
            message.reject_log_error(logging.getLogger("modelport.broker"), self.connection_errors)

    def create_task_handler(self, *arguments: Any, **more: Any) -> Callable[[Any], None]:
        """Return what is told of each message; it raises only what the connection does."""
        handle = super().create_task_handler(*arguments, **more)

        def handle_any(message: Any) -> None:
            try:
                check(message, self.app.tasks)
                handle(message)
            except WHAT_IS_MISSING as exc:
                self.on_decode_error(message, exc)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as exc:  # noqa: BLE001 - any message may be there, and nothing in it may end the worker
                self.on_decode_error(message, exc)

        return handle_any


class Worker(BaseWorker):  # type: ignore[misc]
    """Celery's, but that each place for a task which it cannot hand to a process is free again.

    Each process has one such place. Celery keeps those of tasks that raise here, and with the last of them does nothing more.
    """

    def _process_task(self, request: Any) -> None:
        """Hand *request* to a process, or refuse its message; raises only what the connection does."""
        try:
            super()._process_task(request)
        except Exception as exc:
            if self.semaphore is not None:
                self.semaphore.release()
            if isinstance(exc, (*self.consumer.connection_errors, *self.consumer.channel_errors)):
                raise
            self.consumer.on_decode_error(request.message, exc)


def check(message: Any, tasks: Mapping[str, Any]) -> None:
    """Raise where *message* is no bell for one of *tasks*. Reads all of it that Celery does.

    Raises:
        NoBell: something is in it that is in no bell.
        Exception: whatever reading it leads to, or a TypeError where the task does not take the arguments.
    """
    headers = message.headers
    name, _ = (headers[needed] for needed in NEEDED)
    _check_each("header", headers, HEADERS)
    _check_each("property", {key: message.properties.get(key) for key in PROPERTIES}, PROPERTIES)
    _expect("delivery", ("", QUEUE), (message.delivery_info["exchange"], message.delivery_info["routing_key"]))
    _expect("body's type", WRITTEN, (message.content_type, message.content_encoding))
    _check_body(message.payload, tasks[name])


def _expect(what: str, expected: object, found: object) -> None:
    if found != expected:
        raise NoBell(f"{what}: expected {expected!a}, found {found!a}")


def _check_each(what: str, found: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    for name, value in found.items():
        if name not in kinds:
            raise NoBell(f"the {what} {name!a} is in no bell")
        if not kinds[name](value):
            raise NoBell(f"the {what} {name!a} is in no bell as {value!a}")


def _check_body(body: Any, task: Any) -> None:
    arguments, keywords, embedded = body
    _expect("body", [list, dict, dict], [type(part) for part in body])
    task.__header__(*arguments, **keywords)
    if not all(map(is_text_or_none, [*arguments, *keywords.values()])):
        raise NoBell(f"expected text as the argument, found {arguments!a} and {keywords!a}")
    _check_each("body's", embedded, EMBEDDED)
