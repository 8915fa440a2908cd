"""The registry on PostgreSQL does what every registry does, and what others do at once takes nothing from it.

A migrated database is made once. A test of a contract finds it emptied, which takes a tenth as long as a copy of it; any other
gets a copy. Where a test needs a conflict, a second connection makes a real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier
from sqlalchemy import event as hooks
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.contracts.audit import AuditContract
from tests.contracts.care import CareContract
from tests.contracts.gates import GatesContract
from tests.contracts.halts import HaltsContract
from tests.contracts.lists import ListsContract
from tests.contracts.outbox import OutboxContract
from tests.contracts.projects import ProjectsContract
from tests.contracts.quarantine import QuarantineContract
from tests.contracts.registry import (
    LATER,
    NOON,
    Build,
    RegistryContract,
    claimed,
    event,
    in_threads,
    new_version,
    register,
    standing,
)
from tests.contracts.verifications import VerificationsContract
from tests.servers.postgresql import PostgresServer, postgres_server
from tests.servers.process import free_port, until
from tests.worker.registry.test_alone import check_that_a_killed_process_keeps_nobody_out
from tests.worker.registry.test_halts import HaltsOnDisk
from tests.worker.registry.test_migrate import check_that_lists_are_filled
from tests.worker.registry.test_outbox import check_that_each_is_delivered_once, check_that_kills_lose_nothing
from tests.worker.registry.test_processes import (
    check_that_all_is_counted,
    check_that_counters_survive_kills,
    check_that_each_is_claimed_once,
    register_again,
    run,
    state_of,
)
from tests.worker.registry.test_standing import StandingOnDisk
from worker.errors import RegistryUnavailable
from worker.lifecycle import paused_turn
from worker.records import Counted, IngestionState, VersionQuery
from worker.registry import engine as engines
from worker.registry import halts, pages, shards
from worker.registry.engine import open_engine
from worker.registry.line import NEXT_TURN, OVER
from worker.registry.migrate import REVISIONS, migrate, pending
from worker.registry.sql import NEXT, SqlRegistry
from worker.registry.tables import BESIDE, ingestions, metadata
from worker.registry.words import MAX_TRIES

BuildSql = Callable[..., SqlRegistry]

ONE_ACCEPTED = Counter({(Counted.ACCEPTED, (("trigger", "cli"),)): 1})

numbers = count()


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """The name of a database with the tables of this code, and no rows."""
    migrate(postgres.create_database("migrated"))
    return "migrated"


@contextmanager
def new_database(postgres: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{next(numbers)}"
    try:
        yield postgres.create_database(name, template)
    finally:
        postgres.drop_database(name)


@pytest.fixture
def database(postgres: PostgresServer, template: str) -> Iterator[str]:
    """The URL of a migrated database of one's own."""
    with new_database(postgres, template) as url:
        yield url


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database of one's own without tables."""
    with new_database(postgres, "template1") as url:
        yield url


@pytest.fixture
def registry(build: BuildSql) -> SqlRegistry:
    return build()


@pytest.fixture(scope="session")
def shared(postgres: PostgresServer, template: str) -> str:
    """The URL of one database for all tests of contracts."""
    return postgres.create_database("shared", template)


