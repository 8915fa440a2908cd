"""What stands in every line of the log while something is worked on: said once, where the work begins.

In go an ingestion, a delivery, a request; out comes a block in which each line of this thread names it, those of libraries too.
Threads that do a part of the work are given the same by who starts them, through `contextvars`; all others are not.

Law (with a test of the same name):
    what one attempt is bound to stands in no line of another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from structlog.contextvars import bound_contextvars

from worker.delivery import Delivery
from worker.records import Ingestion
from worker.tracing import trace_of

P = ParamSpec("P")
T = TypeVar("T")


def to_ingestion(ingestion: Ingestion) -> AbstractContextManager[None]:
    """Return a block whose lines are about *ingestion*."""
    return bound_contextvars(ingestion=ingestion.id, team=ingestion.event.team)


def to_attempt(ingestion: Ingestion) -> AbstractContextManager[None]:
    """Return a block whose lines are about the attempt at *ingestion* that its owner makes."""
    trace = trace_of(ingestion.event.traceparent)
    about = {"attempt": ingestion.attempts, "owner": ingestion.owner, **({} if trace is None else {"trace": trace})}
    return bound_contextvars(ingestion=ingestion.id, team=ingestion.event.team, **about)


def to_delivery(delivery: Delivery) -> AbstractContextManager[None]:
    """Return a block whose lines are about *delivery*, and about what it tells of."""
    about = {
        "delivery": delivery.id,
        "destination": delivery.destination,
        "team": delivery.team,
        "ingestion": delivery.ingestion_id,
        "version": delivery.version_id,
    }
    return bound_contextvars(**{name: value for name, value in about.items() if value is not None})


def to_request(request_id: str) -> AbstractContextManager[None]:
    """Return a block whose lines are about one request to the API."""
    return bound_contextvars(request=request_id)


def here(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """Return a call of *work* that any thread may make once, bound to what this one is bound to now."""
    return partial(copy_context().run, partial(work, *args, **kwargs))
