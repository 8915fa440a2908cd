"""One at a time, on all machines: who does what one is enough for keeps others out meanwhile, and nobody once it has ended.

In goes the engine of a registry, out comes whether the place is free. On PostgreSQL it is a lock of a transaction, which the
server takes back when the connection ends, or when nothing is heard of it for a minute (`engine.IDLE_SECONDS`). On SQLite,
where all are on one machine, it is a lock on a file beside the database, which the kernel takes back when the process ends.
What is done inside must be safe without this too: a transaction that was taken back lets another in.

Source: PostgreSQL 15, 9.27.10 "Advisory Lock Functions"; flock(2).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from worker.errors import RegistryUnavailable
from worker.registry.engine import translated

SWEEP_KEY = 0x6D6F64656C706F72
"""The number of the lock on PostgreSQL, one for each database: "modelpor" as eight bytes."""

TAKE = text("SELECT pg_try_advisory_xact_lock(:key)")

SUFFIX = "-sweep"
"""What the name of the locked file has after that of the database, as `-wal` is."""


@contextmanager
def alone(engine: Engine) -> Iterator[bool]:
    """Tell whether nobody else is in this block now; who gets True keeps others out until it ends.

    Raises:
        RegistryUnavailable: the database did not answer at the beginning.
    """
    with _of_server(engine) if engine.dialect.name == "postgresql" else _of_file(f"{engine.url.database}{SUFFIX}") as is_mine:
        yield is_mine


@contextmanager
def _of_server(engine: Engine) -> Iterator[bool]:
    with translated():
        connection = engine.connect()
    try:
        with translated():
            is_mine = bool(connection.execute(TAKE, {"key": SWEEP_KEY}).scalar_one())
        yield is_mine
    finally:
        with suppress(DBAPIError):  # the connection was lost, and the lock with it
            connection.rollback()
        connection.close()


@contextmanager
def _of_file(path: str) -> Iterator[bool]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise RegistryUnavailable(f"{path} cannot be opened: {exc.strerror}") from exc
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
