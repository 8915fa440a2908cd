"""The line that claims are made from, on SQLite: what is asked, and that an index answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event as hooks

from tests.contracts.registry import LATER, NOON, PAUSE, claimed, claimed_ids, event
from worker.registry import line
from worker.registry.sql import SqlRegistry


@pytest.fixture
def registry(build: Callable[..., SqlRegistry]) -> SqlRegistry:
    return build()


def asked(registry: SqlRegistry) -> list[tuple[str, object]]:
    """Return what is asked of the registry's database from now on, with the parameters."""
    statements: list[tuple[str, object]] = []
    hooks.listen(registry.engine, "before_cursor_execute", lambda *arguments: statements.append((arguments[2], arguments[3])))
    return statements


def plan(registry: SqlRegistry, statement: str, parameters: object) -> list[str]:
    """Return how SQLite goes about *statement*, table by table."""
    with registry.engine.connect() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[call-overload]
        return [row[3] for row in found if " ingestions" in row[3]]


def test_a_claim_and_an_acceptance_look_at_the_line_through_its_indexes(registry: SqlRegistry) -> None:
    pausing = claimed(registry, "c", team="c")
    registry.wait(pausing.id, "me", PAUSE, LATER)
    statements = asked(registry)
    registry.submit(event("a"), LATER)
    registry.claim_next("me", LATER)
    looks = [(said, given) for said, given in statements if "turn" in said.partition("WHERE")[2]]
    found = [plan(registry, said, given) for said, given in looks]
    assert [[step.split(" (")[0] for step in steps] for steps in found] == [
        [
            "SEARCH ingestions USING INDEX ix_ingestions_team_turn",
            "SEARCH ingestions USING INDEX ix_ingestions_claimable",
        ],
        [
            "SEARCH ingestions USING INDEX ix_ingestions_claimable",
            "SEARCH ingestions USING INDEX ix_ingestions_claimable",
        ],
    ]


def test_a_claim_asks_for_the_next_and_for_pauses_that_are_over_at_once(registry: SqlRegistry) -> None:
    registry.submit(event("a"), NOON)
    statements = asked(registry)
    registry.claim_next("me", LATER)
    assert [said.split()[0] for said, _ in statements] == ["BEGIN", "SELECT", "UPDATE", "INSERT", "INSERT"]


def test_more_pauses_than_are_looked_at_in_one_claim_are_over_in_their_order(
    registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OVER", line.OVER.limit(2))
    for number in range(5):
        paused = claimed(registry, f"c-{number}", team="c")
        registry.wait(paused.id, "me", replace(PAUSE, seconds=5 - number), LATER)
    assert claimed_ids(registry, NOON + timedelta(minutes=1)) == ["c-4", "c-3", "c-2", "c-1", "c-0"]
