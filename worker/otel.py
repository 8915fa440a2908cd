"""Traces told to OpenTelemetry: spans as its SDK makes them, sent to the collector that the OTEL_ variables name.

In go spans; nothing comes out, and nobody waits: they lie in a queue of bounded length until a thread of their own has sent
them, and what finds no place in it, or no collector, is lost. Only `bootstrap` imports this, and only where somebody listens.

Laws (each has a test of the same name):
    a collector that is away delays nothing;
    a span that ended is told nothing more.

Source: OpenTelemetry, "Trace SDK"; opentelemetry-python 1.45.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock, Thread

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.tracing import Fact, Kind, Span, traceparent_in

KINDS = {
    Kind.PRODUCER: trace.SpanKind.PRODUCER,
    Kind.CONSUMER: trace.SpanKind.CONSUMER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
}

PREFIX = "modelport."
"""What the names of our facts begin with; those of OpenTelemetry have other ones."""

CLOSE_SECONDS = 2.0
"""How long the end of a process waits for the collector."""

COMPLAINT_SECONDS = 60.0
"""How often it is told that the collector takes nothing."""

W3C = TraceContextTextMapPropagator()


class Otel:
    """Tells a collector. *role* and *name* say which process of ours this is."""

    def __init__(self, environment: Mapping[str, str], role: str, name: str) -> None:
        service = environment.get("OTEL_SERVICE_NAME") or "modelport"
        about = {"service.name": service, "service.instance.id": name, PREFIX + "role": role}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("modelport")
        self._given = traceparent_in(environment.get("TRACEPARENT")) if role == "cli" else None
        _complain_seldom()

    @property
    def provider(self) -> object:
        return self._provider

    @contextmanager
    def span(
        self, name: str, kind: Kind, follows: str | None = None, links: Sequence[str | None] | None = None, **facts: Fact
    ) -> Iterator[Span]:
        linked = [trace.Link(_context_of(link)) for link in links or () if link is not None]
        context = self._context(follows) if links is None else Context()
        span = _Span(self._tracer, self._tracer.start_span(name, context, KINDS[kind], _told(facts), linked))
        token = _CURRENT.set(span)
        try:
            with trace.use_span(span.inner, record_exception=False, set_status_on_exception=False):
                yield span
        except BaseException as exc:
            span.tell(error=type(exc).__name__)
            raise
        finally:
            _CURRENT.reset(token)
            span.end()

    def current(self) -> Span:
        inner, ours = trace.get_current_span(), _CURRENT.get()
        return ours if ours is not None and ours.inner is inner else _Span(self._tracer, inner)

    def close(self) -> None:
        ending = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)

    def _context(self, follows: str | None) -> Context | None:
        """Return what a span is in that *follows* from another; None for what this thread is in."""
        if follows is None and self._given is not None and not trace.get_current_span().get_span_context().is_valid:
            follows = self._given
        return None if follows is None else W3C.extract({"traceparent": follows}, Context())


class _Span:
    """A span of the SDK with the step that goes on in it; several threads may tell it."""

    def __init__(self, tracer: trace.Tracer, inner: trace.Span) -> None:
        self.inner = inner
        self._tracer, self._lock = tracer, Lock()
        self._step: trace.Span | None = None
        self._is_over = False

    @property
    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        W3C.inject(carrier, trace.set_span_in_context(self.inner, Context()))
        return carrier.get("traceparent")

    def tell(self, **facts: Fact) -> None:
        self.inner.set_attributes(_told(facts))
        if facts.get("error") is not None:
            self.inner.set_status(trace.StatusCode.ERROR, str(facts["error"]))

    def step(self, name: str) -> None:
        with self._lock:
            if not self._is_over:
                self._end_step()
                self._step = self._tracer.start_span(name, trace.set_span_in_context(self.inner, Context()))

    def end(self) -> None:
        """Let it end with its last step."""
        with self._lock:
            self._is_over = True
            self._end_step()
        self.inner.end()

    def _end_step(self) -> None:
        if self._step is not None:
            self._step.end()
            self._step = None


_CURRENT: ContextVar[_Span | None] = ContextVar("the span of ours that this is in", default=None)


def _context_of(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(W3C.extract({"traceparent": traceparent}, Context())).get_span_context()


def _told(facts: Mapping[str, Fact]) -> dict[str, str | int | float | bool]:
    return {PREFIX + name: value for name, value in facts.items() if value is not None}


class _Seldom(logging.Filter):
    """Lets one line through in a while, and shortens it: a collector that is away is away for every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._told: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if self._told is not None and now - self._told < COMPLAINT_SECONDS:
            return False
        self._told = now
        record.exc_info = None
        return True


def _complain_seldom() -> None:
    """Let the exporter and its queue not fill the log."""
    for name in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Seldom) for one in logger.filters):
            logger.addFilter(_Seldom())
