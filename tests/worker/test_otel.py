"""Spans as OpenTelemetry's SDK makes them, taken by a collector in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import onnx
from tests.contracts.registry import SPAN
from tests.servers.otlp import Collector, Taken, collector
from tests.worker.test_ingest import make_borders
from worker import traced
from worker.ingest import Borders, ingest
from worker.otel import Otel
from worker.records import CompletionEvent, Trigger
from worker.registry.memory import MemoryRegistry
from worker.runner import Runner
from worker.storage.memory import MemoryStore
from worker.tracing import Kind, trace_of, traceparent_in


@pytest.fixture
def taken() -> Iterator[Collector]:
    with collector() as kept:
        yield kept


@pytest.fixture
def otel(taken: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Otel]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", taken.url)
    listening = Otel({}, "worker", "w")
    yield listening
    listening.close()


def one(taken: Collector, name: str) -> Taken:
    (found,) = taken.named(name)
    return found


def test_a_span_is_in_the_one_that_it_follows_or_in_the_current_one(otel: Otel, taken: Collector) -> None:
    with otel.span("outer", Kind.CONSUMER, SPAN) as outer:
        assert otel.current() is outer
        with otel.span("inner", Kind.CLIENT, ingestion="in1", nothing=None) as inner:
            assert otel.current() is inner
        assert otel.current() is outer
    assert otel.current().traceparent is None
    otel.close()
    assert (one(taken, "outer").trace, one(taken, "outer").parent) == ("1" * 32, "2" * 16)
    assert (one(taken, "inner").trace, one(taken, "inner").parent) == ("1" * 32, one(taken, "outer").id)
    assert one(taken, "inner").facts == {"modelport.ingestion": "in1"}
    assert one(taken, "inner").process["service.name"] == "modelport"
    assert one(taken, "inner").process["service.instance.id"] == "w"


def test_a_span_with_links_is_the_first_of_its_trace(otel: Otel, taken: Collector) -> None:
    with otel.span("outer", Kind.CONSUMER, SPAN), otel.span("retry", Kind.PRODUCER, links=(SPAN, None)) as span:
        assert traceparent_in(span.traceparent) is not None
        assert trace_of(span.traceparent) != "1" * 32
    otel.close()
    assert one(taken, "retry").parent == ""
    assert one(taken, "retry").links == (("1" * 32, "2" * 16),)


def test_what_was_not_sampled_before_is_not_sampled_here(otel: Otel, taken: Collector) -> None:
    with otel.span("outer", Kind.CONSUMER, SPAN[:-2] + "00") as span:
        assert span.traceparent is not None
        assert span.traceparent.endswith("-00")
        assert trace_of(span.traceparent) == "1" * 32
    otel.close()
    assert taken.spans == []


def test_a_span_that_ended_is_told_nothing_more(otel: Otel, taken: Collector) -> None:
    """A thread that hung comes back after its attempt was given up."""
    with otel.span("attempt", Kind.CONSUMER) as span:
        span.step("resolve")
    span.step("settle")
    otel.close()
    assert sorted(span.name for span in taken.spans) == ["attempt", "resolve"]


def test_steps_follow_one_another_in_their_span(otel: Otel, taken: Collector) -> None:
    with otel.span("attempt", Kind.CONSUMER) as span:
        for name in ("resolve", "settle"):
            span.step(name)
    otel.close()
    resolve, settle, attempt = (one(taken, name) for name in ("resolve", "settle", "attempt"))
    assert resolve.parent == settle.parent == attempt.id
    assert attempt.start <= resolve.start <= resolve.end <= settle.start <= settle.end <= attempt.end


def test_what_raises_is_an_error_and_says_no_more_than_its_kind(otel: Otel, taken: Collector) -> None:
    with pytest.raises(ValueError, match="the password"), otel.span("deliver", Kind.CLIENT):
        raise ValueError("the password is x")
    otel.close()
    assert one(taken, "deliver").is_error
    assert one(taken, "deliver").facts == {"modelport.error": "ValueError"}
    assert b"password" not in taken.raw


def test_a_thread_that_is_given_no_context_is_in_no_span(otel: Otel) -> None:
    seen = []
    with otel.span("attempt", Kind.CONSUMER):
        thread = threading.Thread(target=lambda: seen.append(otel.current().traceparent))
        thread.start()
        thread.join()
    assert seen == [None]


def test_the_end_waits_for_a_collector_no_longer_than_a_moment(otel: Otel, taken: Collector) -> None:
    taken.status = 503
    with otel.span("attempt", Kind.CONSUMER):
        pass
    began = time.monotonic()
    otel.close()
    assert time.monotonic() - began < 4


@pytest.fixture
def borders(otel: Otel) -> Borders:
    plain = make_borders(MemoryRegistry(), MemoryStore())
    registry = traced.TracedRegistry(plain.registry, otel)
    return replace(plain, registry=registry, attempt=lambda ingestion: traced.attempt(otel, ingestion))


def event_of(folder: Path, name: str = "e7", trigger: Trigger = Trigger.COMPLETION) -> CompletionEvent:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx.model())
    return CompletionEvent("test", name, str(folder), experiment=name, trigger=trigger)


def test_an_attempt_continues_the_trace_in_which_its_event_was_accepted(
    borders: Borders, otel: Otel, taken: Collector, tmp_path: Path
) -> None:
    ingestion, _ = borders.registry.submit(event_of(tmp_path / "run"), borders.clock.now())
    assert Runner(borders, "w").work_off(1) == 1
    otel.close()
    accepted, attempt = one(taken, "accept completion"), one(taken, "attempt")
    assert (attempt.trace, attempt.parent) == (accepted.trace, accepted.id)
    assert accepted.facts["modelport.ingestion"] == attempt.facts["modelport.ingestion"] == ingestion.id
    assert attempt.facts["modelport.state"] == "registered"
    assert [one.name for one in sorted(taken.spans, key=lambda one: one.start) if one.parent == attempt.id] == [
        "resolve",
        "settle",
        "detect",
        "store",
        "register",
    ]


def test_what_is_ingested_on_the_spot_is_one_trace_too(borders: Borders, otel: Otel, taken: Collector, tmp_path: Path) -> None:
    outcome = ingest(event_of(tmp_path / "run", trigger=Trigger.CLI), borders)
    otel.close()
    assert {span.trace for span in taken.spans} == {trace_of(outcome.ingestion.event.traceparent)}
    assert one(taken, "attempt").facts["modelport.ingestion"] == outcome.ingestion.id


def test_a_border_that_is_traced_answers_as_the_one_inside(borders: Borders, otel: Otel, tmp_path: Path) -> None:
    """A registry behind it keeps, refuses and moves as it would by itself; only the span of an event is new."""
    plain = MemoryRegistry()
    traced_registry = traced.TracedRegistry(plain, otel)
    event, now = event_of(tmp_path / "run"), borders.clock.now()
    first, known = traced_registry.submit(event, now)
    assert not known
    assert traced_registry.submit(event, now) == (first, True)
    assert plain.ingestion("default", first.id) == first
    assert replace(first.event, traceparent=None) == event
    assert traced_registry.retry("default", first.id, "a person", now) is None
    assert traced_registry.retry("default", "in?", "a person", now) is None
    assert not traced_registry.wait(first.id, "nobody", None, now)  # type: ignore[arg-type]
    assert traced_registry.free(now) == []
    assert traced_registry.claim_next("me", now) == plain.ingestion("default", first.id)
