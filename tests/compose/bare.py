"""The services of docker-compose.yml as plain processes: their own commands, with paths and ports of this machine.

For machines without a container engine. What changes: hosts and ports become free ports of the loopback interface, mounted
paths become folders, images become programs: ours from this environment, Redis and PostgreSQL from wherever the tests find
them. A service whose program is not here is left out, and named.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from psycopg import sql

from tests.compose.file import ROOT, Service, services
from tests.servers.postgresql import PostgresServer, find_postgres
from tests.servers.process import Server, free_port
from tests.servers.redis import find_redis

PORTS = {"postgres": 5432, "redis": 6379, "api": 8000, "flower": 5555}
"""Where the services listen in their containers."""

HEALTHY_SECONDS = 90.0


def settings(folder: Path) -> dict[str, str]:
    """Return variables as `.env` would hold them, with secrets that nobody has seen."""
    words = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "OBJECTS_SECRET_KEY", "FLOWER_PASSWORD")
    places = {"RUNS": str(folder / "runs"), "STORAGE": str(folder / "storage"), "SETTLE_SECONDS": "0"}
    return places | {word: secrets.token_hex(24) for word in words}


class BareService(Server):
    """One service as a process."""

    def __init__(self, service: Service, folder: Path, place: Place) -> None:
        super().__init__(folder)
        self.port = place.ports.get(service.name, self.port)
        self._service, self._place = service, place

    def command(self) -> list[str]:
        return self._place.words(self._service, self._service.command)

    def run(self) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: it failed.
        """
        done = subprocess.run(self.command(), cwd=self.folder, capture_output=True, text=True, timeout=HEALTHY_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"{self._service.name} failed: {done.stdout}{done.stderr}")

    def answers(self) -> bool:
        check = self._place.words(self._service, self._service.health)
        return subprocess.run(check, cwd=self.folder, capture_output=True, timeout=60).returncode == 0


class Place:
    """Where everything is on this machine: ports by service, folders by mounted path, programs by name."""

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        self.folder, self.ports = folder, ports
        programs = folder / "bin"
        programs.mkdir()
        redis = find_redis()
        for program in (redis, redis.with_name("redis-cli")):
            (programs / program.name).symlink_to(program)
        self._path = f"{Path(sys.executable).parent}:{programs}:/usr/bin:/bin"

    def words(self, service: Service, words: tuple[str, ...]) -> list[str]:
        """Return the command *words* of *service* as it is run here, with its environment and no other."""
        told = {name: self.here(service, value) for name, value in service.environment.items()}
        told |= {"PATH": self._path, "HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        return [
            "/usr/bin/env",
            "-i",
            *(f"{name}={value}" for name, value in told.items()),
            *(self.here(service, w) for w in words),
        ]

    def here(self, service: Service, text: str) -> str:
        """Return *text* with what is so in the container of *service* as it is so here."""
        for name, port in self.ports.items():
            text = text.replace(f"@{name}:{PORTS[name]}", f"@127.0.0.1:{port}")
        if service.name in self.ports:
            text = re.sub(rf"(?<!\d){PORTS[service.name]}(?!\d)", str(self.ports[service.name]), text)
        for where, what in service.volumes.items():
            text = re.sub(rf"{where}(?=[/\"']|$)", self._folder(what), text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def _folder(self, what: str) -> str:
        """Return where *what* lies: a path, a file of the project, or a volume, which is a folder of its own."""
        if what.startswith("."):
            return str((ROOT / what).resolve())
        path = Path(what) if what.startswith("/") else self.folder / "volumes" / what
        path.mkdir(parents=True, exist_ok=True)
        return str(path)


class Stack:
    """The running services, and what was left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place(folder, {name: free_port() for name in PORTS})
        self.services = services(settings(folder))
        self.left_out: list[str] = []
        self.running: dict[str, BareService] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place.ports['api']}"

    def of(self, name: str) -> BareService:
        own = self.folder / name
        own.mkdir(exist_ok=True)
        return BareService(self.services[name], own, self.place)

    def ours(self, *words: str) -> str:
        """Run one of our commands as in the container of the API, and return what it said."""
        call = self.place.words(self.services["api"], words)
        return subprocess.run(call, cwd=self.folder, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    def start(self, name: str, stack: ExitStack) -> None:
        """Start a service as its place in the file says; it is healthy, or has done its work, when this returns."""
        service = self.services[name]
        if name == "postgres":
            stack.enter_context(self._postgres(service))
        elif not service.command or (not service.is_ours and name not in PORTS):
            self.left_out.append(name)
        elif "service_completed_successfully" in {one.after.get(name) for one in self.services.values()}:
            self.of(name).run()
        else:
            process = self.running[name] = self.of(name)
            stack.callback(process.stop)
            process.start()

    @contextmanager
    def _postgres(self, service: Service) -> Iterator[PostgresServer]:
        """Run PostgreSQL with the user and the database that its image would make."""
        told = service.environment
        own = self.folder / "postgres"
        own.mkdir()
        self.folder.chmod(0o755)
        with _listening_at(self.place.ports["postgres"], own) as server:
            user, database = sql.Identifier(told["POSTGRES_USER"]), sql.Identifier(told["POSTGRES_DB"])
            password = sql.Literal(told["POSTGRES_PASSWORD"])
            server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, password))
            server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, user))
            yield server


@contextmanager
def _listening_at(port: int, folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder, find_postgres())
    server.port = port
    try:
        server.make_data()
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Run all services below *folder* while the block runs, started in the order that the file asks for."""
    with ExitStack() as stack:
        bare = Stack(folder)
        for name in bare.services:
            bare.start(name, stack)
        yield bare
