"""Care keeps its contract in memory and in a database, looks along indexes, and leaves nothing half-done."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.contracts.care import ALL, NEW_YEAR, CareContract, ended
from tests.contracts.registry import NOON, Build, register
from tests.worker.registry.test_sql import BuildSql, failing_at
from worker.errors import RegistryUnavailable
from worker.records import IngestionQuery
from worker.registry import care
from worker.registry.memory import MemoryRegistry
from worker.registry.sql import SqlRegistry


class TestMemoryCare(CareContract):
    @pytest.fixture
    def build(self) -> Build:
        return MemoryRegistry


class TestSqlCare(CareContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


@pytest.fixture
def registry(build: BuildSql) -> SqlRegistry:
    return build()


def plan_of(registry: SqlRegistry, statement: str) -> str:
    with registry.engine.connect() as connection:
        return " | ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")))


def test_what_was_looked_at_longest_ago_is_found_along_an_index(registry: SqlRegistry) -> None:
    for condition in ("deleted IS NULL AND files_looked IS NULL", "deleted IS NULL AND files_looked < 'x'"):
        order = "sequence" if "IS NULL AND files_looked IS" in condition else "files_looked, sequence"
        plan = plan_of(registry, f"SELECT id FROM model_versions WHERE {condition} ORDER BY {order} LIMIT 5")
        assert "ix_model_versions_looked" in plan
        assert "TEMP B-TREE" not in plan


def test_what_may_go_is_found_along_an_index(registry: SqlRegistry) -> None:
    statement = care.oldest_fruitless(NEW_YEAR, 5)
    plan = plan_of(registry, str(statement.compile(registry.engine, compile_kwargs={"literal_binds": True})))
    assert "ix_ingestions_fruitless (updated<?)" in plan
    assert "TEMP B-TREE" not in plan
    assert "ix_deliveries_ingestion_id" in plan


@pytest.mark.parametrize("statement", range(6))
def test_a_removal_that_fails_has_removed_nothing(registry: SqlRegistry, statement: int) -> None:
    """BEGIN, look, keep the events, remove the steps, remove the ingestions, COMMIT: each may be the last."""
    ids = {ended(registry, f"run-{number}").id for number in range(3)}
    register(registry, "kept")
    with failing_at(registry, statement, []), pytest.raises(RegistryUnavailable):
        registry.care.remove(ALL, 10)
    left = {one.id for one in registry.ingestions(IngestionQuery())}
    assert ids <= left
    assert all(len(registry.history(id)) == 3 for id in ids)
    assert registry.contradictions(NOON) == []
    assert registry.care.remove(ALL, 10).history == 3
    assert registry.contradictions(NEW_YEAR) == []
