"""Several processes on one SQLite file: unique keys decide, and a process that is killed leaves all or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.contracts.registry import LATER, new_version
from worker.records import Counted, IngestionState
from worker.registry.migrate import REVISIONS, pending
from worker.registry.sql import SqlRegistry
from worker.registry.tables import metadata

ROOT = Path(__file__).parents[3]

TABLES_OF_A_VERSION = ("model_versions", "version_files", "version_metrics", "version_findings")


def run(mode: str, database: str) -> Any:
    command = [sys.executable, "-m", "tests.worker.registry.processes", mode, database]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_event_is_one_ingestion_for_many_processes(database: str) -> None:
    answers = run("same-event", database)
    assert len(answers) == 6
    assert len({ingestion_id for ingestion_id, known in answers}) == 1
    assert [known for ingestion_id, known in answers].count(False) == 1


def test_one_of_many_processes_registers_equal_content(database: str) -> None:
    answers = run("same-content", database)
    assert len(answers) == 6
    assert len({version_id for version_id, is_new in answers}) == 1
    assert [is_new for version_id, is_new in answers].count(True) == 1


def test_many_processes_submit_and_claim_at_once(database: str) -> None:
    check_that_each_is_claimed_once(database)


def check_that_each_is_claimed_once(database: str) -> None:
    """Six processes submit twenty each, and claim after each one: nothing is claimed twice, and nothing left out."""
    answers = run("queue", database)
    submitted = [one for ids, _ in answers for one in ids]
    claimed = [one for _, ids in answers for one in ids]
    registry = SqlRegistry(database)
    claimed += [one.id for one in iter(lambda: registry.claim_next("me", LATER), None)]
    registry.close()
    assert len(submitted) == len(set(submitted)) == 120
    assert sorted(claimed) == sorted(submitted)


def test_one_of_many_processes_migrates_an_empty_database(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'new.db'}"
    answers = run("migrate", database)
    assert sorted(answers) == [[]] * 5 + [list(REVISIONS)]
    assert pending(database) == ()


def test_a_kill_before_any_statement_leaves_all_or_nothing(database: str) -> None:
    """And what was left as nothing is registered by the next try."""
    ingestions = run("killed", database)
    registry = SqlRegistry(database)
    states = [state_of(registry, *ids) for ids in ingestions]
    registered = states.count(IngestionState.REGISTERED)
    assert states == [IngestionState.RUNNING] * (20 - registered) + [IngestionState.REGISTERED] * registered
    assert 10 <= 20 - registered < 20, "the kills reached from the first statement to the commit"
    assert integrity(registry) == "ok"
    again = [register_again(registry, ingestion_id) for ingestion_id, version_id in ingestions]
    assert again == [True] * (20 - registered) + [False] * registered
    assert registry.contradictions(LATER) == []
    registry.close()


@pytest.mark.slow
def test_a_kill_before_any_statement_leaves_counters_and_rows_agreeing(database: str) -> None:
    check_that_counters_survive_kills(database)


def check_that_counters_survive_kills(database: str) -> None:
    """Processes that take every step of an ingestion are killed, each before another statement."""
    kills = run("killed-on-the-way", database)
    registry = SqlRegistry(database)
    assert kills > 100
    assert registry.contradictions(LATER) == []
    ended = [one for one in registry.counters() if one.name is Counted.ENDED]
    assert {dict(one.labels)["outcome"] for one in ended} == {"registered", "unchanged", "failed", "ignored"}
    registry.close()


def test_many_processes_count_what_each_did(database: str) -> None:
    check_that_all_is_counted(database)


def check_that_all_is_counted(database: str) -> None:
    """Six processes submit twenty each, and claim after each one; no addition is lost to another."""
    claimed = sum(len(ids) for _, ids in run("queue", database))
    registry = SqlRegistry(database)
    found = {one.name: one.value for one in registry.counters() if one.name in (Counted.ACCEPTED, Counted.CLAIMED)}
    assert found == {Counted.ACCEPTED: 120, Counted.CLAIMED: claimed}
    assert registry.contradictions(LATER) == []
    registry.close()


def state_of(registry: SqlRegistry, ingestion_id: str, version_id: str) -> IngestionState:
    """Return the state of an ingestion whose rows all agree with it."""
    ingestion = registry.ingestion("default", ingestion_id)
    assert ingestion is not None
    written = ingestion.state is IngestionState.REGISTERED
    assert counts(registry, version_id) == dict.fromkeys(TABLES_OF_A_VERSION, int(written))
    assert len(registry.history(ingestion_id)) == 2 + int(written)
    return ingestion.state


def register_again(registry: SqlRegistry, ingestion_id: str) -> bool:
    """Tell whether the same owner registers its version now; what has ended is not registered twice."""
    ingestion = registry.ingestion("default", ingestion_id)
    assert ingestion is not None
    return registry.register(ingestion_id, "me", new_version(ingestion), LATER) is not None


def counts(registry: SqlRegistry, version_id: str) -> dict[str, int]:
    """Return how many rows of each table belong to a version."""
    found = {}
    with registry.engine.connect() as connection:
        for name in TABLES_OF_A_VERSION:
            table = metadata.tables[name]
            key = table.c.id if name == "model_versions" else table.c.version_id
            found[name] = connection.execute(select(func.count()).where(key == version_id)).scalar_one()
    return found


def integrity(registry: SqlRegistry) -> str:
    with registry.engine.connect() as connection:
        return str(connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())
