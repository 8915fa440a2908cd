"""What Prometheus is told: read back with its own parser, from a registry that did real steps."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contracts.registry import NOON, claimed, event, failed, register
from worker.connections import Connection, Leaned, Room
from worker.records import IngestionState, Pause, Pulse, SoFar, Took, Worker
from worker.registry.memory import MemoryRegistry
from worker.telemetry import exposition, families, unaccounted


def told(pulse: Pulse, seconds: float = 0) -> dict[str, float]:
    """Return the samples of *pulse*, so many seconds after noon, by name and labels."""
    text, _ = exposition(pulse, NOON + timedelta(seconds=seconds))
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={word}" for name, word in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def test_an_empty_registry_tells_of_nothing(registry: MemoryRegistry) -> None:
    found = told(registry.pulse(NOON, NOON))
    assert set(found.values()) == {0}
    assert "modelport_worker_heartbeat_age_seconds{worker=oldest}" not in found


def test_steps_are_told(registry: MemoryRegistry) -> None:
    register(registry, "1")
    registry.finish(claimed(registry, "2").id, "me", failed(), NOON)
    registry.submit(event("3"), NOON)
    for name, seen in (("a", NOON), ("b", NOON + timedelta(seconds=3))):
        registry.see(Worker(name, "host", 1, NOON, seen))
    found = told(registry.pulse(NOON + timedelta(seconds=4), NOON), 4)
    assert found["modelport_accepted_total{trigger=cli}"] == 3
    assert found["modelport_attempts_total{trigger=cli}"] == 2
    assert found["modelport_ingestions_total{format=onnx,outcome=registered,reason=new-content,trigger=cli}"] == 1
    assert found["modelport_ingestions_total{format=none,outcome=failed,reason=unreadable,trigger=cli}"] == 1
    assert found["modelport_bytes_read_total{outcome=registered}"] == 3
    assert [found[f"modelport_queue_depth{{state={state}}}"] for state in ("received", "waiting", "running")] == [1, 0, 0]
    assert (found["modelport_queue_due"], found["modelport_oldest_waiting_seconds"]) == (1, 4)
    assert (found["modelport_workers"], found["modelport_unaccounted_ingestions"]) == (2, 0)
    assert [found[f"modelport_worker_heartbeat_age_seconds{{worker={which}}}"] for which in ("newest", "oldest")] == [1, 4]


def test_what_pauses_is_told_by_why_in_known_words(registry: MemoryRegistry) -> None:
    for id, reason in (("1", "store-unavailable"), ("2", "not-settled"), ("3", "not-settled"), ("4", "odd\nword")):
        pause = Pause(5.0, False, reason, "why", SoFar())
        registry.wait(claimed(registry, id).id, "me", pause, NOON)
    found = {name: value for name, value in told(registry.pulse(NOON, NOON)).items() if "pausing" in name}
    assert found == {
        "modelport_queue_pausing{reason=store-unavailable}": 1,
        "modelport_queue_pausing{reason=not-settled}": 2,
        "modelport_queue_pausing{reason=other}": 1,
    }


def test_waits_are_a_histogram(registry: MemoryRegistry) -> None:
    for number, seconds in enumerate((0.05, 0.5, 7, 3000)):
        registry.submit(event(f"{number}"), NOON)
        registry.claim_next("me", NOON + timedelta(seconds=seconds))
    found = told(registry.pulse(NOON, NOON))
    buckets = [found[f"modelport_wait_seconds_bucket{{le={le}}}"] for le in ("0.1", "0.5", "5.0", "10.0", "1800.0", "+Inf")]
    assert buckets == [1, 2, 2, 3, 3, 4]
    assert (found["modelport_wait_seconds_count"], found["modelport_wait_seconds_sum"]) == (4, pytest.approx(3007.55))


def test_times_of_steps_are_a_histogram_each(registry: MemoryRegistry) -> None:
    registry.took([Took("settle", 0.2), Took("settle", 7)])
    found = told(registry.pulse(NOON, NOON))
    buckets = [found[f"modelport_step_seconds_bucket{{le={le},step=settle}}"] for le in ("0.1", "0.5", "5.0", "10.0", "+Inf")]
    assert buckets == [0, 1, 1, 2, 2]
    assert found["modelport_step_seconds_sum{step=settle}"] == pytest.approx(7.2)
    assert found["modelport_step_seconds_count{step=register}"] == 0


def test_what_was_accepted_or_retried_has_ended_or_is_in_flight(registry: MemoryRegistry) -> None:
    ended = claimed(registry, "1")
    registry.finish(ended.id, "me", failed(), NOON)
    registry.retry("default", ended.id, "ada", NOON)
    registry.submit(event("2"), NOON)
    pulse = registry.pulse(NOON, NOON)
    assert unaccounted(pulse) == 0
    assert unaccounted(Pulse(pulse.counts, {IngestionState.RECEIVED: 1}, {}, 1, NOON, ())) == 1


def test_no_odd_name_makes_a_series(registry: MemoryRegistry) -> None:
    register(registry, "1")
    before = set(told(registry.pulse(NOON, NOON)))
    for number in range(1000):
        odd = event(
            f"{number}", team=f"team {number}", project=f"p{number}", experiment=f'"}}\n{number}', name=f"name {number}"
        )
        register(registry, odd.id, event=odd) if False else registry.submit(odd, NOON)
        registry.see(Worker(f"worker {number}", f"host {number}", number, NOON, NOON))
    after = set(told(registry.pulse(NOON, NOON)))
    assert len(after) < 140
    assert after - before <= {f"modelport_worker_heartbeat_age_seconds{{worker={which}}}" for which in ("newest", "oldest")}


def test_connections_are_told_in_closed_words(registry: MemoryRegistry) -> None:
    seen = (
        Connection(Leaned.DATABASE, "sqlite:///x", None, None, 0.001, NOON),
        Connection(Leaned.STORE, "/srv/odd \n store", "it is away", None, None, NOON),
        Connection(Leaned.HOME, "/srv/home", None, Room(100, 25), 0.002, NOON),
    )
    text, _ = exposition(registry.pulse(NOON, NOON), NOON, connections=seen)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name.startswith(("modelport_connection", "modelport_volume"))
    }
    assert found == {
        ("modelport_connection_up", "database"): 1,
        ("modelport_connection_up", "store"): 0,
        ("modelport_connection_up", "home"): 1,
        ("modelport_connection_seconds", "database"): 0.001,
        ("modelport_connection_seconds", "home"): 0.002,
        ("modelport_volume_size_bytes", "home"): 100,
        ("modelport_volume_free_bytes", "home"): 25,
    }


def test_who_asks_for_openmetrics_is_given_it(registry: MemoryRegistry) -> None:
    text, media_type = exposition(registry.pulse(NOON, NOON), NOON, "application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_the_page_of_the_documentation_names_every_metric_and_its_labels() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    told_by_page = {
        name: (re.findall(r"`(\w+)`", labels), words)
        for name, labels, words in re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    }
    known = {}
    for family in families(Pulse([], {}, {}, 0, None, []), NOON):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        known[name] = (list(getattr(family, "_labelnames", ())), family.documentation)
    assert told_by_page == known
