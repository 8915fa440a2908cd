"""Accepting work for later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from worker.errors import ConflictingEvent, RegistryUnavailable
from worker.records import CompletionEvent, End, ExperimentState, Ingestion, IngestionState
from worker.registry.memory import MemoryRegistry
from worker.submission import submit

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENT = CompletionEvent(source="test", id="1", model_path="", experiment="e")


class Bell:
    """Counts how often it was rung, and what was committed by then."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.registry = registry
        self.rung: list[int] = []

    def __call__(self) -> None:
        self.rung.append(sum(self.registry.queue(NOON).states.values()))


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def bell(registry: MemoryRegistry) -> Bell:
    return Bell(registry)


def test_the_bell_is_rung_after_the_commit(registry: MemoryRegistry, bell: Bell) -> None:
    ingestion, known = submit(EVENT, registry, NOON, bell)
    assert (ingestion.state, known, bell.rung) == (IngestionState.RECEIVED, False, [1])


def test_a_repeated_event_is_known_and_rings_while_it_waits(registry: MemoryRegistry, bell: Bell) -> None:
    first, _ = submit(EVENT, registry, NOON, bell)
    assert submit(EVENT, registry, NOON, bell) == (first, True)
    registry.discard("default", first.id, "a person", NOON)
    again, known = submit(EVENT, registry, NOON, bell)
    assert (again.id, again.state, known, bell.rung) == (first.id, IngestionState.DISCARDED, True, [1, 1])


@pytest.mark.parametrize("state", [ExperimentState.ERROR, ExperimentState.FAILED, ExperimentState.CANCELED])
def test_what_did_not_end_well_is_recorded_and_not_looked_at(
    registry: MemoryRegistry, bell: Bell, state: ExperimentState
) -> None:
    ingestion, _ = submit(replace(EVENT, state=state), registry, NOON, bell)
    assert (ingestion.state, ingestion.reason) == (IngestionState.IGNORED, f"experiment-{state.value}")
    assert (
        ingestion.message == f"the experiment ended as {state.value}; with MODELPORT_SCAN_FAILED=true such ones are looked at"
    )
    assert bell.rung == []


def test_what_did_not_end_well_is_looked_at_where_that_is_wanted(registry: MemoryRegistry, bell: Bell) -> None:
    ingestion, _ = submit(replace(EVENT, state=ExperimentState.FAILED), registry, NOON, bell, is_failed_scanned=True)
    assert (ingestion.state, bell.rung) == (IngestionState.RECEIVED, [1])


def test_what_was_not_accepted_rings_no_bell(registry: MemoryRegistry, bell: Bell) -> None:
    class Away(MemoryRegistry):
        def submit(
            self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
        ) -> tuple[Ingestion, bool]:
            raise RegistryUnavailable("the database is away")

    with pytest.raises(RegistryUnavailable):
        submit(EVENT, Away(), NOON, bell)
    submit(EVENT, registry, NOON, bell)
    with pytest.raises(ConflictingEvent):
        submit(replace(EVENT, model_path="/other"), registry, NOON, bell)
    assert bell.rung == [1]