def connected(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def empty_again(url: str) -> None:
    """Leave what a new database has: one team, and numbers that begin anew."""
    with connected(url) as connection, connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '10s'")
        for table in reversed(metadata.sorted_tables):
            connection.execute(SQL("DELETE FROM {}").format(Identifier(table.name)) + FIRST_TEAM.get(table.name, SQL("")))
        for (name,) in connection.execute("SELECT sequencename FROM pg_sequences").fetchall():
            connection.execute(SQL("ALTER SEQUENCE {} RESTART").format(Identifier(name)))


FIRST_TEAM = {"teams": SQL(" WHERE name <> 'default'")}


class OfContract:
    """Its tests share a database, and each finds it as if it were new."""

    @pytest.fixture
    def database(self, shared: str) -> Iterator[str]:
        yield shared
        empty_again(shared)


class TestPostgresRegistry(
    OfContract,
    RegistryContract,
    AuditContract,
    ProjectsContract,
    HaltsContract,
    GatesContract,
    CareContract,
    QuarantineContract,
):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


class TestPostgresVerifications(OfContract, VerificationsContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


class TestPostgresStanding(StandingOnDisk):
    """Its indexes are found by what it knows about the rows."""


class TestPostgresOutbox(OfContract, OutboxContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build

    @pytest.mark.slow
    def test_each_is_delivered_once_by_many_processes(self, database: str) -> None:
        check_that_each_is_delivered_once(database)

    @pytest.mark.slow
    def test_a_kill_before_any_statement_leaves_each_version_with_its_delivery(self, database: str) -> None:
        check_that_kills_lose_nothing(database)


class TestPostgresLists(OfContract, ListsContract):
    @pytest.fixture
    def build(self, build: Build) -> Build:
        return build


class TestPostgresListsBeyondTheWindow(TestPostgresLists):
    """Lists that are longer than what is looked at one by one."""

    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "WINDOW", 2)


def everything(url: str) -> dict[str, list[Any]]:
    """Return all that tables and sequences hold."""
    with connected(url) as connection:
        names = [
            name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        ]
        found = {name: connection.execute(SQL("SELECT * FROM {}").format(Identifier(name))).fetchall() for name in names}
        return found | {"sequences": connection.execute("SELECT * FROM pg_sequences ORDER BY sequencename").fetchall()}


def test_a_database_that_was_emptied_is_as_new(registry: SqlRegistry, database: str) -> None:
    new = everything(database)
    ingestion = claimed(registry)
    registry.register(ingestion.id, "me", new_version(ingestion), LATER)
    registry.create_team("red", NOON)
    assert everything(database).keys() == new.keys()
    assert everything(database) != new
    empty_again(database)
    assert everything(database) == new


# Several at once


def test_each_of_400_rows_is_claimed_once_by_eight_threads(registry: SqlRegistry) -> None:
    submitted = [registry.submit(event(f"run-{number}"), NOON)[0].id for number in range(400)]

    def claim_all(number: int) -> list[str]:
        return [one.id for one in iter(lambda: registry.claim_next(f"worker-{number}", LATER), None)]

    claimed_by = in_threads(8, claim_all)
    assert sorted(one for ids in claimed_by for one in ids) == sorted(submitted)
    assert all(claimed_by), "each thread got some"


def test_a_claim_does_not_wait_for_another(build: BuildSql) -> None:
    """Who finds the first row taken by a transaction that has not ended gets the next one at once."""
    holder, other = build(), build(busy_seconds=1.0)
    first, second = (holder.submit(event(id), NOON)[0].id for id in ("1", "2"))
    with holder.engine.begin() as connection:
        assert connection.execute(NEXT, {"now": NOON, "until": paused_turn(NOON)}).one().id == first
        found = other.claim_next("other", NOON)
    assert found is not None
    assert found.id == second


def test_a_claim_takes_two_ways_to_the_server(registry: SqlRegistry) -> None:
    registry.submit(event(), NOON)
    seen: list[str] = []
    hooks.listen(registry.engine, "before_cursor_execute", lambda *given: seen.append(given[2].split()[0]))
    registry.claim_next("me", NOON)
    assert seen == ["SELECT", "WITH"]


def test_many_processes_submit_and_claim_at_once(database: str) -> None:
    check_that_each_is_claimed_once(database)


def test_one_event_is_one_ingestion_for_many_processes(database: str) -> None:
    answers = run("same-event", database)
    assert len({ingestion_id for ingestion_id, known in answers}) == 1
    assert [known for ingestion_id, known in answers].count(False) == 1


def test_one_of_many_processes_registers_equal_content(database: str) -> None:
    answers = run("same-content", database)
    assert len({version_id for version_id, is_new in answers}) == 1
    assert [is_new for version_id, is_new in answers].count(True) == 1


def test_a_kill_before_any_statement_leaves_all_or_nothing(database: str, registry: SqlRegistry) -> None:
    """And what was left as nothing is registered by the next try."""
    killed = run("killed", database)
    states = [state_of(registry, *ids) for ids in killed]
    registered = states.count(IngestionState.REGISTERED)
    assert 1 <= registered <= 15
    again = [register_again(registry, ingestion_id) for ingestion_id, version_id in killed]
    assert again == [True] * (20 - registered) + [False] * registered


@pytest.mark.slow
def test_a_kill_before_any_statement_leaves_counters_and_rows_agreeing(database: str) -> None:
    check_that_counters_survive_kills(database)


def test_many_processes_count_what_each_did(database: str) -> None:
    check_that_all_is_counted(database)


def test_who_adds_to_another_shard_does_not_wait(build: BuildSql, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that has counted and not ended keeps nobody else from counting the same."""
    holder, other = build(), build(busy_seconds=1.0)
    with holder.engine.begin() as connection:
        monkeypatch.setattr(shards.secrets, "randbelow", lambda count: 0)
        shards.add(connection, ONE_ACCEPTED)
        monkeypatch.setattr(shards.secrets, "randbelow", lambda count: count - 1)
        assert other.submit(event(), NOON)[1] is False
        monkeypatch.setattr(shards.secrets, "randbelow", lambda count: 0)
        with pytest.raises(RegistryUnavailable, match="canceling statement due to lock timeout"):
            other.submit(event("2"), NOON)
    assert [one.value for one in other.counters()] == [2]


def test_a_transaction_draws_its_shard(registry: SqlRegistry) -> None:
    for number in range(40):
        registry.submit(event(f"run-{number}"), NOON)
    with registry.engine.connect() as connection:
        used = connection.execute(text("SELECT count(*), sum(value) FROM counters")).one()
    assert 2 <= used[0] <= 16
    assert used[1] == 40


def test_readers_of_one_transaction_see_one_moment(registry: SqlRegistry) -> None:
    """The versions and their tags come from two statements."""
    version = register(registry).version
    with registry._reading.connect() as reader:
        before = reader.execute(text("SELECT count(*) FROM version_tags")).scalar_one()
        registry.tag("default", version.id, ["a"], [])
        after = reader.execute(text("SELECT count(*) FROM version_tags")).scalar_one()
    assert (before, after) == (0, 0)
    assert registry.versions(VersionQuery())[0].tags == ("a",)


# The plan of a claim


LONG_PAUSED = paused_turn(datetime(2099, 1, 1, tzinfo=UTC))


def filled(registry: SqlRegistry) -> None:
    """Let 10,000 wait, one in ten of them until another day; half of those have an old turn."""
    registry.submit(event("first"), NOON)
    columns = [column.name for column in ingestions.columns if column.name != "sequence"]
    made = dict.fromkeys(columns) | {name: f"'{name}' || number" for name in ("id", "event_key", "version_id")}
    made |= {"turn": f"CASE WHEN number % 20 = 0 THEN {LONG_PAUSED} ELSE 0 END + number + 1"}
    made |= {"run_after": "CASE WHEN number % 10 = 0 THEN '2099-01-01T00:00:00.000000Z' END"}
    values = ", ".join(made[name] or name for name in columns)
    rows = f"SELECT {values} FROM ingestions, generate_series(1, 10000) AS number"
    with registry.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO ingestions ({', '.join(columns)}) {rows}"))


def test_claims_and_turns_among_10000_use_their_indexes(registry: SqlRegistry) -> None:
    filled(registry)

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: object) -> tuple[str, Any]:
        return f"EXPLAIN {statement}", parameters

    hooks.listen(registry.engine, "before_cursor_execute", explain, retval=True)
    with registry.engine.connect() as connection:
        explained = [
            [str(row[0]) for row in connection.execute(statement, given)]
            for statement, given in (
                (NEXT, {"now": NOON, "until": paused_turn(NOON)}),
                (OVER, {"until": paused_turn(NOON)}),
                (NEXT_TURN, {"team": "default"}),
            )
        ]
    hooks.remove(registry.engine, "before_cursor_execute", explain)
    for plan in map("\n".join, explained):
        assert "using ix_ingestions_claimable" in plan
        assert "Sort" not in plan
        assert "Seq Scan on ingestions" not in plan, "of what is paused, all rows are looked at: there are few"
    assert "using ix_ingestions_team_turn" in "\n".join(explained[2])


@pytest.mark.parametrize("paused", [None, "other"])
def test_no_plan_is_kept_from_an_empty_queue(registry: SqlRegistry, paused: str | None) -> None:
    """A plan of an empty table reads and sorts the whole queue; the driver prepares what it was asked five times.

    What was asked without parameters keeps its plan whatever the server is told, as of what is paused: there are few of it.
    """
    if paused is not None:
        registry.pause_queue(paused, is_all=False, now=NOON)
    for _ in range(20):
        assert registry.claim_next("me", NOON) is None
    filled(registry)
    for _ in range(20):
        assert registry.claim_next("me", NOON) is not None
    prepared = "SELECT statement FROM pg_prepared_statements WHERE generic_plans"
    with registry.engine.connect() as connection:
        kept = connection.execute(text(f"{prepared} > 0")).scalars().all()
        asked = connection.execute(text(f"{prepared} = 0")).scalars().all()
    assert not [statement for statement in kept if "ingestions" in statement]
    assert [statement for statement in asked if "ingestions" in statement], "the driver prepares"


# What may be done again, and what not


def server_says(registry: SqlRegistry, code: str, times: int, before: str = "INSERT") -> Any:
    """Have the server refuse the first *times* statements that begin with *before*, with SQLSTATE *code*."""
    refused: list[str] = []

    def refuse(connection: Any, cursor: Any, statement: str, *rest: object) -> None:
        if statement.startswith(before) and len(refused) < times:
            refused.append(statement)
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{code}'; END $$")

    hooks.listen(registry.engine, "before_cursor_execute", refuse)
    return refused


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_the_server_took_back_is_done_again(registry: SqlRegistry, code: str) -> None:
    refused = server_says(registry, code, times=MAX_TRIES - 1)
    ingestion, known = registry.submit(event(), NOON)
    assert not known
    assert len(refused) == MAX_TRIES - 1
    assert len(registry.history(ingestion.id)) == 1


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_is_taken_back_each_time_is_unavailable(registry: SqlRegistry, code: str) -> None:
    refused = server_says(registry, code, times=100)
    with pytest.raises(RegistryUnavailable, match="the registry's database did not answer: so it is"):
        registry.submit(event(), NOON)
    assert len(refused) == MAX_TRIES


@pytest.mark.parametrize("code", ["53100", "53200", "57014", "25006", "XX000"])
def test_what_may_not_be_done_again_is_unavailable_at_once(registry: SqlRegistry, code: str) -> None:
    """A full disk, no memory, a cancelled statement, a database that is read-only, an error inside the server."""
    refused = server_says(registry, code, times=1)
    with pytest.raises(RegistryUnavailable, match="the registry's database did not answer: so it is"):
        registry.submit(event(), NOON)
    assert len(refused) == 1
    assert registry.submit(event(), NOON)[1] is False


def test_a_real_deadlock_is_done_again(build: BuildSql) -> None:
    """Another locks the model and then wants the ingestion, while `register` holds the ingestion and wants the model."""
    registry, other = build(), build()
    register(registry, "1", "d1")
    ingestion = claimed(registry, "2")
    with ThreadPoolExecutor(1) as pool, other.engine.begin() as connection:
        connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # so that it is the other side that gives way
        connection.execute(text("SELECT 1 FROM registered_models FOR UPDATE"))
        registering = pool.submit(registry.register, ingestion.id, "me", new_version(ingestion, "d2"), LATER)
        assert until(lambda: waits_for_a_lock(other), 10)
        connection.execute(text("SELECT 1 FROM ingestions FOR UPDATE"))
    registration = registering.result()
    assert registration is not None
    assert registration.version.number == 2


def waits_for_a_lock(registry: SqlRegistry) -> bool:
    with registry.engine.connect() as connection:
        waiting = connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one()
    return bool(waiting)


def terminate(postgres: PostgresServer, database: str) -> None:
    """End every connection to *database*, as an operator may."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    with psycopg.connect(postgres.url(scheme="postgresql"), autocommit=True) as connection:
        connection.execute(ended, [database.rpartition("/")[2]])


def test_a_sweep_that_is_killed_or_loses_its_connection_keeps_nobody_out(
    postgres: PostgresServer, database: str, registry: SqlRegistry
) -> None:
    check_that_a_killed_process_keeps_nobody_out(database)
    with registry.sweeping() as is_mine:
        assert is_mine
        terminate(postgres, database)
        with registry.sweeping() as is_free:
            assert is_free
    with registry.sweeping() as is_mine:
        assert is_mine
    assert registry.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_connection_that_was_lost_while_idle_is_made_anew(
    postgres: PostgresServer, database: str, registry: SqlRegistry
) -> None:
    ingestion, _ = registry.submit(event(), NOON)
    terminate(postgres, database)
    assert registry.ingestion("default", ingestion.id) == ingestion
    terminate(postgres, database)
    assert registry.claim_next("me", NOON) is not None


@pytest.mark.parametrize("statement", [0, 1])
def test_a_connection_that_is_lost_before_the_commit_is_made_anew(
    postgres: PostgresServer, database: str, registry: SqlRegistry, statement: int
) -> None:
    ingestion, _ = registry.submit(event(), NOON)
    seen: list[str] = []

    def cut(connection: Any, cursor: Any, said: str, *rest: object) -> None:
        seen.append(said)
        if len(seen) == statement + 1:
            terminate(postgres, database)

    hooks.listen(registry.engine, "before_cursor_execute", cut)
    running = registry.claim_next("me", NOON)
    assert running is not None
    assert (running.id, running.attempts) == (ingestion.id, 1)
    assert len(registry.history(ingestion.id)) == 2
    assert len(seen) >= 2 + statement


def test_a_connection_that_is_lost_at_the_commit_is_unavailable(
    postgres: PostgresServer, database: str, registry: SqlRegistry
) -> None:
    """Nobody knows whether it was committed; the caller asks again and finds out."""

    def cut(connection: object) -> None:
        terminate(postgres, database)

    hooks.listen(registry.engine, "commit", cut)
    with pytest.raises(RegistryUnavailable, match="the registry's database did not answer: "):
        registry.submit(event(), NOON)
    hooks.remove(registry.engine, "commit", cut)
    assert registry.submit(event(), NOON)[1] is False


def test_what_is_locked_is_unavailable(build: BuildSql) -> None:
    holder, waiter = build(), build(busy_seconds=0.05)
    ingestion, _ = holder.submit(event(), NOON)
    with holder.engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM ingestions FOR UPDATE"))
        with pytest.raises(RegistryUnavailable, match="canceling statement due to lock timeout"):
            waiter.claim(ingestion.id, "me", NOON)


def test_a_transaction_that_stands_still_lets_go(
    postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a worker which was stopped in the middle of it."""
    monkeypatch.setattr(engines, "IDLE_SECONDS", 0.1)
    stopped, other = SqlRegistry(database), SqlRegistry(database)
    ingestion, _ = other.submit(event(), NOON)
    with suppress(DBAPIError), stopped.engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM ingestions FOR UPDATE"))
        assert other.claim(ingestion.id, "me", NOON) is not None
    stopped.close()
    other.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    registry = SqlRegistry(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/x")
    with pytest.raises(RegistryUnavailable, match=r"the registry's database did not answer: connection .*refused") as caught:
        registry.owned()
    assert "secret" not in str(caught.value)
    registry.close()


def test_a_database_that_is_not_there_is_unavailable(postgres: PostgresServer) -> None:
    registry = SqlRegistry(postgres.url("nowhere"))
    with pytest.raises(RegistryUnavailable, match='database "nowhere" does not exist'):
        registry.owned()
    registry.close()


def test_a_database_without_tables_says_how_to_make_them(empty: str) -> None:
    registry = SqlRegistry(empty)
    with pytest.raises(RegistryUnavailable, match=r"lacks a table or column .* run `modelport migrate`"):
        registry.submit(event(), NOON)
    registry.close()


def test_what_was_answered_is_there_after_a_kill_of_the_server(server_folder: Path) -> None:
    """While it is gone the registry is unavailable, and when it is back the same registry goes on."""
    with postgres_server(server_folder) as server:
        migrate(server.url())
        registry = SqlRegistry(server.url())
        ingestion, _ = registry.submit(event(), NOON)
        server.kill()
        with pytest.raises(RegistryUnavailable):
            registry.claim_next("me", NOON)
        server.start()
        assert standing(registry, ingestion) == ingestion
        registry.close()


# URLs


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_both_schemes_mean_psycopg_3(postgres: PostgresServer, scheme: str) -> None:
    engine = open_engine(postgres.url(scheme=scheme))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert engine.dialect.driver == "psycopg"
    engine.dispose()


def test_a_unix_socket_is_a_way_too(postgres: PostgresServer) -> None:
    engine = open_engine(postgres.socket_url())
    with engine.connect() as connection:
        assert connection.execute(text("SELECT inet_client_addr()")).scalar_one() is None
    engine.dispose()


# Migrations


def test_migrating_twice_is_migrating_once(empty: str) -> None:
    assert migrate(empty) == REVISIONS
    registry = SqlRegistry(empty)
    version = register(registry).version
    assert migrate(empty) == pending(empty) == ()
    assert registry.version("default", version.id) == version
    registry.close()


def test_one_of_many_processes_migrates_an_empty_database(empty: str) -> None:
    answers = run("migrate", empty)
    assert sorted(answers) == [[]] * 5 + [list(REVISIONS)]


def test_the_migrations_arrive_at_the_tables(database: str) -> None:
    engine = open_engine(database)
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
        compared = {"include_name": lambda name, kind, parents: name not in BESIDE}
        assert compare_metadata(MigrationContext.configure(connection, opts=compared), metadata) == []
    engine.dispose()


def test_lists_begin_with_the_versions_that_are_there(database: str) -> None:
    check_that_lists_are_filled(database)


def test_a_migration_that_fails_leaves_nothing(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.registry import migrate as migrating

    upgrade = migrating._upgrade

    def fail(connection: object, revision: str) -> None:
        upgrade(connection, revision)  # type: ignore[arg-type]
        raise OperationalError("CREATE TABLE", None, Exception("the disk is full"))

    monkeypatch.setattr(migrating, "_upgrade", fail)
    with pytest.raises(RegistryUnavailable, match="the disk is full"):
        migrate(empty)
    assert pending(empty) == REVISIONS


def test_a_migration_waits_for_another_no_longer_than_it_may(empty: str) -> None:
    engine = open_engine(empty)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": 0x6D6F64656C})
        with pytest.raises(RegistryUnavailable, match="canceling statement due to lock timeout"):
            migrate(empty, busy_seconds=0.05)
    engine.dispose()
    assert migrate(empty) == REVISIONS


def test_a_read_of_one_statement_begins_no_transaction(registry: SqlRegistry) -> None:
    with registry._reading_one.connect() as connection:
        connection.execute(select(ingestions.c.id)).all()
        assert connection.connection.driver_connection.info.transaction_status == TransactionStatus.IDLE


def test_connections_stay_open_when_they_are_not_needed_any_more(registry: SqlRegistry) -> None:
    held = [registry.engine.connect() for _ in range(10)]
    for connection in held:
        connection.close()
    assert registry.engine.pool.checkedin() == 10


class TestPostgresHalts(HaltsOnDisk):
    """Who pauses waits for all who are about to claim."""

    def test_who_is_about_to_claim_is_waited_for_and_who_comes_meanwhile_gets_nothing(self, build: BuildSql) -> None:
        holder, pauser, other = build(), build(), build()
        for id in ("1", "2"):
            holder.submit(event(id), NOON)
        with ThreadPoolExecutor(2) as pool, holder.engine.begin() as connection:
            assert connection.execute(NEXT, {"now": NOON, "until": paused_turn(NOON)}).one().event_id == "1"
            pausing = pool.submit(pauser.pause_queue, "default", True, NOON)
            assert until(lambda: waits_for_a_lock(other), 10)
            claiming = pool.submit(other.claim_next, "other", NOON)
            assert not claiming.done()
            connection.commit()
            assert pausing.result(10) is not None
            assert claiming.result(10) is None

    def test_a_transaction_that_does_not_end_keeps_nobody_waiting_for_long(
        self, build: BuildSql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        holder, other = build(), build()
        holder.submit(event(), NOON)
        monkeypatch.setattr(halts, "PATIENCE_MILLISECONDS", 100)
        with holder.engine.begin() as connection:
            connection.execute(NEXT, {"now": NOON, "until": paused_turn(NOON)})
            with pytest.raises(RegistryUnavailable, match="canceling statement due to lock timeout"):
                other.pause_queue("default", True, NOON)
            assert other.halts("default") == []
            assert other.submit(event("2"), NOON)[1] is False
