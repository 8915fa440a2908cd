"""A collector of traces in this process: takes OTLP over HTTP as protobuf, and keeps the spans.

Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP".
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.servers.http import QuietHandler, serving


@dataclass(frozen=True, slots=True)
class Taken:
    """A span as it came. process is what is said of where it came from; links are (trace, span)."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    facts: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    process: dict[str, Any]
    is_error: bool


@dataclass(slots=True)
class Collector:
    """What came so far; status is what is answered."""

    url: str = ""
    status: int = 200
    requests: int = 0
    spans: list[Taken] = field(default_factory=list)
    raw: bytes = b""

    def named(self, name: str) -> list[Taken]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """Give a collector that listens."""
    kept = Collector()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            kept.requests += 1
            if kept.status == 200:
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                kept.raw += body
                kept.spans += _spans(body)
            self.send_response(kept.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield kept


def _spans(body: bytes) -> Iterator[Taken]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        process = {one.key: _value(one.value) for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Taken(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=span.kind,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    facts={one.key: _value(one.value) for one in span.attributes},
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    process=process,
                    is_error=span.status.code == 2,
                )


def _value(value: AnyValue) -> Any:
    return getattr(value, str(value.WhichOneof("value")))
