"""Borders that tell of what goes through them as spans: a registry, a destination, and the attempts of whoever works.

In go the borders and who listens; out come borders that do the same. They are put in only where somebody listens. An event
that comes without a span follows from the one that it is accepted in, or is the first of a trace; a retry is the first of
another, with a link to the one before.

Law (with a test of the same name):
    a border that is traced answers as the one inside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from worker.delivery import DeliveryKind
from worker.ingest import Step
from worker.ports import Destination, Notice, Registry
from worker.records import STEPS, CompletionEvent, End, Ingestion, IngestionState, NewVersion, Pause, Registration
from worker.tracing import Kind, Traces


class TracedRegistry:
    """Hands every call on to *registry*; those below are told besides."""

    def __init__(self, registry: Any, traces: Traces) -> None:
        self._registry, self._traces = registry, traces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        if event.traceparent is not None:
            return self._submit(event, now, owner, end)
        if (current := self._traces.current().traceparent) is not None:
            return self._submit(replace(event, traceparent=current), now, owner, end)
        with self._traces.span(f"accept {event.trigger.value}", Kind.PRODUCER, team=event.team) as span:
            return self._submit(replace(event, traceparent=span.traceparent), now, owner, end)

    def _submit(self, event: CompletionEvent, now: datetime, owner: str | None, end: End | None) -> tuple[Ingestion, bool]:
        ingestion, known = self._registry.submit(event, now, owner, end)
        self._traces.current().tell(ingestion=ingestion.id, known=known)
        return ingestion, known

    def seal_upload(self, upload_id: str, writer: str, event: CompletionEvent, now: datetime) -> Ingestion | None:
        current = self._traces.current()
        follows = event.traceparent or current.traceparent
        sealed: Ingestion | None = self._registry.seal_upload(upload_id, writer, replace(event, traceparent=follows), now)
        if sealed is not None:
            current.tell(ingestion=sealed.id, version=sealed.version_id)
        return sealed

    def retry(
        self, team: str, ingestion_id: str, who: str, now: datetime, note: str | None = None, traceparent: str | None = None
    ) -> Ingestion | None:
        before = self._registry.ingestion(team, ingestion_id)
        if traceparent is not None or before is None or before.state is not IngestionState.FAILED:
            found: Ingestion | None = self._registry.retry(team, ingestion_id, who, now, note, traceparent)
            return found
        links = (before.event.traceparent, self._traces.current().traceparent)
        with self._traces.span("retry", Kind.PRODUCER, links=links, ingestion=ingestion_id, team=team) as span:
            again: Ingestion | None = self._registry.retry(team, ingestion_id, who, now, note, span.traceparent)
            return again

    def free(
        self,
        now: datetime,
        dead: Callable[[str], bool] = lambda owner: False,
        tell: Callable[[Ingestion], object] = lambda ingestion: None,
    ) -> Sequence[Ingestion]:
        def tell_both(ingestion: Ingestion) -> None:
            with self._traces.span("free", Kind.CONSUMER, ingestion.event.traceparent, **_standing(ingestion)):
                tell(ingestion)

        freed: Sequence[Ingestion] = self._registry.free(now, dead, tell_both)
        return freed

    def wait(self, ingestion_id: str, owner: str, pause: Pause, now: datetime) -> bool:
        done: bool = self._registry.wait(ingestion_id, owner, pause, now)
        if done:
            self._traces.current().tell(state="waiting", reason=pause.reason, pause_seconds=pause.seconds)
        return done

    def finish(self, ingestion_id: str, owner: str, end: End, now: datetime) -> bool:
        done: bool = self._registry.finish(ingestion_id, owner, end, now)
        if done:
            error = end.reason if end.state is IngestionState.FAILED else None
            self._traces.current().tell(state=end.state.value, reason=end.reason, version=end.version_id, error=error)
        return done

    def register(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> Registration | None:
        answer: Registration | None = self._registry.register(ingestion_id, owner, version, now)
        if answer is not None and answer.is_new:
            made = answer.version
            called = f"{made.model_name}@{made.number}"
            self._traces.current().tell(state="registered", version=made.id, model=called, bytes=made.size_bytes)
        return answer


@contextmanager
def attempt(traces: Traces, ingestion: Ingestion) -> Iterator[Step]:
    """Let the block be an attempt at *ingestion*, a span with one for each step; give what hears of the steps."""
    event = ingestion.event
    about = {"team": event.team, "project": event.project, "experiment": event.experiment, "trigger": event.trigger.value}
    with traces.span("attempt", Kind.CONSUMER, event.traceparent, **_standing(ingestion), **about) as span:
        yield lambda name: span.step(name) if name in STEPS else None


def _standing(ingestion: Ingestion) -> dict[str, Any]:
    return {"ingestion": ingestion.id, "attempt": ingestion.attempts, "owner": ingestion.owner, "reason": ingestion.reason}


@dataclass(frozen=True, slots=True)
class TracedDestination:
    """Tells *inside*, and of that; a delivery follows from what its ingestion does."""

    inside: Destination
    registry: Registry
    traces: Traces

    @property
    def wants(self) -> Collection[DeliveryKind]:
        return self.inside.wants

    def take(self, notice: Notice) -> str:
        delivery = notice.delivery
        found = self.registry.ingestion(delivery.team, delivery.ingestion_id) if delivery.ingestion_id else None
        follows = None if found is None else found.event.traceparent
        about: dict[str, Any] = {
            "ingestion": delivery.ingestion_id,
            "version": delivery.version_id,
            "delivery": delivery.id,
            "attempt": delivery.attempts,
        }
        with self.traces.span(f"deliver {delivery.kind.value} to {delivery.destination}", Kind.CLIENT, follows, **about):
            return self.inside.take(notice)

    def check(self) -> str:
        return self.inside.check()


def traced(destinations: Mapping[str, Destination], registry: Registry, traces: Traces) -> Mapping[str, Destination]:
    """Return *destinations*, each traced."""
    return {name: TracedDestination(one, registry, traces) for name, one in destinations.items()}
