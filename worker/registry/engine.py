"""A connection to the registry's database, set up so that what was committed stays.

In goes a URL, out comes an SQLAlchemy engine, and what drivers raise comes out as `RegistryUnavailable`.

SQLite: the write-ahead log lets readers go on beside one writer; `synchronous=FULL` has every commit on the disk before it
is answered; a writing transaction takes its lock at its beginning (`BEGIN IMMEDIATE`), because one that first reads and then
wants to write fails at once when another wrote in between. Python 3.11's driver begins transactions by itself and too late,
so it is told not to, and the engine says BEGIN.

PostgreSQL: a transaction that only reads sees one moment, as on SQLite; one that writes is READ COMMITTED, and what it
depends on it locks. Nobody waits for ever: not for a lock, not for a worker that was stopped in the middle of a
transaction, not for a network that went away without a word.

Source: SQLAlchemy 2.1, SQLite dialect, "Enabling Non-Legacy SQLite Transactional Modes"; sqlite.org/wal.html, /pragma.html;
PostgreSQL 15, 20.11 "Client Connection Defaults", 34.1.2 "Parameter Key Words", appendix A "Error Codes".
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from worker.errors import BadSetting, RegistryUnavailable

BUSY_SECONDS = 30.0
"""How long a transaction waits for another process's write before it gives up."""

BUSY_PAUSE_SECONDS = 0.01
"""How long to wait before SQLite is asked again for what it does not wait for by itself."""

READS_ONLY = "registry_reads_only"
"""The execution option of a connection that takes no write lock."""

IDLE_SECONDS = 60.0
"""How long PostgreSQL lets a transaction wait for its next statement before it takes back what that one locked."""

NETWORK = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 30, "keepalives_interval": 10}
"""How a connection to PostgreSQL finds out that nobody is there any more: seconds, the second one milliseconds. What the URL
says about them wins."""

MAX_CONNECTIONS = 15
"""Connections to PostgreSQL that one process has at most; it makes one when all others are in use."""

BEGIN_AGAIN = ("40001", "40P01")
"""SQLSTATEs that took a transaction back because of what others did at once: serialization failure, deadlock."""

SETTING = "MODELPORT_DATABASE_URL"

SECRET_PARAMETERS = ("password", "sslpassword")
"""Parameters of a URL that open something. Source: PostgreSQL 15, 34.1.2 "Parameter Key Words"."""


def open_engine(url: str, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Return an engine for the database at *url*; nothing is connected yet.

    Raises:
        BadSetting: the URL is not one, or there is no driver for it.
    """
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    try:
        engine = create_engine(_with_driver(parsed), connect_args=_connect_args(parsed, busy_seconds), **_pool_args(parsed))
    except (NoSuchModuleError, ModuleNotFoundError) as exc:
        advice = "; `pip install modelport[postgresql]` brings it" if backend == "postgresql" else ""
        raise BadSetting(f"{SETTING}={shown(parsed)}: there is no driver for {parsed.drivername} ({exc}){advice}") from exc
    if backend == "sqlite":
        event.listen(engine, "connect", partial(_set_up_sqlite, busy_seconds=busy_seconds))
        event.listen(engine, "begin", _begin_sqlite)
    if backend == "postgresql":
        event.listen(engine, "connect", partial(_set_up_postgresql, busy_seconds=busy_seconds))
    return engine


def reading(engine: Engine) -> Engine:
    """Return *engine* for transactions that only read: they take no lock, and all their statements see one moment."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(**{READS_ONLY: True})


def reading_one(engine: Engine) -> Engine:
    """Return *engine* for reads of a single statement, which sees one moment by itself: PostgreSQL is told neither BEGIN nor
    COMMIT, which take as long as the statement.
    """
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="AUTOCOMMIT")
    return reading(engine)


def parse_url(url: str) -> URL:
    """Return the parts of *url*.

    Raises:
        BadSetting: it is not a URL of a database.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise BadSetting(f"{SETTING}: expected a database URL such as sqlite:////path/to/file, found something else") from exc


def shown(url: URL) -> str:
    """Return *url* without its password, and without those that libpq takes from the query."""
    return url.difference_update_query(SECRET_PARAMETERS).render_as_string(hide_password=True)


def may_begin_again(error: DBAPIError, is_committing: bool) -> bool:
    """Tell whether a transaction that ended with *error* was taken back for certain, and may go well when it begins again.

    So it is where another was first to a unique key, where the database chose it as the one to give way, and where the
    connection was lost. Where that happened while it was *committing*, nobody knows whether it was taken back.
    """
    if isinstance(error, IntegrityError) or _sqlstate(error) in BEGIN_AGAIN:
        return True
    return error.connection_invalidated and not is_committing


def _with_driver(url: URL) -> URL:
    """Return *url* with psycopg 3 where it says PostgreSQL and no driver."""
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _connect_args(url: URL, busy_seconds: float) -> dict[str, Any]:
    """Return what the driver is told that the URL does not say."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": busy_seconds}
    if url.get_backend_name() == "postgresql":
        return {name: value for name, value in NETWORK.items() if name not in url.query}
    return {}


def _pool_args(url: URL) -> dict[str, int]:
    """Return how many connections are held. None is closed because others are idle: PostgreSQL starts a process for each."""
    return {"pool_size": MAX_CONNECTIONS, "max_overflow": 0} if url.get_backend_name() == "postgresql" else {}


def _set_up_postgresql(connection: Any, record: object, busy_seconds: float) -> None:
    settings = {
        "lock_timeout": f"{round(busy_seconds * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{round(IDLE_SECONDS * 1000)}ms",
        # A plan that was kept from an empty queue reads and sorts a full one, for each claim.
        "plan_cache_mode": "force_custom_plan",
        # Several processes for one statement are dearer than what they save where few rows are wanted, as here.
        "max_parallel_workers_per_gather": "0",
    }
    connection.autocommit = True  # else the first rollback would take the settings back
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    connection.autocommit = False


def _set_up_sqlite(connection: Any, record: object, busy_seconds: float) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=FULL")
    _write_ahead(cursor, time.monotonic() + busy_seconds)
    cursor.close()


def _write_ahead(cursor: Any, until: float) -> None:
    """Let the file have a write-ahead log, which it keeps from then on.

    SQLite does not wait for others here, whatever the time-out: two that each hold a look at a new file would wait for each
    other. So it is asked again *until* then, in seconds of `time.monotonic`.

    Raises:
        sqlite3.OperationalError: the file is still locked by then.
    """
    while cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(BUSY_PAUSE_SECONDS)


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get(READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the database and its driver raise into `RegistryUnavailable`; the message names no data."""
    try:
        yield
    except DBAPIError as exc:
        raise RegistryUnavailable(_sentence(exc)) from exc
    except NoFreeConnection as exc:
        raise RegistryUnavailable("the registry's database has no free connection") from exc


def _sentence(error: DBAPIError) -> str:
    said = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
    if _lacks_table(error, said):
        return f"the registry's database lacks a table or column ({said}); run `modelport migrate`"
    return f"the registry's database did not answer: {said}"


def _lacks_table(error: DBAPIError, said: str) -> bool:
    """Tell whether a table or column is missing: SQLite says it in words, PostgreSQL by SQLSTATE 42P01 and 42703."""
    in_words = ("no such table", "no such column", "has no column named")
    return any(words in said for words in in_words) or _sqlstate(error) in ("42P01", "42703")


def _sqlstate(error: DBAPIError) -> str | None:
    """Return the code that PostgreSQL gave to an error, None where it gave none."""
    code: str | None = getattr(error.orig, "sqlstate", None)
    return code
