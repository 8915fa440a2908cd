"""How a connection is set up, and which URLs are refused."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from worker.errors import BadSetting, RegistryUnavailable
from worker.registry import engine as engines
from worker.registry.engine import READS_ONLY, open_engine, parse_url, shown, translated


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_every_sqlite_connection_is_safe(database: str, pragma: str, value: object) -> None:
    """synchronous 2 is FULL: a commit is on the disk when it is answered."""
    engine = open_engine(database)
    reading = engine.execution_options(**{READS_ONLY: True})
    with reading.connect() as first, reading.connect() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
    engine.dispose()


def test_a_writing_transaction_holds_the_lock_from_its_beginning(database: str) -> None:
    engine = open_engine(database, busy_seconds=0.05)
    with engine.begin(), pytest.raises(Exception, match="database is locked"), engine.begin():
        pass
    engine.dispose()


def test_a_reading_transaction_sees_one_moment(database: str) -> None:
    """Python's driver would begin no transaction for SELECT, and the second one would see the writer's row."""
    engine = open_engine(database)
    count = "SELECT count(*) FROM registered_models"
    insert = "INSERT INTO registered_models (team, project, name, name_folded, is_generated, created, updated) VALUES"
    with engine.connect().execution_options(**{READS_ONLY: True}) as reader:
        before = reader.exec_driver_sql(count).scalar_one()
        with engine.begin() as writer:
            writer.exec_driver_sql(f"{insert} ('t', 'p', 'n', 'n', 1, '', '')")
        after = reader.exec_driver_sql(count).scalar_one()
    assert (before, after) == (0, 0)
    engine.dispose()


@pytest.mark.parametrize("url", ["", "registry.db", "://", "postgresql://host:port/db"])
def test_what_is_no_database_url_is_a_bad_setting(url: str) -> None:
    with pytest.raises(BadSetting, match="MODELPORT_DATABASE_URL"):
        open_engine(url).connect()


@pytest.mark.parametrize("url", ["oracle+nothing://host/db", "nosuchdatabase://host/db"])
def test_a_database_without_a_driver_is_a_bad_setting(url: str) -> None:
    with pytest.raises(BadSetting, match="there is no driver for"):
        open_engine(url)


def test_a_missing_driver_of_postgresql_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BadSetting, match=r"no driver for postgresql .*`pip install modelport\[postgresql\]`") as caught:
        open_engine("postgresql://user:hunter2@host/db")
    assert "MODELPORT_DATABASE_URL=postgresql://user:***@host/db" in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://host/db?connect_timeout=3", "postgresql://host/db"])
def test_a_url_may_say_how_long_to_wait_for_a_network(url: str) -> None:
    given = "connect_timeout" in url
    _, arguments = open_engine(url).dialect.create_connect_args(parse_url(url))
    assert arguments.get("connect_timeout") == ("3" if given else None)
    assert engines._connect_args(parse_url(url), 30.0).get("connect_timeout") == (None if given else 10)


def test_a_password_is_not_shown() -> None:
    assert shown(parse_url("postgresql://user:secret@host/db")) == "postgresql://user:***@host/db"
    hidden = parse_url("postgresql:///db?host=/run/pg&password=secret&sslpassword=secret")
    assert shown(hidden) == "postgresql:///db?host=%2Frun%2Fpg"


def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself gives up at once where a file is to get its write-ahead log just then."""
    writer = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("CREATE TABLE other (a)")
    done = threading.Timer(0.5, writer.execute, ["COMMIT"])
    done.start()
    engine = open_engine(f"sqlite:///{tmp_path / 'new.db'}", 20)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()
    done.join()
    writer.close()


def test_a_new_file_that_stays_locked_is_no_longer_waited_for_than_was_said(tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("CREATE TABLE other (a)")
    engine = open_engine(f"sqlite:///{tmp_path / 'new.db'}", 0.1)
    with pytest.raises(RegistryUnavailable, match="database is locked"), translated(), engine.connect():
        pass
    engine.dispose()
    writer.close()
