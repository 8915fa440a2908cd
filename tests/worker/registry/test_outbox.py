"""The outboxes do what every outbox does; that of a database also where many processes and failures meet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.contracts.outbox import Build, OutboxContract, told_of
from tests.contracts.registry import LATER, claimed, failed, new_version
from tests.worker.registry.test_processes import ROOT
from tests.worker.registry.test_sql import everything, failed_with_a_full_disk
from worker import delivery as steps
from worker.delivery import LIFE, DeliveryKind, DeliveryQuery, DeliveryState
from worker.records import IngestionQuery, IngestionState, VersionQuery
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


def register_once(registry: SqlRegistry) -> None:
    [mine] = registry.owned()
    registry.register(mine.id, "me", new_version(mine), LATER)


def claim_once(registry: SqlRegistry) -> None:
    registry.outbox.claim("mlflow", "me", LATER)


def keep_once(registry: SqlRegistry) -> None:
    [running] = told_of(registry)
    registry.outbox.keep(steps.told(running, "there", LATER), "me")


def retry_once(registry: SqlRegistry) -> None:
    registry.outbox.retry("default", told_of(registry)[0].id, LATER)


def fail_once(registry: SqlRegistry) -> None:
    [mine] = registry.owned()
    registry.finish(mine.id, "me", failed(), LATER)


def delete_once(registry: SqlRegistry) -> None:
    registry.delete("default", told_of(registry)[0].version_id or "", LATER)


def test_a_statement_that_fails_leaves_version_and_deliveries_as_they_were(build: Callable[..., SqlRegistry]) -> None:
    """Each statement of each step in the life of a delivery fails once, BEGIN and COMMIT too; then the step succeeds."""
    registry = build(destinations={"mlflow": {*LIFE, DeliveryKind.FAILED}})
    claimed(registry, "1")
    for step in (register_once, claim_once, keep_once, retry_once, delete_once, fail_once):
        if step is fail_once:
            claimed(registry, "2")
        before, seen, failures = everything(registry), list[str](), 0
        while failed_with_a_full_disk(registry, step, failures, seen):
            assert everything(registry) == before, step
            failures += 1
        assert failures >= 3
        assert everything(registry) != before
    assert [one.state for one in told_of(registry)] == [DeliveryState.WAITING] * 3


def test_each_is_delivered_once_by_many_processes(database: str) -> None:
    check_that_each_is_delivered_once(database)


def check_that_each_is_delivered_once(database: str) -> None:
    """Six processes register fifteen each, and deliver after each one: nothing is delivered twice, and nothing left out."""
    told = [id for ids in in_processes("deliver", database) for id in ids]
    registry = SqlRegistry(database)
    told += [one.id for one in iter(lambda: registry.outbox.claim("mlflow", "me", LATER), None)]
    everyone = registry.outbox.deliveries(DeliveryQuery("default", limit=1000))
    registry.close()
    assert len(told) == len(set(told)) == len(everyone) == 90
    assert {one.attempts for one in everyone} == {1}


def test_a_kill_before_any_statement_leaves_each_version_with_its_delivery(database: str) -> None:
    check_that_kills_lose_nothing(database)


def check_that_kills_lose_nothing(database: str) -> None:
    """What was killed on its way from the claim to the end is due again, and what was registered was told in the end."""
    killed = in_processes("killed", database)
    registry = SqlRegistry(database)
    living = {version.id for version in registry.versions(VersionQuery(limit=1000))}
    registered = {id for id, _ in registry.store_keys()}
    noted = told_of(registry, limit=1000, destination="mlflow")
    assert killed > 18
    failures = registry.ingestions(IngestionQuery(state=IngestionState.FAILED))
    assert [one.ingestion_id for one in told_of(registry, destination="webhook")] == [one.id for one in reversed(failures)]
    assert {one.version_id for one in noted if one.kind is DeliveryKind.REGISTERED} == registered
    assert {one.version_id for one in noted if one.kind is DeliveryKind.DELETED} == registered - living
    assert len(noted) == 2 * len(registered) - len(living)
    while (found := registry.outbox.claim("mlflow", "next", LATER + timedelta(days=1))) is not None:
        assert registry.outbox.keep(steps.told(found, "there", LATER), "next")
    assert {one.state for one in told_of(registry, limit=1000, destination="mlflow")} == {DeliveryState.DELIVERED}
    registry.close()


def in_processes(mode: str, database: str) -> Any:
    command = [sys.executable, "-m", "tests.worker.registry.outbox_processes", mode, database]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_deliveries_that_are_due_are_found_by_their_index(build: Callable[..., SqlRegistry]) -> None:
    registry = build(destinations={"mlflow": LIFE})
    asked = DUE.compile(registry.engine)
    with registry.engine.connect() as connection:
        values = tuple(asked.params[name] for name in asked.positiontup or ())
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values).fetchall()
    assert [row[-1] for row in plan] == [
        "SEARCH deliveries USING INDEX ix_deliveries_due (destination=? AND due<?)",
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH earlier USING INDEX ix_deliveries_version_id (version_id=? AND rowid<?)",
    ]
