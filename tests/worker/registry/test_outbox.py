"""The outboxes do what every outbox does; that of a database also where many processes and failures meet."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.exc import OperationalError

from tests.contracts.outbox import Build, OutboxContract, told_of
from tests.contracts.registry import LATER, claimed, new_version
from worker.errors import RegistryUnavailable
from worker.records import IngestionState
from worker.registry.memory import MemoryRegistry
from worker.registry.outbox import DUE
from worker.registry.sql import SqlRegistry


class TestMemoryOutbox(OutboxContract):
    @pytest.fixture
    def build(self) -> Build:
        return MemoryRegistry


class TestSqlOutbox(OutboxContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


def test_a_delivery_that_cannot_be_written_takes_the_version_back(build: Callable[..., SqlRegistry]) -> None:
    registry = build(destinations=("mlflow",))
    mine = claimed(registry, "1")

    def fail(connection: object, cursor: object, said: str, *rest: object) -> None:
        if said.startswith("INSERT INTO deliveries"):
            raise OperationalError(said, None, sqlite3.OperationalError("database or disk is full"))

    hooks.listen(registry.engine, "before_cursor_execute", fail)
    with pytest.raises(RegistryUnavailable):
        registry.register(mine.id, "me", new_version(mine), LATER)
    hooks.remove(registry.engine, "before_cursor_execute", fail)
    assert registry.version("default", mine.version_id) is None
    assert [one.state for one in registry.owned()] == [IngestionState.RUNNING]
    assert told_of(registry) == []
    assert registry.register(mine.id, "me", new_version(mine), LATER) is not None
    assert len(told_of(registry)) == 1


def test_deliveries_that_are_due_are_found_by_their_index(build: Callable[..., SqlRegistry]) -> None:
    registry = build(destinations=("mlflow",))
    asked = DUE.compile(registry.engine)
    with registry.engine.connect() as connection:
        values = tuple(asked.params[name] for name in asked.positiontup or ())
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values).fetchall()
    assert [row[-1] for row in plan] == [
        "SEARCH deliveries USING INDEX ix_deliveries_due (destination=? AND due<?)",
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH earlier USING INDEX ix_deliveries_version_id (version_id=? AND rowid<?)",
    ]
