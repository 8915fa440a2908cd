"""How the work of a team stands is counted in indexes, whatever has come to lie there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event as hooks

from tests.contracts.registry import NOON, claimed, failed
from tests.worker.registry.many import multiply
from worker.records import IngestionQuery, IngestionState, Trigger
from worker.registry.sql import SqlRegistry

FAILED = IngestionState.FAILED


@pytest.fixture
def registry(build: Callable[..., SqlRegistry]) -> SqlRegistry:
    return build()


def fill(registry: SqlRegistry, count: int) -> None:
    """Let so many have failed, half of them by another reason, behind one that a worker brought to that end; and four times as
    many have been registered after them.
    """
    assert registry.finish(claimed(registry, "first", experiment="e").id, "me", failed("broken"), NOON)
    made = {name: f"'{name}' || number" for name in ("id", "event_key", "version_id", "experiment")}
    made["state"] = "CASE WHEN number <= :count THEN 'failed' ELSE 'registered' END"
    made["reason"] = "CASE WHEN number > :count THEN 'new-content' WHEN number % 2 = 0 THEN 'broken' ELSE 'unreadable' END"
    made["format"] = "CASE WHEN number % 7 = 0 THEN 'keras' WHEN number > :count THEN 'onnx' END"
    multiply(registry, made, "5 * :count", count)


def plans(registry: SqlRegistry, work: Any) -> list[str]:
    """Return how the database answers each statement of *work*."""
    explain = "EXPLAIN QUERY PLAN" if registry.engine.dialect.name == "sqlite" else "EXPLAIN"
    found: list[str] = []

    def look(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: object) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")) and "ingestions" in statement:
            other = connection.connection.cursor()
            other.execute(f"{explain} {statement}", parameters)
            found.append(" ".join(str(row[-1]) for row in other.fetchall()))

    engines = {registry._reading, registry._reading_one}
    for engine in engines:
        hooks.listen(engine, "before_cursor_execute", look)
    work()
    for engine in engines:
        hooks.remove(engine, "before_cursor_execute", look)
    return found


class StandingOnDisk:
    """What a database answers, of either kind."""

    @pytest.mark.parametrize("team", ["default", None])
    def test_nothing_is_read_or_sorted_but_what_an_index_gives(self, registry: SqlRegistry, team: str | None) -> None:
        fill(registry, 5000)
        registry.create_team("red", NOON)
        told = plans(registry, lambda: registry.standing(team, NOON + timedelta(hours=1), NOON + timedelta(minutes=30)))
        assert len(told) >= 8
        for plan in told:
            assert "Seq Scan on ingestions" not in plan
            assert "SCAN ingestions" not in plan or "COVERING INDEX" in plan
        assert any("ix_ingestions_failed" in plan for plan in told)
        assert any("ix_ingestions_finished" in plan for plan in told)

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            (IngestionQuery(state=FAILED, reason="changed", limit=51), "ix_ingestions_failed"),
            (IngestionQuery(experiment="experiment17", limit=51), "ix_ingestions_experiment"),
            (IngestionQuery("red", limit=51), "ix_ingestions_"),
            (IngestionQuery(format="tflite", limit=51), "ix_ingestions_format"),
            (IngestionQuery(format="keras", state=FAILED, limit=51), "ix_ingestions_format"),
        ],
    )
    def test_a_list_comes_from_an_index_in_its_order(self, registry: SqlRegistry, query: IngestionQuery, index: str) -> None:
        fill(registry, 5000)
        [plan] = plans(registry, lambda: registry.ingestions(query))
        assert index in plan
        assert "Seq Scan on ingestions" not in plan
        assert "TEMP B-TREE" not in plan

    @pytest.mark.parametrize(
        "query",
        [
            IngestionQuery(None, state=IngestionState.RUNNING, limit=51),
            IngestionQuery(None, state=FAILED, reason="changed", limit=51),
            IngestionQuery(None, experiment="experiment17", limit=51),
            IngestionQuery(None, format="tflite", limit=51),
        ],
        ids=["state", "reason", "experiment", "format"],
    )
    def test_a_list_of_all_teams_reads_the_rows_that_it_shows(self, registry: SqlRegistry, query: IngestionQuery) -> None:
        fill(registry, 5000)
        registry.create_team("red", NOON)
        *places, _ = found = plans(registry, lambda: registry.ingestions(query))
        assert len(places) == len(registry.teams())
        assert all("ix_ingestions_" in plan and "TEMP B-TREE" not in plan for plan in places)
        assert not [plan for plan in found if "Seq Scan on ingestions" in plan or "SCAN ingestions" in plan]

    def test_the_figures_are_those_of_the_rows(self, registry: SqlRegistry) -> None:
        fill(registry, 5000)
        standing = registry.standing("default", NOON, NOON)
        assert [(one.reason, one.count) for one in standing.failures] == [("broken", 2501), ("unreadable", 2500)]
        assert [one.newest.id for one in standing.failures] == ["id5000", "id4999"]
        assert standing.finished == {NOON.replace(microsecond=0): {FAILED: 5001, IngestionState.REGISTERED: 20_000}}
        counted = registry.count_ingestions
        assert (counted(IngestionQuery(state=FAILED, reason="broken")), counted(IngestionQuery(trigger=Trigger.CLI))) == (
            2501,
            25_001,
        )


class TestSqlStanding(StandingOnDisk):
    """SQLite knows nothing about the rows but the indexes."""

    def test_those_of_all_teams_that_finished_are_sought_by_when_they_did(self, registry: SqlRegistry) -> None:
        fill(registry, 500)
        registry.create_team("red", NOON)
        told = plans(registry, lambda: registry.standing(None, NOON + timedelta(hours=1), NOON))
        assert not [plan for plan in told if "ix_ingestions_state (state=? AND team=?)" in plan]
        assert sum("COVERING INDEX ix_ingestions_finished" in plan for plan in told) == 4
