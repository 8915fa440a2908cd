"""A connection to the registry's database, set up so that what was committed stays.

In goes a URL, out comes an SQLAlchemy engine, and what drivers raise comes out as `RegistryUnavailable`.

SQLite: the write-ahead log lets readers go on beside one writer; `synchronous=FULL` has every commit on the disk before it
is answered; a writing transaction takes its lock at its beginning (`BEGIN IMMEDIATE`), because one that first reads and then
wants to write fails at once when another wrote in between. Python 3.11's driver begins transactions by itself and too late,
so it is told not to, and the engine says BEGIN.

Source: SQLAlchemy 2.1, SQLite dialect, "Enabling Non-Legacy SQLite Transactional Modes"; sqlite.org/wal.html, /pragma.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from worker.errors import BadSetting, RegistryUnavailable

BUSY_SECONDS = 30.0
"""How long a transaction waits for another process's write before it gives up."""

READS_ONLY = "registry_reads_only"
"""The execution option of a connection that takes no write lock."""

SETTING = "MODELPORT_DATABASE_URL"


def open_engine(url: str, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Return an engine for the database at *url*; nothing is connected yet.

    Raises:
        BadSetting: the URL is not one, or there is no driver for it.
    """
    parsed = parse_url(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": busy_seconds}}
    try:
        engine = create_engine(parsed, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as exc:
        raise BadSetting(f"{SETTING}={shown(parsed)}: there is no driver for {parsed.drivername} ({exc})") from exc
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


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
    """Return *url* without its password."""
    return url.render_as_string(hide_password=True)


def _set_up_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


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
    return any(words in said for words in in_words) or getattr(error.orig, "sqlstate", None) in ("42P01", "42703")
