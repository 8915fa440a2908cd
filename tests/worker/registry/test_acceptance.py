"""Several events in one transaction are accepted as if they had come one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from sqlalchemy import event as hooks

from tests.contracts.registry import NOON, event
from worker.errors import ConflictingEvent
from worker.records import CompletionEvent, End, IngestionState
from worker.registry.acceptance import Accepted, Submission, accept
from worker.registry.sql import SqlRegistry


@pytest.fixture
def registry(build: Callable[..., SqlRegistry]) -> SqlRegistry:
    return build()


def accepted(registry: SqlRegistry, *events: CompletionEvent, end: End | None = None) -> list[Accepted | ConflictingEvent]:
    numbers = itertools.count()
    submissions = [Submission(one, NOON, None, end) for one in events]
    with registry.engine.begin() as connection:
        return accept(connection, submissions, lambda: (f"in{next(numbers)}", f"mo{next(numbers)}"), 60.0)


def test_each_event_has_its_own_ingestion_and_the_next_turn(registry: SqlRegistry) -> None:
    answers = accepted(registry, event("1"), event("2"), event("3", team="other"))
    assert [(one[0].event.id, one[0].turn, one[1]) for one in answers if isinstance(one, tuple)] == [
        ("1", 1, False),
        ("2", 2, False),
        ("3", 1, False),
    ]
    for one in answers:
        assert isinstance(one, tuple)
        assert registry.ingestion(one[0].event.team, one[0].id) == one[0]
        assert [entry.state for entry in registry.history(one[0].id)] == [IngestionState.RECEIVED]


def test_an_event_that_comes_twice_is_one_ingestion(registry: SqlRegistry) -> None:
    first, second = accepted(registry, event("1"), event("1"))
    assert isinstance(first, tuple)
    assert second == (first[0], True)


def test_one_that_contradicts_another_is_refused_alone(registry: SqlRegistry) -> None:
    first, second, third = accepted(registry, event("1"), event("1", model_path="/elsewhere"), event("2"))
    assert isinstance(second, ConflictingEvent)
    assert [isinstance(one, tuple) for one in (first, third)] == [True, True]


def test_what_ends_at_once_has_both_steps_in_its_history(registry: SqlRegistry) -> None:
    (answer,) = accepted(registry, event("1"), end=End(IngestionState.IGNORED, "experiment-failed", "why"))
    assert isinstance(answer, tuple)
    steps = [entry.state for entry in registry.history(answer[0].id)]
    assert steps == [IngestionState.RECEIVED, IngestionState.IGNORED]


def test_a_hundred_events_take_as_many_statements_as_one(registry: SqlRegistry) -> None:
    statements: list[str] = []
    hooks.listen(registry.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    accepted(registry, event("one"))
    alone = len(statements)
    with registry.engine.begin() as connection:
        submissions = [Submission(event(f"of-hundred-{number}"), NOON, None, None) for number in range(100)]
        ids = itertools.count()
        accept(connection, submissions, lambda: (f"inx{next(ids)}", f"mox{next(ids)}"), 60.0)
    assert len(statements) - alone <= alone + 1  # BEGIN
