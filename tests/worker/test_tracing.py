"""Traces without anybody who listens, and the words that name a span."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.conftest import without_settings
from worker.tracing import SILENT, Kind, are_wanted, trace_of, traceparent_in

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GOOD = f"00-{TRACE}-00f067aa0ba902b7-01"


@given(st.text() | st.from_regex("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_any_text_is_a_traceparent_or_none(text: str) -> None:
    assert traceparent_in(text) in (text, None)
    assert (trace_of(text) is None) == (traceparent_in(text) is None)


def test_a_traceparent_is_taken_as_it_stands() -> None:
    assert traceparent_in(GOOD) == GOOD
    assert trace_of(GOOD) == TRACE


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        GOOD.upper(),
        f"{GOOD}-",
        f"{GOOD}\n",
        f" {GOOD}",
        GOOD.replace("00-4", "ff-4"),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_what_names_no_span_is_passed_over(text: str | None) -> None:
    assert traceparent_in(text) is None
    assert trace_of(text) is None


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_traces_are_on_where_a_collector_is_named(environment: dict[str, str], wanted: bool) -> None:
    assert are_wanted(environment) is wanted


def test_nobody_hears_of_a_silent_span() -> None:
    with SILENT.span("attempt", Kind.CONSUMER, GOOD, ingestion="in1") as span:
        span.step("resolve")
        span.tell(state="registered")
        assert span.traceparent is None
        assert SILENT.current().traceparent is None


IMPORTED = """
import os, sys
from pathlib import Path
os.environ["MODELPORT_HOME"] = sys.argv[1]
from worker.bootstrap import embedded
import worker.loop, worker.sweeper, worker.runner, worker.celery_app
with embedded(os.environ, Path.cwd(), role="worker") as service:
    service.borders()
    found = sorted(name for name in sys.modules if name.partition(".")[0] == "opentelemetry" or name == "worker.otel")
print(found[:3])
"""


def run(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", code, str(home)]
    return subprocess.run(call, env=without_settings() | environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("off", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}])
def test_nothing_of_opentelemetry_is_imported_where_traces_are_off(off: dict[str, str], tmp_path: Path) -> None:
    assert run(IMPORTED, tmp_path, **off).stdout == "[]\n"


def test_without_the_extra_a_process_starts_and_says_so(tmp_path: Path) -> None:
    missing = "import sys; sys.modules['opentelemetry.sdk'] = None; from worker import logs; logs.configure()\n"
    code = missing + IMPORTED.replace("found = ", "assert service.traces.provider is None; found = ")
    said = run(code, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318").stderr
    assert said.count("event='no traces are sent'") == 1
    assert "modelport[otel]" in said
