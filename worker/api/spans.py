"""Which requests are spans of a trace: those that change something, as FastAPI tells of them by itself.

A span shows the address of its request with the query. A query that opens something is a secret, so such a request is none.

Source: FastAPI 0.165, "Telemetry".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi.telemetry import TelemetryConfig
from starlette.types import Scope

from worker.api.problems import READS
from worker.tracing import Traces

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


def telemetry_of(traces: Traces) -> TelemetryConfig:
    """Return what FastAPI is to tell, and to whom: nothing where nobody listens, whatever its own variables say."""
    told = TelemetryConfig(
        tracing=traces.provider is not None,
        metrics=False,
        logs=False,
        operation_spans=False,
        auto_configure=False,
        exclude=is_no_span,
    )
    if traces.provider is not None:
        told["tracer_provider"] = cast("TracerProvider", traces.provider)
    return told


def is_no_span(scope: Scope) -> bool:
    """Tell whether a request is left out of traces."""
    return scope["type"] != "http" or scope["method"] in READS or b"signature=" in scope["query_string"]
