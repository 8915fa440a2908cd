"""Traces: what is told of spans while work goes on, and to whom. The default is that nobody listens, and nothing is done.

In go names, plain facts and the span that something follows from, as W3C Trace Context writes it; what becomes of them is left
to who listens (`otel`). A span is named by its `traceparent`, which travels with an ingestion through the queue: so one trace
leads from a completion to what was registered, whichever processes it goes through.

Law (with a test of the same name):
    any text is a traceparent or none.

Source: W3C Trace Context, 3.2 "Traceparent Header"; OpenTelemetry, "Environment Variable Specification".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Protocol

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Variables that name a collector of traces; any of them turns traces on."""

Fact = str | int | float | bool | None
"""What is told of a span; None is left out."""


class Kind(StrEnum):
    """What part a span plays."""

    PRODUCER = "producer"
    """Work is put into the queue."""
    CONSUMER = "consumer"
    """Work is taken out of it."""
    CLIENT = "client"
    """Another system is told."""


class Span(Protocol):
    """Something that goes on now."""

    @property
    def traceparent(self) -> str | None:
        """The name of the span; None where nobody listens."""
        ...

    def tell(self, **facts: Fact) -> None:
        """Add *facts* to it; the fact *error* says that it failed, and why."""
        ...

    def step(self, name: str) -> None:
        """Let its step *name* begin, as a span in this one, and the step before end."""
        ...


class Traces(Protocol):
    """Who listens."""

    @property
    def provider(self) -> object | None:
        """What a library that tells of its own spans is to tell; None where nobody listens."""
        ...

    def span(
        self, name: str, kind: Kind, follows: str | None = None, links: Sequence[str | None] | None = None, **facts: Fact
    ) -> AbstractContextManager[Span]:
        """Return a block that is a span: in the one that it *follows* from, or in the current one, or the first of a trace.

        Where *links* are given it is always the first of a trace, and points to those of them that are spans.
        """
        ...

    def current(self) -> Span:
        """Return the span that this thread, or whoever started it in its own context, is in."""
        ...

    def close(self) -> None:
        """Hand over what is left, within a moment; whoever listens then hears no more."""
        ...


class SilentSpan:
    """A span of which nobody hears."""

    traceparent: str | None = None

    def tell(self, **facts: Fact) -> None:
        pass

    def step(self, name: str) -> None:
        pass


class Silent:
    """Nobody listens."""

    provider: object | None = None

    def span(
        self, name: str, kind: Kind, follows: str | None = None, links: Sequence[str | None] | None = None, **facts: Fact
    ) -> AbstractContextManager[Span]:
        return nullcontext(SILENT_SPAN)

    def current(self) -> Span:
        return SILENT_SPAN

    def close(self) -> None:
        pass


SILENT_SPAN, SILENT = SilentSpan(), Silent()


def traceparent_in(text: str | None) -> str | None:
    """Return *text* where it names a span, else None: who sends something odd is answered as if nothing had been sent."""
    return text if text is not None and TRACEPARENT.fullmatch(text) else None


def trace_of(traceparent: str | None) -> str | None:
    """Return the id of the trace that the span is in, None for no span."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    return None if found is None else found[1]


def are_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether the *environment* names a collector that traces are to be sent to."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("otlp", ""):
        return False
    return any(environment.get(name) for name in ENDPOINTS)
