"""The registry in a database does what every registry does, and keeps it whole whatever fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import event as hooks
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.contracts.audit import AuditContract
from tests.contracts.gates import GatesContract
from tests.contracts.halts import HaltsContract
from tests.contracts.lists import ListsContract
from tests.contracts.projects import ProjectsContract
from tests.contracts.quarantine import QuarantineContract
from tests.contracts.registry import (
    LATER,
    LEASE_END,
    NOON,
    PAUSE,
    READER,
    Build,
    RegistryContract,
    claimed,
    event,
    new_version,
    register,
    standing,
)
from worker.errors import RegistryUnavailable
from worker.records import End, Ingestion, IngestionState, Trigger, VersionQuery
from worker.registry import pages
from worker.registry.sql import SqlRegistry

BuildSql = Callable[..., SqlRegistry]


class TestSqlRegistry(RegistryContract, AuditContract, ProjectsContract, HaltsContract, GatesContract, QuarantineContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


class TestSqlLists(ListsContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


class TestSqlListsBeyondTheWindow(TestSqlLists):
    """Lists that are longer than what is looked at one by one."""

    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "WINDOW", 2)


@pytest.fixture
def registry(build: BuildSql) -> SqlRegistry:
    return build()


@contextmanager
def failing_at(registry: SqlRegistry, statement: int, seen: list[str]) -> Iterator[None]:
    """Have the n-th statement from here fail as a full disk does; BEGIN and COMMIT count. *seen* gets the statements."""

    def fail(said: str) -> None:
        seen.append(said)
        if len(seen) == statement + 1:
            raise OperationalError(said, None, sqlite3.OperationalError("database or disk is full"))

    def on_statement(connection: object, cursor: object, said: str, *rest: object) -> None:
        fail(said)

    def on_commit(connection: object) -> None:
        fail("COMMIT")

    hooks.listen(registry.engine, "before_cursor_execute", on_statement)
    hooks.listen(registry.engine, "commit", on_commit)
    try:
        yield
    finally:
        hooks.remove(registry.engine, "before_cursor_execute", on_statement)
        hooks.remove(registry.engine, "commit", on_commit)


def everything(registry: SqlRegistry) -> list[str]:
    """Return all that the database holds, as SQL."""
    with registry.engine.connect() as connection:
        return list(connection.connection.iterdump())  # type: ignore[attr-defined]


IGNORED = End(IngestionState.IGNORED, "experiment-failed", "it failed")

Work = Callable[[SqlRegistry], object]

WRITES: dict[str, Work] = {
    "submit": lambda registry: registry.submit(event("new"), LATER),
    "claim": lambda registry: registry.claim(registry.submit(event("waiting"), NOON)[0].id, "me", LATER),
    "finish": lambda registry: registry.finish(mine(registry).id, "me", End(IngestionState.FAILED, "why", "so"), LATER),
    "register": lambda registry: registry.register(mine(registry).id, "me", new_version(mine(registry), "new"), LATER),
    "register equal": lambda registry: registry.register(mine(registry).id, "me", new_version(mine(registry), "old"), LATER),
    "claim next": lambda registry: registry.claim_next("me", LATER),
    "wait": lambda registry: registry.wait(mine(registry).id, "me", PAUSE, LATER),
    "beat": lambda registry: registry.beat(mine(registry).id, "me", LATER),
    "free": lambda registry: registry.free(LEASE_END),
    "discard": lambda registry: registry.discard("default", mine(registry).id, "a person", LATER),
    "rename": lambda registry: registry.rename("default", old(registry), "other", LATER),
    "tag": lambda registry: registry.tag("default", old(registry), ["a"], ["b"]),
    "delete": lambda registry: registry.delete("default", old(registry), LATER),
    "submit and end": lambda registry: registry.submit(event("ignored"), LATER, end=IGNORED),
    "create team": lambda registry: registry.create_team("red", LATER),
    "submit to a new project": lambda registry: registry.submit(event("new", project="new"), LATER),
    "create project": lambda registry: registry.create_project("default", "digits", LATER),
    "rename project": lambda registry: registry.rename_project("default", "default", "digits", LATER),
    "create token": lambda registry: registry.create_token("default", "ci", "new digest", READER, LATER),
    "revoke token": lambda registry: registry.revoke_token("default", registry.tokens("default")[0].id, LATER),
}


def mine(registry: SqlRegistry):  # type: ignore[no-untyped-def]
    return registry.owned()[0]


def old(registry: SqlRegistry) -> str:
    return registry.versions(VersionQuery())[0].id


@pytest.mark.parametrize("name", WRITES)
def test_a_statement_that_fails_leaves_nothing_half_written(registry: SqlRegistry, name: str) -> None:
    """Each statement of each writing method fails once, BEGIN and COMMIT too; then the method succeeds."""
    version = register(registry, "1", "old").version
    registry.tag("default", version.id, ["b"], [])
    registry.create_token("default", "old", "old digest", READER, NOON)
    registry.submit(event("waiting"), NOON)
    claimed(registry, "2")
    before = everything(registry)
    seen: list[str] = []
    failures = 0
    while failed_with_a_full_disk(registry, WRITES[name], failures, seen):
        assert everything(registry) == before
        failures += 1
    assert "COMMIT" in seen
    assert failures == len(seen) >= 3
    assert everything(registry) != before


def test_one_that_cannot_be_freed_keeps_no_other_from_it(registry: SqlRegistry) -> None:
    """Each statement fails once while three are freed; where it is one of the first row's, the other two are freed and told."""
    left: list[int] = []
    for statement in range(100):
        lost = {claimed(registry, f"{statement}.{number}", trigger=Trigger.COMPLETION).id for number in range(3)}
        told: list[Ingestion] = []
        with failing_at(registry, statement, []), suppress(RegistryUnavailable):
            registry.free(LEASE_END, lambda owner: False, told.append)
        owned, freed = ({one.id for one in ones} for ones in (registry.owned(), told))
        assert (owned | freed, owned & freed) == (lost, set())
        if not owned:
            break
        left.append(len(owned))
        registry.free(LEASE_END)
    assert set(left) == {1, 3}
    assert left.count(1) >= 9, "three statements of each row"


