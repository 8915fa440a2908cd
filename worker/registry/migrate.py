"""Brings a database to the tables of this code, and tells what is missing.

In goes a URL; out come the names of revisions. Alembic is imported only where there is something to do, because that costs
more than the rest of a start. Its environment is the package `worker.registry.migrations`; no file of settings is needed.

A release is upgraded while the last one works, so a revision of the same series only adds, and code works on a newer database
of its own series as it finds it: what older code writes there is right, though it knows nothing of what was added. The series
is what a revision's name has before its four digits, nothing for the first. One that takes something away, or whose tables
older code would spoil, begins the next (`b0001`), and older code refuses to work there.

Laws (each has a test of the same name):
    a newer database of the same series is worked on;
    one of another series is refused;
    migrating twice is migrating once;
    one of many processes migrates an empty database;
    the migrations arrive at the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from worker.errors import BadSetting, MigrationNeeded
from worker.registry.engine import BUSY_SECONDS, SETTING, open_engine, parse_url, shown, translated

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = (
    *("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013", "0014"),
    *("0015", "0016", "0017", "0018"),
)
"""Every revision of the tables, oldest first; the last one is what this code works with. A test compares with the folder."""

DIGITS = 4
"""How many digits end the name of a revision; what stands before them is its series."""

SCRIPTS = "worker.registry:migrations"
"""Where Alembic finds environment and revisions, as package and folder."""

POSTGRES_LOCK = 0x6D6F64656C
"""The advisory lock that keeps two migrations of one PostgreSQL database apart; any number that nobody else takes."""


def pending(url: str) -> tuple[str, ...]:
    """Return the revisions that the database at *url* lacks, oldest first; empty where it is up to date, or newer.

    Raises:
        BadSetting: the database is newer than this code can work with, or the URL is not one.
        RegistryUnavailable: the database did not answer.
    """
    engine = open_engine(url)
    try:
        with translated(), engine.connect() as connection:
            return _pending(connection)
    finally:
        engine.dispose()


def check_newest(url: str) -> None:
    """Return where the database at *url* has the tables of this code, and perhaps more; nothing is changed.

    Raises:
        MigrationNeeded: it lacks revisions, or is empty.
        BadSetting: the database is newer than this code can work with, or the URL is not one.
        RegistryUnavailable: the database did not answer.
    """
    lacking = pending(url)
    if lacking:
        found = "no revision" if lacking == REVISIONS else f"revision {REVISIONS[-len(lacking) - 1]}"
        raise MigrationNeeded(
            f"{SETTING}={shown(parse_url(url))}: the database has {found}, expected {REVISIONS[-1]}; "
            "run `modelport migrate`, which may be done while an older release works on it"
        )


def migrate(url: str, busy_seconds: float = BUSY_SECONDS) -> tuple[str, ...]:
    """Bring the database at *url* to the tables of this code; return the revisions that it lacked.

    An empty one gets all of them in one transaction. Else each has its own, so that others who work there wait for one at most.

    Raises:
        BadSetting: the database is newer than this code can work with, or the URL is not one.
        RegistryUnavailable: the database did not answer; the revision that was under way changed nothing.
    """
    engine = open_engine(url, busy_seconds)
    try:
        done: tuple[str, ...] = ()
        while more := _migrate(engine):
            done += more
        return done
    finally:
        engine.dispose()


def configuration() -> Config:
    """Return Alembic's settings for the packaged environment. To write a new revision, see `migrations/env.py`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config


def _migrate(engine: Engine) -> tuple[str, ...]:
    """Take the next step in a transaction, and return the revisions that it brought; none where none are lacking."""
    with translated(), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": POSTGRES_LOCK})
        lacking = _pending(connection)
        now = lacking if lacking == REVISIONS else lacking[:1]
        if now:
            _upgrade(connection, now[-1])
        return now


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _pending(connection: Connection) -> tuple[str, ...]:
    found = _revision(connection)
    if found is None:
        return REVISIONS
    if found not in REVISIONS:
        if _is_newer_of_our_series(found):
            return ()
        newest = f"this modelport knows revisions up to {REVISIONS[-1]}"
        raise BadSetting(
            f"{SETTING}={shown(connection.engine.url)}: the database has revision {found}, {newest}; update modelport"
        )
    return REVISIONS[REVISIONS.index(found) + 1 :]


def _is_newer_of_our_series(revision: str) -> bool:
    """Tell whether *revision* came after the last one of this code and only added; see the top of this module."""
    newest = REVISIONS[-1]
    series, number = newest[:-DIGITS], revision[-DIGITS:]
    return revision[:-DIGITS] == series and len(number) == DIGITS and number.isdecimal() and revision > newest


def _revision(connection: Connection) -> str | None:
    """Return the revision that the database is at, None for an empty one. Reads Alembic's own table without Alembic."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