def failed_with_a_full_disk(registry: SqlRegistry, work: Work, statement: int, seen: list[str]) -> bool:
    """Tell whether *work* was stopped by the failure of its n-th statement. *seen* is left with its statements."""
    seen.clear()
    with failing_at(registry, statement, seen):
        try:
            work(registry)
        except RegistryUnavailable as exc:
            return "disk is full" in str(exc)
    return False


def test_counters_that_say_another_number_than_the_rows_are_a_contradiction(registry: SqlRegistry) -> None:
    register(registry, "1")
    registry.submit(event("2"), NOON)
    with registry.engine.begin() as connection:
        connection.execute(text("UPDATE counters SET value = 3 WHERE name = 'ended'"))
    assert registry.contradictions(NOON) == [
        "the counters say 3 registered, and there are 1",
        "the counters say -1 in flight, and there are 1",
    ]


def test_what_is_locked_is_unavailable(build: BuildSql) -> None:
    holder, waiter = build(), build(busy_seconds=0.05)
    with holder.engine.begin(), pytest.raises(RegistryUnavailable, match="database is locked") as caught:
        waiter.submit(event(), NOON)
    assert isinstance(caught.value.__cause__, OperationalError)


def test_reading_goes_on_beside_a_writer(build: BuildSql) -> None:
    holder, reader = build(), build(busy_seconds=0.05)
    version = register(holder).version
    with holder.engine.begin():
        assert list(reader.versions(VersionQuery())) == [version]
        assert reader.version("default", version.id) == version


def test_a_database_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    registry = SqlRegistry(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(
        RegistryUnavailable, match=r"lacks a table or column \(no such table: project_names\); run `modelport migrate`"
    ):
        registry.submit(event(), NOON)
    registry.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database\n" * 100)
    registry = SqlRegistry(f"sqlite:///{tmp_path / 'text.db'}")
    with pytest.raises(RegistryUnavailable, match="file is not a database"):
        registry.owned()
    registry.close()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    registry = SqlRegistry(f"sqlite:///{tmp_path / 'nowhere' / 'registry.db'}")
    with pytest.raises(RegistryUnavailable, match="unable to open database file"):
        registry.owned()
    registry.close()


def test_a_damaged_database_is_unavailable(build: BuildSql, tmp_path: Path) -> None:
    registry = build()
    register(registry)
    registry.close()
    with (tmp_path / "registry.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 200_000)
    with pytest.raises(RegistryUnavailable, match="database disk image is malformed"):
        register(registry, "2")


def test_the_message_of_a_failure_names_no_data(registry: SqlRegistry) -> None:
    with failing_at(registry, 1, []), pytest.raises(RegistryUnavailable) as caught:
        registry.submit(event("secret"), NOON)
    assert str(caught.value) == "the registry's database did not answer: database or disk is full"


def test_what_was_accepted_is_there_for_the_next_process(build: BuildSql) -> None:
    first = build()
    ingestion, _ = first.submit(event(), NOON)
    first.close()
    assert standing(build(), ingestion) == ingestion


def test_a_large_version_is_kept_whole(registry: SqlRegistry) -> None:
    """5,000 files, metrics and findings: more rows than one statement may have parameters."""
    ingestion = claimed(registry)
    version = new_version(ingestion)
    files = tuple(type(version.files[0])(f"{number:05}", number, "0" * 64) for number in range(5000))
    large = new_version(ingestion, files=files, metrics=version.metrics * 5000, findings=version.findings * 5000)
    registry.register(ingestion.id, "me", large, LATER)
    assert tuple(registry.files(version.id)) == files
    assert len(registry.findings(version.id)) == 5000
    found = registry.metrics(version.id)
    assert found is not None
    assert len(found.values) == 5000
